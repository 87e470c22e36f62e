#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/scheduler.h"
#include "core/log.h"
#include "core/mem.h"
#include "tests/unit/consumer/late_spool.h"

#define START_MS INT64_C(1000000000)

/* Stands still until it is moved. mono and real are the same. */
struct still_clock {
    struct clock clock;
    atomic_int_least64_t now_ms;
};

static int64_t still_ms(const struct clock *clock)
{
    return atomic_load(
        &((const struct still_clock *)(const void *)clock)->now_ms);
}

/* A scheduler without thread; two relays; routes: both, the second, shares. */
struct fixture {
    struct still_clock clock;
    struct late_spool *late;
    struct spool *spool;
    struct queue *queue;
    struct metrics metrics;
    struct relay_states *relays;
    struct scheduler *scheduler;
};

static void open_fixture(struct fixture *f, size_t capacity,
                         const struct clock *clock)
{
    static const char *const names[] = {"default", "other", "shared"};
    static const size_t both[] = {0, 1};
    static const unsigned weights[] = {3, 1};
    static const struct pool_route routes[] = {
        {.relays = both, .relay_count = 2},
        {.relays = both + 1, .relay_count = 1},
        {.relays = both, .relay_count = 2, .weights = weights},
    };
    static const struct relay_limits limits[] = {{"first", 1000, 8000},
                                                 {"second", 1000, 8000}};
    struct err err;
    f->clock.clock = (struct clock){still_ms, still_ms};
    atomic_init(&f->clock.now_ms, START_MS);
    if (clock == NULL)
        clock = &f->clock.clock;
    f->late = late_spool_new(clock, names, 3);
    f->spool = late_spool_of(f->late);
    struct queue_options queue_options = {capacity, 1 << 20, 2};
    assert_int_equal(queue_create(&f->queue, &queue_options, &err), ERR_NONE);
    metrics_init(&f->metrics);
    struct relay_states_options state_options = {
        .relays = limits, .count = 2, .metrics = &f->metrics, .seed = 7};
    relay_states_create(&f->relays, &state_options);
    struct scheduler_options options = {
        .queue = f->queue,
        .spool = f->spool,
        .relays = f->relays,
        .relay_count = 2,
        .routes = routes,
        .route_count = 3,
        .clock = clock,
    };
    assert_int_equal(scheduler_create(&f->scheduler, &options, &err), ERR_NONE);
    spool_on_due(f->spool, scheduler_on_due, f->scheduler);
}

static void move_clock(struct fixture *f, int64_t ms)
{
    atomic_fetch_add(&f->clock.now_ms, ms);
}

/* Takes one from the lane; its priority's or recipient's word tells which. */
static struct claim *take(struct fixture *f, unsigned lane)
{
    struct claim *claim = NULL;
    if (queue_try_get(f->queue, QUEUE_LANE(lane), &claim) != ERR_NONE)
        return NULL;
    assert_int_equal(claim->relay, lane);
    return claim;
}

static void give_back(struct fixture *f, struct claim *claim)
{
    spool_release(f->spool, claim, 0, STR(""), STR(""));
}

static void close_fixture(struct fixture *f)
{
    struct claim *claim;
    scheduler_let_go(f->scheduler);
    while (queue_try_get(f->queue, QUEUE_ALL_LANES, &claim) == ERR_NONE)
        give_back(f, claim);
    struct spool_stats n;
    spool_stats(f->spool, &n);
    assert_int_equal(n.active, 0);
    scheduler_destroy(f->scheduler);
    relay_states_destroy(f->relays);
    queue_destroy(f->queue);
    late_spool_free(f->late);
}

static void on_accepted(void *ctx, const struct spool_accepted *accepted)
{
    (void)ctx;
    assert_int_equal(accepted->answer, SPOOL_ACCEPTED);
}

struct wanted {
    const char *route; /* NULL: "default" */
    enum job_priority priority;
    int64_t send_at_ms;
    int64_t expires_at_ms;
};

