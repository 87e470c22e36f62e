#ifndef TESTS_UNIT_SMTP_CHAOS_MODEL_H
#define TESTS_UNIT_SMTP_CHAOS_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/unit/smtp/chaos_plan.h"
#include "tests/unit/smtp/chaos_record.h"

/*
 * What must have come out of a run, told from its record alone, afterwards,
 * with all that was said on both sides before it. The rules are those of
 * smtp/outcome.h and smtp/session.h in other words:
 *
 *   the n-th reply is for the n-th command, if that had left in full when the
 *   reply began to come; else nothing fits any more, and that is the end;
 *   at the end, a message of which every byte was taken is unknown if nothing
 *   was said about it, the mail whose turn it was to be answered is deferred
 *   (untried if it had not begun), and those behind it are untried.
 *
 * One outcome is right, but where the record cannot tell what the session was
 * about to say: bytes that it composed and the connection did not take. Then
 * the mail at the front may be seen at one step or the next.
 */
#define CHAOS_BIT(outcome) (1U << (outcome))

/* Words of our own (CHAOS_NONE), or a reply's: the record cannot tell. */
#define CHAOS_ANY (SIZE_MAX - 1)

struct chaos_recipient {
    unsigned allowed; /* CHAOS_BITs; 0: not decided yet */
    size_t reply;     /* that decided it; or CHAOS_NONE, CHAOS_ANY */
    size_t since;     /* the reply with which that was so; or CHAOS_NONE */
};

struct chaos_expected {
    struct chaos_recipient of[CHAOS_RECIPIENTS];
    bool asked[CHAOS_RECIPIENTS]; /* RCPT was said */
    size_t accepted;              /* RCPTs so far */
    size_t again_by;              /* the reply that wants another transaction */
    unsigned left_out; /* words on all, but for those not asked for by then */
    bool mail_answered;
    bool message_begun; /* DATA or the chunk was said in full */
    size_t final;       /* its command; CHAOS_NONE: it was not sent in full */
    unsigned word;      /* on the whole mail, while its message was under
                         * way: stands unless the relay takes it after all */
    size_t word_by;
};

struct chaos_model {
    const struct chaos_plan *plan;
    const struct chaos_record *record;
    struct chaos_expected mails[CHAOS_MAILS];
    size_t first;                      /* the first mail that was said */
    size_t next;                       /* the first command without its reply */
    uint64_t answered[CHAOS_COMMANDS]; /* the end of the reply to each */
    bool ending;           /* the relay ended it: nothing more is said */
    uint64_t ending_taken; /* what had been, by then */
    size_t now;            /* the reply being looked at */
    bool over;
    bool silence; /* what came last was no reply */
    bool relay_failed;
    bool may_have_failed; /* it cannot be told */
};

void chaos_model_run(struct chaos_model *m, const struct chaos_plan *plan,
                     const struct chaos_record *record);

#endif
