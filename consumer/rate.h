#ifndef CONSUMER_RATE_H
#define CONSUMER_RATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How fast one relay is given mails: a token bucket whose rate falls when the
 * relay says "too fast", and grows again. Pure: what time it is and what the
 * relay was given lately are arguments; ms, of a clock that only goes on (one
 * that went back stands still meanwhile).
 *
 * The bucket: in any T ms no more tokens are taken than T times the rate, and
 * `burst`. Counted in whole parts of a token, so that nothing is rounded up.
 *
 * "Too fast": the rate is halved, once a second at most, down to the floor
 * (1/s, or a tenth of the configured rate if that is less), the burst with it,
 * and what was saved up is lost. Without a configured rate, half of the lesser
 * of the present limit and what was given lately.
 *
 * For each second without such a word it grows by a twentieth: of the rate
 * before the last cut until that is reached, so that it stays long near what
 * the relay can take; then of itself, so that it is back soon from far down.
 * It ends at the configured rate; without one, the limit is lifted at twice
 * the most that the relay was given when it complained.
 */
struct rate {
    int64_t configured; /* parts of a token in a ms; 0: none */
    int64_t current;    /* likewise; 0: no limit */
    int64_t goal;       /* the rate before the last cut */
    int64_t peak;       /* the highest goal since it was at speed */
    int64_t burst;      /* parts, as the next two; of the configured rate */
    int64_t capacity;   /* of the current one */
    int64_t level;      /* below 0: charged and not earned yet */
    int64_t filled_ms;  /* level is as of then */
    int64_t cut_ms;
    int64_t grown_ms; /* last growth, or complaint */
    int64_t complained_ms;
    int64_t complaints; /* all there were */
    unsigned strain;    /* cuts, less what went well since */
    bool slowed;        /* below what is configured, or limited at all */
};

/* per_s: 0 for none, up to 10^6; burst: 1 to 10^5. The bucket is full. */
void rate_init(struct rate *r, double per_s, unsigned burst);

/* Takes a token: 0; or takes none: ms, at least 1, until there may be one. */
int64_t rate_take(struct rate *r, int64_t now_ms);

/* What rate_take() would return. */
int64_t rate_wait_ms(struct rate *r, int64_t now_ms);

/* A token that was taken and not used. */
void rate_give_back(struct rate *r, int64_t now_ms);

/* Takes a token whether there is one or not. */
void rate_charge(struct rate *r, int64_t now_ms);

/*
 * The relay said "too fast". given_per_s: what it was given lately, used where
 * no rate is configured. Whether the rate fell by so much that somebody should
 * know, more than a quarter.
 */
bool rate_slow_down(struct rate *r, int64_t now_ms, double given_per_s);

/*
 * How long the job should wait that was last complained about: about a second
 * after the first cut, then twice as long after each, a minute at most, and
 * half as long when twice that time went by without a complaint. Not the same
 * for one job after the other, so that they do not come back all at once.
 */
int64_t rate_pause_ms(const struct rate *r);

/* 0: no limit. As of the last call that was told the time. */
double rate_per_s(const struct rate *r);

#endif
