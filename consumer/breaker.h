#ifndef CONSUMER_BREAKER_H
#define CONSUMER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/*
 * Whether a relay may be connected to. Pure: time and chance are arguments.
 *
 *             failed (opens)            asked, now >= until
 *    READY ──────────────────> BACKING_OFF ───────────────> PROBING
 *     ^ ^                         ^   ^   failed, returned   │ │ ^
 *     │ │                         │   └──────────────────────┘ │ │ carries
 *     │ │                         │ failed             is idle │ │
 *     │ │                         └──────────────────────────┐ v │
 *     │ └────────────────────────────────────────────────── TRIAL
 *     │                     worked, returned
 *     └── worked (from PROBING)
 *
 * In PROBING and TRIAL exactly one pass is out: one session tries, all others
 * wait for what comes of it. It is opened without a mail, so that none waits
 * for a relay that says nothing. TRIAL: the relay has let it in, and it is
 * idle: one mail may be given to it, with which it is PROBING again. A trial
 * that ends because there was no mail is a relay that lets us in, and so
 * ready; unless it hangs up at once. Probes begin a second apart at least.
 *
 * Failures of sessions that began before the breaker opened say nothing new
 * and change nothing, so that a hundred sessions that fail together count
 * once.
 */
enum breaker_state {
    BREAKER_READY,
    BREAKER_BACKING_OFF,
    BREAKER_PROBING,
    BREAKER_TRIAL,
};

struct breaker {
    int64_t first_ms;
    int64_t longest_ms;
    enum breaker_state state;
    unsigned failures;   /* in a row */
    int64_t until_ms;    /* of BACKING_OFF */
    int64_t probed_ms;   /* when the last probe was asked for */
    uint64_t generation; /* times it opened */
};

/* Leave to open one session. The session shows it again at its end. */
struct breaker_pass {
    uint64_t generation;
    bool probe;
};

void breaker_init(struct breaker *b, int64_t first_ms, int64_t longest_ms);

/* Whether breaker_ask() would say yes. */
bool breaker_may_ask(const struct breaker *b, int64_t now_ms);

/* Takes a pass; false when none is given now. */
MUST_CHECK bool breaker_ask(struct breaker *b, int64_t now_ms,
                            struct breaker_pass *pass);

/*
 * The relay could not be used. True if that opened the breaker (again): it
 * backs off for first_ms, twice as long each time in a row, and a fifth more
 * or less by unit (0 <= unit < 1), at most longest_ms.
 */
bool breaker_failed(struct breaker *b, struct breaker_pass *pass,
                    int64_t now_ms, double unit);

/*
 * The session is connected and idle, or has been given a mail. True if it is
 * the probe and that is news.
 */
bool breaker_is_idle(struct breaker *b, const struct breaker_pass *pass);
bool breaker_carries(struct breaker *b, const struct breaker_pass *pass);

/* The relay did its work. True if that closed the breaker. */
bool breaker_worked(struct breaker *b, struct breaker_pass *pass);

/*
 * The session ended without having shown anything. True if it was the probe:
 * another may probe, or the breaker closed if it had been idle long enough.
 */
bool breaker_returned(struct breaker *b, struct breaker_pass *pass,
                      int64_t now_ms);

/* "ready", "backing_off"; "probing" for both that have a probe. */
const char *breaker_state_name(enum breaker_state state);

#endif
