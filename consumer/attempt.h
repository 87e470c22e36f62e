#ifndef CONSUMER_ATTEMPT_H
#define CONSUMER_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "queue/claim.h"
#include "queue/spool.h"
#include "smtp/session.h"

struct attempt_words {
    size_t at;
    size_t len;
};

/*
 * One attempt of one claim: its pending recipients go into transactions of at
 * most so many, those to be said again go into another one at once, and what
 * came of each is kept until the attempt is settled. No I/O.
 *
 * A recipient is decided (delivered, deferred, rejected, unknown), throttled or
 * untried. The first that is not decided ends the attempt: the session is of no
 * more use, or the relay wants it slower.
 *
 * Ownership: the claim is borrowed from begin until the next begin or fini.
 * An attempt can be used for any number of claims, one after the other.
 */
struct attempt {
    const struct claim *claim;
    size_t per_message;
    size_t capacity;    /* of the arrays below */
    uint32_t *todo;     /* indexes of recipients, from todo_at on */
    const char **batch; /* addresses of the transaction under way */
    size_t batch_count; /* they are todo[todo_at ..] */
    size_t todo_at;
    struct settle_recipient *decided;
    struct attempt_words *places; /* where the replies are, of each decided */
    size_t decided_count;
    size_t counts[OUTCOME_COUNT]; /* decided and throttled, by outcome */
    struct buf words;
    struct attempt_words slower; /* where the last reply "too fast" is */
    bool stopped;
};

void attempt_init(struct attempt *a);
void attempt_fini(struct attempt *a);

void attempt_begin(struct attempt *a, const struct claim *claim,
                   size_t recipients_per_message);

/*
 * The next transaction; mail->recipients stays valid until its result. False
 * when there is none: all are decided, or the attempt has stopped.
 */
bool attempt_next(struct attempt *a, struct smtp_mail *mail);

/* Whether attempt_next() would give a transaction. */
bool attempt_has_next(const struct attempt *a);

/* What came of the transaction under way. */
void attempt_result(struct attempt *a, const struct smtp_result *result);

/*
 * The transaction under way is not sent, nor any other, for a reason of ours:
 * all recipients that are left have that outcome, which decides them.
 */
void attempt_unsent(struct attempt *a, enum outcome outcome, const char *why);

/* No transaction will follow: what is not decided stays untried. */
void attempt_stop(struct attempt *a);

/* Neither decided nor throttled. */
size_t attempt_untried(const struct attempt *a);

/* What the relay said to the throttled; valid until the next result. */
struct str attempt_slower_reply(const struct attempt *a);

/*
 * The decided recipients with their replies, in the form of a settlement.
 * Valid until the next begin or fini.
 */
const struct settle_recipient *attempt_decided(struct attempt *a,
                                               size_t *count);

#endif
