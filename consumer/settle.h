#ifndef CONSUMER_SETTLE_H
#define CONSUMER_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/retry.h"
#include "queue/claim.h"
#include "queue/spool.h"

/*
 * What follows from an attempt. Pure.
 *
 * If nobody was tried, that was the relay's trouble: the claim is released
 * and no attempt is counted. So it is for those whom the relay would not have
 * so fast ("throttled"), but that they wait for throttle_pause_ms. Otherwise
 * the attempt is recorded, and what has no final state yet
 *   is held, if an answer was lost and the job wants that;
 *   expires or fails, if the job's time is over;
 *   is tried again: at once if all of it was untried, after throttle_pause_ms
 *   if some was throttled and nothing deferred, else after the pause of the
 *   policy (or throttle_pause_ms, if some was throttled and that is longer).
 *
 * No attempt is planned after the job's time: the next one is then put at its
 * end, where spool_expire() settles the job before it could be claimed. The
 * times are the claim's: a person who retries a job gives it new ones.
 */
struct settle_input {
    const struct claim *claim;
    const struct retry_policy *policy;
    unsigned attempt; /* its number, from 1 */
    size_t delivered; /* recipients, as the next five */
    size_t deferred;
    size_t rejected;
    size_t unknown;
    size_t untried;
    size_t throttled;
    int64_t throttle_pause_ms; /* relay_rate_slow_down()'s, for them */
    int64_t now_ms;            /* real time */
    double unit;               /* 0 <= unit < 1, for jitter */
};

enum settle_verdict {
    SETTLE_RECORD,
    SETTLE_RELEASE,
};

struct settle_plan {
    enum settle_verdict verdict;
    enum settle_rest rest;
    int64_t next_attempt_ms; /* real time; for SETTLE_REST_RETRY, and when
                              * a released claim is due */
};

struct settle_plan settle_decide(const struct settle_input *in);

/*
 * Whether the job's time is over at now_ms: *rest is then EXPIRE or FAIL, as
 * the end that came first wants it.
 */
bool settle_is_over(const struct claim *claim, int64_t now_ms,
                    enum settle_rest *rest);

#endif
