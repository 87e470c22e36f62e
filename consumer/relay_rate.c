#include "consumer/relay_rate.h"

#include <stdatomic.h>

#include "consumer/rate.h"
#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"
#include "core/thread.h"
#include "core/timetext.h"

#define SECOND_MS      1000
#define WINDOW_SECONDS 5
#define SLOTS          8 /* a power of two over WINDOW_SECONDS */
#define RATE_TEXT_MAX  64

struct relay_rate {
    const char *name;
    /* Whether there is a bucket: most relays have none, and need no lock. */
    atomic_bool limited;
    struct mutex lock;
    struct rate rate; /* guarded by lock */
    /* Tokens given in the last seconds: the second, then 32 bits of number. */
    atomic_uint_least64_t given[SLOTS];
};

struct relay_rates {
    struct relay_rate *items;
    size_t count;
};

void relay_rates_create(struct relay_rates **out,
                        const struct relay_rate_limits *limits, size_t count)
{
    struct relay_rates *rates;
    MEM_NEW(rates);
    rates->items = mem_calloc(count, sizeof(*rates->items));
    rates->count = count;
    for (size_t i = 0; i < count; i++) {
        struct relay_rate *r = &rates->items[i];
        r->name = limits[i].name;
        rate_init(&r->rate, limits[i].per_s, limits[i].burst);
        atomic_init(&r->limited, limits[i].per_s > 0.0);
        mutex_init(&r->lock);
        for (size_t k = 0; k < SLOTS; k++)
            atomic_init(&r->given[k], 0);
    }
    *out = rates;
}

void relay_rates_destroy(struct relay_rates *rates)
{
    if (rates == NULL)
        return;
    for (size_t i = 0; i < rates->count; i++)
        mutex_fini(&rates->items[i].lock);
    mem_free(rates->items);
    mem_free(rates);
}

static struct relay_rate *rate_of(struct relay_rates *rates, size_t relay)
{
    PANIC_IF(relay >= rates->count);
    return &rates->items[relay];
}

static bool is_limited(struct relay_rate *r)
{
    return atomic_load_explicit(&r->limited, memory_order_acquire);
}

/* Counts one token, or takes one off again. */
static void count_given(struct relay_rate *r, int64_t now_ms, bool back)
{
    uint64_t second = (uint64_t)(now_ms / SECOND_MS) & UINT32_MAX;
    atomic_uint_least64_t *slot = &r->given[second % SLOTS];
    uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed);
    uint64_t next;
    do {
        uint64_t number = seen >> 32 == second ? seen & UINT32_MAX : 0;
        if (back ? number == 0 : number == UINT32_MAX)
            return;
        next = second << 32 | (back ? number - 1 : number + 1);
    } while (!atomic_compare_exchange_weak_explicit(
        slot, &seen, next, memory_order_relaxed, memory_order_relaxed));
}

/* Over the last five seconds, or less if it was given nothing before. */
static double given_per_s(struct relay_rate *r, int64_t now_ms)
{
    int64_t now = now_ms / SECOND_MS;
    int64_t first = now;
    uint64_t sum = 0;
    for (int64_t back = 0; back < WINDOW_SECONDS && back <= now; back++) {
        uint64_t second = (uint64_t)(now - back) & UINT32_MAX;
        uint64_t seen = atomic_load_explicit(&r->given[second % SLOTS],
                                             memory_order_relaxed);
        if (seen >> 32 != second || (seen & UINT32_MAX) == 0)
            continue;
        sum += seen & UINT32_MAX;
        first = now - back;
    }
    int64_t ms = now_ms - first * SECOND_MS;
    return (double)sum * SECOND_MS / (double)(ms < SECOND_MS ? SECOND_MS : ms);
}

/* What a look at the bucket brought, to be said without the lock. */
struct news {
    const char *event; /* NULL: nothing */
    double per_s;
};

