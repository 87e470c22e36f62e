#ifndef CONSUMER_SCHEDULER_H
#define CONSUMER_SCHEDULER_H

#include <stddef.h>
#include <stdint.h>

#include "consumer/pool.h"
#include "consumer/relay_state.h"
#include "core/clock.h"
#include "core/err.h"
#include "queue/queue.h"
#include "queue/spool.h"

/*
 * Moves due jobs from the spool into the queue. For every route it holds a
 * few claims of each priority class, gives them out 8:4:1, and puts each into
 * the lane of a relay of the route that is usable and has room: the first of
 * them, or the one whose turn it is by the route's weights. Into the lane of a
 * relay on trial it puts one job, when it is empty. While no relay of a route
 * is usable, its claims go back to the spool.
 *
 * It sleeps until a job is due, a lane it waits for has room, a relay's state
 * changes or jobs expire. Under load it makes one round a millisecond rather
 * than one for each job.
 *
 * Ownership: everything in the options is borrowed.
 */
struct scheduler_options {
    struct queue *queue;
    struct spool *spool;
    struct relay_states *relays;
    size_t relay_count;
    const struct pool_route *routes;
    size_t route_count;
    const struct clock *clock;
};

struct scheduler;

MUST_CHECK enum err_code
scheduler_create(struct scheduler **out,
                 const struct scheduler_options *options, struct err *err);

/* Stopped, or never started. NULL is allowed. */
void scheduler_destroy(struct scheduler *s);

/* For spool_on_due(): ctx is the scheduler. */
void scheduler_on_due(void *ctx, struct spool_lane lane, int64_t due_ms);

/* Look again: a relay's state, or a clock, changed. Any thread. */
void scheduler_wake(struct scheduler *s);

MUST_CHECK enum err_code scheduler_start(struct scheduler *s, struct err *err);

/*
 * Blocking, until the thread has ended: then no claim is held and no request
 * to the spool is under way. Nothing if it was not started.
 */
void scheduler_stop(struct scheduler *s);

/*
 * What the thread does between two sleeps, for tests without a thread: one
 * round. Returns the mono_ms at which the next is wanted without an event;
 * not later than the next due job, expiry or end of a relay's backing off.
 */
int64_t scheduler_round(struct scheduler *s);

/* After scheduler_round() without a thread: gives all claims back. */
void scheduler_let_go(struct scheduler *s);

#endif
