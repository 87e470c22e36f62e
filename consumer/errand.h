#ifndef CONSUMER_ERRAND_H
#define CONSUMER_ERRAND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "consumer/attempt.h"
#include "consumer/pool.h"
#include "consumer/relay_rate.h"
#include "consumer/relay_state.h"
#include "core/body.h"
#include "core/clock.h"
#include "core/mailbox.h"
#include "core/metrics.h"
#include "core/random.h"
#include "core/str.h"
#include "queue/claim.h"
#include "queue/spool.h"
#include "smtp/session.h"

/*
 * A claim on its way through a worker, from the queue to the spool's answer:
 *
 *              session,     recorded            results
 *              token     ┌────────────────┐
 *   WAITING ──────────> MARKING ──────> SENDING ──────────> SETTLING ──> gone
 *      ^                     └──> gone     │ its session ended before it
 *      │                                   v
 *      └─────────────────────────────── UNTRIED ──> gone: back to the spool
 *            another session's turn
 *
 * MARKING is for jobs with on_unknown "hold": the spool records that their
 * message is about to leave before it does.
 *
 * Ownership: exactly one has it: the outlet while WAITING, else a sender; the
 * spool's answer while its sender is gone. errand_settle(), errand_release()
 * and a refusing errand_start() end it.
 *
 * Threads: its worker's only. Nothing blocks.
 */
enum errand_state {
    ERRAND_WAITING,
    ERRAND_MARKING,
    ERRAND_SENDING,
    ERRAND_UNTRIED,
    ERRAND_SETTLING,
};

struct errand;
TAILQ_HEAD(errand_list, errand);

/* What the errands, and senders, of one worker share. Borrowed. */
struct errand_env {
    struct smtp_engine *engine;
    struct spool *spool;
    struct relay_states *states;
    struct relay_rates *rates;
    struct metrics *metrics;
    const struct clock *clock;
    const struct retry_policy *retry;
    struct random random;
    struct mailbox answers;   /* the spool's: errands, by their item */
    size_t asked;             /* answers that are to come */
    struct errand_list spare; /* to be used again */
    size_t spare_count;
};

/* After all else was set; answers is its owner's. */
void errand_env_init(struct errand_env *env);
void errand_env_fini(struct errand_env *env);

struct sender;

struct errand {
    TAILQ_ENTRY(errand) next; /* its owner's, for lists */
    struct mailbox_item item;
    struct errand_env *env;
    const struct pool_relay *relay;
    size_t relay_index;
    struct sender *sender; /* NULL: none, or gone */
    struct claim *claim;   /* NULL while SETTLING */
    enum errand_state state;
    struct attempt attempt;
    struct smtp_mail mail;   /* its transaction under way */
    struct body *body_7bit;  /* NULL: none was made */
    bool converted;          /* as far as it can be */
    bool started;            /* the claim is */
    bool marked;             /* the spool has recorded it */
    bool begun;              /* its attempt; of no session: false */
    bool sent;               /* a transaction, in this attempt */
    bool has_token;          /* of the relay's rate */
    int64_t token_ms;        /* mono: since when */
    int64_t since_ms;        /* mono: WAITING since when */
    unsigned returns;        /* sessions that ended before it */
    int64_t slower_pause_ms; /* what the relay's rate wants, if throttled */
    struct err mark_err;     /* the spool's answer while MARKING */
    atomic_int asked;        /* enum errand_asked, of the answer */
};

/* WAITING. Takes the claim. */
struct errand *errand_new(struct errand_env *env,
                          const struct pool_relay *relay, size_t relay_index,
                          struct claim *claim);

/* True: it has one. */
bool errand_take_token(struct errand *e, int64_t now_ms);
void errand_return_token(struct errand *e, int64_t now_ms);

/*
 * From here on the claim cannot be cancelled. False: it was, or its time is
 * over, and e is gone.
 */
MUST_CHECK bool errand_start(struct errand *e);

/*
 * MARKING, if the job wants that and was not marked before: the answer comes
 * through env->answers. False: there is nothing to be marked.
 */
MUST_CHECK bool errand_mark(struct errand *e);

/* SENDING: its attempt begins. */
void errand_begin(struct errand *e);

/*
 * The next transaction goes to the session, which has room. False: none is
 * left.
 */
MUST_CHECK bool errand_send(struct errand *e, struct smtp_session *session);

/* What came of that transaction. */
void errand_result(struct errand *e, const struct smtp_result *result);

/* Whether the relay has said anything about it in this attempt. */
bool errand_was_answered(const struct errand *e);

/* Whether recipients are left that the session's end left untried. */
bool errand_is_untried(const struct errand *e);

/* WAITING for another session: this one ended and left all of it untried. */
void errand_return(struct errand *e);

/*
 * Records what came of it, or gives the claim back if that is nothing. note:
 * why recipients are untried, if any is; due_ms (real): when it is due if all
 * are. True: it is SETTLING, and the answer comes through env->answers. False:
 * e is gone.
 */
MUST_CHECK bool errand_settle(struct errand *e, int64_t due_ms,
                              struct str note);

/* The claim goes back untried; e is gone. due_ms: real time. */
void errand_release(struct errand *e, int64_t due_ms, struct str note);

/* The spool's answer while SETTLING was taken: e is gone. */
void errand_settled(struct errand *e);

#endif