static struct id put(struct fixture *f, const struct wanted *wanted)
{
    struct job *job = job_new();
    id_new(&job->id, START_MS);
    struct id id = job->id;
    job->client = mem_strdup(STR("test"));
    job->route =
        mem_strdup(str_from(wanted->route == NULL ? "default" : wanted->route));
    job->priority = wanted->priority;
    job->send_at_ms = wanted->send_at_ms;
    job->expires_at_ms = wanted->expires_at_ms;
    job->created_ms = START_MS;
    job->sender = mem_strdup(STR("s@example.org"));
    job->recipients = mem_calloc(1, sizeof(char *));
    job->recipients[0] = mem_strdup(STR("r@example.org"));
    job->recipient_count = 1;
    job->body = body_from_memory(mem_strdup(STR("x\r\n")), 3);
    spool_accept(f->spool, job, on_accepted, NULL);
    job_unref(job);
    return id;
}

static void put_many(struct fixture *f, unsigned count,
                     enum job_priority priority)
{
    struct wanted wanted = {.priority = priority};
    for (unsigned i = 0; i < count; i++)
        (void)put(f, &wanted);
}

static void fail_relay(struct fixture *f, size_t relay)
{
    struct relay_pass pass;
    int64_t now_ms = atomic_load(&f->clock.now_ms);
    assert_true(relay_state_ask(f->relays, relay, now_ms, &pass));
    relay_state_failed(f->relays, relay, now_ms, &pass, STR("it is dead"));
}

static struct relay_pass probe_relay(struct fixture *f, size_t relay)
{
    struct relay_pass pass;
    assert_true(relay_state_ask(f->relays, relay, atomic_load(&f->clock.now_ms),
                                &pass));
    return pass;
}

static void only_what_is_due_is_moved(void **state)
{
    (void)state;
    struct fixture f;
    struct wanted now = {0};
    struct wanted later = {.send_at_ms = START_MS + 500};
    open_fixture(&f, 64, NULL);
    (void)put(&f, &now);
    (void)put(&f, &later);
    assert_int_equal(scheduler_round(f.scheduler), START_MS + 500);
    assert_int_equal(queue_lane_size(f.queue, 0), 1);
    move_clock(&f, 499);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 1);
    move_clock(&f, 1);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 2);
    close_fixture(&f);
}

static void with_nothing_to_do_it_wants_a_long_sleep(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 64, NULL);
    assert_true(scheduler_round(f.scheduler) >= START_MS + 60000);
    assert_true(scheduler_round(f.scheduler) >= START_MS + 60000);
    close_fixture(&f);
}

static void classes_enter_the_queue_by_their_shares(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 64, NULL);
    fail_relay(&f, 1);
    put_many(&f, 100, JOB_PRIORITY_LOW);
    put_many(&f, 100, JOB_PRIORITY_NORMAL);
    put_many(&f, 100, JOB_PRIORITY_HIGH);
    for (unsigned round = 0; round < 8; round++) {
        unsigned turns[JOB_PRIORITY_COUNT] = {0};
        for (unsigned i = 0; i < 13; i++) {
            (void)scheduler_round(f.scheduler);
            struct claim *claim = take(&f, 0);
            if (claim == NULL) {
                fail_msg("nothing to take in round %u", round);
                return;
            }
            turns[claim->job->priority]++;
            /* Not before the test is over: it would be due again. */
            spool_release(f.spool, claim, START_MS + 100000, STR(""), STR(""));
        }
        assert_int_equal(turns[JOB_PRIORITY_HIGH], 8);
        assert_int_equal(turns[JOB_PRIORITY_NORMAL], 4);
        assert_int_equal(turns[JOB_PRIORITY_LOW], 1);
    }
    close_fixture(&f);
}

