#include "consumer/scheduler.h"

#include <poll.h>

#include "consumer/backlog.h"
#include "consumer/route.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wake.h"

/* Jobs of one route in one round, so that routes take turns. */
#define ROUTE_BUDGET 256U

/* Least time from one round to the next, unless something is urgent. */
#define PACE_MS 1

/* Who takes from a lane that short may not have enough until then. */
#define LANE_SHORT 32U

#define EXPIRE_BATCH    128U
#define EXPIRE_EVERY_MS 1000

/* So that a clock that was set is noticed. */
#define SLEEP_MAX_MS 60000

/* A relay on trial whose lane is not empty yet is looked at again. */
#define TRIAL_WAIT_MS 100

/* What wakes the thread out of its present rest. */
enum rest {
    REST_NONE,
    REST_PACE,  /* only what is urgent */
    REST_SLEEP, /* everything */
};

struct scheduler {
    struct scheduler_options options;
    struct backlog *backlogs;  /* by route */
    struct route *routes;      /* likewise */
    int64_t *credits;          /* of all routes, one after the other */
    struct route_relay *views; /* by relay: of this round, as all to more */
    bool *on_trial;            /* by relay */
    uint64_t room_wanted;      /* lanes */
    size_t moved;
    int64_t wake_at_ms; /* mono */
    bool more;          /* the round ended before the work did */
    size_t first_route; /* of the next round */
    int64_t expire_asked_mono_ms;
    struct queue_waiter *waiter;
    struct wake wake;
    struct thread thread;

    struct mutex lock; /* guards all below */
    bool stopping;
    bool alerted; /* something happened since the round began */
    bool urgent;
    enum rest rest;
    int64_t rest_until_ms; /* real: a job due later need not wake */
    bool expire_asked;
    bool expire_calling;
    int64_t expire_at_ms; /* real */
    bool expire_looks;    /* once a second, because jobs wait */
};

/* ---- what other threads tell ---- */

/* Lock held. */
static void alert(struct scheduler *s, bool urgent)
{
    s->alerted = true;
    s->urgent = s->urgent || urgent;
    if (s->rest == REST_SLEEP || (s->rest == REST_PACE && urgent)) {
        s->rest = REST_NONE;
        wake_raise(&s->wake);
    }
}

void scheduler_wake(struct scheduler *s)
{
    mutex_lock(&s->lock);
    alert(s, true);
    mutex_unlock(&s->lock);
}

static void on_answer(void *ctx)
{
    scheduler_wake(ctx);
}

void scheduler_on_due(void *ctx, struct spool_lane lane, int64_t due_ms)
{
    struct scheduler *s = ctx;
    if (lane.route >= s->options.route_count ||
        (unsigned)lane.priority >= JOB_PRIORITY_COUNT)
        return;
    backlog_due(&s->backlogs[lane.route], lane.priority, due_ms);
    mutex_lock(&s->lock);
    /* The first job of all may expire before it is due, and before we wake. */
    if (s->rest != REST_SLEEP || due_ms < s->rest_until_ms || !s->expire_looks)
        alert(s, false);
    mutex_unlock(&s->lock);
}

/* ---- relays ---- */

static void wake_by(struct scheduler *s, int64_t mono_ms)
{
    if (mono_ms < s->wake_at_ms)
        s->wake_at_ms = mono_ms;
}

static void view_relay(struct scheduler *s, size_t relay, bool has_room,
                       int64_t now_ms)
{
    struct route_relay *view = &s->views[relay];
    enum relay_mode mode =
        relay_state_mode(s->options.relays, relay, now_ms, &view->until_ms);
    s->on_trial[relay] = mode == RELAY_TRIAL;
    view->state = has_room ? ROUTE_RELAY_OPEN : ROUTE_RELAY_FULL;
    if (mode == RELAY_READY ||
        (mode == RELAY_TRIAL &&
         queue_lane_size(s->options.queue, (unsigned)relay) == 0))
        return;
    view->state = ROUTE_RELAY_SHUT;
    if (mode == RELAY_TRIAL)
        view->until_ms = now_ms + TRIAL_WAIT_MS;
    else if (mode != RELAY_SHUT)
        view->until_ms = INT64_MAX; /* we are told what comes of the probe */
}

static void view_relays(struct scheduler *s, int64_t now_ms)
{
    uint64_t room = queue_lanes_with_room(s->options.queue);
    for (size_t i = 0; i < s->options.relay_count; i++)
        view_relay(s, i, (room & QUEUE_LANE(i)) != 0, now_ms);
}

