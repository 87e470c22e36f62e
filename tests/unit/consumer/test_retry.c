#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/retry.h"

#define DAY_MS INT64_C(86400000)

static void pause_grows_to_the_longest(void **state)
{
    (void)state;
    static const struct {
        struct retry_policy policy;
        unsigned attempt;
        double unit;
        int64_t pause_ms;
    } rows[] = {
        {{30000, 2.0, 14400000, 0.0}, 1, 0.5, 30000},
        {{30000, 2.0, 14400000, 0.0}, 2, 0.5, 60000},
        {{30000, 2.0, 14400000, 0.0}, 5, 0.5, 480000},
        {{30000, 2.0, 14400000, 0.0}, 9, 0.5, 7680000},
        {{30000, 2.0, 14400000, 0.0}, 10, 0.5, 14400000},
        {{30000, 2.0, 14400000, 0.0}, 4000000000U, 0.5, 14400000},
        /* attempts count from 1 */
        {{30000, 2.0, 14400000, 0.0}, 0, 0.5, 30000},
        {{100, 1.5, 100000, 0.0}, 3, 0.0, 225},
        {{100, 1.0, 100000, 0.0}, UINT32_MAX, 0.0, 100},
        /* the first over the longest */
        {{5000, 2.0, 1000, 0.0}, 1, 0.0, 1000},
        /* jitter at both ends and in the middle */
        {{1000, 2.0, 100000, 0.25}, 1, 0.0, 750},
        {{1000, 2.0, 100000, 0.25}, 1, 0.5, 1000},
        {{1000, 2.0, 100000, 0.25}, 2, 1.0, 2500},
        {{1000, 2.0, 100000, 1.0}, 1, 0.0, 1},
        /* which never lengthens the longest */
        {{1000, 2.0, 1000, 0.25}, 1, 0.999, 1000},
        {{1000, 2.0, 1100, 0.25}, 1, 0.999, 1100},
        {{1000, 2.0, 1000, 0.25}, 9, 0.0, 750},
        /* nothing under a millisecond */
        {{0, 2.0, 100000, 0.0}, 3, 0.5, 1},
        {{1, 2.0, 100000, 0.9}, 1, 0.0, 1},
        /* nothing wraps */
        {{DAY_MS, 1e300, INT64_MAX, 0.0}, 1000, 0.0, INT64_MAX},
        {{INT64_MAX, 2.0, INT64_MAX, 1.0}, 64, 0.999, INT64_MAX},
        {{0, 1e300, 5000, 0.0}, UINT32_MAX, 0.0, 5000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t got =
            retry_pause_ms(&rows[i].policy, rows[i].attempt, rows[i].unit);
        if (got != rows[i].pause_ms)
            fail_msg("row %zu: %lld ms, not %lld", i, (long long)got,
                     (long long)rows[i].pause_ms);
    }
}

static void jitter_stays_in_its_bounds(void **state)
{
    (void)state;
    const struct retry_policy policy = {10000, 3.0, 50000, 0.2};
    for (unsigned attempt = 1; attempt < 8; attempt++) {
        int64_t middle = attempt == 1 ? 10000 : attempt == 2 ? 30000 : 50000;
        int64_t before = 0;
        for (int i = 0; i < 1000; i++) {
            int64_t pause = retry_pause_ms(&policy, attempt, i / 1000.0);
            assert_true(pause >= middle * 8 / 10 - 1);
            assert_true(pause <= middle * 12 / 10);
            assert_true(pause >= before);
            before = pause;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause_grows_to_the_longest),
        cmocka_unit_test(jitter_stays_in_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