static void full_lanes_are_passed_over_and_little_is_held(void **state)
{
    (void)state;
    struct fixture f;
    struct spool_stats n;
    struct wanted other = {.route = "other"};
    open_fixture(&f, 8, NULL);
    put_many(&f, 1000, JOB_PRIORITY_NORMAL);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 4);
    assert_int_equal(queue_lane_size(f.queue, 1), 4);
    spool_stats(f.spool, &n);
    assert_true(n.active <= 8 + 64);
    for (unsigned i = 0; i < 10; i++)
        (void)scheduler_round(f.scheduler);
    spool_stats(f.spool, &n);
    assert_true(n.active <= 8 + 64);
    /* A place in the second lane is had by both routes in turn. */
    (void)put(&f, &other);
    for (unsigned i = 0; i < 8; i++) {
        struct claim *claim = take(&f, 1);
        if (claim == NULL) {
            fail_msg("nothing to take at %u", i);
            return;
        }
        bool found = strcmp(claim->job->route, "other") == 0;
        spool_release(f.spool, claim, START_MS + 100000, STR(""), STR(""));
        if (found)
            break;
        assert_true(i < 7);
        (void)scheduler_round(f.scheduler);
    }
    close_fixture(&f);
}

static void weighted_route_shares_its_jobs_out(void **state)
{
    (void)state;
    struct fixture f;
    struct wanted wanted = {.route = "shared"};
    open_fixture(&f, 64, NULL);
    for (unsigned i = 0; i < 20; i++)
        (void)put(&f, &wanted);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 15);
    assert_int_equal(queue_lane_size(f.queue, 1), 5);
    /* One that fails leaves all to the other. */
    fail_relay(&f, 1);
    for (unsigned i = 0; i < 10; i++)
        (void)put(&f, &wanted);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 25);
    /* So does one whose lane is full. */
    move_clock(&f, 2000);
    struct relay_pass pass = probe_relay(&f, 1);
    relay_state_worked(f.relays, 1, START_MS + 2000, &pass);
    for (unsigned i = 0; i < 28; i++)
        (void)put(&f, &wanted);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 32);
    assert_int_equal(queue_lane_size(f.queue, 1), 26);
    relay_state_closed(f.relays, 1, START_MS + 2000, &pass);
    close_fixture(&f);
}

static void shut_relay_is_passed_over(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 64, NULL);
    put_many(&f, 10, JOB_PRIORITY_NORMAL);
    fail_relay(&f, 0);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 0);
    assert_int_equal(queue_lane_size(f.queue, 1), 10);
    close_fixture(&f);
}

static void count_listed(void *ctx, struct spool_status **jobs, size_t count,
                         bool more, const struct id *last,
                         const struct err *err)
{
    (void)err;
    (void)more;
    (void)last;
    for (size_t i = 0; i < count; i++)
        spool_status_destroy(jobs[i]);
    mem_free(jobs);
    *(size_t *)ctx = count;
}

static void without_usable_relay_claims_go_back(void **state)
{
    (void)state;
    struct fixture f;
    struct spool_stats n;
    int64_t until_ms[2];
    open_fixture(&f, 8, NULL);
    put_many(&f, 100, JOB_PRIORITY_NORMAL);
    (void)scheduler_round(f.scheduler);
    fail_relay(&f, 0);
    fail_relay(&f, 1);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(relay_state_mode(f.relays, i, START_MS, &until_ms[i]),
                         RELAY_SHUT);
    int64_t first_ms = until_ms[0] < until_ms[1] ? until_ms[0] : until_ms[1];
    assert_int_equal(scheduler_round(f.scheduler),
                     first_ms < START_MS + 1000 ? first_ms : START_MS + 1000);
    spool_stats(f.spool, &n);
    assert_int_equal(n.active, 8); /* what is in the lanes */
    /* And what was held says which relay it waits for. */
    const struct spool_filter filter = {.relay = "first", .limit = 1000};
    size_t waits = 0;
    spool_list(f.spool, &filter, count_listed, &waits);
    assert_in_range(waits, 1, 64);
    close_fixture(&f);
}

