#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/breaker.h"
#include "core/random.h"

/* unit 0.5 is no jitter */
#define MIDDLE 0.5

static void pauses_double_until_a_probe_works(void **state)
{
    (void)state;
    struct breaker b;
    struct breaker_pass pass;
    static const int64_t pauses[] = {1000, 2000, 4000, 5000, 5000};
    int64_t now = 100;
    breaker_init(&b, 1000, 5000);
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        assert_true(breaker_ask(&b, now, &pass));
        assert_int_equal(pass.probe, i > 0);
        assert_true(breaker_failed(&b, &pass, now, MIDDLE));
        assert_int_equal(b.state, BREAKER_BACKING_OFF);
        assert_false(breaker_may_ask(&b, now + pauses[i] - 1));
        assert_false(breaker_ask(&b, now + pauses[i] - 1, &pass));
        now += pauses[i];
    }
    assert_true(breaker_ask(&b, now, &pass));
    assert_int_equal(b.state, BREAKER_PROBING);
    assert_true(breaker_worked(&b, &pass));
    assert_int_equal(b.state, BREAKER_READY);
    /* and it begins anew */
    assert_true(breaker_ask(&b, now, &pass));
    assert_true(breaker_failed(&b, &pass, now, MIDDLE));
    assert_int_equal(b.until_ms, now + 1000);
}

static void pause_has_a_fifth_of_jitter(void **state)
{
    (void)state;
    static const struct {
        double unit;
        int64_t pause_ms;
    } rows[] = {{0.0, 800}, {0.5, 1000}, {0.75, 1100}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct breaker b;
        struct breaker_pass pass;
        breaker_init(&b, 1000, 5000);
        assert_true(breaker_ask(&b, 0, &pass));
        assert_true(breaker_failed(&b, &pass, 0, rows[i].unit));
        assert_int_equal(b.until_ms, rows[i].pause_ms);
    }
}

static void failing_together_counts_once(void **state)
{
    (void)state;
    struct breaker b;
    struct breaker_pass passes[20];
    struct breaker_pass probe;
    breaker_init(&b, 1000, 5000);
    for (size_t i = 0; i < 20; i++)
        assert_true(breaker_ask(&b, 0, &passes[i]));
    assert_true(breaker_failed(&b, &passes[0], 10, MIDDLE));
    for (size_t i = 1; i < 10; i++)
        assert_false(breaker_failed(&b, &passes[i], 20, MIDDLE));
    assert_int_equal(b.until_ms, 1010);
    /* Not while probing, and not when all is well again. */
    assert_true(breaker_ask(&b, 1010, &probe));
    assert_false(breaker_failed(&b, &passes[10], 1020, MIDDLE));
    assert_int_equal(b.state, BREAKER_PROBING);
    assert_true(breaker_worked(&b, &probe));
    assert_false(breaker_failed(&b, &passes[11], 1030, MIDDLE));
    assert_int_equal(b.state, BREAKER_READY);
}

static void exactly_one_probes(void **state)
{
    (void)state;
    struct breaker b;
    struct breaker_pass pass;
    struct breaker_pass other;
    breaker_init(&b, 1000, 5000);
    assert_true(breaker_ask(&b, 0, &pass));
    assert_true(breaker_failed(&b, &pass, 0, MIDDLE));
    assert_true(breaker_ask(&b, 1000, &pass));
    assert_false(breaker_ask(&b, 1000, &other));
    assert_false(breaker_ask(&b, 99999, &other));
    /* Given back without a result: another may, with no blame. */
    assert_true(breaker_returned(&b, &pass, 1500));
    assert_false(breaker_returned(&b, &pass, 1500));
    assert_false(breaker_ask(&b, 1999, &other));
    assert_true(breaker_ask(&b, 2000, &other));
    assert_true(other.probe);
    assert_true(breaker_failed(&b, &other, 9000, MIDDLE));
    assert_int_equal(b.until_ms, 9000 + 2000);
}

