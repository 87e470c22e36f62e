#include "consumer/outlet.h"

/* How often a worker asks whether a crowded relay takes one more session. */
#define CROWDED_LOOK_MS 1000

/* A probe without a job for so long has shown enough. */
#define TRIAL_MS 1000

/* Who waits for one that connects so long takes another's room, too. */
#define CONNECT_PATIENCE_MS 100

/* Longest wait for a session that has carried nothing. */
#define FRESH_WAIT_MS 10000

/* Sessions that may end before a job until it gets one of its own. */
#define RETURNS_MAX 1U

void outlet_init(struct outlet *o, struct errand_env *env,
                 const struct pool_relay *relay, size_t relay_index,
                 size_t share)
{
    *o = (struct outlet){
        .env = env,
        .relay = relay,
        .relay_index = relay_index,
        .share = share,
        .look_ms = INT64_MAX,
    };
    for (unsigned i = 0; i < OUTLET_PLACE_COUNT; i++)
        TAILQ_INIT(&o->places[i]);
    TAILQ_INIT(&o->ages);
    TAILQ_INIT(&o->waiting);
}

static int64_t mono_ms(const struct outlet *o)
{
    return clock_mono_ms(o->env->clock);
}

static enum relay_mode mode_of(const struct outlet *o, int64_t now_ms)
{
    return relay_state_mode(o->env->states, o->relay_index, now_ms, NULL);
}

/* ---- jobs that wait ---- */

static bool wants_fresh(const struct errand *e)
{
    return e->returns > RETURNS_MAX;
}

static void remove_waiting(struct outlet *o, struct errand *e)
{
    TAILQ_REMOVE(&o->waiting, e, next);
    o->waiting_count--;
}

static void give_back(struct outlet *o, struct errand *e)
{
    char note[RELAY_ERROR_MAX] = "";
    remove_waiting(o, e);
    if (mode_of(o, mono_ms(o)) != RELAY_READY)
        relay_state_last_error(o->env->states, o->relay_index, note);
    errand_release(e, clock_real_ms(o->env->clock), str_from(note));
}

static void give_back_all(struct outlet *o)
{
    while (o->waiting_count > 0)
        give_back(o, TAILQ_FIRST(&o->waiting));
}

/* The last first; those for a fresh session have their own time. */
static void give_back_beyond(struct outlet *o, size_t keep)
{
    struct errand *e = TAILQ_LAST(&o->waiting, errand_list);
    while (e != NULL && o->waiting_count > keep) {
        struct errand *before = TAILQ_PREV(e, errand_list, next);
        if (!wants_fresh(e))
            give_back(o, e);
        e = before;
    }
}

/* ---- sessions ---- */

static void move(struct outlet *o, struct sender *x, enum outlet_place place)
{
    TAILQ_REMOVE(&o->places[x->place], x, next);
    o->counts[x->place]--;
    x->place = place;
    o->counts[place]++;
    if (place == OUTLET_IDLE)
        TAILQ_INSERT_HEAD(&o->places[place], x, next);
    else
        TAILQ_INSERT_TAIL(&o->places[place], x, next);
}

static void forget_age(struct outlet *o, struct sender *x)
{
    if (x->in_ages)
        TAILQ_REMOVE(&o->ages, x, by_age);
    x->in_ages = false;
}

static void end_session(struct outlet *o, struct sender *x)
{
    if (x->state == SENDER_CONNECTING)
        sender_abort(x);
    else
        sender_quit(x);
    move(o, x, OUTLET_ENDING);
}

static bool is_spent(const struct sender *x)
{
    return x->retired || x->jobs >= x->relay->jobs_per_connection;
}

static enum outlet_place place_of(const struct sender *x)
{
    switch (x->state) {
    case SENDER_CONNECTING:
        return OUTLET_CONNECTING;
    case SENDER_ENDING:
        return OUTLET_ENDING;
    case SENDER_OPEN:
        break;
    }
    if (sender_room(x) == 0)
        return OUTLET_FULL;
    return sender_is_idle(x) ? OUTLET_IDLE : OUTLET_ROOMY;
}

