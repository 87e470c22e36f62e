#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/thread.h"
#include "queue/queue.h"

/*
 * Millions of records through one queue by all ways of putting and getting.
 * Each must arrive once, in its lane, and in order; and nobody may wait while
 * there is something for him to do: who waits for PATIENCE_MS counts as
 * forgotten.
 */
#define PATIENCE_MS   60000
#define LANES         5
#define PRODUCERS_MAX 8
#define CONSUMERS_MAX 8

enum way { BLOCK, DEADLINE, AT_ONCE, WAITER, WAYS };

struct item {
    struct claim claim;
    unsigned producer;
    unsigned lane;
    uint64_t number; /* of its producer */
};

struct load {
    struct queue *q;
    struct job *job;
    uint64_t each; /* items of one producer */
    atomic_uchar *seen;
    atomic_uint_least64_t taken;
    atomic_uint wrong; /* lost, doubled, out of order, in the wrong lane */
    atomic_uint forgotten;
};

struct worker {
    struct load *load;
    struct thread thread;
    enum way way;
    unsigned index;
    uint64_t lanes;
};

static int64_t in_ms(int64_t ms)
{
    return clock_mono_ms(clock_system()) + ms;
}

static void wait_for(struct load *load, struct queue_waiter *w)
{
    struct pollfd p = {.fd = queue_waiter_fd(w), .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) == 1)
        return;
    atomic_fetch_add(&load->forgotten, 1);
    queue_close(load->q);
}

/* ---- producers ---- */

static enum err_code put_one(struct worker *me, struct queue_waiter *w,
                             struct item *item)
{
    struct queue *q = me->load->q;
    enum err_code code = ERR_AGAIN;
    switch (me->way) {
    case BLOCK:
        return queue_put(q, item->lane, &item->claim);
    case DEADLINE:
        while ((code = queue_put_until(q, item->lane, &item->claim,
                                       in_ms(1))) == ERR_TIMEOUT)
            ;
        return code;
    case AT_ONCE:
        while ((code = queue_try_put(q, item->lane, &item->claim)) == ERR_AGAIN)
            (void)sched_yield();
        return code;
    case WAITER:
        while ((code = queue_try_put(q, item->lane, &item->claim)) ==
               ERR_AGAIN) {
            queue_waiter_arm(w, QUEUE_LANE(item->lane));
            wait_for(me->load, w);
        }
        return code;
    case WAYS:
        break;
    }
    return code;
}

static void produce(void *arg)
{
    struct worker *me = arg;
    struct load *load = me->load;
    struct queue_waiter *w = NULL;
    struct random random;
    random_init(&random, me->index);
    if (queue_waiter_create(&w, load->q, QUEUE_WAIT_ROOM, NULL) != ERR_NONE)
        atomic_fetch_add(&load->wrong, 1);
    for (uint64_t i = 0; i < load->each; i++) {
        struct item *item;
        MEM_NEW(item);
        item->claim.job = load->job;
        item->producer = me->index;
        item->lane = (unsigned)random_below(&random, LANES);
        item->number = i;
        if (put_one(me, w, item) != ERR_NONE) {
            atomic_fetch_add(&load->wrong, 1);
            mem_free(item);
            break;
        }
    }
    queue_waiter_destroy(w);
}

/* ---- consumers ---- */

static enum err_code get_one(struct worker *me, struct queue_waiter *w,
                             struct random *random, struct claim **claim)
{
    struct queue *q = me->load->q;
    uint64_t lanes = me->lanes;
    enum err_code code = ERR_AGAIN;
    switch (me->way) {
    case BLOCK:
        return queue_get(q, lanes, claim);
    case DEADLINE:
        while ((code = queue_get_until(q, lanes, claim, in_ms(1))) ==
               ERR_TIMEOUT)
            ;
        return code;
    case AT_ONCE:
        while ((code = queue_try_get(q, lanes, claim)) == ERR_AGAIN)
            (void)sched_yield();
        return code;
    case WAITER:
        /* Sometimes without a slot for all of its lanes. */
        if (random_below(random, 4) == 0)
            lanes &= random_next(random) | QUEUE_LANE(0);
        while ((code = queue_try_get(q, lanes, claim)) == ERR_AGAIN) {
            lanes = me->lanes;
            queue_waiter_arm(w, lanes);
            wait_for(me->load, w);
        }
        /* Closed, and empty for the lanes it looked at. */
        return code == ERR_CLOSED ? queue_try_get(q, me->lanes, claim) : code;
    case WAYS:
        break;
    }
    return code;
}

