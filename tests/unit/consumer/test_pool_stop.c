#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/net.h"
#include "core/thread.h"
#include "tests/unit/consumer/rig.h"

static int64_t mono_ms(void)
{
    return clock_mono_ms(clock_system());
}

static void stop_rig(void *arg)
{
    rig_stop(arg, 8000);
}

static bool queue_was_closed(void *ctx)
{
    struct rig *rig = ctx;
    return queue_is_closed(rig->queue);
}

static void what_is_under_way_is_finished_the_rest_goes_back(void **state)
{
    (void)state;
    enum { JOBS = 40 };
    struct rig rig;
    struct rig_job job = {.recipients = "a b"};
    struct thread stopper = {0};
    struct err err;
    rig_init(&rig, 1);
    rig.options.consumers = 2;
    rig.relays[0].connections = 3;
    rig.relays[0].recipients_per_message = 1;
    rig_open(&rig);
    mini_relay_hold(rig.mini[0], true);
    rig_start(&rig);
    for (unsigned i = 0; i < JOBS; i++)
        (void)rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_held, 3, "three mails");
    assert_int_equal(thread_start(&stopper, "stopper", stop_rig, &rig, &err),
                     ERR_NONE);
    rig_wait("closing", queue_was_closed, &rig);
    mini_relay_hold(rig.mini[0], false);
    thread_join(&stopper);
    /* Three jobs, all of both their transactions. */
    struct spool_stats n = rig_stats(&rig);
    assert_int_equal(n.delivered, 3);
    assert_int_equal(n.waiting, JOBS - 3);
    assert_int_equal(n.active, 0);
    assert_int_equal(mini_relay_mails(rig.mini[0]), 6);
    assert_int_equal(mini_relay_quits(rig.mini[0]), 3);
    rig_close(&rig);
}

static void after_the_deadline_sessions_are_cut(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.on_unknown = JOB_ON_UNKNOWN_HOLD};
    rig_init(&rig, 1);
    rig.relays[0].connections = 2;
    rig_open(&rig);
    mini_relay_hold(rig.mini[0], true);
    rig_start(&rig);
    struct id first = rig_put(&rig, &job);
    struct id second = rig_put(&rig, &job);
    struct id third = rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_held, 2, "two mails");
    int64_t before_ms = mono_ms();
    rig_stop(&rig, 200);
    int64_t took_ms = mono_ms() - before_ms;
    assert_true(took_ms >= 200);
    assert_true(took_ms < 5000);
    /* Sent in full, no answer. */
    rig_wait_state(&rig, &first, JOB_HELD);
    rig_expect(&rig, &first, 0, RECIPIENT_UNKNOWN, "");
    rig_wait_state(&rig, &second, JOB_HELD);
    struct spool_status *status = rig_find(&rig, &third);
    assert_int_equal(status->state, JOB_QUEUED);
    assert_int_equal(status->attempts, 0);
    spool_status_destroy(status);
    rig_close(&rig);
}

static void idle_pool_stops_at_once(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 2);
    rig.options.consumers = 3;
    rig_open(&rig);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait_state(&rig, &id, JOB_DELIVERED);
    int64_t before_ms = mono_ms();
    rig_stop(&rig, 8000);
    assert_true(mono_ms() - before_ms < 3000);
    assert_int_equal(mini_relay_quits(rig.mini[0]), 1);
    rig_close(&rig);
}

static bool one_job_waits_for_a_session(void *ctx)
{
    struct rig *rig = ctx;
    return rig_stats(rig).active == 1 && queue_is_empty(rig->queue);
}

static void stopping_while_it_connects_is_no_failure(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    struct pool_relay_stats stats;
    struct net_address address;
    struct err err;
    int fd;
    rig_init(&rig, 1);
    /* The kernel takes the connection, nobody ever greets. */
    assert_int_equal(net_address_parse(STR("127.0.0.1"), 0, &address, &err),
                     ERR_NONE);
    assert_int_equal(net_listen_tcp(&address, &fd, &err), ERR_NONE);
    net_local_address(fd, &address);
    rig.relays[0].smtp.port = net_address_port(&address);
    rig_open(&rig);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait("the job in a worker", one_job_waits_for_a_session, &rig);
    int64_t before_ms = mono_ms();
    rig_stop(&rig, 8000);
    assert_true(mono_ms() - before_ms < 3000);
    pool_relay_stats(rig.pool, 0, &stats);
    assert_string_equal(stats.state, "ready");
    struct spool_status *status = rig_find(&rig, &id);
    assert_int_equal(status->state, JOB_QUEUED);
    assert_int_equal(status->attempts, 0);
    spool_status_destroy(status);
    rig_close(&rig);
    (void)close(fd);
}

static void threads_that_cannot_start_leave_nothing_behind(void **state)
{
    (void)state;
    for (unsigned after = 0; after < 4; after++) {
        struct rig rig;
        struct rig_job job = {0};
        struct err err;
        rig_init(&rig, 1);
        rig.options.consumers = 3;
        rig_open(&rig);
        struct id id = rig_put(&rig, &job);
        thread_fail_starts(after, 1);
        assert_int_equal(pool_start(rig.pool, &err), ERR_SYSTEM);
        thread_fail_starts(0, 0);
        struct spool_status *status = rig_find(&rig, &id);
        assert_int_equal(status->state, JOB_QUEUED);
        spool_status_destroy(status);
        rig_close(&rig);
    }
}

static void pool_that_was_never_started_can_be_destroyed(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 2);
    rig_open(&rig);
    rig_close(&rig);
}

static void settings_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const size_t no_such_relay[] = {1};
    struct rig rig;
    struct pool *pool = NULL;
    struct err err;
    rig_init(&rig, 1);
    struct pool_options options = rig.options;
    options.consumers = 0;
    assert_int_equal(pool_create(&pool, &options, &err), ERR_INVALID);
    options = rig.options;
    options.relay_count = QUEUE_LANES_MAX + 1;
    assert_int_equal(pool_create(&pool, &options, &err), ERR_INVALID);
    options = rig.options;
    options.route_count = 0;
    assert_int_equal(pool_create(&pool, &options, &err), ERR_INVALID);
    rig.route.relays = no_such_relay;
    assert_int_equal(pool_create(&pool, &rig.options, &err), ERR_INVALID);
    rig.relays[0].connections = 0;
    assert_int_equal(pool_create(&pool, &rig.options, &err), ERR_INVALID);
    rig.relays[0].connections = 1;
    rig.relays[0].backoff_longest_ms = rig.relays[0].backoff_first_ms - 1;
    assert_int_equal(pool_create(&pool, &rig.options, &err), ERR_INVALID);
    assert_null(pool);
    mini_relay_free(rig.mini[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_under_way_is_finished_the_rest_goes_back),
        cmocka_unit_test(after_the_deadline_sessions_are_cut),
        cmocka_unit_test(idle_pool_stops_at_once),
        cmocka_unit_test(stopping_while_it_connects_is_no_failure),
        cmocka_unit_test(threads_that_cannot_start_leave_nothing_behind),
        cmocka_unit_test(pool_that_was_never_started_can_be_destroyed),
        cmocka_unit_test(settings_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
