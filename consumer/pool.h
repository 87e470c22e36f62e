#ifndef CONSUMER_POOL_H
#define CONSUMER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/retry.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/metrics.h"
#include "queue/queue.h"
#include "queue/spool.h"
#include "smtp/session.h"

/*
 * The sending side: a scheduler thread that moves due jobs from the spool
 * into the queue, and consumer threads that each run one event loop over many
 * sessions and settle what came of every job.
 *
 * Ownership: queue, spool, metrics, clock and all strings are borrowed and
 * must outlive the pool; options' arrays are copied.
 */
struct pool_relay {
    struct smtp_relay smtp; /* addresses NULL: the pool looks them up */
    size_t connections;     /* over all consumers */
    size_t recipients_per_message;
    size_t jobs_per_connection;
    int64_t idle_timeout_ms;
    int64_t backoff_first_ms;
    int64_t backoff_longest_ms;
    int64_t connection_age_ms; /* a session as old says QUIT; 0: never */
    double rate_per_s;         /* transactions; 0: no limit */
    unsigned burst;            /* of the rate, 1.. */
};

struct pool_route {
    const size_t *relays;    /* indexes, in order of preference */
    const unsigned *weights; /* one for each relay: jobs are shared out by
                              * them; NULL: the first that is usable */
    size_t relay_count;
};

struct pool_options {
    const struct pool_relay *relays; /* index = lane of the queue */
    size_t relay_count;
    const struct pool_route *routes; /* index = route of the spool */
    size_t route_count;
    unsigned consumers; /* threads, 1.. */
    struct retry_policy retry;
    struct queue *queue;
    struct spool *spool; /* its on_due becomes the scheduler's */
    struct metrics *metrics;
    const struct clock *clock;
    uint64_t seed; /* for jitter */
};

struct pool;

MUST_CHECK enum err_code pool_create(struct pool **out,
                                     const struct pool_options *options,
                                     struct err *err);

/*
 * Starts the threads; on failure those that were started are stopped, and the
 * pool can only be destroyed.
 */
MUST_CHECK enum err_code pool_start(struct pool *pool, struct err *err);

/*
 * The first part of pool_stop(), which waits for nobody but the scheduler;
 * pool_has_ended() says when nothing is under way any more.
 */
void pool_begin_stop(struct pool *pool, int64_t until_ms);
bool pool_has_ended(struct pool *pool);

/*
 * Blocking, at most until until_ms (mono) and a moment: the scheduler stops,
 * jobs in the queue that were not started go back to the spool, those under
 * way are finished, sessions say QUIT, threads end. After the deadline
 * sessions are cut and their jobs settled accordingly. After
 * pool_begin_stop() with a later time, this one holds.
 */
void pool_stop(struct pool *pool, int64_t until_ms);

/*
 * Must be stopped, or never started, and no other thread may use the spool
 * meanwhile: its on_due is nobody's afterwards. NULL is allowed.
 */
void pool_destroy(struct pool *pool);

struct pool_relay_stats {
    const char *state;    /* "ready", "backing_off", "probing" */
    char last_error[256]; /* "" while it is ready */
    int64_t retry_in_ms;
    int64_t sessions;  /* established */
    int64_t delivered; /* recipients, as the next three */
    int64_t deferred;
    int64_t rejected;
    int64_t unknown;
    double rate_per_s; /* at present; 0: no limit */
    bool slowed;       /* below what is configured */
    int64_t throttled; /* replies that said "too fast" */
};

/* Any thread; never blocks beyond a short lock. */
void pool_relay_stats(struct pool *pool, size_t relay,
                      struct pool_relay_stats *out);

#endif
