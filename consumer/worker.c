#include "consumer/worker.h"

#include <stdatomic.h>
#include <stdio.h>

#include <event2/event.h>

#include "consumer/outlet.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wake.h"
#include "queue/queue.h"
#include "smtp/session.h"

/* Keeps what libevent calculates with in range. */
#define WAIT_MAX_MS INT64_C(3600000)

struct worker {
    const struct pool_options *pool;
    unsigned index;
    struct errand_env env;
    struct outlet *outlets; /* by relay */
    struct event_base *base;
    struct event *items_event;
    struct event *wake_event;
    struct event *answers_event;
    struct event *timer;
    struct queue_waiter *waiter;
    struct wake wake;
    struct thread thread;
    uint64_t armed;
    bool has_answers; /* env.answers is there */
    bool must_arm;
    bool closed;          /* the queue is */
    bool drained;         /* outlets know of it */
    bool cut;             /* sessions were */
    int64_t timer_at_ms;  /* INT64_MAX: not set */
    atomic_bool ended;    /* set by its thread, at its end */
    atomic_bool draining; /* set by other threads, after until_ms */
    atomic_int_least64_t until_ms;
};

size_t worker_share(size_t connections, unsigned consumers, unsigned index)
{
    return connections / consumers + (index < connections % consumers ? 1 : 0);
}

/* ---- events: all work is done in turn(), after them ---- */

static void on_items(evutil_socket_t fd, short what, void *ctx)
{
    struct worker *w = ctx;
    (void)fd;
    (void)what;
    w->must_arm = true;
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    struct worker *w = ctx;
    (void)fd;
    (void)what;
    wake_clear(&w->wake);
}

static void on_answers(evutil_socket_t fd, short what, void *ctx)
{
    struct worker *w = ctx;
    (void)fd;
    (void)what;
    sender_take_answers(&w->env);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct worker *w = ctx;
    (void)fd;
    (void)what;
    w->timer_at_ms = INT64_MAX;
}

