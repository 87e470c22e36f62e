#include "app/sink/sink_loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/panic.h"

#define EVENTS_MAX    256
#define NS_PER_SECOND 1000000000

static void on_timerfd(struct sink_source *source, uint32_t events)
{
    const struct sink_loop *l = (const struct sink_loop *)source;
    uint64_t times;
    (void)events;
    /* Only clears the descriptor; due timers are run in every turn. */
    ssize_t n = read(l->timer_fd, &times, sizeof(times));
    (void)n;
}

enum err_code sink_loop_init(struct sink_loop *l, struct err *err)
{
    *l = (struct sink_loop){.timer_source = {on_timerfd},
                            .epoll_fd = -1,
                            .timer_fd = -1,
                            .armed_ns = INT64_MAX};
    heap_init(&l->timers);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->timer_fd < 0)
        return err_system(err, errno, "cannot make an event loop");
    l->now_ns = clock_mono_ns();
    return sink_loop_add(l, l->timer_fd, EPOLLIN, &l->timer_source, err);
}

void sink_loop_fini(struct sink_loop *l)
{
    if (l->timer_fd >= 0)
        (void)close(l->timer_fd);
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
    l->timer_fd = l->epoll_fd = -1;
    heap_fini(&l->timers);
}

enum err_code sink_loop_add(struct sink_loop *l, int fd, uint32_t events,
                            struct sink_source *source, struct err *err)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return err_system(err, errno, "cannot watch a descriptor");
    return ERR_NONE;
}

void sink_loop_change(struct sink_loop *l, int fd, uint32_t events,
                      struct sink_source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    PANIC_IF(epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0);
}

void sink_timer_init(struct sink_timer *t, sink_due_fn on_due, void *owner)
{
    heap_item_init(&t->item);
    t->on_due = on_due;
    t->owner = owner;
}

void sink_loop_at(struct sink_loop *l, struct sink_timer *t, int64_t due_ns)
{
    if (due_ns == INT64_MAX)
        return;
    if (heap_has(&t->item)) {
        if (t->item.key <= due_ns)
            return;
        heap_remove(&l->timers, &t->item);
    }
    heap_push(&l->timers, &t->item, due_ns);
}

void sink_loop_cancel(struct sink_loop *l, struct sink_timer *t)
{
    heap_remove(&l->timers, &t->item);
}

static void run_timers(struct sink_loop *l)
{
    struct heap_item *first;
    while ((first = heap_peek(&l->timers)) != NULL && first->key <= l->now_ns) {
        struct sink_timer *t = (struct sink_timer *)heap_pop(&l->timers);
        t->on_due(t->owner);
    }
}

/* Only when the first of the timers has changed. */
static void arm(struct sink_loop *l)
{
    const struct heap_item *first = heap_peek(&l->timers);
    int64_t due_ns = first == NULL ? INT64_MAX : first->key;
    if (due_ns == l->armed_ns)
        return;
    l->armed_ns = due_ns;
    /* Zero would disarm it, so what is long due is due after 1 ns. */
    struct itimerspec at = {
        .it_value = {.tv_sec = due_ns / NS_PER_SECOND,
                     .tv_nsec = due_ns > 0 ? due_ns % NS_PER_SECOND : 1}};
    if (first == NULL)
        at.it_value = (struct timespec){0, 0};
    PANIC_IF(timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) != 0);
}

void sink_loop_run(struct sink_loop *l)
{
    struct epoll_event events[EVENTS_MAX];
    while (!l->stop) {
        arm(l);
        int n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, -1);
        PANIC_IF(n < 0 && errno != EINTR);
        l->now_ns = clock_mono_ns();
        for (int i = 0; i < n; i++) {
            struct sink_source *source = events[i].data.ptr;
            source->on_ready(source, events[i].events);
        }
        run_timers(l);
        if (l->armed_ns <= l->now_ns)
            l->armed_ns = INT64_MIN;
        if (l->turn_end != NULL)
            l->turn_end(l->turn_arg);
    }
}