/* To where it belongs; ends it if it is of no more use. */
static void settle_in(struct outlet *o, struct sender *x)
{
    enum outlet_place place = place_of(x);
    if (x->place == OUTLET_CONNECTING && place != OUTLET_CONNECTING &&
        place != OUTLET_ENDING && o->relay->connection_age_ms > 0) {
        TAILQ_INSERT_TAIL(&o->ages, x, by_age);
        x->in_ages = true;
    }
    if (x->place != place)
        move(o, x, place);
    if (sender_is_done(x) &&
        (o->draining || is_spent(x) ||
         (!x->pass.breaker.probe && mode_of(o, mono_ms(o)) != RELAY_READY)))
        end_session(o, x);
}

static bool may_open(const struct outlet *o, int64_t now_ms)
{
    return !o->draining && o->sessions < o->share &&
           relay_state_may_ask(o->env->states, o->relay_index, now_ms);
}

static bool open_session(struct outlet *o, int64_t now_ms);

/* ---- who carries what ---- */

static struct sender *idle_one(const struct outlet *o, bool ready, bool fresh)
{
    struct sender *x;
    TAILQ_FOREACH (x, &o->places[OUTLET_IDLE], next)
        /* One that began before the relay was shut must not join its probe. */
        if ((ready || x->pass.breaker.probe) && (!fresh || x->jobs == 0) &&
            sender_room(x) > 0)
            return x;
    return NULL;
}

static struct sender *roomy_one(const struct outlet *o)
{
    struct sender *x;
    TAILQ_FOREACH (x, &o->places[OUTLET_ROOMY], next)
        if (sender_room(x) > 0)
            return x;
    return NULL;
}

/* Whether it takes the room of a session at work: else it waits for its own. */
static bool takes_room(const struct outlet *o, const struct errand *e,
                       int64_t now_ms)
{
    return !wants_fresh(e) && !may_open(o, now_ms) &&
           (o->waiting_count > o->counts[OUTLET_CONNECTING] ||
            now_ms - e->since_ms >= CONNECT_PATIENCE_MS);
}

static struct sender *session_for(const struct outlet *o,
                                  const struct errand *e, bool ready,
                                  int64_t now_ms)
{
    struct sender *x = idle_one(o, ready, wants_fresh(e));
    if (x == NULL && ready && takes_room(o, e, now_ms))
        x = roomy_one(o);
    return x;
}

/*
 * A token is for now: those of jobs that waited for a session go back, where no
 * more than the burst is kept.
 */
static void renew_tokens(struct outlet *o, int64_t now_ms)
{
    struct errand *e;
    TAILQ_FOREACH (e, &o->waiting, next)
        if (e->token_ms < now_ms)
            errand_return_token(e, now_ms);
    TAILQ_FOREACH (e, &o->waiting, next)
        if (!errand_take_token(e, now_ms))
            return;
}

/* False: there are sessions, but no token for the next job. */
static bool hand_out(struct outlet *o, bool ready, int64_t now_ms)
{
    struct errand *next;
    bool none = false; /* that takes any job */
    for (struct errand *e = TAILQ_FIRST(&o->waiting); e != NULL; e = next) {
        next = TAILQ_NEXT(e, next);
        if (none && !wants_fresh(e))
            continue;
        struct sender *x = session_for(o, e, ready, now_ms);
        if (x == NULL) {
            none = none || !wants_fresh(e);
            continue;
        }
        if (!errand_take_token(e, now_ms))
            return false;
        remove_waiting(o, e);
        sender_carry(x, e);
        /* Behind the others with room: they take turns. */
        if (x->place == OUTLET_ROOMY)
            move(o, x, OUTLET_ROOMY);
        settle_in(o, x);
    }
    return true;
}

/*
 * How many jobs may wait: one for each session that connects, and if it is a
 * token that they wait for, one for each that could take one.
 */