/* ---- moving ---- */

/* False: the relay takes no more in this round. */
static bool put(struct scheduler *s, struct route *route,
                const struct route_choice *choice, struct claim *claim,
                int64_t now_ms)
{
    size_t relay = choice->relay;
    claim->relay = (unsigned)relay;
    if (queue_try_put(s->options.queue, (unsigned)relay, claim) != ERR_NONE) {
        s->views[relay].state = ROUTE_RELAY_FULL;
        return false;
    }
    s->moved++;
    route_taken(route, s->views, choice);
    if (s->on_trial[relay]) {
        /* One job is at stake. */
        s->views[relay].state = ROUTE_RELAY_SHUT;
        s->views[relay].until_ms = now_ms + TRIAL_WAIT_MS;
    }
    return true;
}

/* False: nothing to move now. */
static bool move_one(struct scheduler *s, size_t route,
                     const struct route_choice *choice, int64_t now_ms)
{
    struct backlog *in = &s->backlogs[route];
    enum job_priority turn;
    struct claim *claim = backlog_next(in, &turn);
    if (claim == NULL)
        return false;
    if (put(s, &s->routes[route], choice, claim, now_ms))
        backlog_taken(in, turn);
    else
        backlog_put_back(in, turn, claim);
    return true;
}

static void release(struct scheduler *s, size_t route)
{
    const struct route *r = &s->routes[route];
    char note[RELAY_ERROR_MAX] = "";
    struct str relay = STR("");
    if (r->count > 0) {
        relay_state_last_error(s->options.relays, r->relays[0], note);
        relay = str_from(relay_state_name(s->options.relays, r->relays[0]));
    }
    backlog_release(&s->backlogs[route], relay, str_from(note));
}

static void wait_for_relays(struct scheduler *s, size_t route,
                            const struct route_choice *choice)
{
    const struct route *r = &s->routes[route];
    if (choice->verdict == ROUTE_WAIT)
        release(s, route);
    for (size_t i = 0; i < r->count; i++)
        if (s->views[r->relays[i]].state == ROUTE_RELAY_FULL)
            s->room_wanted |= QUEUE_LANE(r->relays[i]);
    /* One that is shut may become usable before another has room. */
    wake_by(s, choice->until_ms);
}

static void wait_for_due(struct scheduler *s, const struct backlog *in,
                         int64_t now_ms, int64_t now_real_ms)
{
    int64_t due_ms = backlog_due_ms(in);
    if (due_ms != SPOOL_NEVER)
        wake_by(s, now_ms + (due_ms > now_real_ms ? due_ms - now_real_ms : 0));
}

static void serve_route(struct scheduler *s, size_t route, int64_t now_ms,
                        int64_t now_real_ms)
{
    struct backlog *in = &s->backlogs[route];
    backlog_look(in);
    for (size_t budget = ROUTE_BUDGET; budget > 0; budget--) {
        struct route_choice choice = route_choose(&s->routes[route], s->views);
        if (choice.verdict != ROUTE_TAKE) {
            wait_for_relays(s, route, &choice);
            return;
        }
        backlog_ask(in, s->on_trial[choice.relay], now_real_ms);
        if (!move_one(s, route, &choice, now_ms)) {
            wait_for_due(s, in, now_ms, now_real_ms);
            return;
        }
    }
    s->more = true;
}

/* ---- the end of jobs' time ---- */

static void on_expired(void *ctx, const struct spool_expired *expired,
                       size_t count, int64_t next_ms)
{
    struct scheduler *s = ctx;
    for (size_t i = 0; i < count; i++) {
        bool by_client = expired[i].state == JOB_EXPIRED;
        log_event(LOG_LEVEL_WARNING, by_client ? "job.expired" : "job.failed",
                  LOG_TEXT("job", expired[i].id.text),
                  LOG_TEXT("reason",
                           by_client ? "expires_at has passed" : "given up"));
    }
    mutex_lock(&s->lock);
    s->expire_asked = false;
    s->expire_at_ms = count >= EXPIRE_BATCH ? 0 : next_ms;
    if (!s->expire_calling)
        alert(s, true);
    mutex_unlock(&s->lock);
}