static void say(const struct relay_rate *r, const struct news *news,
                struct str reply)
{
    struct buf rate;
    if (news->event == NULL)
        return;
    buf_init(&rate, RATE_TEXT_MAX);
    if (news->per_s > 0.0)
        timetext_add_rate(&rate, news->per_s);
    else
        buf_add_text(&rate, "unlimited");
    if (reply.data != NULL)
        log_event(LOG_LEVEL_WARNING, news->event, LOG_TEXT("relay", r->name),
                  LOG_STR("rate", buf_str(&rate)), LOG_STR("reply", reply));
    else
        log_event(LOG_LEVEL_INFO, news->event, LOG_TEXT("relay", r->name),
                  LOG_STR("rate", buf_str(&rate)));
    buf_fini(&rate);
}

/* Lock held, after a call that told the bucket the time. */
static struct news look(struct relay_rate *r, bool was_slowed)
{
    struct news news = {.per_s = rate_per_s(&r->rate)};
    if (was_slowed && !r->rate.slowed)
        news.event = "relay.at_speed";
    atomic_store_explicit(&r->limited, r->rate.current != 0,
                          memory_order_release);
    return news;
}

/* A call of the bucket with the lock held; says what came of it. */
static int64_t with_lock(struct relay_rate *r, int64_t now_ms,
                         int64_t (*fn)(struct rate *rate, int64_t now_ms))
{
    mutex_lock(&r->lock);
    bool was_slowed = r->rate.slowed;
    int64_t result = fn(&r->rate, now_ms);
    struct news news = look(r, was_slowed);
    mutex_unlock(&r->lock);
    say(r, &news, (struct str){NULL, 0});
    return result;
}

static int64_t give_back(struct rate *rate, int64_t now_ms)
{
    rate_give_back(rate, now_ms);
    return 0;
}

static int64_t charge(struct rate *rate, int64_t now_ms)
{
    rate_charge(rate, now_ms);
    return 0;
}

int64_t relay_rate_take(struct relay_rates *rates, size_t relay, int64_t now_ms)
{
    struct relay_rate *r = rate_of(rates, relay);
    int64_t wait_ms = is_limited(r) ? with_lock(r, now_ms, rate_take) : 0;
    if (wait_ms == 0)
        count_given(r, now_ms, false);
    return wait_ms;
}

int64_t relay_rate_wait_ms(struct relay_rates *rates, size_t relay,
                           int64_t now_ms)
{
    struct relay_rate *r = rate_of(rates, relay);
    return is_limited(r) ? with_lock(r, now_ms, rate_wait_ms) : 0;
}

void relay_rate_give_back(struct relay_rates *rates, size_t relay,
                          int64_t now_ms)
{
    struct relay_rate *r = rate_of(rates, relay);
    count_given(r, now_ms, true);
    if (is_limited(r))
        (void)with_lock(r, now_ms, give_back);
}

void relay_rate_charge(struct relay_rates *rates, size_t relay, int64_t now_ms)
{
    struct relay_rate *r = rate_of(rates, relay);
    count_given(r, now_ms, false);
    if (is_limited(r))
        (void)with_lock(r, now_ms, charge);
}

int64_t relay_rate_slow_down(struct relay_rates *rates, size_t relay,
                             int64_t now_ms, struct str reply)
{
    struct relay_rate *r = rate_of(rates, relay);
    double given = given_per_s(r, now_ms);
    mutex_lock(&r->lock);
    bool fell = rate_slow_down(&r->rate, now_ms, given);
    int64_t pause_ms = rate_pause_ms(&r->rate);
    struct news news = look(r, false);
    mutex_unlock(&r->lock);
    if (fell)
        news.event = "relay.slowed";
    say(r, &news, str_of(reply.data != NULL ? reply.data : "", reply.len));
    return pause_ms;
}

void relay_rate_figures(struct relay_rates *rates, size_t relay, int64_t now_ms,
                        struct relay_rate_figures *out)
{
    struct relay_rate *r = rate_of(rates, relay);
    mutex_lock(&r->lock);
    bool was_slowed = r->rate.slowed;
    (void)rate_wait_ms(&r->rate, now_ms);
    struct news news = look(r, was_slowed);
    *out = (struct relay_rate_figures){
        .per_s = news.per_s,
        .slowed = r->rate.slowed,
        .throttled = r->rate.complaints,
    };
    mutex_unlock(&r->lock);
    say(r, &news, (struct str){NULL, 0});
}