static void consume(void *arg)
{
    struct worker *me = arg;
    struct load *load = me->load;
    uint64_t last[PRODUCERS_MAX][LANES] = {{0}};
    struct queue_waiter *w = NULL;
    struct random random;
    struct claim *claim;
    random_init(&random, me->index);
    if (queue_waiter_create(&w, load->q, QUEUE_WAIT_ITEMS, NULL) != ERR_NONE)
        atomic_fetch_add(&load->wrong, 1);
    while (get_one(me, w, &random, &claim) == ERR_NONE) {
        struct item *item = CONTAINER_OF(claim, struct item, claim);
        uint64_t *before = &last[item->producer][item->lane];
        uint64_t at = item->producer * load->each + item->number;
        if ((me->lanes & QUEUE_LANE(item->lane)) == 0 ||
            item->number + 1 <= *before ||
            atomic_exchange(&load->seen[at], 1) != 0)
            atomic_fetch_add(&load->wrong, 1);
        *before = item->number + 1;
        atomic_fetch_add(&load->taken, 1);
        mem_free(item);
    }
    queue_waiter_destroy(w);
}

/* ---- runs ---- */

struct run {
    uint64_t items;
    size_t capacity;
    enum way producers[PRODUCERS_MAX];
    unsigned producer_count;
    struct {
        enum way way;
        uint64_t lanes;
    } consumers[CONSUMERS_MAX];
    unsigned consumer_count;
};

static void start(struct worker *worker, struct load *load, unsigned index,
                  thread_fn fn)
{
    worker->load = load;
    worker->index = index;
    assert_int_equal(thread_start(&worker->thread, "load", fn, worker, NULL),
                     ERR_NONE);
}

static void run(const struct run *run)
{
    struct worker producers[PRODUCERS_MAX] = {{.index = 0}};
    struct worker consumers[CONSUMERS_MAX] = {{.index = 0}};
    struct load load = {.each = run->items / run->producer_count};
    uint64_t total = load.each * run->producer_count;
    const struct queue_options options = {.capacity = run->capacity,
                                          .max_bytes = run->capacity * 1000,
                                          .lanes = LANES};
    assert_int_equal(queue_create(&load.q, &options, NULL), ERR_NONE);
    load.job = job_new();
    load.seen = mem_calloc(total, sizeof(*load.seen));
    for (unsigned i = 0; i < run->consumer_count; i++) {
        consumers[i].way = run->consumers[i].way;
        consumers[i].lanes = run->consumers[i].lanes;
        start(&consumers[i], &load, i, consume);
    }
    for (unsigned i = 0; i < run->producer_count; i++) {
        producers[i].way = run->producers[i];
        start(&producers[i], &load, i, produce);
    }
    for (unsigned i = 0; i < run->producer_count; i++)
        thread_join(&producers[i].thread);
    assert_int_equal(queue_drain(load.q, in_ms(PATIENCE_MS)), ERR_NONE);
    queue_close(load.q);
    for (unsigned i = 0; i < run->consumer_count; i++)
        thread_join(&consumers[i].thread);
    assert_int_equal(atomic_load(&load.forgotten), 0);
    assert_int_equal(atomic_load(&load.wrong), 0);
    assert_int_equal(atomic_load(&load.taken), total);
    queue_destroy(load.q);
    job_unref(load.job);
    mem_free(load.seen);
}

#define SOME(n) QUEUE_LANE(n)

