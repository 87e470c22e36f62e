#include "consumer/relay_state.h"

#include <stdatomic.h>
#include <string.h>

#include "consumer/retry.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"
#include "core/random.h"
#include "core/thread.h"

/* An answer that long before a connect began still shows that it works. */
#define WORKED_LATELY_MS 10000

struct relay_state {
    const char *name;
    struct mutex lock;
    struct breaker breaker; /* guarded by lock, as the next seven */
    int64_t open;           /* sessions asked for and not over */
    int64_t established;
    unsigned crowded_times; /* connects refused while others worked */
    int64_t crowded_limit;  /* sessions it took then */
    int64_t crowded_until_ms;
    struct random random;
    char last_error[RELAY_ERROR_MAX];
    /* When it last answered for a mail. */
    atomic_int_least64_t worked_ms;
    /* Ready and not crowded: lets the common case pass without the lock. */
    atomic_bool calm;
    atomic_int_least64_t counts[OUTCOME_COUNT];
};

struct relay_states {
    struct relay_state *items;
    size_t count;
    struct metrics *metrics;
    void (*on_change)(void *ctx);
    void *ctx;
};

void relay_states_create(struct relay_states **out,
                         const struct relay_states_options *options)
{
    struct relay_states *states;
    MEM_NEW(states);
    states->items = mem_calloc(options->count, sizeof(*states->items));
    states->count = options->count;
    states->metrics = options->metrics;
    states->on_change = options->on_change;
    states->ctx = options->ctx;
    for (size_t i = 0; i < options->count; i++) {
        struct relay_state *r = &states->items[i];
        const struct relay_limits *limits = &options->relays[i];
        r->name = limits->name;
        mutex_init(&r->lock);
        breaker_init(&r->breaker, limits->backoff_first_ms,
                     limits->backoff_longest_ms);
        atomic_init(&r->worked_ms, INT64_MIN / 2);
        random_init(&r->random, options->seed + i);
        atomic_init(&r->calm, true);
        for (size_t k = 0; k < OUTCOME_COUNT; k++)
            atomic_init(&r->counts[k], 0);
    }
    *out = states;
}

void relay_states_destroy(struct relay_states *states)
{
    if (states == NULL)
        return;
    for (size_t i = 0; i < states->count; i++)
        mutex_fini(&states->items[i].lock);
    mem_free(states->items);
    mem_free(states);
}

static struct relay_state *state_of(struct relay_states *states, size_t relay)
{
    PANIC_IF(relay >= states->count);
    return &states->items[relay];
}

static void tell_change(struct relay_states *states)
{
    if (states->on_change != NULL)
        states->on_change(states->ctx);
}

/* Lock held: after every change of breaker or crowding. */
static void note_calm(struct relay_state *r)
{
    atomic_store_explicit(
        &r->calm, r->breaker.state == BREAKER_READY && r->crowded_times == 0,
        memory_order_release);
}

static bool is_calm(struct relay_state *r)
{
    return atomic_load_explicit(&r->calm, memory_order_acquire);
}

enum relay_mode relay_state_mode(struct relay_states *states, size_t relay,
                                 int64_t now_ms, int64_t *until_ms)
{
    struct relay_state *r = state_of(states, relay);
    enum relay_mode mode = RELAY_READY;
    if (is_calm(r))
        return mode;
    mutex_lock(&r->lock);
    if (r->breaker.state == BREAKER_PROBING)
        mode = RELAY_PROBING;
    else if (r->breaker.state == BREAKER_TRIAL)
        mode = RELAY_TRIAL;
    else if (!breaker_may_ask(&r->breaker, now_ms))
        mode = RELAY_SHUT;
    else if (r->breaker.state == BREAKER_BACKING_OFF)
        mode = RELAY_HALF_OPEN;
    if (mode == RELAY_SHUT && until_ms != NULL)
        *until_ms = r->breaker.until_ms;
    mutex_unlock(&r->lock);
    return mode;
}

/* Lock held. */
static bool may_ask(const struct relay_state *r, int64_t now_ms)
{
    if (r->breaker.state == BREAKER_READY && r->crowded_times > 0 &&
        r->open >= r->crowded_limit && now_ms < r->crowded_until_ms)
        return false;
    return breaker_may_ask(&r->breaker, now_ms);
}

bool relay_state_may_ask(struct relay_states *states, size_t relay,
                         int64_t now_ms)
{
    struct relay_state *r = state_of(states, relay);
    if (is_calm(r))
        return true;
    mutex_lock(&r->lock);
    bool may = may_ask(r, now_ms);
    mutex_unlock(&r->lock);
    return may;
}

