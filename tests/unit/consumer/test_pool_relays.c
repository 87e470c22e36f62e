#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "tests/unit/consumer/rig.h"

struct awaited_relay {
    struct rig *rig;
    size_t relay;
    const char *state;
};

static bool relay_has_state(void *ctx)
{
    const struct awaited_relay *a = ctx;
    struct pool_relay_stats stats;
    pool_relay_stats(a->rig->pool, a->relay, &stats);
    return strcmp(stats.state, a->state) == 0;
}

static void wait_relay(struct rig *rig, size_t relay, const char *state)
{
    struct awaited_relay a = {rig, relay, state};
    rig_wait(state, relay_has_state, &a);
}

/* Nobody listens on this relay's port any more; returns the port. */
static unsigned go_away(struct rig *rig, size_t relay)
{
    unsigned port = mini_relay_port(rig->mini[relay]);
    mini_relay_free(rig->mini[relay]);
    rig->mini[relay] = NULL;
    return port;
}

static void jobs_of_a_dead_relay_go_to_the_next_at_once(void **state)
{
    (void)state;
    enum { JOBS = 60 };
    struct rig rig;
    struct rig_job job = {0};
    struct id ids[JOBS];
    struct pool_relay_stats stats;
    rig_init(&rig, 2);
    rig.relays[0].backoff_first_ms = 60000;
    rig.relays[0].backoff_longest_ms = 60000;
    rig_open(&rig);
    (void)go_away(&rig, 0);
    for (unsigned i = 0; i < JOBS; i++)
        ids[i] = rig_put(&rig, &job);
    rig_start(&rig);
    for (unsigned i = 0; i < JOBS; i++) {
        rig_wait_state(&rig, &ids[i], JOB_DELIVERED);
        struct spool_status *status = rig_find(&rig, &ids[i]);
        assert_int_equal(status->attempts, 1);
        assert_string_equal(status->recipients[0].relay, "second");
        spool_status_destroy(status);
    }
    pool_relay_stats(rig.pool, 0, &stats);
    assert_string_equal(stats.state, "backing_off");
    assert_true(stats.retry_in_ms > 40000);
    assert_true(strlen(stats.last_error) > 0);
    assert_int_equal(stats.delivered, 0);
    rig_close(&rig);
}

static void relay_is_probed_and_used_again(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    struct pool_relay_stats stats;
    rig_init(&rig, 1);
    rig_open(&rig);
    unsigned port = go_away(&rig, 0);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    wait_relay(&rig, 0, "backing_off");
    for (unsigned i = 0; i < 20; i++)
        (void)rig_put(&rig, &job);
    struct spool_status *status = rig_find(&rig, &id);
    assert_int_equal(status->attempts, 0);
    assert_non_null(status->note);
    assert_int_equal(status->events[1].kind, SPOOL_EVENT_RELEASED);
    assert_string_equal(status->events[1].relay, "first");
    spool_status_destroy(status);
    rig.mini[0] = mini_relay_start(port);
    assert_non_null(rig.mini[0]);
    rig_wait_number(rig.mini[0], mini_relay_mails, 21, "all mails");
    wait_relay(&rig, 0, "ready");
    status = rig_find(&rig, &id);
    assert_int_equal(status->attempts, 1);
    spool_status_destroy(status);
    pool_relay_stats(rig.pool, 0, &stats);
    assert_int_equal(stats.retry_in_ms, 0);
    rig_close(&rig);
}

static void exactly_one_session_probes(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 1);
    rig.options.consumers = 3;
    rig.relays[0].connections = 12;
    rig.relays[0].backoff_first_ms = 100;
    rig.relays[0].backoff_longest_ms = 100;
    rig_open(&rig);
    unsigned port = go_away(&rig, 0);
    rig_start(&rig);
    for (unsigned i = 0; i < 40; i++)
        (void)rig_put(&rig, &job);
    wait_relay(&rig, 0, "backing_off");
    /* It lets in, but answers no mail yet. */
    rig.mini[0] = mini_relay_start(port);
    assert_non_null(rig.mini[0]);
    mini_relay_hold(rig.mini[0], true);
    rig_wait_number(rig.mini[0], mini_relay_held, 1, "the probe's mail");
    wait_relay(&rig, 0, "probing");
    int64_t until_ms = clock_mono_ms(clock_system()) + 300;
    while (clock_mono_ms(clock_system()) < until_ms)
        assert_int_equal(mini_relay_held(rig.mini[0]), 1);
    mini_relay_hold(rig.mini[0], false);
    rig_wait_number(rig.mini[0], mini_relay_mails, 40, "all mails");
    rig_close(&rig);
}

static void relay_that_demands_a_login_backs_off(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.sender = "mail-530"};
    rig_init(&rig, 1);
    rig.relays[0].backoff_first_ms = 60000;
    rig.relays[0].backoff_longest_ms = 60000;
    rig_open(&rig);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    wait_relay(&rig, 0, "backing_off");
    rig_wait_state(&rig, &id, JOB_QUEUED);
    struct spool_status *status = rig_find(&rig, &id);
    assert_int_equal(status->attempts, 0);
    assert_non_null(strstr(status->note, "530"));
    spool_status_destroy(status);
    rig_close(&rig);
}

static void
mail_the_relay_wants_a_login_for_lets_the_others_go_first(void **state)
{
    (void)state;
    enum { JOBS = 20 };
    struct rig rig;
    struct rig_job poison = {.sender = "mail-530"};
    struct rig_job good = {0};
    rig_init(&rig, 1);
    rig.relays[0].connections = 2;
    rig.relays[0].backoff_first_ms = 50;
    rig.relays[0].backoff_longest_ms = 50;
    rig_open(&rig);
    rig_start(&rig);
    struct id poison_id = rig_put(&rig, &poison);
    wait_relay(&rig, 0, "backing_off");
    for (unsigned i = 0; i < JOBS; i++)
        (void)rig_put(&rig, &good);
    rig_wait_number(rig.mini[0], mini_relay_mails, JOBS, "the good ones");
    struct spool_status *status = rig_find(&rig, &poison_id);
    assert_int_equal(status->attempts, 0);
    spool_status_destroy(status);
    rig_close(&rig);
}