static void all_ways_at_once(void **state)
{
    static const struct run all = {
        .items = 1200000,
        .capacity = 200,
        .producers = {BLOCK, DEADLINE, AT_ONCE, WAITER, WAITER},
        .producer_count = 5,
        .consumers = {{BLOCK, QUEUE_ALL_LANES},
                      {DEADLINE, QUEUE_ALL_LANES},
                      {AT_ONCE, SOME(0) | SOME(1)},
                      {WAITER, QUEUE_ALL_LANES},
                      {WAITER, SOME(2) | SOME(3) | SOME(4)}},
        .consumer_count = 5,
    };
    (void)state;
    run(&all);
}

/* Nobody here looks again by himself: a lost wake-up stops the run. */
static void waiters_only(void **state)
{
    static const struct run waiters = {
        .items = 400000,
        .capacity = 10,
        .producers = {WAITER, WAITER, WAITER},
        .producer_count = 3,
        .consumers = {{WAITER, SOME(0) | SOME(1) | SOME(2)},
                      {WAITER, SOME(2) | SOME(3)},
                      {WAITER, SOME(3) | SOME(4)}},
        .consumer_count = 3,
    };
    (void)state;
    run(&waiters);
}

static void blocking_only(void **state)
{
    static const struct run blocking = {
        .items = 300000,
        .capacity = 10,
        .producers = {BLOCK, BLOCK, BLOCK},
        .producer_count = 3,
        .consumers = {{BLOCK, SOME(0) | SOME(1) | SOME(2)},
                      {BLOCK, SOME(2) | SOME(3)},
                      {BLOCK, SOME(3) | SOME(4)}},
        .consumer_count = 3,
    };
    (void)state;
    run(&blocking);
}

static void blocking_threads_and_waiters(void **state)
{
    static const struct run both = {
        .items = 300000,
        .capacity = 40,
        .producers = {BLOCK, WAITER, BLOCK, WAITER},
        .producer_count = 4,
        .consumers = {{BLOCK, SOME(0) | SOME(1) | SOME(2)},
                      {WAITER, SOME(1) | SOME(2) | SOME(3)},
                      {BLOCK, SOME(3) | SOME(4)},
                      {WAITER, SOME(4) | SOME(0)}},
        .consumer_count = 4,
    };
    (void)state;
    run(&both);
}

/* ---- closing while all are busy ---- */

struct race {
    struct queue *q;
    struct job *job;
    atomic_uint_least64_t put;
    atomic_uint_least64_t got;
};

static void race_put(void *arg)
{
    struct race *race = arg;
    for (unsigned lane = 0;; lane = (lane + 1) % LANES) {
        struct item *item;
        MEM_NEW(item);
        item->claim.job = race->job;
        if (queue_put(race->q, lane, &item->claim) != ERR_NONE) {
            mem_free(item);
            return;
        }
        atomic_fetch_add(&race->put, 1);
    }
}

static void race_get(void *arg)
{
    struct race *race = arg;
    struct claim *claim;
    while (queue_get(race->q, QUEUE_ALL_LANES, &claim) == ERR_NONE) {
        atomic_fetch_add(&race->got, 1);
        mem_free(CONTAINER_OF(claim, struct item, claim));
    }
}

static void closing_at_any_moment_loses_nothing(void **state)
{
    const struct queue_options options = {
        .capacity = 10, .max_bytes = 1000000, .lanes = LANES};
    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        struct race race = {.job = job_new()};
        struct thread threads[6] = {{.started = false}};
        assert_int_equal(queue_create(&race.q, &options, NULL), ERR_NONE);
        for (unsigned i = 0; i < 6; i++)
            assert_int_equal(thread_start(&threads[i], "race",
                                          i < 3 ? race_put : race_get, &race,
                                          NULL),
                             ERR_NONE);
        for (unsigned i = 0; i < round; i++)
            (void)sched_yield();
        queue_close(race.q);
        for (unsigned i = 0; i < 6; i++)
            thread_join(&threads[i]);
        assert_int_equal(atomic_load(&race.put), atomic_load(&race.got));
        assert_int_equal(queue_size(race.q), 0);
        queue_destroy(race.q);
        job_unref(race.job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ways_at_once),
        cmocka_unit_test(waiters_only),
        cmocka_unit_test(blocking_only),
        cmocka_unit_test(blocking_threads_and_waiters),
        cmocka_unit_test(closing_at_any_moment_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
