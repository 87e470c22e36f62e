#ifndef CONSUMER_SENDER_H
#define CONSUMER_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "consumer/attempt.h"
#include "consumer/pool.h"
#include "consumer/relay_state.h"
#include "core/clock.h"
#include "core/mailbox.h"
#include "core/metrics.h"
#include "core/random.h"
#include "queue/claim.h"
#include "queue/spool.h"
#include "smtp/session.h"

/*
 * One session to a relay, and the job it carries at the moment: starts the
 * claim, sends its transactions, settles it.
 *
 *                ready              carry
 *   CONNECTING ────────> IDLE <──────────────> BUSY <───┐
 *        │                │ ^     given back    │       │
 *        │          carry v │ not recorded      │       │ recorded
 *        │               MARKING ───────────────┼───────┘
 *        │                │                     v
 *        │                │    IDLE <─────── SETTLING
 *        │                │         answered    │
 *        └────────────────┴────> ENDING <───────┘   then gone()
 *
 * MARKING is for jobs with on_unknown "hold": the spool records that their
 * message is about to leave before it does.
 *
 * SETTLING: the spool has not answered yet for the last
 * SENDER_UNSETTLED_MAX jobs, and the session waits until it did for one, so
 * that a crash can double no more than so many mails for each session.
 *
 * Threads: its worker's only. Nothing blocks.
 */
enum sender_state {
    SENDER_CONNECTING,
    SENDER_IDLE,
    SENDER_MARKING,
    SENDER_BUSY,
    SENDER_SETTLING,
    SENDER_ENDING, /* on its way out; may still have a claim to settle */
};

struct sender_mark;
struct sender_record;
TAILQ_HEAD(sender_records, sender_record);

#define SENDER_UNSETTLED_MAX 4

/* What the senders of one worker share. Borrowed. */
struct sender_env {
    struct smtp_engine *engine;
    struct spool *spool;
    struct relay_states *states;
    struct metrics *metrics;
    const struct clock *clock;
    const struct retry_policy *retry;
    struct random random;
    struct mailbox marks; /* the spool's answers, for sender_take_marks() */
    size_t marking;       /* those under way */
};

struct sender;

struct sender_events {
    /* It is connected; idle follows. */
    void (*ready)(void *ctx, struct sender *x);
    /* It became idle: connected, or done with a job. */
    void (*idle)(void *ctx, struct sender *x);
    /*
     * Last callback, x is freed when it returns. Its state is what it was in
     * when the session broke, ENDING if its end was on its way.
     */
    void (*gone)(void *ctx, struct sender *x);
};

TAILQ_HEAD(sender_list, sender);

struct sender {
    TAILQ_ENTRY(sender) next; /* the outlet's, for lists */
    struct sender_env *env;
    const struct pool_relay *relay;
    size_t relay_index;
    const struct sender_events *events;
    void *ctx;
    struct smtp_session *session;
    struct relay_pass pass;
    enum sender_state state;
    struct claim *claim;             /* while BUSY, sometimes while ENDING */
    struct sender_mark *mark;        /* while MARKING, sometimes while ENDING */
    struct sender_records unsettled; /* the spool has not answered for */
    size_t unsettled_count;
    struct attempt attempt;
    struct smtp_mail mail; /* its transaction under way */
    size_t jobs;           /* carried */
    bool relay_failed;     /* that was its end */
    int64_t idle_since_ms;
};

struct sender_options {
    struct sender_env *env;
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

/* Idle, and its connection too. */
bool sender_takes(const struct sender *x);

/*
 * Takes the claim; x must take. True: it is BUSY with it. False: there was
 * nothing to send, the claim is given back or settled, and x is as it was.
 */
bool sender_carry(struct sender *x, struct claim *claim);

/*
 * Takes what came through env->marks and goes on with it: sends, gives the
 * claim back, or is idle again. The claims of senders that are gone are given
 * back too.
 */
void sender_take_marks(struct sender_env *env);

/* Says QUIT and ends; x is IDLE. */
void sender_quit(struct sender *x);

/* Cuts it. What it carries is settled as things are. */
void sender_abort(struct sender *x);

#endif
