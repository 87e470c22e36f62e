#ifndef PRODUCER_SERVICE_H
#define PRODUCER_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/buf.h"
#include "core/mailbox.h"
#include "producer/admission.h"
#include "producer/arena.h"
#include "producer/producer.h"
#include "producer/request.h"
#include "producer/timers.h"

/*
 * What all requests share, without sockets and without an event loop, so that
 * tests can drive it by hand.
 *
 * Threads: belongs to one, which service_enter() names. service_resume() may
 * be called on any.
 */
struct service {
    struct producer_options options;
    struct mailbox mailbox; /* requests that other threads have filled */
    struct timers timers;
    struct arena arena;  /* of the request being decoded */
    struct buf composed; /* message being composed */
    struct admission admission;
    struct request_line watches;
    size_t values_max;    /* JSON values of one request */
    size_t outstanding;   /* answers the spool owes */
    atomic_bool draining; /* set by any: requests are answered shutting_down */
    pthread_t thread;
    atomic_bool entered;
};

MUST_CHECK enum err_code service_init(struct service *s,
                                      const struct producer_options *options,
                                      struct err *err);

/* Nothing may be outstanding. */
void service_fini(struct service *s);

/* The calling thread is the one that runs requests, until service_leave(). */
void service_enter(struct service *s);
void service_leave(struct service *s);

static inline int64_t service_mono_ms(const struct service *s)
{
    return clock_mono_ms(s->options.clock);
}

static inline int64_t service_real_ms(const struct service *s)
{
    return clock_real_ms(s->options.clock);
}

/*
 * Calls fn(r) on the service's thread: at once if this is it, else through
 * the mailbox. From callbacks of the spool, as the last thing they do.
 */
void service_resume(struct request *r, void (*fn)(struct request *r));

/* Runs what came through the mailbox. */
void service_take_mail(struct service *s);

#endif
