#ifndef CONSUMER_WORKER_H
#define CONSUMER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/pool.h"
#include "consumer/relay_rate.h"
#include "consumer/relay_state.h"
#include "core/err.h"

/*
 * One consumer thread: an event loop over its share of every relay's
 * sessions. It takes from the queue only what it has a session, or room for
 * one, for.
 *
 * Ownership: everything in the options is borrowed.
 */
struct worker_options {
    const struct pool_options *pool;
    struct relay_states *states;
    struct relay_rates *rates;
    unsigned index; /* among pool->consumers */
};

struct worker;

MUST_CHECK enum err_code worker_create(struct worker **out,
                                       const struct worker_options *options,
                                       struct err *err);

/* Its thread has ended, or was never started. NULL is allowed. */
void worker_destroy(struct worker *w);

MUST_CHECK enum err_code worker_start(struct worker *w, struct err *err);

/* Look again: a relay's state changed. Any thread. */
void worker_wake(struct worker *w);

/*
 * No new jobs from now on; sessions end, the last of them at until_ms (mono),
 * and with them the thread. Any thread, does not block. Again with an earlier
 * until_ms: then that holds.
 */
void worker_drain(struct worker *w, int64_t until_ms);

/* Whether the thread has nothing left to do, or was never started. */
bool worker_has_ended(struct worker *w);

/* Blocking, until the thread has ended. Nothing if it was not started. */
void worker_join(struct worker *w);

/* How many of a relay's connections are this worker's. Pure. */
size_t worker_share(size_t connections, unsigned consumers, unsigned index);

#endif