bool relay_state_ask(struct relay_states *states, size_t relay, int64_t now_ms,
                     struct relay_pass *pass)
{
    struct relay_state *r = state_of(states, relay);
    *pass = (struct relay_pass){.asked_ms = now_ms};
    mutex_lock(&r->lock);
    bool yes =
        may_ask(r, now_ms) && breaker_ask(&r->breaker, now_ms, &pass->breaker);
    if (yes)
        r->open++;
    mutex_unlock(&r->lock);
    if (yes && pass->breaker.probe)
        log_event(LOG_LEVEL_DEBUG, "relay.probing", LOG_TEXT("relay", r->name));
    return yes;
}

void relay_state_established(struct relay_states *states, size_t relay,
                             struct relay_pass *pass)
{
    struct relay_state *r = state_of(states, relay);
    pass->established = true;
    mutex_lock(&r->lock);
    r->established++;
    if (r->crowded_times > 0 && r->established > r->crowded_limit) {
        r->crowded_times = 0;
        note_calm(r);
    }
    bool on_trial = breaker_is_idle(&r->breaker, &pass->breaker);
    mutex_unlock(&r->lock);
    metrics_add(states->metrics, METRIC_SESSIONS_OPEN, 1);
    metrics_add(states->metrics, METRIC_SESSIONS_OPENED, 1);
    if (on_trial)
        tell_change(states);
}

static void move_probe(struct relay_states *states, size_t relay,
                       const struct relay_pass *pass,
                       bool (*move)(struct breaker *b,
                                    const struct breaker_pass *pass))
{
    struct relay_state *r = state_of(states, relay);
    if (!pass->breaker.probe)
        return;
    mutex_lock(&r->lock);
    bool moved = move(&r->breaker, &pass->breaker);
    mutex_unlock(&r->lock);
    if (moved)
        tell_change(states);
}

void relay_state_carries(struct relay_states *states, size_t relay,
                         struct relay_pass *pass)
{
    move_probe(states, relay, pass, breaker_carries);
}

void relay_state_is_idle(struct relay_states *states, size_t relay,
                         struct relay_pass *pass)
{
    move_probe(states, relay, pass, breaker_is_idle);
}

static void say_ready(struct relay_states *states, struct relay_state *r)
{
    log_event(LOG_LEVEL_INFO, "relay.ready", LOG_TEXT("relay", r->name));
    tell_change(states);
}

void relay_state_worked(struct relay_states *states, size_t relay,
                        int64_t now_ms, struct relay_pass *pass)
{
    struct relay_state *r = state_of(states, relay);
    atomic_store_explicit(&r->worked_ms, now_ms, memory_order_relaxed);
    if (!pass->breaker.probe)
        return;
    mutex_lock(&r->lock);
    bool closed = breaker_worked(&r->breaker, &pass->breaker);
    note_calm(r);
    mutex_unlock(&r->lock);
    if (closed)
        say_ready(states, r);
}

/* Lock held. */
static void forget_session(struct relay_states *states, struct relay_state *r,
                           struct relay_pass *pass)
{
    r->open--;
    if (!pass->established)
        return;
    r->established--;
    pass->established = false;
    metrics_add(states->metrics, METRIC_SESSIONS_OPEN, -1);
}

/* Lock held. */
static void keep_error(struct relay_state *r, struct str error)
{
    size_t len = error.len;
    if (len >= sizeof(r->last_error)) {
        len = sizeof(r->last_error) - 1;
        /* Not in the middle of a character. */
        while (len > 0 && ((unsigned char)error.data[len] & 0xC0U) == 0x80U)
            len--;
    }
    if (len > 0)
        memcpy(r->last_error, error.data, len);
    r->last_error[len] = '\0';
}

/* Lock held. Whether others of its sessions work while this one could not. */
static bool is_crowded(struct relay_state *r, const struct relay_pass *pass)
{
    return r->breaker.state == BREAKER_READY && !pass->established &&
           r->established > 0 &&
           atomic_load_explicit(&r->worked_ms, memory_order_relaxed) >=
               pass->asked_ms - WORKED_LATELY_MS;
}

/* Lock held. True: it did, for the first time in this pause. */
static bool stop_growing(struct relay_state *r, int64_t now_ms)
{
    struct retry_policy policy = {
        .first_ms = r->breaker.first_ms,
        .factor = 2.0,
        .longest_ms = r->breaker.longest_ms,
        .jitter = 0.2,
    };
    /* Several that were refused together count once. */
    if (r->crowded_times > 0 && now_ms < r->crowded_until_ms)
        return false;
    if (r->crowded_times < UINT32_MAX)
        r->crowded_times++;
    r->crowded_limit = r->established;
    r->crowded_until_ms = now_ms + retry_pause_ms(&policy, r->crowded_times,
                                                  random_unit(&r->random));
    return true;
}

