#ifndef SMTP_TRANSACTION_H
#define SMTP_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>

#include "smtp/outcome.h"
#include "smtp/reply.h"
#include "smtp/session.h"

/*
 * One mail's way through a session: which recipients are decided and how.
 * Pure. A recipient is decided once; the first word on it stands.
 */
struct smtp_transaction {
    const struct smtp_mail *mail;          /* borrowed; NULL: none under way */
    struct smtp_recipient_result *results; /* kept from mail to mail */
    size_t capacity;
    size_t undecided;
    size_t accepted; /* RCPTs that were */
    size_t next;     /* the first recipient whose RCPT was not sent */
    bool open;       /* the relay holds a transaction: RSET before the next */
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

/* The next recipient to send RCPT for; false when there is none. */
bool smtp_transaction_next(struct smtp_transaction *t, size_t *recipient);

#endif
