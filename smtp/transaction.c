#include "smtp/transaction.h"

#include "core/mem.h"
#include "core/panic.h"

/* What an ordinary mail needs is kept; a big one's memory is given back. */
#define CAPACITY_KEPT 64

void smtp_transaction_init(struct smtp_transaction *t)
{
    *t = (struct smtp_transaction){0};
}

void smtp_transaction_fini(struct smtp_transaction *t)
{
    mem_free(t->results);
    smtp_transaction_init(t);
}

static void make_room(struct smtp_transaction *t, size_t count)
{
    if (count <= t->capacity &&
        (t->capacity <= CAPACITY_KEPT || count > CAPACITY_KEPT))
        return;
    mem_free(t->results);
    t->results = mem_calloc(count, sizeof(*t->results));
    t->capacity = count;
}

void smtp_transaction_begin(struct smtp_transaction *t,
                            const struct smtp_mail *mail)
{
    PANIC_IF(mail->recipient_count == 0);
    make_room(t, mail->recipient_count);
    t->mail = mail;
    t->undecided = mail->recipient_count;
    t->accepted = 0;
    t->next = 0;
    t->owed = 0;
    t->step = SMTP_STEP_BEGIN;
    t->reused = false;
    t->waits_for_rset = false;
    t->end = SMTP_TRANSACTION_NO_END;
    t->fallback = OUTCOME_NONE;
    for (size_t i = 0; i < mail->recipient_count; i++)
        t->results[i].outcome = OUTCOME_NONE;
}

void smtp_transaction_decide(struct smtp_transaction *t, size_t recipient,
                             enum outcome outcome,
                             const struct smtp_reply *reply)
{
    PANIC_IF(recipient >= t->mail->recipient_count || outcome == OUTCOME_NONE);
    struct smtp_recipient_result *result = &t->results[recipient];
    if (result->outcome != OUTCOME_NONE)
        return;
    result->outcome = outcome;
    result->reply = *reply;
    t->undecided--;
}

void smtp_transaction_decide_rest(struct smtp_transaction *t,
                                  enum outcome outcome,
                                  const struct smtp_reply *reply)
{
    for (size_t i = 0; i < t->mail->recipient_count && t->undecided > 0; i++)
        smtp_transaction_decide(t, i, outcome, reply);
}

/* What came after the word on the whole message. */
static void apply_late(struct smtp_transaction *t,
                       const struct smtp_transaction_event *event,
                       const struct outcome_verdict *verdict,
                       const struct smtp_reply *reply)
{
    if (verdict->outcome == OUTCOME_DELIVERED)
        smtp_transaction_decide_rest(t, OUTCOME_DELIVERED, reply);
    else if (event->stage == SMTP_STAGE_RCPT && !event->positive)
        smtp_transaction_decide(t, event->recipient, t->fallback,
                                &t->fallback_reply);
    else if (!event->positive)
        smtp_transaction_decide_rest(t, t->fallback, &t->fallback_reply);
}

static void apply_to_message(struct smtp_transaction *t,
                             const struct smtp_transaction_event *event,
                             const struct outcome_verdict *verdict,
                             const struct smtp_reply *reply)
{
    bool early =
        event->stage == SMTP_STAGE_RSET || event->stage == SMTP_STAGE_RCPT;
    if (!early || t->end == SMTP_TRANSACTION_NO_END) {
        smtp_transaction_decide_rest(t, verdict->outcome, reply);
        return;
    }
    if (event->stage == SMTP_STAGE_RCPT)
        smtp_transaction_decide(t, event->recipient, verdict->outcome, reply);
    t->fallback = verdict->outcome;
    t->fallback_reply = *reply;
}

void smtp_transaction_apply(struct smtp_transaction *t,
                            const struct smtp_transaction_event *event,
                            const struct outcome_verdict *verdict,
                            const struct smtp_reply *reply)
{
    if (event->stage == SMTP_STAGE_RCPT && event->positive)
        t->accepted++;
    if (t->fallback != OUTCOME_NONE) {
        apply_late(t, event, verdict, reply);
        return;
    }
    if (verdict->outcome == OUTCOME_NONE)
        return;
    if (verdict->scope == OUTCOME_SCOPE_MESSAGE) {
        apply_to_message(t, event, verdict, reply);
        return;
    }
    smtp_transaction_decide(t, event->recipient, verdict->outcome, reply);
    /* The relay takes no more in this one: asking for the rest is in vain. */
    if (verdict->outcome == OUTCOME_AGAIN)
        for (size_t i = t->next; i < t->mail->recipient_count; i++)
            smtp_transaction_decide(t, i, OUTCOME_AGAIN, reply);
}

bool smtp_transaction_next(struct smtp_transaction *t, size_t *recipient)
{
    while (t->next < t->mail->recipient_count) {
        size_t i = t->next++;
        if (t->results[i].outcome == OUTCOME_NONE) {
            *recipient = i;
            return true;
        }
    }
    return false;
}
