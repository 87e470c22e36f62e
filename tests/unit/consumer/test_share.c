#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/share.h"
#include "core/random.h"

#define HIGH   SHARE_CLASS(JOB_PRIORITY_HIGH)
#define NORMAL SHARE_CLASS(JOB_PRIORITY_NORMAL)
#define LOW    SHARE_CLASS(JOB_PRIORITY_LOW)
#define ALL    (HIGH | NORMAL | LOW)

static enum job_priority turn(struct share *s, unsigned classes)
{
    enum job_priority next = share_next(s, classes);
    if (next != JOB_PRIORITY_COUNT)
        share_used(s, classes, next);
    return next;
}

static void long_runs_have_exact_shares(void **state)
{
    (void)state;
    static const struct {
        unsigned classes;
        unsigned period;
        unsigned turns[JOB_PRIORITY_COUNT];
    } rows[] = {
        {ALL, 13, {8, 4, 1}},       {HIGH | NORMAL, 12, {8, 4, 0}},
        {HIGH | LOW, 9, {8, 0, 1}}, {NORMAL | LOW, 5, {0, 4, 1}},
        {HIGH, 1, {1, 0, 0}},       {NORMAL, 1, {0, 1, 0}},
        {LOW, 1, {0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct share s;
        share_init(&s);
        for (unsigned round = 0; round < 100; round++) {
            unsigned turns[JOB_PRIORITY_COUNT] = {0};
            for (unsigned k = 0; k < rows[i].period; k++)
                turns[turn(&s, rows[i].classes)]++;
            assert_memory_equal(turns, rows[i].turns, sizeof(turns));
        }
    }
}

static void turns_are_mixed_evenly(void **state)
{
    (void)state;
    struct share s;
    unsigned in_a_row = 0;
    share_init(&s);
    for (unsigned i = 0; i < 1300; i++) {
        in_a_row = turn(&s, ALL) == JOB_PRIORITY_HIGH ? in_a_row + 1 : 0;
        assert_true(in_a_row <= 3);
    }
}

static void asking_changes_nothing(void **state)
{
    (void)state;
    struct share s;
    share_init(&s);
    assert_int_equal(share_next(&s, 0), JOB_PRIORITY_COUNT);
    for (unsigned i = 0; i < 26; i++) {
        enum job_priority first = share_next(&s, ALL);
        (void)share_next(&s, LOW);
        assert_int_equal(share_next(&s, ALL), first);
        share_used(&s, ALL, first);
    }
}

/* Whatever the classes with work are, one of them is served. */
static void changing_work_wastes_and_starves_nothing(void **state)
{
    (void)state;
    struct share s;
    struct random random;
    unsigned waits[JOB_PRIORITY_COUNT] = {0};
    share_init(&s);
    random_init(&random, 4711);
    for (unsigned i = 0; i < 200000; i++) {
        /* Low always has work, the others come and go. */
        unsigned classes = (unsigned)random_below(&random, 8) | LOW;
        enum job_priority next = turn(&s, classes);
        assert_true(next < JOB_PRIORITY_COUNT);
        assert_true((classes & SHARE_CLASS(next)) != 0);
        for (unsigned k = 0; k < JOB_PRIORITY_COUNT; k++)
            waits[k] =
                k == next || (classes & SHARE_CLASS(k)) == 0 ? 0 : waits[k] + 1;
        assert_true(waits[JOB_PRIORITY_LOW] <= 26);
        for (unsigned k = 0; k < JOB_PRIORITY_COUNT; k++)
            assert_true(s.credit[k] > -64 && s.credit[k] < 64);
    }
}

static void a_class_that_was_away_has_saved_nothing(void **state)
{
    (void)state;
    struct share s;
    share_init(&s);
    for (unsigned i = 0; i < 1000; i++)
        (void)turn(&s, HIGH);
    unsigned low = 0;
    for (unsigned i = 0; i < 13; i++)
        low += turn(&s, ALL) == JOB_PRIORITY_LOW;
    assert_int_equal(low, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_runs_have_exact_shares),
        cmocka_unit_test(turns_are_mixed_evenly),
        cmocka_unit_test(asking_changes_nothing),
        cmocka_unit_test(changing_work_wastes_and_starves_nothing),
        cmocka_unit_test(a_class_that_was_away_has_saved_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
