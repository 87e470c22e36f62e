#ifndef CORE_THREAD_H
#define CORE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/*
 * Locks, conditions and threads. A pthread call that fails on a valid object
 * is a bug of ours and panics, so callers have no error paths. Waits are on
 * the monotonic clock.
 */
struct mutex {
    pthread_mutex_t os;
};

struct cond {
    pthread_cond_t os;
};

struct thread {
    pthread_t os;
    bool started;
};

typedef void (*thread_fn)(void *arg);

void mutex_init(struct mutex *m);
void mutex_fini(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

void cond_init(struct cond *c);
void cond_fini(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* Blocking. The caller holds m and checks his condition in a loop. */
void cond_wait(struct cond *c, struct mutex *m);

/* As cond_wait() until clock_system()'s mono_ms; false when it has passed. */
MUST_CHECK bool cond_wait_until(struct cond *c, struct mutex *m,
                                int64_t mono_ms);

/*
 * Starts fn(arg) in a new thread called name (15 characters are kept) with
 * all signals blocked. ERR_SYSTEM when the system has no thread to give.
 */
MUST_CHECK enum err_code thread_start(struct thread *t, const char *name,
                                      thread_fn fn, void *arg, struct err *err);

/* Blocking, until the thread's function returned. Nothing if not started. */
void thread_join(struct thread *t);

/*
 * Nobody will join it: it may go on when the process ends, and must own all
 * that it uses.
 */
void thread_detach(struct thread *t);

/*
 * For tests: the next `after` starts work, the `count` starts behind them
 * fail with EAGAIN. (0, 0) is normal.
 */
void thread_fail_starts(unsigned after, unsigned count);

#endif