void relay_state_failed(struct relay_states *states, size_t relay,
                        int64_t now_ms, struct relay_pass *pass,
                        struct str error)
{
    struct relay_state *r = state_of(states, relay);
    bool opened = false;
    bool stopped = false;
    mutex_lock(&r->lock);
    keep_error(r, error);
    if (is_crowded(r, pass))
        stopped = stop_growing(r, now_ms);
    else
        opened = breaker_failed(&r->breaker, &pass->breaker, now_ms,
                                random_unit(&r->random));
    if (opened)
        r->crowded_times = 0;
    forget_session(states, r, pass);
    note_calm(r);
    int64_t pause = r->breaker.until_ms - now_ms;
    int64_t established = r->established;
    mutex_unlock(&r->lock);
    metrics_add(states->metrics, METRIC_SESSIONS_FAILED, 1);
    if (stopped)
        log_event(LOG_LEVEL_INFO, "relay.crowded", LOG_TEXT("relay", r->name),
                  LOG_INT("sessions", established), LOG_STR("error", error));
    if (!opened)
        return;
    log_event(LOG_LEVEL_WARNING, "relay.backing_off",
              LOG_TEXT("relay", r->name), LOG_INT("retry_in_ms", pause),
              LOG_STR("error", error));
    tell_change(states);
}

static void end_session(struct relay_states *states, size_t relay,
                        int64_t now_ms, struct relay_pass *pass,
                        const struct str *error)
{
    struct relay_state *r = state_of(states, relay);
    mutex_lock(&r->lock);
    if (error != NULL) {
        keep_error(r, *error);
        /* One that broke did not just have nothing to do. */
        (void)breaker_carries(&r->breaker, &pass->breaker);
    }
    bool returned = breaker_returned(&r->breaker, &pass->breaker, now_ms);
    bool ready = r->breaker.state == BREAKER_READY;
    forget_session(states, r, pass);
    note_calm(r);
    mutex_unlock(&r->lock);
    if (returned && ready)
        say_ready(states, r);
    else if (returned)
        tell_change(states);
}

void relay_state_lost(struct relay_states *states, size_t relay, int64_t now_ms,
                      struct relay_pass *pass, struct str error)
{
    metrics_add(states->metrics, METRIC_SESSIONS_LOST, 1);
    end_session(states, relay, now_ms, pass, &error);
}

void relay_state_closed(struct relay_states *states, size_t relay,
                        int64_t now_ms, struct relay_pass *pass)
{
    end_session(states, relay, now_ms, pass, NULL);
}

void relay_state_count(struct relay_states *states, size_t relay,
                       const size_t counts[OUTCOME_COUNT])
{
    static const struct {
        enum outcome outcome;
        enum metric metric;
    } counted[] = {
        {OUTCOME_DELIVERED, METRIC_RECIPIENTS_DELIVERED},
        {OUTCOME_DEFERRED, METRIC_RECIPIENTS_DEFERRED},
        {OUTCOME_REJECTED, METRIC_RECIPIENTS_REJECTED},
        {OUTCOME_UNKNOWN, METRIC_RECIPIENTS_UNKNOWN},
        {OUTCOME_THROTTLED, METRIC_RECIPIENTS_THROTTLED},
    };
    struct relay_state *r = state_of(states, relay);
    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        size_t count = counts[counted[i].outcome];
        if (count == 0)
            continue;
        atomic_fetch_add_explicit(&r->counts[counted[i].outcome],
                                  (int64_t)count, memory_order_relaxed);
        metrics_add(states->metrics, counted[i].metric, (int64_t)count);
    }
}

void relay_state_last_error(struct relay_states *states, size_t relay,
                            char out[RELAY_ERROR_MAX])
{
    struct relay_state *r = state_of(states, relay);
    mutex_lock(&r->lock);
    memcpy(out, r->last_error, RELAY_ERROR_MAX);
    mutex_unlock(&r->lock);
}

const char *relay_state_name(const struct relay_states *states, size_t relay)
{
    PANIC_IF(relay >= states->count);
    return states->items[relay].name;
}

static int64_t count_of(struct relay_state *r, enum outcome outcome)
{
    return atomic_load_explicit(&r->counts[outcome], memory_order_relaxed);
}

void relay_state_figures(struct relay_states *states, size_t relay,
                         int64_t now_ms, struct relay_figures *out)
{
    struct relay_state *r = state_of(states, relay);
    mutex_lock(&r->lock);
    const struct breaker *b = &r->breaker;
    *out = (struct relay_figures){
        .state = breaker_state_name(b->state),
        .sessions = r->established,
    };
    if (b->state == BREAKER_BACKING_OFF && b->until_ms > now_ms)
        out->retry_in_ms = b->until_ms - now_ms;
    if (b->state != BREAKER_READY)
        memcpy(out->last_error, r->last_error, RELAY_ERROR_MAX);
    mutex_unlock(&r->lock);
    out->delivered = count_of(r, OUTCOME_DELIVERED);
    out->deferred = count_of(r, OUTCOME_DEFERRED);
    out->rejected = count_of(r, OUTCOME_REJECTED);
    out->unknown = count_of(r, OUTCOME_UNKNOWN);
}