static void relay_on_trial_gets_one_job(void **state)
{
    (void)state;
    struct fixture f;
    struct spool_stats n;
    open_fixture(&f, 64, NULL);
    fail_relay(&f, 0);
    fail_relay(&f, 1);
    put_many(&f, 50, JOB_PRIORITY_HIGH);
    put_many(&f, 50, JOB_PRIORITY_NORMAL);
    move_clock(&f, 2000);
    int64_t now_ms = START_MS + 2000;
    /* Half-open, or while the probe connects: none. */
    (void)scheduler_round(f.scheduler);
    assert_true(queue_is_empty(f.queue));
    struct relay_pass pass = probe_relay(&f, 0);
    (void)scheduler_round(f.scheduler);
    assert_true(queue_is_empty(f.queue));
    relay_state_established(f.relays, 0, &pass);
    for (unsigned i = 0; i < 5; i++) {
        (void)scheduler_round(f.scheduler);
        assert_int_equal(queue_lane_size(f.queue, 0), 1);
        assert_int_equal(queue_lane_size(f.queue, 1), 0);
    }
    spool_stats(f.spool, &n);
    assert_int_equal(n.active, 1);
    /* While it carries that one nothing more comes. */
    struct claim *claim = take(&f, 0);
    relay_state_carries(f.relays, 0, &pass);
    (void)scheduler_round(f.scheduler);
    assert_true(queue_is_empty(f.queue));
    /* Another when it was not sent. */
    relay_state_is_idle(f.relays, 0, &pass);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 1);
    struct claim *other = take(&f, 0);
    relay_state_carries(f.relays, 0, &pass);
    /* And all of it once it worked. */
    relay_state_worked(f.relays, 0, now_ms, &pass);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 32);
    relay_state_closed(f.relays, 0, now_ms, &pass);
    give_back(&f, claim);
    give_back(&f, other);
    close_fixture(&f);
}

/* The other relay of the route has all the rest. */
static void relay_on_trial_holds_up_one_job_only(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 64, NULL);
    fail_relay(&f, 0);
    move_clock(&f, 2000);
    struct relay_pass pass = probe_relay(&f, 0);
    put_many(&f, 5, JOB_PRIORITY_NORMAL);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 0);
    assert_int_equal(queue_lane_size(f.queue, 1), 5);
    relay_state_established(f.relays, 0, &pass);
    put_many(&f, 5, JOB_PRIORITY_NORMAL);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_lane_size(f.queue, 0), 1);
    assert_int_equal(queue_lane_size(f.queue, 1), 9);
    relay_state_closed(f.relays, 0, START_MS + 2000, &pass);
    close_fixture(&f);
}

static void jobs_expire_while_no_relay_is_usable(void **state)
{
    (void)state;
    struct fixture f;
    struct spool_stats n;
    struct wanted wanted = {.expires_at_ms = START_MS + 3000};
    open_fixture(&f, 64, NULL);
    fail_relay(&f, 0);
    fail_relay(&f, 1);
    for (unsigned i = 0; i < 300; i++)
        (void)put(&f, &wanted);
    for (int64_t wake_ms = 0, now_ms = START_MS; now_ms < START_MS + 3000;) {
        wake_ms = scheduler_round(f.scheduler);
        spool_stats(f.spool, &n);
        assert_int_equal(n.expired, 0);
        /* Looks at least once a second while jobs wait. */
        assert_true(wake_ms <= now_ms + 1000);
        now_ms += 500;
        move_clock(&f, 500);
    }
    for (unsigned i = 0; i < 3; i++)
        (void)scheduler_round(f.scheduler);
    spool_stats(f.spool, &n);
    assert_int_equal(n.active, 0);
    assert_int_equal(n.expired, 300);
    close_fixture(&f);
}

static void on_cancelled(void *ctx, struct spool_status *status, bool changed,
                         const struct err *err)
{
    (void)ctx;
    assert_int_equal(err->code, ERR_NONE);
    assert_true(changed);
    spool_status_destroy(status);
}