/* How long until spool_expire() is to be called; SLEEP_MAX_MS if under way. */
static int64_t expire_wait_ms(struct scheduler *s, int64_t now_ms,
                              int64_t now_real_ms)
{
    struct spool_stats stats;
    spool_stats(s->options.spool, &stats);
    bool looks = stats.waiting > 0 || stats.active > 0;
    mutex_lock(&s->lock);
    bool asked = s->expire_asked;
    int64_t at_ms = s->expire_at_ms;
    s->expire_looks = looks;
    mutex_unlock(&s->lock);
    if (asked)
        return SLEEP_MAX_MS;
    int64_t wait = at_ms == SPOOL_NEVER ? SLEEP_MAX_MS : at_ms - now_real_ms;
    /* A job that came later may end earlier than what the spool knew. */
    int64_t regular = s->expire_asked_mono_ms + EXPIRE_EVERY_MS - now_ms;
    if (looks && regular < wait)
        wait = regular;
    return wait > 0 ? wait : 0;
}

static void expire(struct scheduler *s, int64_t now_ms, int64_t now_real_ms)
{
    int64_t wait = expire_wait_ms(s, now_ms, now_real_ms);
    if (wait == 0) {
        s->expire_asked_mono_ms = now_ms;
        mutex_lock(&s->lock);
        s->expire_asked = true;
        s->expire_calling = true;
        mutex_unlock(&s->lock);
        spool_expire(s->options.spool, now_real_ms, EXPIRE_BATCH, on_expired,
                     s);
        mutex_lock(&s->lock);
        s->expire_calling = false;
        mutex_unlock(&s->lock);
        wait = expire_wait_ms(s, now_ms, now_real_ms);
    }
    wake_by(s, now_ms + wait);
}

int64_t scheduler_round(struct scheduler *s)
{
    int64_t now_ms = clock_mono_ms(s->options.clock);
    int64_t now_real_ms = clock_real_ms(s->options.clock);
    s->wake_at_ms = now_ms + SLEEP_MAX_MS;
    s->room_wanted = 0;
    s->moved = 0;
    s->more = false;
    expire(s, now_ms, now_real_ms);
    view_relays(s, now_ms);
    size_t count = s->options.route_count;
    for (size_t i = 0; i < count; i++) {
        size_t route = (s->first_route + i) % count;
        serve_route(s, route, now_ms, now_real_ms);
        /*
         * We are not told of jobs due later than the next one known, and that
         * one may be gone: look whether any expires.
         */
        if (backlog_due_ms(&s->backlogs[route]) != SPOOL_NEVER)
            wake_by(s, now_ms + EXPIRE_EVERY_MS);
    }
    s->first_route++;
    return s->more ? now_ms : s->wake_at_ms;
}

void scheduler_let_go(struct scheduler *s)
{
    for (size_t i = 0; i < s->options.route_count; i++) {
        backlog_look(&s->backlogs[i]);
        backlog_release(&s->backlogs[i], STR(""), STR(""));
    }
}

/* ---- the thread ---- */

/* Sleeps until woken for such a rest, at most ms; by the waiter too if fd. */
static void nap(struct scheduler *s, enum rest rest, int64_t ms, int fd)
{
    struct pollfd fds[2] = {{.fd = s->wake.fd, .events = POLLIN},
                            {.fd = fd, .events = POLLIN}};
    mutex_lock(&s->lock);
    bool awake = s->stopping || (rest == REST_PACE ? s->urgent : s->alerted);
    if (!awake) {
        s->rest = rest;
        s->rest_until_ms = clock_real_ms(s->options.clock) + ms;
    }
    mutex_unlock(&s->lock);
    if (awake)
        return;
    /* An interrupted or failed poll only means a round too early. */
    (void)poll(fds, fd >= 0 ? 2 : 1, (int)ms);
    mutex_lock(&s->lock);
    s->rest = REST_NONE;
    mutex_unlock(&s->lock);
    if (fds[0].revents != 0)
        wake_clear(&s->wake);
}

static bool runs_short(const struct scheduler *s)
{
    for (size_t i = 0; i < s->options.relay_count; i++)
        if ((s->room_wanted & QUEUE_LANE(i)) != 0 &&
            queue_lane_size(s->options.queue, (unsigned)i) <= LANE_SHORT)
            return true;
    return false;
}

