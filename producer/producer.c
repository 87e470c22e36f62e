#include "producer/producer.h"

#include <poll.h>
#include <stdatomic.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"
#include "core/thread.h"
#include "core/wake.h"
#include "producer/datagram.h"
#include "producer/listener.h"
#include "producer/service.h"
#include "producer/watch.h"

#define STOP_LINGER_MS 200

struct producer {
    struct service service;
    struct event_base *base;
    struct conn_set conns;
    struct producer_listener *listener_options;
    struct listener *listeners;
    size_t listener_count;
    struct datagram_door *doors;
    size_t door_count;

    struct event mail;    /* the service's mailbox */
    struct event control; /* wake */
    struct event tick;    /* the first timer */
    int64_t tick_ms;      /* what tick is set for; TIMERS_NEVER: unset */

    struct wake wake; /* room in the spool, drain, stop */
    atomic_bool stop_asked;
    int64_t stop_until_ms; /* written before stop_asked */
    bool drained;
    bool ending;
    bool serviced; /* service and wake are initialised */
    bool opened;   /* listeners and connections too */
    struct thread thread;
};

/* ---- events ---- */

static void on_mail(evutil_socket_t fd, short what, void *ctx)
{
    struct producer *p = ctx;
    (void)fd;
    (void)what;
    service_take_mail(&p->service);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct producer *p = ctx;
    (void)fd;
    (void)what;
    p->tick_ms = TIMERS_NEVER;
}

static void on_control(evutil_socket_t fd, short what, void *ctx)
{
    struct producer *p = ctx;
    (void)fd;
    (void)what;
    wake_clear(&p->wake);
    admission_pump(&p->service.admission);
}

static void on_room(void *ctx)
{
    struct producer *p = ctx;
    admission_note_room(&p->service.admission);
    wake_raise(&p->wake);
}

static void arm_tick(struct producer *p)
{
    int64_t next_ms = timers_next(&p->service.timers);
    if (next_ms == p->tick_ms)
        return;
    p->tick_ms = next_ms;
    if (next_ms == TIMERS_NEVER) {
        (void)event_del(&p->tick);
        return;
    }
    int64_t wait_ms = next_ms - service_mono_ms(&p->service);
    if (wait_ms < 0)
        wait_ms = 0;
    const struct timeval wait = {.tv_sec = wait_ms / 1000,
                                 .tv_usec = wait_ms % 1000 * 1000};
    PANIC_IF(event_add(&p->tick, &wait) != 0);
}

/* ---- the thread ---- */

static void begin_drain(struct producer *p)
{
    if (p->drained)
        return;
    p->drained = true;
    log_event(LOG_LEVEL_INFO, "producer.draining",
              LOG_INT("connections", p->conns.count),
              LOG_INT("under_way", p->service.outstanding));
    for (size_t i = 0; i < p->listener_count; i++)
        listener_stop(&p->listeners[i]);
    for (size_t i = 0; i < p->door_count; i++)
        datagram_stop(&p->doors[i]);
    admission_drain(&p->service.admission);
}

static void begin_end(struct producer *p)
{
    if (p->ending)
        return;
    p->ending = true;
    atomic_store(&p->service.draining, true);
    begin_drain(p);
    p->conns.linger_ms = STOP_LINGER_MS;
    watch_end_all(&p->service);
    conn_set_turn(&p->conns);
    conn_set_end(&p->conns);
}

/* Whether all is answered, or its time is over. */
static bool is_over(struct producer *p)
{
    if (!p->ending)
        return false;
    if (p->conns.count == 0 && p->service.outstanding == 0)
        return true;
    return service_mono_ms(&p->service) >= p->stop_until_ms;
}

static void turn(struct producer *p)
{
    if (atomic_load(&p->service.draining))
        begin_drain(p);
    if (atomic_load(&p->stop_asked))
        begin_end(p);
    timers_run(&p->service.timers, service_mono_ms(&p->service));
    conn_set_turn(&p->conns);
}

static void on_stop_time(void *ctx)
{
    (void)ctx; /* is_over() sees it */
}

static void run(void *arg)
{
    struct producer *p = arg;
    struct timer stop;
    timer_init(&stop, on_stop_time, NULL);
    service_enter(&p->service);
    turn(p);
    while (!is_over(p)) {
        if (p->ending && !heap_has(&stop.item))
            timers_set(&p->service.timers, &stop, p->stop_until_ms);
        arm_tick(p);
        int flags = EVLOOP_ONCE;
        if (conn_set_has_more(&p->conns))
            flags |= EVLOOP_NONBLOCK;
        PANIC_IF(event_base_loop(p->base, flags) < 0);
        turn(p);
    }
    timers_cancel(&p->service.timers, &stop);
    service_leave(&p->service);
}

/* ---- create, destroy ---- */

