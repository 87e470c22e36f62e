#ifndef SMTP_TRANSACTION_H
#define SMTP_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtp/command.h"
#include "smtp/content.h"
#include "smtp/outcome.h"
#include "smtp/reply.h"
#include "smtp/session.h"

/*
 * One mail's way through a session: what of it is to be written next, and
 * which recipients are decided and how. Pure. A recipient is decided once;
 * the first word on it stands.
 *
 * Steps, each with what is to be written at it:
 *
 *   BEGIN -> [RSET] -> MAIL -> RCPT... -> DATA -> GO -> BODY ------> DONE
 *                                          |       |               ^  ^
 *                                          |       +--> DOT -------+  |
 *                                          +-> BODY --> [TAIL] -------+
 *   GO    nothing: DATA's reply decides
 *   DOT   the end of a message that has no recipient
 *   TAIL  nothing: the end of a large body is on its way (BDAT)
 *   DONE  nothing more; also from RCPT, DATA and GO when all are decided
 */
enum smtp_step {
    SMTP_STEP_BEGIN,
    SMTP_STEP_RSET,
    SMTP_STEP_MAIL,
    SMTP_STEP_RCPT,
    SMTP_STEP_DATA,
    SMTP_STEP_GO,
    SMTP_STEP_BODY,
    SMTP_STEP_DOT,
    SMTP_STEP_TAIL,
    SMTP_STEP_DONE,
    SMTP_STEP_COUNT
};

/* Of smtp_transaction.end */
#define SMTP_TRANSACTION_NO_END UINT64_MAX

struct smtp_transaction {
    const struct smtp_mail *mail;          /* borrowed */
    struct smtp_recipient_result *results; /* kept from mail to mail */
    size_t capacity;
    size_t undecided;
    size_t accepted; /* RCPTs that were */
    size_t next;     /* the first recipient whose RCPT was not written */
    size_t owed;     /* replies to its commands that have not come */
    enum smtp_step step;
    bool reused;         /* the session carried a mail before it */
    bool waits_for_rset; /* MAIL does */
    uint64_t end; /* the place in the stream behind its message's last byte */
    struct smtp_command_mail command;
    struct smtp_content content;
    /*
     * A word on the whole message that came when its last byte was written
     * already: it stands for all that are not decided, unless the relay
     * confirms the message after all, or may have taken it (it is silent, and
     * that word was no 421).
     */
    enum outcome fallback; /* NONE: none */
    struct smtp_reply fallback_reply;
};

void smtp_transaction_init(struct smtp_transaction *t);
void smtp_transaction_fini(struct smtp_transaction *t);

/* mail must have a recipient. */
void smtp_transaction_begin(struct smtp_transaction *t,
                            const struct smtp_mail *mail);

/* Decides one, or all that are not decided. outcome is not NONE. */
void smtp_transaction_decide(struct smtp_transaction *t, size_t recipient,
                             enum outcome outcome,
                             const struct smtp_reply *reply);
void smtp_transaction_decide_rest(struct smtp_transaction *t,
                                  enum outcome outcome,
                                  const struct smtp_reply *reply);

/* What a reply at that stage (to that recipient's RCPT) does to the mail. */
struct smtp_transaction_event {
    enum smtp_stage stage;
    size_t recipient; /* of RCPT */
    bool positive;    /* a reply that lets the dialogue go on */
};

void smtp_transaction_apply(struct smtp_transaction *t,
                            const struct smtp_transaction_event *event,
                            const struct outcome_verdict *verdict,
                            const struct smtp_reply *reply);

/* The next recipient to write RCPT for; false when there is none. */
bool smtp_transaction_next(struct smtp_transaction *t, size_t *recipient);

/* Whether its last byte is before that place in the stream. */
static inline bool smtp_transaction_is_sent(const struct smtp_transaction *t,
                                            uint64_t accepted)
{
    return t->end <= accepted;
}

/* Its result can be told. */
static inline bool smtp_transaction_is_over(const struct smtp_transaction *t)
{
    return t->step == SMTP_STEP_DONE && t->owed == 0 && t->undecided == 0;
}

#endif