/* So that none that came since, or comes back, expires late. */
static void expiry_is_looked_for_while_jobs_may_wait(void **state)
{
    (void)state;
    struct fixture f;
    struct wanted now = {0};
    struct wanted later = {.send_at_ms = START_MS + 50000};
    open_fixture(&f, 64, NULL);
    (void)put(&f, &now);
    (void)scheduler_round(f.scheduler);
    struct claim *claim = take(&f, 0);
    assert_true(scheduler_round(f.scheduler) <= START_MS + 1000);
    spool_release(f.spool, claim, START_MS + 100000, STR(""), STR(""));
    assert_true(scheduler_round(f.scheduler) <= START_MS + 1000);
    close_fixture(&f);
    open_fixture(&f, 64, NULL);
    struct id id = put(&f, &later);
    (void)scheduler_round(f.scheduler);
    spool_cancel(f.spool, &id, NULL, on_cancelled, NULL);
    assert_true(scheduler_round(f.scheduler) <= START_MS + 1000);
    close_fixture(&f);
}

static void late_answers_are_waited_for_in_order_of_shares(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 64, NULL);
    put_many(&f, 20, JOB_PRIORITY_NORMAL);
    put_many(&f, 20, JOB_PRIORITY_HIGH);
    late_spool_hold(f.late, true);
    (void)scheduler_round(f.scheduler);
    assert_true(queue_is_empty(f.queue));
    /* A job that comes in between is told of once, and not forgotten. */
    put_many(&f, 1, JOB_PRIORITY_LOW);
    assert_true(late_spool_pending(f.late) >= 3);
    late_spool_answer(f.late);
    late_spool_hold(f.late, false);
    (void)scheduler_round(f.scheduler);
    assert_int_equal(queue_size(f.queue), 41);
    close_fixture(&f);
}

static void class_whose_answer_is_late_loses_no_turn(void **state)
{
    (void)state;
    struct fixture f;
    unsigned turns[JOB_PRIORITY_COUNT] = {0};
    open_fixture(&f, 64, NULL);
    put_many(&f, 20, JOB_PRIORITY_LOW);
    put_many(&f, 20, JOB_PRIORITY_NORMAL);
    put_many(&f, 20, JOB_PRIORITY_HIGH);
    late_spool_hold_only(f.late, JOB_PRIORITY_HIGH);
    (void)scheduler_round(f.scheduler);
    /* The first turn is the high class's, whatever the others have. */
    assert_true(queue_is_empty(f.queue));
    late_spool_hold(f.late, false);
    late_spool_answer(f.late);
    (void)scheduler_round(f.scheduler);
    for (unsigned i = 0; i < 13; i++) {
        struct claim *claim = take(&f, 0);
        if (claim == NULL) {
            fail_msg("nothing to take at %u", i);
            return;
        }
        turns[claim->job->priority]++;
        spool_release(f.spool, claim, START_MS + 100000, STR(""), STR(""));
    }
    assert_int_equal(turns[JOB_PRIORITY_HIGH], 8);
    assert_int_equal(turns[JOB_PRIORITY_NORMAL], 4);
    close_fixture(&f);
}

static bool wait_until(struct fixture *f, bool (*fn)(struct fixture *f))
{
    for (unsigned i = 0; i < 5000; i++) {
        if (fn(f))
            return true;
        (void)poll(NULL, 0, 2);
    }
    return false;
}

static bool has_one(struct fixture *f)
{
    return queue_size(f->queue) == 1;
}

static bool lane_is_full(struct fixture *f)
{
    return queue_lane_size(f->queue, 0) == 1 &&
           queue_lane_size(f->queue, 1) == 1;
}

static bool something_is_pending(struct fixture *f)
{
    return late_spool_pending(f->late) > 0;
}