static void wake_at(struct worker *w, int64_t at_ms, int64_t now_ms)
{
    /* A timer that is too early only means a turn for nothing. */
    if (at_ms >= w->timer_at_ms)
        return;
    int64_t wait = at_ms > now_ms ? at_ms - now_ms : 0;
    if (wait > WAIT_MAX_MS)
        wait = WAIT_MAX_MS;
    struct timeval timeout = {.tv_sec = (time_t)(wait / 1000),
                              .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    if (event_add(w->timer, &timeout) == 0)
        w->timer_at_ms = at_ms;
}

/* ---- a turn ---- */

static uint64_t wanted_lanes(struct worker *w, int64_t now_ms)
{
    uint64_t lanes = 0;
    for (size_t i = 0; i < w->pool->relay_count; i++)
        if (outlet_wants(&w->outlets[i], now_ms))
            lanes |= QUEUE_LANE(i);
    return lanes;
}

static void take_jobs(struct worker *w, int64_t now_ms)
{
    uint64_t lanes = wanted_lanes(w, now_ms);
    struct claim *claim;
    while (lanes != 0 && !w->closed) {
        enum err_code code = queue_try_get(w->pool->queue, lanes, &claim);
        if (code == ERR_CLOSED)
            w->closed = true;
        if (code != ERR_NONE)
            break;
        struct outlet *o = &w->outlets[claim->relay];
        uint64_t lane = QUEUE_LANE(claim->relay);
        outlet_take(o, claim, now_ms);
        if (!outlet_wants(o, now_ms))
            lanes &= ~lane;
    }
    if (w->closed) {
        /* Its descriptor stays readable. */
        (void)event_del(w->items_event);
    } else if (w->must_arm || lanes != w->armed) {
        queue_waiter_arm(w->waiter, lanes);
        w->armed = lanes;
        w->must_arm = false;
    }
}

static size_t drain(struct worker *w, int64_t now_ms)
{
    int64_t until_ms = atomic_load(&w->until_ms);
    size_t sessions = 0;
    bool cut = !w->cut && now_ms >= until_ms;
    for (size_t i = 0; i < w->pool->relay_count; i++) {
        struct outlet *o = &w->outlets[i];
        if (!w->drained)
            outlet_drain(o);
        if (cut)
            outlet_abort(o);
        sessions += o->sessions;
    }
    w->drained = true;
    w->cut = w->cut || cut;
    if (!w->cut)
        wake_at(w, until_ms, now_ms);
    (void)event_del(w->items_event);
    return sessions;
}

/* False: all is done. */
static bool turn(struct worker *w)
{
    int64_t now_ms = clock_mono_ms(w->pool->clock);
    if (atomic_load(&w->draining))
        return drain(w, now_ms) + w->env.asked > 0;
    int64_t next_ms = INT64_MAX;
    for (size_t i = 0; i < w->pool->relay_count; i++) {
        int64_t tick_ms = outlet_tick(&w->outlets[i], now_ms);
        if (tick_ms < next_ms)
            next_ms = tick_ms;
    }
    take_jobs(w, now_ms);
    /* As found when the last job was taken: others take tokens, too. */
    for (size_t i = 0; i < w->pool->relay_count; i++)
        if (w->outlets[i].look_ms < next_ms)
            next_ms = w->outlets[i].look_ms;
    wake_at(w, next_ms, now_ms);
    return true;
}

static void run(void *arg)
{
    struct worker *w = arg;
    while (turn(w)) {
        smtp_engine_flush(w->env.engine);
        (void)event_base_loop(w->base, EVLOOP_ONCE);
    }
    atomic_store(&w->ended, true);
}

/* ---- for other threads ---- */

void worker_wake(struct worker *w)
{
    wake_raise(&w->wake);
}

void worker_drain(struct worker *w, int64_t until_ms)
{
    atomic_store(&w->until_ms, until_ms);
    atomic_store(&w->draining, true);
    wake_raise(&w->wake);
}

bool worker_has_ended(struct worker *w)
{
    return !w->thread.started || atomic_load(&w->ended);
}

void worker_join(struct worker *w)
{
    thread_join(&w->thread);
}

/* ---- making ---- */

static enum err_code make_events(struct worker *w, struct err *err)
{
    w->items_event = event_new(w->base, queue_waiter_fd(w->waiter),
                               EV_READ | EV_PERSIST, on_items, w);
    w->wake_event =
        event_new(w->base, w->wake.fd, EV_READ | EV_PERSIST, on_wake, w);
    w->answers_event = event_new(w->base, mailbox_fd(&w->env.answers),
                                 EV_READ | EV_PERSIST, on_answers, w);
    w->timer = evtimer_new(w->base, on_timer, w);
    if (w->items_event == NULL || w->wake_event == NULL ||
        w->answers_event == NULL || w->timer == NULL ||
        event_add(w->items_event, NULL) != 0 ||
        event_add(w->wake_event, NULL) != 0 ||
        event_add(w->answers_event, NULL) != 0)
        return err_set(err, ERR_SYSTEM,
                       "cannot add events to a consumer's loop");
    return ERR_NONE;
}

static enum err_code make_parts(struct worker *w, struct err *err)
{
    enum err_code code = wake_init(&w->wake, err);
    if (code == ERR_NONE)
        code = mailbox_init(&w->env.answers, err);
    if (code != ERR_NONE)
        return code;
    mailbox_join(&w->env.answers, spool_round(w->pool->spool));
    w->has_answers = true;
    w->base = event_base_new();
    if (w->base == NULL)
        return err_set(err, ERR_SYSTEM, "cannot make a consumer's event loop");
    code =
        queue_waiter_create(&w->waiter, w->pool->queue, QUEUE_WAIT_ITEMS, err);
    if (code == ERR_NONE)
        code = make_events(w, err);
    if (code == ERR_NONE)
        code = smtp_engine_create(&w->env.engine, w->base, w->pool->clock, err);
    return code;
}

enum err_code worker_create(struct worker **out,
                            const struct worker_options *options,
                            struct err *err)
{
    const struct pool_options *pool = options->pool;
    struct worker *w;
    MEM_NEW(w);
    w->pool = pool;
    w->index = options->index;
    w->wake.fd = -1;
    w->must_arm = true;
    w->timer_at_ms = INT64_MAX;
    atomic_init(&w->ended, false);
    atomic_init(&w->draining, false);
    atomic_init(&w->until_ms, INT64_MAX);
    w->env.spool = pool->spool;
    w->env.states = options->states;
    w->env.rates = options->rates;
    w->env.metrics = pool->metrics;
    w->env.clock = pool->clock;
    w->env.retry = &pool->retry;
    errand_env_init(&w->env);
    random_init(&w->env.random, pool->seed ^ ((uint64_t)w->index + 1) << 32);
    w->outlets = mem_calloc(pool->relay_count, sizeof(*w->outlets));
    for (size_t i = 0; i < pool->relay_count; i++)
        outlet_init(&w->outlets[i], &w->env, &pool->relays[i], i,
                    worker_share(pool->relays[i].connections, pool->consumers,
                                 w->index));
    enum err_code code = make_parts(w, err);
    if (code != ERR_NONE) {
        worker_destroy(w);
        return code;
    }
    *out = w;
    return ERR_NONE;
}

void worker_destroy(struct worker *w)
{
    if (w == NULL)
        return;
    smtp_engine_destroy(w->env.engine);
    if (w->items_event != NULL)
        event_free(w->items_event);
    if (w->wake_event != NULL)
        event_free(w->wake_event);
    if (w->answers_event != NULL)
        event_free(w->answers_event);
    if (w->timer != NULL)
        event_free(w->timer);
    queue_waiter_destroy(w->waiter);
    if (w->base != NULL)
        event_base_free(w->base);
    if (w->wake.fd >= 0)
        wake_fini(&w->wake);
    if (w->has_answers)
        mailbox_fini(&w->env.answers);
    errand_env_fini(&w->env);
    mem_free(w->outlets);
    mem_free(w);
}

enum err_code worker_start(struct worker *w, struct err *err)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "consumer-%u", w->index);
    return thread_start(&w->thread, name, run, w, err);
}