static enum err_code check(const struct producer_options *o, struct err *err)
{
    const struct producer_limits *l = &o->limits;
    if (l->frame_bytes == 0 || l->message_bytes == 0 || l->recipients == 0 ||
        l->connections == 0 || l->requests_in_flight == 0 ||
        l->pending_submits == 0 || l->idle_ms <= 0 || l->full_wait_ms < 0 ||
        l->wait_ms < 0)
        return err_set(err, ERR_INVALID, "a limit of the producer is zero");
    if (o->route_count == 0)
        return err_set(err, ERR_INVALID, "the producer needs a route");
    return ERR_NONE;
}

static enum err_code open_base(struct producer *p, struct err *err)
{
    struct event_config *config = event_config_new();
    if (config != NULL) {
        /* One thread uses it; what comes from others comes by descriptor. */
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        p->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (p->base == NULL)
        return err_set(err, ERR_SYSTEM, "cannot make an event loop");
    return ERR_NONE;
}

static void open_events(struct producer *p)
{
    PANIC_IF(event_assign(&p->mail, p->base, mailbox_fd(&p->service.mailbox),
                          EV_READ | EV_PERSIST, on_mail, p) != 0);
    PANIC_IF(event_assign(&p->control, p->base, p->wake.fd,
                          EV_READ | EV_PERSIST, on_control, p) != 0);
    PANIC_IF(event_assign(&p->tick, p->base, -1, 0, on_tick, p) != 0);
    p->tick_ms = TIMERS_NEVER;
    PANIC_IF(event_add(&p->mail, NULL) != 0);
    PANIC_IF(event_add(&p->control, NULL) != 0);
}

static void open_listeners(struct producer *p, const struct producer_options *o)
{
    const size_t count = o->listener_count;
    p->listener_options = mem_calloc(count, sizeof(*p->listener_options));
    p->listeners = mem_calloc(count, sizeof(*p->listeners));
    p->doors = mem_calloc(count, sizeof(*p->doors));
    conn_set_init(&p->conns, &p->service, p->base);
    p->opened = true;
    for (size_t i = 0; i < count; i++) {
        struct producer_listener *own = &p->listener_options[i];
        *own = o->listeners[i];
        if (own->type == PRODUCER_LISTENER_UDP)
            datagram_open(&p->doors[p->door_count++], &p->service, own,
                          p->base);
        else
            listener_open(&p->listeners[p->listener_count++], &p->conns, own);
    }
}

enum err_code producer_create(struct producer **out,
                              const struct producer_options *options,
                              struct err *err)
{
    enum err_code code = check(options, err);
    if (code != ERR_NONE)
        return code;
    struct producer *p;
    MEM_NEW(p);
    p->wake.fd = -1;
    atomic_init(&p->stop_asked, false);
    code = wake_init(&p->wake, err);
    if (code == ERR_NONE)
        code = service_init(&p->service, options, err);
    p->serviced = code == ERR_NONE;
    if (code == ERR_NONE)
        code = open_base(p, err);
    if (code != ERR_NONE) {
        producer_destroy(p);
        return code;
    }
    open_events(p);
    open_listeners(p, options);
    spool_on_room(options->spool, on_room, p);
    *out = p;
    return ERR_NONE;
}

enum err_code producer_start(struct producer *p, struct err *err)
{
    return thread_start(&p->thread, "producer", run, p, err);
}

void producer_drain(struct producer *p)
{
    atomic_store(&p->service.draining, true);
    wake_raise(&p->wake);
}

void producer_stop(struct producer *p, int64_t until_ms)
{
    if (!p->thread.started)
        return;
    if (!atomic_load(&p->stop_asked)) {
        p->stop_until_ms = until_ms;
        atomic_store(&p->stop_asked, true);
    }
    wake_raise(&p->wake);
    thread_join(&p->thread);
}

/* The spool answers each request once: wait for what it still owes. */
static void take_late_answers(struct producer *p)
{
    while (p->service.outstanding > 0) {
        struct pollfd mail = {.fd = mailbox_fd(&p->service.mailbox),
                              .events = POLLIN};
        (void)poll(&mail, 1, -1);
        service_take_mail(&p->service);
    }
}

void producer_destroy(struct producer *p)
{
    if (p == NULL)
        return;
    PANIC_IF(p->thread.started);
    if (p->opened) {
        p->service.draining = true;
        admission_drain(&p->service.admission);
        conn_set_fini(&p->conns);
        take_late_answers(p);
        for (size_t i = 0; i < p->listener_count; i++)
            listener_stop(&p->listeners[i]);
        for (size_t i = 0; i < p->door_count; i++)
            datagram_fini(&p->doors[i]);
        (void)event_del(&p->mail);
        (void)event_del(&p->control);
        (void)event_del(&p->tick);
    }
    if (p->serviced)
        service_fini(&p->service);
    if (p->base != NULL)
        event_base_free(p->base);
    wake_fini(&p->wake);
    mem_free(p->listener_options);
    mem_free(p->listeners);
    mem_free(p->doors);
    mem_free(p);
}