/* What ends a probe in each of its two states. */
static void trial_ends_as_its_mail_or_its_idleness_says(void **state)
{
    (void)state;
    enum end { WORKED, FAILED, RETURNED };
    static const struct {
        bool idle;    /* it was connected */
        bool carries; /* and got a mail */
        enum end end;
        int64_t at_ms; /* it was asked for at 1000 */
        enum breaker_state state;
        int64_t until_ms;
    } rows[] = {
        {false, false, FAILED, 1500, BREAKER_BACKING_OFF, 3500},
        {false, false, RETURNED, 1500, BREAKER_BACKING_OFF, 2000},
        {false, false, RETURNED, 9000, BREAKER_BACKING_OFF, 9000},
        {true, false, FAILED, 1500, BREAKER_BACKING_OFF, 3500},
        {true, true, FAILED, 1500, BREAKER_BACKING_OFF, 3500},
        {true, true, WORKED, 1500, BREAKER_READY, 0},
        {true, false, WORKED, 1500, BREAKER_READY, 0},
        {true, true, RETURNED, 9000, BREAKER_BACKING_OFF, 9000},
        /* nothing to do, or hung up on at once */
        {true, false, RETURNED, 9000, BREAKER_READY, 0},
        {true, false, RETURNED, 1001, BREAKER_BACKING_OFF, 2000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct breaker b;
        struct breaker_pass pass;
        bool news = false;
        breaker_init(&b, 1000, 5000);
        assert_true(breaker_ask(&b, 0, &pass));
        assert_true(breaker_failed(&b, &pass, 0, MIDDLE));
        assert_true(breaker_ask(&b, 1000, &pass));
        assert_false(breaker_carries(&b, &pass));
        if (rows[i].idle) {
            assert_true(breaker_is_idle(&b, &pass));
            assert_false(breaker_is_idle(&b, &pass));
            assert_int_equal(b.state, BREAKER_TRIAL);
            assert_false(breaker_may_ask(&b, 99999));
        }
        if (rows[i].carries) {
            assert_true(breaker_carries(&b, &pass));
            assert_int_equal(b.state, BREAKER_PROBING);
        }
        if (rows[i].end == WORKED)
            news = breaker_worked(&b, &pass);
        else if (rows[i].end == FAILED)
            news = breaker_failed(&b, &pass, rows[i].at_ms, MIDDLE);
        else
            news = breaker_returned(&b, &pass, rows[i].at_ms);
        if (!news || b.state != rows[i].state ||
            (b.state == BREAKER_BACKING_OFF && b.until_ms != rows[i].until_ms))
            fail_msg("row %zu: state %d until %lld", i, (int)b.state,
                     (long long)b.until_ms);
    }
}

static void only_the_probe_is_on_trial(void **state)
{
    (void)state;
    struct breaker b;
    struct breaker_pass old;
    struct breaker_pass pass;
    breaker_init(&b, 1000, 5000);
    assert_true(breaker_ask(&b, 0, &old));
    assert_true(breaker_ask(&b, 0, &pass));
    assert_true(breaker_failed(&b, &pass, 0, MIDDLE));
    assert_true(breaker_ask(&b, 1000, &pass));
    assert_false(breaker_is_idle(&b, &old));
    assert_int_equal(b.state, BREAKER_PROBING);
    assert_true(breaker_is_idle(&b, &pass));
    assert_false(breaker_carries(&b, &old));
    assert_int_equal(b.state, BREAKER_TRIAL);
}

static void an_old_session_that_works_closes_nothing(void **state)
{
    (void)state;
    struct breaker b;
    struct breaker_pass old;
    struct breaker_pass pass;
    breaker_init(&b, 1000, 5000);
    assert_true(breaker_ask(&b, 0, &old));
    assert_true(breaker_ask(&b, 0, &pass));
    assert_true(breaker_failed(&b, &pass, 0, MIDDLE));
    assert_false(breaker_worked(&b, &old));
    assert_int_equal(b.state, BREAKER_BACKING_OFF);
}

/* Any order of events: never two probes, and time always leads out. */
static void random_events_keep_the_promises(void **state)
{
    (void)state;
    enum { SESSIONS = 12 };
    struct breaker b;
    struct breaker_pass passes[SESSIONS];
    bool open[SESSIONS] = {false};
    struct random random;
    int64_t now = 0;
    breaker_init(&b, 100, 3000);
    random_init(&random, 99);
    for (unsigned step = 0; step < 200000; step++) {
        size_t i = random_below(&random, SESSIONS);
        now += (int64_t)random_below(&random, 60);
        if (!open[i]) {
            bool may = breaker_may_ask(&b, now);
            open[i] = breaker_ask(&b, now, &passes[i]);
            assert_int_equal(open[i], may);
        } else {
            unsigned what = (unsigned)random_below(&random, 5);
            if (what == 3)
                (void)breaker_is_idle(&b, &passes[i]);
            else if (what == 4)
                (void)breaker_carries(&b, &passes[i]);
            else if (what == 0)
                (void)breaker_failed(&b, &passes[i], now, random_unit(&random));
            else if (what == 1)
                (void)breaker_worked(&b, &passes[i]);
            else
                (void)breaker_returned(&b, &passes[i], now);
            open[i] = what >= 3;
            assert_true(open[i] || !passes[i].probe);
        }
        unsigned probes = 0;
        for (size_t k = 0; k < SESSIONS; k++)
            probes += open[k] && passes[k].probe;
        assert_int_equal(probes, b.state == BREAKER_PROBING ||
                                     b.state == BREAKER_TRIAL);
        if (b.state == BREAKER_BACKING_OFF)
            assert_true(b.until_ms - now <= 3000);
    }
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_name(BREAKER_READY), "ready");
    assert_string_equal(breaker_state_name(BREAKER_BACKING_OFF), "backing_off");
    assert_string_equal(breaker_state_name(BREAKER_PROBING), "probing");
    assert_string_equal(breaker_state_name(BREAKER_TRIAL), "probing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_double_until_a_probe_works),
        cmocka_unit_test(pause_has_a_fifth_of_jitter),
        cmocka_unit_test(failing_together_counts_once),
        cmocka_unit_test(exactly_one_probes),
        cmocka_unit_test(trial_ends_as_its_mail_or_its_idleness_says),
        cmocka_unit_test(only_the_probe_is_on_trial),
        cmocka_unit_test(an_old_session_that_works_closes_nothing),
        cmocka_unit_test(random_events_keep_the_promises),
        cmocka_unit_test(states_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
