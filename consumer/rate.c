#include "consumer/rate.h"

/* Parts of a token: 1/h still is 277777 of them in a ms. */
#define TOKEN            INT64_C(1000000000000)
#define PER_MS(per_s)    ((per_s) * (double)(TOKEN / 1000))
#define ONE_PER_S        (TOKEN / 1000)
#define PER_S_MAX        1e6
#define SECOND_MS        1000
#define STEPS_TO_GOAL    20
#define LEAST_LEVEL      (INT64_MIN / 2)
#define STRAIN_MAX       7
#define PAUSE_MS         1000
#define PAUSE_LONGEST_MS 48000 /* before it is spread */

static int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t parts_of(double per_s)
{
    return (int64_t)PER_MS(per_s < PER_S_MAX ? per_s : PER_S_MAX);
}

/* The burst of the current rate: less when slowed, never less than one. */
static void set_capacity(struct rate *r)
{
    double capacity;
    if (r->configured == 0)
        capacity = (double)r->current * (SECOND_MS / 10.0);
    else
        capacity =
            (double)r->burst * ((double)r->current / (double)r->configured);
    r->capacity = max_of((int64_t)capacity, TOKEN);
    if (r->configured != 0)
        r->capacity = min_of(r->capacity, r->burst);
}

void rate_init(struct rate *r, double per_s, unsigned burst)
{
    *r = (struct rate){
        .configured = per_s > 0.0 ? max_of(parts_of(per_s), 1) : 0,
        .burst = (int64_t)burst * TOKEN,
    };
    r->current = r->configured;
    set_capacity(r);
    r->level = r->capacity;
}

static void refill(struct rate *r, int64_t until_ms)
{
    int64_t ms = until_ms - r->filled_ms;
    if (ms <= 0)
        return;
    r->filled_ms = until_ms;
    if (r->current == 0)
        return;
    if (ms > (r->capacity - r->level) / r->current)
        r->level = r->capacity;
    else
        r->level += ms * r->current;
}

static void grow(struct rate *r)
{
    r->current += max_of(r->goal, r->current) / STEPS_TO_GOAL;
    if (r->configured > 0 && r->current >= r->configured) {
        r->current = r->configured;
        r->slowed = false;
    } else if (r->configured == 0 && r->current >= 2 * r->peak) {
        r->current = 0;
        r->level = 0;
        r->slowed = false;
    }
    set_capacity(r);
}

/* Some hundred turns at most: it grows by a twentieth in each. */
static void advance(struct rate *r, int64_t now_ms)
{
    while (r->slowed && now_ms - r->grown_ms >= SECOND_MS) {
        r->grown_ms += SECOND_MS;
        refill(r, r->grown_ms);
        grow(r);
    }
    refill(r, now_ms);
}

int64_t rate_wait_ms(struct rate *r, int64_t now_ms)
{
    advance(r, now_ms);
    if (r->current == 0 || r->level >= TOKEN)
        return 0;
    int64_t lacking = TOKEN - r->level;
    return lacking / r->current + (lacking % r->current > 0 ? 1 : 0);
}

int64_t rate_take(struct rate *r, int64_t now_ms)
{
    int64_t wait_ms = rate_wait_ms(r, now_ms);
    if (wait_ms == 0 && r->current != 0)
        r->level -= TOKEN;
    return wait_ms;
}

void rate_give_back(struct rate *r, int64_t now_ms)
{
    advance(r, now_ms);
    if (r->current != 0)
        r->level = min_of(r->level + TOKEN, r->capacity);
}

void rate_charge(struct rate *r, int64_t now_ms)
{
    advance(r, now_ms);
    if (r->current != 0)
        r->level = max_of(r->level - TOKEN, LEAST_LEVEL);
}

static int64_t floor_of(const struct rate *r)
{
    if (r->configured == 0)
        return ONE_PER_S;
    return max_of(min_of(ONE_PER_S, r->configured / 10), 1);
}

/* For how long jobs wait, before it is spread. */
static int64_t pause_of(unsigned strain)
{
    int64_t pause = PAUSE_MS;
    for (unsigned i = 1; i < strain; i++)
        pause *= 2;
    return min_of(pause, PAUSE_LONGEST_MS);
}

/*
 * While jobs wait nobody can complain: it takes a time twice as long to say
 * that all went well.
 */
static void relax(struct rate *r, int64_t now_ms)
{
    int64_t quiet_ms = now_ms - r->complained_ms;
    while (r->strain > 0 && quiet_ms >= 2 * pause_of(r->strain)) {
        quiet_ms -= 2 * pause_of(r->strain);
        r->strain--;
    }
    r->complained_ms = now_ms;
}

/* The rate that was too fast. */
static int64_t guilty(const struct rate *r, double given_per_s)
{
    int64_t given;
    if (r->configured > 0)
        return r->current;
    given = parts_of(given_per_s);
    return r->slowed ? min_of(given, r->current) : given;
}

bool rate_slow_down(struct rate *r, int64_t now_ms, double given_per_s)
{
    advance(r, now_ms);
    relax(r, now_ms);
    bool was_slowed = r->slowed;
    int64_t before = r->current;
    int64_t floor = floor_of(r);
    r->complaints++;
    r->grown_ms = now_ms;
    if (was_slowed && now_ms - r->cut_ms < SECOND_MS)
        return false;
    r->goal = max_of(guilty(r, given_per_s), floor);
    r->peak = was_slowed ? max_of(r->peak, r->goal) : r->goal;
    r->current = max_of(r->goal / 2, floor);
    r->cut_ms = now_ms;
    r->slowed = true;
    r->level = min_of(r->level, 0);
    set_capacity(r);
    if (r->strain < STRAIN_MAX)
        r->strain++;
    return !was_slowed || r->current < before - before / 4;
}

int64_t rate_pause_ms(const struct rate *r)
{
    int64_t pause = pause_of(r->strain);
    return pause * 3 / 4 + pause * (r->complaints % 16) / 32;
}

double rate_per_s(const struct rate *r)
{
    return (double)r->current / (double)ONE_PER_S;
}
