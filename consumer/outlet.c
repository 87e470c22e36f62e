#include "consumer/outlet.h"

#include "consumer/report.h"

/* How often a worker asks whether a crowded relay takes one more session. */
#define CROWDED_LOOK_MS 1000

void outlet_init(struct outlet *o, struct sender_env *env,
                 const struct pool_relay *relay, size_t relay_index,
                 size_t share)
{
    *o = (struct outlet){
        .env = env,
        .relay = relay,
        .relay_index = relay_index,
        .share = share,
    };
    TAILQ_INIT(&o->idle);
    TAILQ_INIT(&o->others);
    STAILQ_INIT(&o->waiting);
}

/* ---- claims ---- */

static bool relay_is_ready(struct outlet *o)
{
    return relay_state_mode(o->env->states, o->relay_index,
                            clock_mono_ms(o->env->clock), NULL) == RELAY_READY;
}

static void give_back(struct outlet *o, struct claim *claim)
{
    char note[RELAY_ERROR_MAX] = "";
    if (!relay_is_ready(o))
        relay_state_last_error(o->env->states, o->relay_index, note);
    report_release(o->env->spool, claim, o->relay->smtp.name,
                   clock_real_ms(o->env->clock), str_from(note));
}

static struct claim *take_waiting(struct outlet *o)
{
    struct claim *claim = STAILQ_FIRST(&o->waiting);
    if (claim == NULL)
        return NULL;
    STAILQ_REMOVE_HEAD(&o->waiting, next);
    o->waiting_count--;
    return claim;
}

/* Keeps as many as sessions are on their way. */
static void give_back_waiting(struct outlet *o, size_t keep)
{
    while (o->waiting_count > keep)
        give_back(o, take_waiting(o));
}

/* ---- sessions ---- */

static void end_session(struct outlet *o, struct sender *x)
{
    if (x->state == SENDER_CONNECTING) {
        o->connecting--;
        sender_abort(x);
    } else {
        TAILQ_REMOVE(&o->idle, x, next);
        TAILQ_INSERT_TAIL(&o->others, x, next);
        sender_quit(x);
    }
}

static bool is_spent(const struct outlet *o, const struct sender *x)
{
    return x->jobs >= o->relay->jobs_per_connection;
}

/* x is idle and in the list of the idle: gives it work, keeps or ends it. */
static void employ(struct outlet *o, struct sender *x)
{
    struct claim *claim = NULL;
    /* One that began before the relay was shut must not join its probe. */
    bool may_carry = x->pass.breaker.probe || relay_is_ready(o);
    while (may_carry && !is_spent(o, x) && sender_takes(x) &&
           (claim = take_waiting(o)) != NULL) {
        if (sender_carry(x, claim)) {
            TAILQ_REMOVE(&o->idle, x, next);
            TAILQ_INSERT_TAIL(&o->others, x, next);
            return;
        }
    }
    /* A probe that had nothing to send got through all the same. */
    if (x->pass.breaker.probe)
        relay_state_worked(o->env->states, o->relay_index,
                           clock_mono_ms(o->env->clock), &x->pass);
    if (o->draining || is_spent(o, x) || !relay_is_ready(o))
        end_session(o, x);
    give_back_waiting(o, o->connecting);
}

static void on_ready(void *ctx, struct sender *x)
{
    struct outlet *o = ctx;
    (void)x;
    o->connecting--;
}

static void on_idle(void *ctx, struct sender *x)
{
    struct outlet *o = ctx;
    TAILQ_REMOVE(&o->others, x, next);
    TAILQ_INSERT_HEAD(&o->idle, x, next);
    employ(o, x);
}

static void on_gone(void *ctx, struct sender *x)
{
    struct outlet *o = ctx;
    if (x->state == SENDER_CONNECTING)
        o->connecting--;
    if (x->state == SENDER_IDLE)
        TAILQ_REMOVE(&o->idle, x, next);
    else
        TAILQ_REMOVE(&o->others, x, next);
    o->sessions--;
    give_back_waiting(o, o->connecting);
}

