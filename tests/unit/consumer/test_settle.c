#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/settle.h"

#define NOW    INT64_C(1000000)
#define RETRY  SETTLE_REST_RETRY
#define HOLD   SETTLE_REST_HOLD
#define FAIL   SETTLE_REST_FAIL
#define EXPIRE SETTLE_REST_EXPIRE

static const struct retry_policy policy = {
    .first_ms = 1000, .factor = 2.0, .longest_ms = 60000, .jitter = 0.0};

static const struct {
    /* delivered, deferred, rejected, unknown, untried, throttled */
    size_t n[6];
    enum job_on_unknown on_unknown;
    unsigned attempt;
    int64_t expires_at_ms;
    int64_t give_up_at_ms;
    enum settle_verdict verdict;
    enum settle_rest rest;
    int64_t next_ms; /* after NOW; -1: of no interest */
} plans[] = {
    /* nobody tried: no attempt, whatever else */
    {{0, 0, 0, 0, 3}, 0, 1, 0, 0, SETTLE_RELEASE, RETRY, 0},
    {{0, 0, 0, 0, 1}, 1, 7, 1, 1, SETTLE_RELEASE, RETRY, -1},
    /* nothing is left to do */
    {{2, 0, 0, 0, 0}, 0, 1, 0, 0, SETTLE_RECORD, RETRY, -1},
    {{1, 0, 1, 0, 0}, 0, 1, 0, 0, SETTLE_RECORD, RETRY, -1},
    /* deferred: after the pause of this attempt */
    {{0, 1, 0, 0, 0}, 0, 1, 0, 0, SETTLE_RECORD, RETRY, 1000},
    {{1, 1, 1, 0, 0}, 0, 3, 0, 0, SETTLE_RECORD, RETRY, 4000},
    {{0, 1, 0, 0, 5}, 0, 1, 0, 0, SETTLE_RECORD, RETRY, 1000},
    /* unknown: as the job wants it */
    {{0, 0, 0, 1, 0}, 0, 2, 0, 0, SETTLE_RECORD, RETRY, 2000},
    {{0, 0, 0, 1, 0}, 1, 2, 0, 0, SETTLE_RECORD, HOLD, -1},
    {{3, 2, 1, 1, 2}, 1, 1, 0, 0, SETTLE_RECORD, HOLD, -1},
    /* only untried are left: at once */
    {{1, 0, 0, 0, 2}, 0, 4, 0, 0, SETTLE_RECORD, RETRY, 0},
    {{0, 0, 1, 0, 2}, 0, 4, 0, 0, SETTLE_RECORD, RETRY, 0},
    /* the job's time is over, also to the millisecond */
    {{0, 1, 0, 0, 0}, 0, 1, 0, NOW, SETTLE_RECORD, FAIL, -1},
    {{0, 1, 0, 0, 0}, 0, 1, NOW, 0, SETTLE_RECORD, EXPIRE, -1},
    {{0, 1, 0, 0, 0}, 0, 1, NOW - 5, NOW - 9, SETTLE_RECORD, FAIL, -1},
    {{0, 1, 0, 0, 0}, 0, 1, NOW - 9, NOW - 5, SETTLE_RECORD, EXPIRE, -1},
    {{0, 0, 0, 1, 0}, 1, 1, NOW, NOW, SETTLE_RECORD, HOLD, -1},
    /* no attempt is planned after its end */
    {{0, 1, 0, 0, 0}, 0, 1, 0, NOW + 999, SETTLE_RECORD, RETRY, 999},
    {{0, 1, 0, 0, 0}, 0, 1, NOW + 1, 0, SETTLE_RECORD, RETRY, 1},
    {{0, 1, 0, 0, 0}, 0, 1, NOW + 7, NOW + 5, SETTLE_RECORD, RETRY, 5},
    {{0, 1, 0, 0, 0}, 0, 1, NOW + 1001, 0, SETTLE_RECORD, RETRY, 1000},
    /* throttled: no attempt either, but after its own pause of 1500 */
    {{0, 0, 0, 0, 0, 3}, 0, 1, 0, 0, SETTLE_RELEASE, RETRY, 1500},
    {{0, 0, 0, 0, 2, 1}, 1, 9, 0, 0, SETTLE_RELEASE, RETRY, 1500},
    {{0, 0, 0, 0, 0, 1}, 0, 1, NOW + 7, 0, SETTLE_RELEASE, RETRY, 7},
    {{0, 0, 0, 0, 0, 1}, 0, 1, 0, NOW + 7, SETTLE_RELEASE, RETRY, 7},
    /* throttled beside others: theirs is recorded */
    {{1, 0, 0, 0, 0, 2}, 0, 6, 0, 0, SETTLE_RECORD, RETRY, 1500},
    {{0, 0, 1, 0, 3, 2}, 0, 6, 0, 0, SETTLE_RECORD, RETRY, 1500},
    {{1, 0, 0, 0, 0, 2}, 0, 6, 0, NOW, SETTLE_RECORD, FAIL, -1},
    {{0, 0, 0, 1, 0, 2}, 1, 6, 0, 0, SETTLE_RECORD, HOLD, -1},
    /* the longer pause of the two */
    {{0, 1, 0, 0, 0, 1}, 0, 1, 0, 0, SETTLE_RECORD, RETRY, 1500},
    {{0, 1, 0, 0, 0, 1}, 0, 2, 0, 0, SETTLE_RECORD, RETRY, 2000},
    {{0, 0, 0, 1, 0, 1}, 0, 3, 0, 0, SETTLE_RECORD, RETRY, 4000},
};

