#ifndef CONSUMER_RELAY_RATE_H
#define CONSUMER_RELAY_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"

/*
 * How fast the relays of a pool are given mails: a token bucket for each,
 * exact over all threads. A relay without a configured rate has no bucket
 * until it says "too fast".
 *
 * "Too fast" halves the rate, once a second at most (a relay without one: half
 * of what it was given lately); it then grows by steps until it is what was
 * configured, or is not needed any more. Says relay.slowed and relay.at_speed
 * in the log.
 *
 * A token is one transaction. One is taken for a job before it is given to a
 * session; further transactions of the job are charged, so that the next jobs
 * wait longer.
 *
 * Threads: any may call any function. Blocking: a short lock at most, none for
 * a relay without a bucket. Times are mono_ms of the pool's clock.
 */
struct relay_rate_limits {
    const char *name; /* borrowed */
    double per_s;     /* 0: none */
    unsigned burst;   /* tokens that may be saved up, 1.. */
};

struct relay_rates;

void relay_rates_create(struct relay_rates **out,
                        const struct relay_rate_limits *limits, size_t count);
void relay_rates_destroy(struct relay_rates *rates); /* NULL is allowed */

/* Takes a token: 0; or takes none: ms, at least 1, until there may be one. */
int64_t relay_rate_take(struct relay_rates *rates, size_t relay,
                        int64_t now_ms);

/* What relay_rate_take() would return. */
int64_t relay_rate_wait_ms(struct relay_rates *rates, size_t relay,
                           int64_t now_ms);

/* A token that was not used comes back. */
void relay_rate_give_back(struct relay_rates *rates, size_t relay,
                          int64_t now_ms);

/* One more transaction was sent without a token. */
void relay_rate_charge(struct relay_rates *rates, size_t relay, int64_t now_ms);

/*
 * The relay said "too fast" (reply, for the log). Returns for how many ms the
 * job that it was said to should wait.
 */
int64_t relay_rate_slow_down(struct relay_rates *rates, size_t relay,
                             int64_t now_ms, struct str reply);

struct relay_rate_figures {
    double per_s;      /* at present; 0: no limit */
    bool slowed;       /* below what is configured */
    int64_t throttled; /* replies that said "too fast" */
};

void relay_rate_figures(struct relay_rates *rates, size_t relay, int64_t now_ms,
                        struct relay_rate_figures *out);

#endif