static const struct sender_events sender_events = {
    .ready = on_ready,
    .idle = on_idle,
    .gone = on_gone,
};

/* False: none may, or can, be opened now. */
static bool open_session(struct outlet *o, int64_t now_ms)
{
    struct relay_pass pass;
    struct sender *x;
    if (o->draining || o->sessions >= o->share ||
        !relay_state_ask(o->env->states, o->relay_index, now_ms, &pass))
        return false;
    struct sender_options options = {
        .env = o->env,
        .relay = o->relay,
        .relay_index = o->relay_index,
        .events = &sender_events,
        .ctx = o,
    };
    if (sender_open(&x, &options, &pass) != ERR_NONE)
        return false;
    TAILQ_INSERT_TAIL(&o->others, x, next);
    o->sessions++;
    o->connecting++;
    return true;
}

/* ---- for the worker ---- */

static struct sender *idle_one(const struct outlet *o)
{
    struct sender *x;
    TAILQ_FOREACH (x, &o->idle, next) {
        if (sender_takes(x))
            return x;
    }
    return NULL;
}

bool outlet_wants(struct outlet *o, int64_t now_ms)
{
    if (o->draining || o->share == 0)
        return false;
    if (o->connecting > o->waiting_count || idle_one(o) != NULL)
        return true;
    if (relay_state_mode(o->env->states, o->relay_index, now_ms, NULL) ==
        RELAY_SHUT)
        return true;
    return o->sessions < o->share &&
           relay_state_may_ask(o->env->states, o->relay_index, now_ms);
}

void outlet_take(struct outlet *o, struct claim *claim, int64_t now_ms)
{
    struct sender *x = idle_one(o);
    if (x == NULL && o->connecting <= o->waiting_count &&
        !open_session(o, now_ms)) {
        give_back(o, claim);
        return;
    }
    STAILQ_INSERT_TAIL(&o->waiting, claim, next);
    o->waiting_count++;
    if (x != NULL)
        employ(o, x);
}

static int64_t end_tired(struct outlet *o, int64_t now_ms)
{
    struct sender *x;
    while ((x = TAILQ_LAST(&o->idle, sender_list)) != NULL) {
        int64_t until_ms = x->idle_since_ms + o->relay->idle_timeout_ms;
        if (now_ms < until_ms)
            return until_ms;
        end_session(o, x);
    }
    return INT64_MAX;
}

static void end_idle(struct outlet *o)
{
    struct sender *x;
    while ((x = TAILQ_FIRST(&o->idle)) != NULL)
        end_session(o, x);
}

static void end_connecting(struct outlet *o, bool probe_too)
{
    struct sender *x;
    TAILQ_FOREACH (x, &o->others, next) {
        if (x->state == SENDER_CONNECTING &&
            (probe_too || !x->pass.breaker.probe))
            end_session(o, x);
    }
}

int64_t outlet_tick(struct outlet *o, int64_t now_ms)
{
    enum relay_mode mode =
        relay_state_mode(o->env->states, o->relay_index, now_ms, NULL);
    if (mode != RELAY_READY) {
        end_connecting(o, false);
        end_idle(o);
        give_back_waiting(o, o->connecting);
    }
    int64_t next_ms = end_tired(o, now_ms);
    /* Nobody tells when a crowded relay may be asked for one more. */
    if (mode == RELAY_READY && o->sessions < o->share &&
        !relay_state_may_ask(o->env->states, o->relay_index, now_ms) &&
        next_ms > now_ms + CROWDED_LOOK_MS)
        next_ms = now_ms + CROWDED_LOOK_MS;
    return next_ms;
}

void outlet_drain(struct outlet *o)
{
    o->draining = true;
    end_connecting(o, true);
    end_idle(o);
    give_back_waiting(o, 0);
}

void outlet_abort(struct outlet *o)
{
    struct sender *x;
    outlet_drain(o);
    TAILQ_FOREACH (x, &o->others, next) {
        sender_abort(x);
    }
}