static void thread_wakes_for_jobs_and_room_and_sleeps_otherwise(void **state)
{
    (void)state;
    struct fixture f;
    struct err err;
    struct wanted now = {0};
    open_fixture(&f, 2, clock_system());
    assert_int_equal(scheduler_start(f.scheduler, &err), ERR_NONE);
    (void)put(&f, &now);
    assert_true(wait_until(&f, has_one));
    put_many(&f, 50, JOB_PRIORITY_NORMAL);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(wait_until(&f, lane_is_full));
        struct claim *claim = take(&f, i % 2);
        spool_release(f.spool, claim, INT64_C(1) << 60, STR(""), STR(""));
    }
    assert_true(wait_until(&f, lane_is_full));
    /* Both lanes are full and jobs wait: some rounds, not thousands. */
    size_t before = late_spool_stats_calls(f.late);
    (void)poll(NULL, 0, 400);
    assert_true(late_spool_stats_calls(f.late) - before < 20);
    scheduler_stop(f.scheduler);
    close_fixture(&f);
}

static bool has_expired(struct fixture *f)
{
    struct spool_stats n;
    spool_stats(f->spool, &n);
    return n.expired == 1;
}

static void job_that_comes_during_a_long_rest_expires_in_time(void **state)
{
    (void)state;
    struct fixture f;
    struct err err;
    size_t before = 0;
    open_fixture(&f, 8, clock_system());
    assert_int_equal(scheduler_start(f.scheduler, &err), ERR_NONE);
    /* It rests when it has not asked for the numbers for a while. */
    for (size_t calls = 1; calls != before;
         calls = late_spool_stats_calls(f.late)) {
        before = calls;
        (void)poll(NULL, 0, 50);
    }
    int64_t now_ms = clock_real_ms(clock_system());
    struct wanted wanted = {.send_at_ms = now_ms + 7200000,
                            .expires_at_ms = now_ms + 100};
    (void)put(&f, &wanted);
    assert_true(wait_until(&f, has_expired));
    scheduler_stop(f.scheduler);
    close_fixture(&f);
}

struct stop {
    struct scheduler *scheduler;
    atomic_bool done;
};

static void stop(void *arg)
{
    struct stop *s = arg;
    scheduler_stop(s->scheduler);
    atomic_store(&s->done, true);
}

static void stopping_waits_for_answers_of_the_spool(void **state)
{
    (void)state;
    struct fixture f;
    struct err err;
    struct thread stopper = {0};
    open_fixture(&f, 64, clock_system());
    struct stop s = {.scheduler = f.scheduler};
    late_spool_hold(f.late, true);
    put_many(&f, 10, JOB_PRIORITY_NORMAL);
    assert_int_equal(scheduler_start(f.scheduler, &err), ERR_NONE);
    assert_true(wait_until(&f, something_is_pending));
    assert_int_equal(thread_start(&stopper, "stopper", stop, &s, &err),
                     ERR_NONE);
    (void)poll(NULL, 0, 100);
    assert_false(atomic_load(&s.done));
    late_spool_hold(f.late, false);
    late_spool_answer(f.late);
    thread_join(&stopper);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_due_is_moved),
        cmocka_unit_test(with_nothing_to_do_it_wants_a_long_sleep),
        cmocka_unit_test(classes_enter_the_queue_by_their_shares),
        cmocka_unit_test(full_lanes_are_passed_over_and_little_is_held),
        cmocka_unit_test(weighted_route_shares_its_jobs_out),
        cmocka_unit_test(shut_relay_is_passed_over),
        cmocka_unit_test(without_usable_relay_claims_go_back),
        cmocka_unit_test(relay_on_trial_gets_one_job),
        cmocka_unit_test(relay_on_trial_holds_up_one_job_only),
        cmocka_unit_test(jobs_expire_while_no_relay_is_usable),
        cmocka_unit_test(expiry_is_looked_for_while_jobs_may_wait),
        cmocka_unit_test(late_answers_are_waited_for_in_order_of_shares),
        cmocka_unit_test(class_whose_answer_is_late_loses_no_turn),
        cmocka_unit_test(thread_wakes_for_jobs_and_room_and_sleeps_otherwise),
        cmocka_unit_test(job_that_comes_during_a_long_rest_expires_in_time),
        cmocka_unit_test(stopping_waits_for_answers_of_the_spool),
    };
    log_setup(2, LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
