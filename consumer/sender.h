#ifndef CONSUMER_SENDER_H
#define CONSUMER_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "consumer/errand.h"
#include "consumer/pool.h"
#include "consumer/relay_state.h"
#include "core/err.h"
#include "smtp/session.h"

/*
 * One session to a relay, and the jobs it carries at the moment: starts each,
 * sends its transactions, settles it.
 *
 *   CONNECTING ──────> OPEN ──────> ENDING ──────> gone
 *        └────────────────────────────^
 *
 * A session takes the next job while others are under way, as far as its
 * dialogue has room; but none behind a message of SENDER_LARGE_BYTES, which
 * would wait for all of it. Together with those that the spool has not answered
 * for, a session has at most
 *
 *   SENDER_UNSETTLED_MAX + 2 * (unconfirmed - 1)
 *
 * jobs: a crash can double no more mails than that for each connection.
 *
 * Jobs of a session that ended before it could try them go to other sessions,
 * if the relay itself has not failed.
 *
 * Threads: its worker's only. Nothing blocks.
 */
enum sender_state {
    SENDER_CONNECTING,
    SENDER_OPEN,
    SENDER_ENDING, /* on its way out; may still have jobs to settle */
};

#define SENDER_UNSETTLED_MAX 4U
#define SENDER_LARGE_BYTES   ((uint64_t)1 << 20)

struct sender;

/* None is called from inside a call of the functions below. */
struct sender_events {
    /* Its state, its room, or whether it has jobs, may have changed. */
    void (*changed)(void *ctx, struct sender *x);
    /*
     * The session's end left this job untried: it is the callee's. The last
     * job first; gone() follows.
     */
    void (*returned)(void *ctx, struct errand *e);
    /* Last callback, x is freed when it returns. */
    void (*gone)(void *ctx, struct sender *x);
};

TAILQ_HEAD(sender_list, sender);

struct sender {
    TAILQ_ENTRY(sender) next;   /* the outlet's, as the next three */
    TAILQ_ENTRY(sender) by_age; /* in the order they became open */
    unsigned place;
    bool in_ages;
    struct errand_env *env;
    const struct pool_relay *relay;
    size_t relay_index;
    const struct sender_events *events;
    void *ctx;
    struct smtp_session *session;
    struct relay_pass pass;
    enum sender_state state;
    struct errand_list hand; /* MARKING and SENDING, the first to go first */
    size_t hand_count;
    size_t marking;
    struct errand_list untried; /* by the session that is ending */
    struct errand_list unsettled;
    size_t unsettled_count;
    size_t jobs;       /* that it took, ever */
    bool answered;     /* the relay did, for a mail */
    bool retired;      /* takes no more */
    bool relay_failed; /* that was its end */
    int64_t open_ms;   /* mono: since when, as the next */
    int64_t idle_since_ms;
};

struct sender_options {
    struct errand_env *env;
    const struct pool_relay *relay;
    size_t relay_index;
    const struct sender_events *events;
    void *ctx;
};

/*
 * Opens a session. pass is taken, in every case. On failure the relay counts
 * as failed.
 */
MUST_CHECK enum err_code sender_open(struct sender **out,
                                     const struct sender_options *options,
                                     const struct relay_pass *pass);

/* How many jobs it takes now. */
size_t sender_room(const struct sender *x);

/* Most jobs that a session of the relay has at a time, settled or not. */
size_t sender_jobs_max(const struct pool_relay *relay);

/* Open, and nothing is under way. */
bool sender_is_idle(const struct sender *x);

/* Idle, and the spool has answered for all its jobs. */
bool sender_is_done(const struct sender *x);

/*
 * Takes the errand, WAITING; x has room. What cannot be sent ends at once,
 * and x may then be as it was.
 */
void sender_carry(struct sender *x, struct errand *e);

/*
 * Takes what came through env->answers and goes on with it: sends, gives
 * claims back, has room again.
 */
void sender_take_answers(struct errand_env *env);

/* It takes no more jobs. */
void sender_retire(struct sender *x);

/* Says QUIT and ends; x is idle. */
void sender_quit(struct sender *x);

/* Cuts it. What it carries is settled as things are. */
void sender_abort(struct sender *x);

#endif
