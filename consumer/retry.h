#ifndef CONSUMER_RETRY_H
#define CONSUMER_RETRY_H

#include <stdint.h>

/* When to try again. Pure. */
struct retry_policy {
    int64_t first_ms;
    double factor;
    int64_t longest_ms;
    double jitter; /* 0..1: this part more or less */
};

/*
 * Pause in ms after the given attempt (from 1): first * factor^(attempt-1),
 * at most longest, then times 1 - jitter .. 1 + jitter by unit (0 <= unit <
 * 1, uniform), and never longer than longest. At least 1.
 */
int64_t retry_pause_ms(const struct retry_policy *policy, unsigned attempt,
                       double unit);

#endif