static size_t keep_count(const struct outlet *o, bool has_tokens)
{
    size_t keep = o->counts[OUTLET_CONNECTING];
    if (!has_tokens)
        keep += o->counts[OUTLET_IDLE] + o->counts[OUTLET_ROOMY];
    return keep;
}

/* Gives work to sessions, and opens some for what is left. */
static void serve(struct outlet *o, int64_t now_ms)
{
    enum relay_mode mode = mode_of(o, now_ms);
    bool ready = mode == RELAY_READY;
    o->starved = false;
    if (o->waiting_count == 0)
        return;
    if (o->draining || (!ready && mode != RELAY_TRIAL)) {
        give_back_all(o);
        return;
    }
    renew_tokens(o, now_ms);
    bool has_tokens = hand_out(o, ready, now_ms);
    if (!ready) {
        give_back_all(o);
        return;
    }
    while (has_tokens && o->waiting_count > o->counts[OUTLET_CONNECTING] &&
           open_session(o, now_ms))
        ;
    give_back_beyond(o, keep_count(o, has_tokens));
    o->starved = !has_tokens;
}

static void on_changed(void *ctx, struct sender *x)
{
    struct outlet *o = ctx;
    settle_in(o, x);
    serve(o, mono_ms(o));
}

static void on_returned(void *ctx, struct errand *e)
{
    struct outlet *o = ctx;
    TAILQ_INSERT_HEAD(&o->waiting, e, next);
    o->waiting_count++;
}

static void on_gone(void *ctx, struct sender *x)
{
    struct outlet *o = ctx;
    forget_age(o, x);
    TAILQ_REMOVE(&o->places[x->place], x, next);
    o->counts[x->place]--;
    o->sessions--;
    serve(o, mono_ms(o));
}

static const struct sender_events sender_events = {
    .changed = on_changed,
    .returned = on_returned,
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
    x->place = OUTLET_CONNECTING;
    TAILQ_INSERT_TAIL(&o->places[OUTLET_CONNECTING], x, next);
    o->counts[OUTLET_CONNECTING]++;
    o->sessions++;
    return true;
}

/* ---- for the worker ---- */

bool outlet_wants(struct outlet *o, int64_t now_ms)
{
    enum relay_mode mode = mode_of(o, now_ms);
    o->look_ms = INT64_MAX;
    if (o->draining || o->share == 0)
        return false;
    if (mode != RELAY_READY && mode != RELAY_TRIAL)
        return true; /* to give it back */
    int64_t wait_ms = relay_rate_wait_ms(o->env->rates, o->relay_index, now_ms);
    if (o->starved || wait_ms > 0) {
        /* Another worker may have given one back just now. */
        o->look_ms = now_ms + (wait_ms > 0 ? wait_ms : 1);
        return false;
    }
    if (mode == RELAY_TRIAL)
        return idle_one(o, false, false) != NULL;
    /* Nobody tells when a crowded relay may be asked for one more. */
    if (o->sessions < o->share && !may_open(o, now_ms))
        o->look_ms = now_ms + CROWDED_LOOK_MS;
    return o->counts[OUTLET_CONNECTING] > o->waiting_count ||
           idle_one(o, true, false) != NULL || may_open(o, now_ms) ||
           roomy_one(o) != NULL;
}

