#ifndef APP_SINK_SINK_LOOP_H
#define APP_SINK_SINK_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/heap.h"

/*
 * One thread's event loop: epoll for descriptors (level triggered), one
 * timerfd for all timers, to the nanosecond that a latency line wants.
 *
 * Threads: one.
 */
struct sink_source;
typedef void (*sink_ready_fn)(struct sink_source *source, uint32_t events);

/* Embedded as the first member of who wants to hear of a descriptor. */
struct sink_source {
    sink_ready_fn on_ready;
};

typedef void (*sink_due_fn)(void *owner);

struct sink_timer {
    struct heap_item item; /* first: the heap gives it back */
    sink_due_fn on_due;
    void *owner;
};

typedef void (*sink_turn_fn)(void *arg);

struct sink_loop {
    struct sink_source timer_source; /* first, as above */
    int epoll_fd;
    int timer_fd;
    struct heap timers;
    int64_t armed_ns;
    int64_t now_ns;        /* when this turn began */
    sink_turn_fn turn_end; /* called after each turn */
    void *turn_arg;
    bool stop;
};

MUST_CHECK enum err_code sink_loop_init(struct sink_loop *l, struct err *err);
void sink_loop_fini(struct sink_loop *l);

/* events: of epoll_ctl(2). source must live until the descriptor is closed. */
MUST_CHECK enum err_code sink_loop_add(struct sink_loop *l, int fd,
                                       uint32_t events,
                                       struct sink_source *source,
                                       struct err *err);
void sink_loop_change(struct sink_loop *l, int fd, uint32_t events,
                      struct sink_source *source);

void sink_timer_init(struct sink_timer *t, sink_due_fn on_due, void *owner);

/*
 * Not later than due_ns: a timer that is set to an earlier time stays, as its
 * owner looks at his clocks anyway when it is due.
 */
void sink_loop_at(struct sink_loop *l, struct sink_timer *t, int64_t due_ns);
void sink_loop_cancel(struct sink_loop *l, struct sink_timer *t);

/* Blocking, until stop is set. */
void sink_loop_run(struct sink_loop *l);

#endif