static void relay_without_room_for_more_sessions_goes_on_with_few(void **state)
{
    (void)state;
    enum { JOBS = 300 };
    struct rig rig;
    struct rig_job job = {0};
    struct pool_relay_stats stats;
    rig_init(&rig, 1);
    rig.relays[0].connections = 8;
    rig.relays[0].backoff_first_ms = 60000;
    rig.relays[0].backoff_longest_ms = 60000;
    rig_open(&rig);
    mini_relay_limit_sessions(rig.mini[0], 2);
    rig_start(&rig);
    /* Two sessions at work, then more jobs than they can take. */
    (void)rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_mails, 1, "the first mail");
    for (unsigned i = 1; i < JOBS; i++)
        (void)rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_mails, JOBS, "all mails");
    assert_true(mini_relay_refused(rig.mini[0]) > 0);
    pool_relay_stats(rig.pool, 0, &stats);
    assert_string_equal(stats.state, "ready");
    rig_close(&rig);
}

static void slow_relay_fills_its_own_lane_only(void **state)
{
    (void)state;
    enum { JOBS = 100 };
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 2);
    rig.queue_options.capacity = 16; /* eight a lane */
    rig.relays[0].connections = 1;
    rig_open(&rig);
    mini_relay_hold(rig.mini[0], true);
    rig_start(&rig);
    for (unsigned i = 0; i < JOBS; i++)
        (void)rig_put(&rig, &job);
    /* One under way at the first, eight in its lane, all others went on. */
    rig_wait_number(rig.mini[1], mini_relay_mails, JOBS - 9, "the others");
    assert_int_equal(mini_relay_mails(rig.mini[0]), 0);
    mini_relay_hold(rig.mini[0], false);
    rig_wait_number(rig.mini[0], mini_relay_mails, 9, "the slow ones");
    rig_close(&rig);
}

static void idle_session_that_the_relay_closes_loses_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    struct pool_relay_stats stats;
    rig_init(&rig, 1);
    rig_open(&rig);
    unsigned port = mini_relay_port(rig.mini[0]);
    rig_start(&rig);
    for (unsigned i = 0; i < 5; i++) {
        struct id id = rig_put(&rig, &job);
        rig_wait_state(&rig, &id, JOB_DELIVERED);
        mini_relay_free(rig.mini[0]);
        rig.mini[0] = mini_relay_start(port);
        assert_non_null(rig.mini[0]);
    }
    struct id id = rig_put(&rig, &job);
    rig_wait_state(&rig, &id, JOB_DELIVERED);
    pool_relay_stats(rig.pool, 0, &stats);
    assert_int_equal(stats.delivered, 6);
    rig_close(&rig);
}

static bool no_session_is_open(void *ctx)
{
    struct rig *rig = ctx;
    struct pool_relay_stats stats;
    pool_relay_stats(rig->pool, 0, &stats);
    return stats.sessions == 0 && mini_relay_open(rig->mini[0]) == 0;
}

static void idle_sessions_say_quit_after_their_time(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 1);
    rig.relays[0].idle_timeout_ms = 100;
    rig_open(&rig);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait_state(&rig, &id, JOB_DELIVERED);
    rig_wait("no session", no_session_is_open, &rig);
    assert_int_equal(mini_relay_quits(rig.mini[0]), 1);
    rig_close(&rig);
}

static void fewer_connections_than_consumers_still_send(void **state)
{
    (void)state;
    enum { JOBS = 50 };
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 1);
    rig.options.consumers = 4;
    rig.relays[0].connections = 1;
    rig_open(&rig);
    rig_start(&rig);
    for (unsigned i = 0; i < JOBS; i++)
        (void)rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_mails, JOBS, "all mails");
    assert_int_equal(mini_relay_connections(rig.mini[0]), 1);
    rig_close(&rig);
}

static void sessions_are_at_work_at_the_same_time(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 1);
    rig.relays[0].connections = 10;
    rig_open(&rig);
    mini_relay_hold(rig.mini[0], true);
    rig_start(&rig);
    for (unsigned i = 0; i < 15; i++)
        (void)rig_put(&rig, &job);
    /* One thread, ten mails without an answer. */
    rig_wait_number(rig.mini[0], mini_relay_held, 10, "ten mails at once");
    mini_relay_hold(rig.mini[0], false);
    rig_wait_number(rig.mini[0], mini_relay_mails, 15, "all mails");
    assert_int_equal(mini_relay_connections(rig.mini[0]), 10);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_of_a_dead_relay_go_to_the_next_at_once),
        cmocka_unit_test(relay_is_probed_and_used_again),
        cmocka_unit_test(exactly_one_session_probes),
        cmocka_unit_test(relay_that_demands_a_login_backs_off),
        cmocka_unit_test(
            mail_the_relay_wants_a_login_for_lets_the_others_go_first),
        cmocka_unit_test(relay_without_room_for_more_sessions_goes_on_with_few),
        cmocka_unit_test(slow_relay_fills_its_own_lane_only),
        cmocka_unit_test(idle_session_that_the_relay_closes_loses_nothing),
        cmocka_unit_test(idle_sessions_say_quit_after_their_time),
        cmocka_unit_test(fewer_connections_than_consumers_still_send),
        cmocka_unit_test(sessions_are_at_work_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