void outlet_take(struct outlet *o, struct claim *claim, int64_t now_ms)
{
    struct errand *e = errand_new(o->env, o->relay, o->relay_index, claim);
    /* So that no more are wanted than there are tokens for. */
    (void)errand_take_token(e, now_ms);
    TAILQ_INSERT_TAIL(&o->waiting, e, next);
    o->waiting_count++;
    serve(o, now_ms);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t end_tired(struct outlet *o, int64_t now_ms)
{
    struct sender *x;
    while ((x = TAILQ_LAST(&o->places[OUTLET_IDLE], sender_list)) != NULL) {
        int64_t until_ms = x->idle_since_ms + o->relay->idle_timeout_ms;
        if (now_ms < until_ms)
            return until_ms;
        /* The spool has not answered, or it waits for its first job. */
        if (!sender_is_done(x) || x->pass.breaker.probe)
            break;
        end_session(o, x);
    }
    return INT64_MAX;
}

static int64_t end_old(struct outlet *o, int64_t now_ms)
{
    struct sender *x;
    while ((x = TAILQ_FIRST(&o->ages)) != NULL) {
        int64_t until_ms = x->open_ms + o->relay->connection_age_ms;
        if (now_ms < until_ms)
            return until_ms;
        forget_age(o, x);
        sender_retire(x);
        if (x->place != OUTLET_ENDING)
            settle_in(o, x);
    }
    return INT64_MAX;
}

static void end_idle(struct outlet *o, bool probe_too)
{
    struct sender *next;
    for (struct sender *x = TAILQ_FIRST(&o->places[OUTLET_IDLE]); x != NULL;
         x = next) {
        next = TAILQ_NEXT(x, next);
        if (sender_is_done(x) && (probe_too || !x->pass.breaker.probe))
            end_session(o, x);
    }
}

static void end_connecting(struct outlet *o, bool probe_too)
{
    struct sender *next;
    for (struct sender *x = TAILQ_FIRST(&o->places[OUTLET_CONNECTING]);
         x != NULL; x = next) {
        next = TAILQ_NEXT(x, next);
        if (probe_too || !x->pass.breaker.probe)
            end_session(o, x);
    }
}

/* The relay lets us in, and has had no job to show more. */
static int64_t end_trial(struct outlet *o, int64_t now_ms)
{
    struct sender *x = idle_one(o, false, false);
    if (x == NULL)
        return INT64_MAX;
    if (now_ms < x->open_ms + TRIAL_MS)
        return x->open_ms + TRIAL_MS;
    relay_state_worked(o->env->states, o->relay_index, now_ms, &x->pass);
    return INT64_MAX;
}

static int64_t tick_shut(struct outlet *o, int64_t now_ms)
{
    int64_t until_ms = INT64_MAX;
    enum relay_mode mode =
        relay_state_mode(o->env->states, o->relay_index, now_ms, &until_ms);
    if (mode == RELAY_READY)
        return INT64_MAX;
    end_connecting(o, false);
    end_idle(o, false);
    if (mode == RELAY_HALF_OPEN)
        (void)open_session(o, now_ms);
    return mode == RELAY_TRIAL ? end_trial(o, now_ms) : until_ms;
}

/* Ends what waits for too long; returns when that is, or patience ends. */
static int64_t end_waiting(struct outlet *o, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    struct errand *next;
    for (struct errand *e = TAILQ_FIRST(&o->waiting); e != NULL; e = next) {
        next = TAILQ_NEXT(e, next);
        int64_t wait_ms = wants_fresh(e) ? FRESH_WAIT_MS : CONNECT_PATIENCE_MS;
        if (e->since_ms + wait_ms > now_ms)
            next_ms = earlier(next_ms, e->since_ms + wait_ms);
        else if (wants_fresh(e))
            give_back(o, e);
    }
    return next_ms;
}

int64_t outlet_tick(struct outlet *o, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    if (o->share == 0)
        return next_ms;
    next_ms = earlier(next_ms, tick_shut(o, now_ms));
    next_ms = earlier(next_ms, end_old(o, now_ms));
    next_ms = earlier(next_ms, end_tired(o, now_ms));
    if (o->waiting_count > 0) {
        next_ms = earlier(next_ms, end_waiting(o, now_ms));
        serve(o, now_ms);
    }
    return next_ms;
}

void outlet_drain(struct outlet *o)
{
    o->draining = true;
    end_connecting(o, true);
    end_idle(o, true);
    give_back_all(o);
}

void outlet_abort(struct outlet *o)
{
    struct sender *x;
    outlet_drain(o);
    for (unsigned i = 0; i < OUTLET_PLACE_COUNT; i++)
        TAILQ_FOREACH (x, &o->places[i], next)
            sender_abort(x);
}
