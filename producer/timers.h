#ifndef PRODUCER_TIMERS_H
#define PRODUCER_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/heap.h"

/*
 * What is to happen at a time, for one thread: a heap of timers that their
 * owners embed. The event loop asks when the next one is due.
 */
struct timer {
    struct heap_item item; /* first: the heap gives it back */
    void (*fn)(void *ctx);
    void *ctx;
};

struct timers {
    struct heap heap;
};

#define TIMERS_NEVER INT64_MAX

void timers_init(struct timers *t);
void timers_fini(struct timers *t);

void timer_init(struct timer *timer, void (*fn)(void *ctx), void *ctx);

/* Set again: the new time holds. */
void timers_set(struct timers *t, struct timer *timer, int64_t due_ms);
void timers_cancel(struct timers *t, struct timer *timer);

/* TIMERS_NEVER when there is none. */
int64_t timers_next(const struct timers *t);

/*
 * Calls what is due at now_ms; a timer is unset when its fn is called, and
 * may be set again in it (for now or earlier: it waits for the next run).
 */
void timers_run(struct timers *t, int64_t now_ms);

#endif
