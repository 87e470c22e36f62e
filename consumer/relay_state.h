#ifndef CONSUMER_RELAY_STATE_H
#define CONSUMER_RELAY_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/breaker.h"
#include "core/err.h"
#include "core/metrics.h"
#include "core/str.h"
#include "smtp/outcome.h"

/*
 * What all threads of a pool know together of its relays: which can be used,
 * how many sessions there are, what came of the mails. Says relay.backing_off
 * and relay.ready in the log.
 *
 * A relay that failed is probed without a mail:
 *
 *             failed           time is over              asked
 *    READY ────────────> SHUT ─────────────> HALF_OPEN ─────────> PROBING
 *                         ^                      ^  closed, lost   │ ^ │
 *                         │                      └─────────────────┘ │ │
 *                         │ failed                          carries  │ │
 *                         ├────────────────────────────────────── (any)│
 *                         │                                          │ v
 *    READY <─────────── worked, or closed before a mail came ──── TRIAL
 *                                             established, idle
 *
 * Only READY relays get mails, and one in TRIAL one mail: the answer for it
 * (worked) makes the relay ready.
 *
 * A connect that fails while other sessions of the relay are at work means
 * that it takes no more of them (many relays limit connections): then only
 * the number of sessions stops growing for a while and the relay stays ready.
 *
 * Threads: any may call any function. Blocking: a short lock at most; it is
 * the innermost one and no function is called with it held.
 * Times are mono_ms of the pool's clock.
 */
#define RELAY_ERROR_MAX 256

struct relay_limits {
    const char *name; /* borrowed */
    int64_t backoff_first_ms;
    int64_t backoff_longest_ms;
};

struct relay_states_options {
    const struct relay_limits *relays; /* copied */
    size_t count;
    struct metrics *metrics;
    uint64_t seed;
    /*
     * A relay became usable (READY, TRIAL) or ceased to be, or may be probed
     * again. On the thread that found out, without a lock. May be NULL.
     */
    void (*on_change)(void *ctx);
    void *ctx;
};

struct relay_states;

void relay_states_create(struct relay_states **out,
                         const struct relay_states_options *options);
void relay_states_destroy(struct relay_states *states); /* NULL is allowed */

enum relay_mode {
    RELAY_READY,
    RELAY_SHUT,      /* until *until_ms */
    RELAY_HALF_OPEN, /* that time is over: one session may probe */
    RELAY_PROBING,   /* it does: connects, or carries the one mail */
    RELAY_TRIAL,     /* it is connected and waits for that mail */
};

/* until_ms may be NULL; it is set for RELAY_SHUT only. */
enum relay_mode relay_state_mode(struct relay_states *states, size_t relay,
                                 int64_t now_ms, int64_t *until_ms);

/* One session's leave to be opened, kept until it is closed. */
struct relay_pass {
    struct breaker_pass breaker;
    int64_t asked_ms;
    bool established;
};

/* Whether relay_state_ask() would say yes. */
bool relay_state_may_ask(struct relay_states *states, size_t relay,
                         int64_t now_ms);

/*
 * True: open a session, then call exactly one of failed, lost, closed with
 * its pass at the end.
 */
MUST_CHECK bool relay_state_ask(struct relay_states *states, size_t relay,
                                int64_t now_ms, struct relay_pass *pass);

/* The session is connected and authenticated: the probe's is on TRIAL. */
void relay_state_established(struct relay_states *states, size_t relay,
                             struct relay_pass *pass);

/*
 * The session has been given a mail, or has none any more though the relay
 * answered for none (the mail's time was over, say). Of the probe both must
 * be told, so that one mail at a time is at stake; of others nothing need be.
 */
void relay_state_carries(struct relay_states *states, size_t relay,
                         struct relay_pass *pass);
void relay_state_is_idle(struct relay_states *states, size_t relay,
                         struct relay_pass *pass);

/* The relay answered for a mail on this session, whatever it said. */
void relay_state_worked(struct relay_states *states, size_t relay,
                        int64_t now_ms, struct relay_pass *pass);

/* The session is over: the relay could not be used; error says why. */
void relay_state_failed(struct relay_states *states, size_t relay,
                        int64_t now_ms, struct relay_pass *pass,
                        struct str error);

/* The session is over: it broke, which says nothing about the relay. */
void relay_state_lost(struct relay_states *states, size_t relay, int64_t now_ms,
                      struct relay_pass *pass, struct str error);

/* The session is over because we, or the relay when idle, ended it. */
void relay_state_closed(struct relay_states *states, size_t relay,
                        int64_t now_ms, struct relay_pass *pass);

/* Recipients of one attempt: counts[outcome]. */
void relay_state_count(struct relay_states *states, size_t relay,
                       const size_t counts[OUTCOME_COUNT]);

/* As it was created with. */
const char *relay_state_name(const struct relay_states *states, size_t relay);

/* The relay's last error, "" if there was none. */
void relay_state_last_error(struct relay_states *states, size_t relay,
                            char out[RELAY_ERROR_MAX]);

struct relay_figures {
    const char *state;                /* "ready", "backing_off", "probing" */
    char last_error[RELAY_ERROR_MAX]; /* "" while it is ready */
    int64_t retry_in_ms;
    int64_t sessions; /* established */
    int64_t delivered;
    int64_t deferred;
    int64_t rejected;
    int64_t unknown;
};

void relay_state_figures(struct relay_states *states, size_t relay,
                         int64_t now_ms, struct relay_figures *out);

#endif
