#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/metrics.h"
#include "core/str.h"
#include "core/thread.h"

static void numbers_begin_at_zero_and_add_up(void **state)
{
    struct metrics m;
    (void)state;
    metrics_init(&m);
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        assert_int_equal(metrics_get(&m, (enum metric)i), 0);
    metrics_add(&m, METRIC_REQUESTS, 5);
    metrics_add(&m, METRIC_REQUESTS, -7);
    assert_int_equal(metrics_get(&m, METRIC_REQUESTS), -2);
    assert_int_equal(metrics_get(&m, METRIC_REQUESTS_REFUSED), 0);
}

static void every_number_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        const char *name = metrics_name((enum metric)i);
        assert_non_null(name);
        for (const char *p = name; *p != '\0'; p++)
            assert_true(*p == '_' || (*p >= 'a' && *p <= 'z'));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(name, metrics_name((enum metric)k));
    }
}

static void add_many(void *arg)
{
    for (int i = 0; i < 20000; i++)
        metrics_add(arg, METRIC_ATTEMPTS, 1);
}

static void threads_lose_nothing(void **state)
{
    struct metrics m;
    struct thread threads[4] = {0};
    (void)state;
    metrics_init(&m);
    for (int i = 0; i < 4; i++)
        assert_int_equal(thread_start(&threads[i], "adder", add_many, &m, NULL),
                         ERR_NONE);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    assert_int_equal(metrics_get(&m, METRIC_ATTEMPTS), 80000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_begin_at_zero_and_add_up),
        cmocka_unit_test(every_number_has_a_name_of_its_own),
        cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