static void rest(struct scheduler *s, int64_t wake_at_ms)
{
    int fd = -1;
    if (s->more)
        return;
    if (s->moved == 0 || !runs_short(s))
        nap(s, REST_PACE, PACE_MS, -1);
    if (s->room_wanted != 0) {
        queue_waiter_arm(s->waiter, s->room_wanted);
        fd = queue_waiter_fd(s->waiter);
    }
    int64_t ms = wake_at_ms - clock_mono_ms(s->options.clock);
    nap(s, REST_SLEEP, ms > 0 ? ms : 0, fd);
}

static bool begin_round(struct scheduler *s)
{
    mutex_lock(&s->lock);
    bool go_on = !s->stopping;
    s->alerted = false;
    s->urgent = false;
    mutex_unlock(&s->lock);
    return go_on;
}

static bool is_asking(struct scheduler *s)
{
    mutex_lock(&s->lock);
    bool asking = s->expire_asked;
    mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->options.route_count; i++)
        asking = backlog_is_asking(&s->backlogs[i]) || asking;
    return asking;
}

/* Answers of the spool that are still to come find us here. */
static void finish(struct scheduler *s)
{
    while (is_asking(s)) {
        struct pollfd fd = {.fd = s->wake.fd, .events = POLLIN};
        mutex_lock(&s->lock);
        s->rest = s->alerted ? REST_NONE : REST_SLEEP;
        bool awake = s->alerted;
        s->alerted = false;
        mutex_unlock(&s->lock);
        if (!awake)
            (void)poll(&fd, 1, SLEEP_MAX_MS);
        wake_clear(&s->wake);
    }
    scheduler_let_go(s);
}

static void run(void *arg)
{
    struct scheduler *s = arg;
    while (begin_round(s))
        rest(s, scheduler_round(s));
    finish(s);
}

/* ---- making ---- */

static void make_routes(struct scheduler *s)
{
    const struct scheduler_options *options = &s->options;
    size_t total = 0;
    for (size_t i = 0; i < options->route_count; i++)
        total += options->routes[i].relay_count;
    s->routes = mem_calloc(options->route_count, sizeof(*s->routes));
    s->credits = mem_calloc(total, sizeof(*s->credits));
    int64_t *credits = s->credits;
    for (size_t i = 0; i < options->route_count; i++) {
        const struct pool_route *route = &options->routes[i];
        s->routes[i] = (struct route){
            .relays = route->relays,
            .weights = route->weights,
            .credits = credits,
            .count = route->relay_count,
        };
        credits += route->relay_count;
    }
}

enum err_code scheduler_create(struct scheduler **out,
                               const struct scheduler_options *options,
                               struct err *err)
{
    struct scheduler *s;
    MEM_NEW(s);
    s->options = *options;
    s->wake.fd = -1;
    mutex_init(&s->lock);
    make_routes(s);
    s->backlogs = mem_calloc(options->route_count, sizeof(*s->backlogs));
    s->views = mem_calloc(options->relay_count, sizeof(*s->views));
    s->on_trial = mem_calloc(options->relay_count, sizeof(*s->on_trial));
    for (size_t i = 0; i < options->route_count; i++) {
        backlog_init(&s->backlogs[i], options->spool, options->clock,
                     (unsigned)i);
        s->backlogs[i].on_answer = on_answer;
        s->backlogs[i].ctx = s;
    }
    enum err_code code = wake_init(&s->wake, err);
    if (code == ERR_NONE)
        code = queue_waiter_create(&s->waiter, options->queue, QUEUE_WAIT_ROOM,
                                   err);
    if (code != ERR_NONE) {
        scheduler_destroy(s);
        return code;
    }
    *out = s;
    return ERR_NONE;
}

void scheduler_destroy(struct scheduler *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->options.route_count; i++)
        backlog_fini(&s->backlogs[i]);
    queue_waiter_destroy(s->waiter);
    if (s->wake.fd >= 0)
        wake_fini(&s->wake);
    mutex_fini(&s->lock);
    mem_free(s->routes);
    mem_free(s->credits);
    mem_free(s->backlogs);
    mem_free(s->views);
    mem_free(s->on_trial);
    mem_free(s);
}

enum err_code scheduler_start(struct scheduler *s, struct err *err)
{
    s->stopping = false;
    return thread_start(&s->thread, "scheduler", run, s, err);
}

void scheduler_stop(struct scheduler *s)
{
    mutex_lock(&s->lock);
    s->stopping = true;
    alert(s, true);
    mutex_unlock(&s->lock);
    thread_join(&s->thread);
}