static void outcomes_become_a_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        /* The job's own times are over: a person has retried it. */
        struct job job = {
            .on_unknown = plans[i].on_unknown,
            .expires_at_ms = NOW - 1000,
            .give_up_at_ms = NOW - 1000,
        };
        struct claim claim = {
            .job = &job,
            .expires_at_ms = plans[i].expires_at_ms,
            .give_up_at_ms = plans[i].give_up_at_ms,
        };
        struct settle_input input = {
            .claim = &claim,
            .policy = &policy,
            .attempt = plans[i].attempt,
            .delivered = plans[i].n[0],
            .deferred = plans[i].n[1],
            .rejected = plans[i].n[2],
            .unknown = plans[i].n[3],
            .untried = plans[i].n[4],
            .throttled = plans[i].n[5],
            .throttle_pause_ms = 1500,
            .now_ms = NOW,
            .unit = 0.5,
        };
        struct settle_plan plan = settle_decide(&input);
        if (plan.verdict != plans[i].verdict || plan.rest != plans[i].rest ||
            (plans[i].next_ms >= 0 &&
             plan.next_attempt_ms != NOW + plans[i].next_ms))
            fail_msg("row %zu: verdict %d rest %d next %lld", i,
                     (int)plan.verdict, (int)plan.rest,
                     (long long)(plan.next_attempt_ms - NOW));
    }
}

static void a_pause_beyond_all_time_does_not_wrap(void **state)
{
    (void)state;
    const struct retry_policy endless = {.first_ms = INT64_MAX,
                                         .factor = 1.0,
                                         .longest_ms = INT64_MAX,
                                         .jitter = 0.0};
    struct job job = {.on_unknown = JOB_ON_UNKNOWN_RETRY};
    struct claim claim = {.job = &job};
    struct settle_input input = {.claim = &claim,
                                 .policy = &endless,
                                 .attempt = 1,
                                 .deferred = 1,
                                 .now_ms = NOW,
                                 .unit = 0.5};
    struct settle_plan plan = settle_decide(&input);
    assert_true(plan.next_attempt_ms > NOW);
    /* SPOOL_NEVER means something else */
    assert_true(plan.next_attempt_ms < SPOOL_NEVER);
}

static void the_end_that_came_first_says_how(void **state)
{
    (void)state;
    static const struct {
        int64_t expires_at_ms;
        int64_t give_up_at_ms;
        int over;
        enum settle_rest rest;
    } rows[] = {
        {0, 0, 0, RETRY},          {NOW + 1, 0, 0, RETRY},
        {0, NOW + 1, 0, RETRY},    {NOW, 0, 1, EXPIRE},
        {0, NOW, 1, FAIL},         {NOW - 1, NOW - 2, 1, FAIL},
        {NOW, NOW, 1, EXPIRE},     {NOW + 9, NOW - 2, 1, FAIL},
        {NOW - 9, NOW, 1, EXPIRE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct claim claim = {.expires_at_ms = rows[i].expires_at_ms,
                              .give_up_at_ms = rows[i].give_up_at_ms};
        enum settle_rest rest = RETRY;
        int over = settle_is_over(&claim, NOW, &rest);
        if (over != rows[i].over || rest != rows[i].rest)
            fail_msg("row %zu: over %d rest %d", i, over, (int)rest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_become_a_plan),
        cmocka_unit_test(a_pause_beyond_all_time_does_not_wrap),
        cmocka_unit_test(the_end_that_came_first_says_how),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
