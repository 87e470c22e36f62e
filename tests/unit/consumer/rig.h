#ifndef TESTS_UNIT_CONSUMER_RIG_H
#define TESTS_UNIT_CONSUMER_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/pool.h"
#include "core/metrics.h"
#include "queue/queue.h"
#include "queue/spool.h"
#include "tests/unit/consumer/mini_relay.h"

/*
 * A whole sending side against up to two mini relays "first" and "second":
 * memory spool, queue, pool. Change settings between rig_init() and
 * rig_open(); jobs may be put in between rig_open() and rig_start().
 *
 * Waits poll a condition until 10 s have passed, which fails the test.
 */
#define RIG_RELAYS 2

struct rig {
    struct metrics metrics;
    struct mini_relay *mini[RIG_RELAYS];
    struct pool_relay relays[RIG_RELAYS];
    struct pool_route route;
    struct queue_options queue_options;
    struct pool_options options;
    struct queue *queue;
    struct spool *spool;
    struct pool *pool;
    bool running;
};

/* One consumer, four connections each, a route first, second. */
void rig_init(struct rig *rig, size_t relays);

/* Makes queue, spool and pool. */
void rig_open(struct rig *rig);
void rig_start(struct rig *rig);

/* Stops the pool if it still runs: at most so many ms for what is under way. */
void rig_stop(struct rig *rig, int64_t ms);

/* Also checks that the ledger adds up and nothing is left claimed. */
void rig_close(struct rig *rig);

struct rig_job {
    const char *sender;     /* NULL: "s" */
    const char *recipients; /* local parts, separated by blanks; NULL: "r" */
    enum job_priority priority;
    enum job_on_unknown on_unknown;
    int64_t send_in_ms;    /* 0: at once */
    int64_t expires_in_ms; /* 0: never */
    int64_t give_up_in_ms; /* 0: in a day; below 0: has passed */
};

/* Puts a job of these properties in; its id. */
struct id rig_put(struct rig *rig, const struct rig_job *wanted);

/* Waits until the job is in this state. */
void rig_wait_state(struct rig *rig, const struct id *id, enum job_state state);

/* A snapshot; spool_status_destroy() it. */
struct spool_status *rig_find(struct rig *rig, const struct id *id);
bool rig_cancel(struct rig *rig, const struct id *id);

/* Fails the test unless recipient i has that state and such a reply. */
void rig_expect(struct rig *rig, const struct id *id, size_t i,
                enum recipient_state state, const char *reply_starts);

struct spool_stats rig_stats(struct rig *rig);

/* Waits until fn(ctx) is true. what is for the message of a failure. */
void rig_wait(const char *what, bool (*fn)(void *ctx), void *ctx);

/* Waits for numbers of a mini relay. */
void rig_wait_number(struct mini_relay *r, unsigned (*fn)(struct mini_relay *r),
                     unsigned at_least, const char *what);

/* Waits until so many claims are in the queue. */
void rig_wait_queued(struct rig *rig, size_t at_least);

/* smtp_global_init() and _fini(), as a group's setup and teardown. */
int rig_setup(void **state);
int rig_teardown(void **state);

#endif
