#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/fifo.h"
#include "smtp/transaction.h"

/*
 * A dialogue in short: the codes answered to MAIL, each RCPT, DATA and the
 * dot, in order (0: the connection is lost), and the outcomes expected, one
 * letter a recipient.
 */
struct dialogue {
    const char *name;
    int replies[8];
    size_t recipients;
    const char *outcomes;
};

static const struct dialogue dialogues[] = {
    {"all is well", {250, 250, 354, 250}, 1, "d"},
    {"251 and a final 259", {250, 251, 252, 354, 259}, 2, "dd"},
    {"the third of five is refused",
     {250, 250, 250, 550, 250, 250, 354, 250},
     5,
     "ddrdd"},
    {"MAIL refused", {550}, 2, "rr"},
    {"MAIL deferred", {451}, 2, "ff"},
    {"all refused: no DATA", {250, 550, 450}, 2, "rf"},
    {"DATA refused", {250, 250, 550, 554}, 2, "rr"},
    {"DATA deferred", {250, 250, 550, 451}, 2, "fr"},
    {"DATA answered with 250", {250, 250, 250}, 1, "f"},
    {"message refused", {250, 250, 450, 354, 554}, 2, "rf"},
    {"message deferred", {250, 250, 550, 354, 451}, 2, "fr"},
    {"too many from the third on", {250, 250, 250, 452, 354, 250}, 5, "ddaaa"},
    {"552 as too many, a refusal before it",
     {250, 550, 250, 552, 354, 250},
     4,
     "rdaa"},
    {"452 to the first", {250, 452, 250, 354, 250}, 2, "fd"},
    {"552 to the first", {250, 552, 250, 354, 250}, 2, "rd"},
    {"too many, then the message fails", {250, 250, 452, 354, 451}, 3, "faa"},
    {"421 to RCPT after an accepted one", {250, 250, 421}, 3, "fff"},
    {"lost at RCPT after a refused one", {250, 550, 0}, 3, "rff"},
    {"lost at MAIL", {0}, 2, "ff"},
    {"lost at DATA", {250, 250, 250, 0}, 2, "ff"},
    {"lost after the dot", {250, 250, 550, 354, 0}, 2, "ur"},
    {"421 after the dot", {250, 250, 354, 421}, 1, "f"},
    {"530 to MAIL", {530}, 2, "nn"},
    {"535 to RCPT after a refused one", {250, 550, 535}, 3, "rnn"},
};

static enum outcome outcome_from(char letter)
{
    switch (letter) {
    case 'd':
        return OUTCOME_DELIVERED;
    case 'f':
        return OUTCOME_DEFERRED;
    case 'r':
        return OUTCOME_REJECTED;
    case 'u':
        return OUTCOME_UNKNOWN;
    case 'n':
        return OUTCOME_UNTRIED;
    case 'a':
        return OUTCOME_AGAIN;
    default:
        fail();
        return OUTCOME_NONE;
    }
}

static bool answer(struct smtp_transaction *t, enum smtp_stage stage,
                   size_t recipient, int code)
{
    const struct outcome_input input = {
        .stage = stage,
        .event = code == 0 ? SMTP_EVENT_LOST : SMTP_EVENT_REPLY,
        .code = code,
        .rcpt_accepted = t->accepted > 0,
    };
    struct outcome_verdict verdict = outcome_of(&input);
    struct smtp_reply reply = {.code = code};
    struct smtp_transaction_event event = {
        .stage = stage,
        .recipient = recipient,
        .positive = code != 0 && code < 400,
    };
    smtp_transaction_apply(t, &event, &verdict, &reply);
    return t->undecided > 0;
}

static void play(struct smtp_transaction *t, const int *replies)
{
    size_t recipient;
    if (!answer(t, SMTP_STAGE_MAIL, 0, *replies++))
        return;
    while (smtp_transaction_next(t, &recipient))
        if (!answer(t, SMTP_STAGE_RCPT, recipient, *replies++))
            return;
    assert_true(t->accepted > 0);
    if (answer(t, SMTP_STAGE_DATA, 0, *replies++))
        (void)answer(t, SMTP_STAGE_FINAL, 0, *replies++);
}

static void each_recipient_gets_its_own_outcome(void **state)
{
    (void)state;
    static const char *const addresses[] = {"a@x", "b@x", "c@x", "d@x", "e@x"};
    struct smtp_transaction t;
    smtp_transaction_init(&t);
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
        const struct dialogue *d = &dialogues[i];
        const struct smtp_mail mail = {
            .sender = "s@x",
            .recipients = addresses,
            .recipient_count = d->recipients,
        };
        smtp_transaction_begin(&t, &mail);
        play(&t, d->replies);
        assert_int_equal(t.undecided, 0);
        for (size_t r = 0; r < d->recipients; r++)
            if (t.results[r].outcome != outcome_from(d->outcomes[r]))
                fail_msg("%s: recipient %zu is %s", d->name, r,
                         outcome_name(t.results[r].outcome));
    }
    smtp_transaction_fini(&t);
}

static void a_recipient_keeps_the_reply_that_decided_it(void **state)
{
    (void)state;
    static const char *const addresses[] = {"a@x", "b@x", "c@x"};
    static const int replies[] = {250, 550, 250, 450, 354, 250};
    const struct smtp_mail mail = {
        .sender = "", .recipients = addresses, .recipient_count = 3};
    struct smtp_transaction t;
    smtp_transaction_init(&t);
    smtp_transaction_begin(&t, &mail);
    play(&t, replies);
    assert_int_equal(t.results[0].reply.code, 550);
    assert_int_equal(t.results[1].reply.code, 250);
    assert_int_equal(t.results[2].reply.code, 450);
    smtp_transaction_fini(&t);
}

static void decided_recipients_are_not_asked_for(void **state)
{
    (void)state;
    static const char *const addresses[] = {"a@x", "b@x", "c@x"};
    const struct smtp_mail mail = {
        .sender = "", .recipients = addresses, .recipient_count = 3};
    const struct smtp_reply reply = {.code = 0};
    struct smtp_transaction t;
    size_t recipient;
    smtp_transaction_init(&t);
    smtp_transaction_begin(&t, &mail);
    smtp_transaction_decide(&t, 0, OUTCOME_REJECTED, &reply);
    assert_true(smtp_transaction_next(&t, &recipient));
    assert_int_equal(recipient, 1);
    smtp_transaction_decide(&t, 2, OUTCOME_REJECTED, &reply);
    assert_false(smtp_transaction_next(&t, &recipient));
    smtp_transaction_fini(&t);
}

static void expected_replies_leave_in_order_while_more_come(void **state)
{
    (void)state;
    struct smtp_fifo f;
    struct smtp_expected e;
    size_t in = 0;
    size_t out = 0;
    smtp_fifo_init(&f);
    assert_false(smtp_fifo_pop(&f, &e));
    assert_null(smtp_fifo_front(&f));
    /* two in, one out: it grows while its start wanders round */
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 2; i++) {
            const struct smtp_expected next = {.kind = SMTP_STAGE_RCPT,
                                               .recipient = in++};
            smtp_fifo_push(&f, &next);
        }
        assert_int_equal(smtp_fifo_front(&f)->recipient, out);
        assert_true(smtp_fifo_pop(&f, &e));
        assert_int_equal(e.recipient, out++);
        assert_int_equal(f.count, in - out);
    }
    while (smtp_fifo_pop(&f, &e))
        assert_int_equal(e.recipient, out++);
    assert_int_equal(in, out);
    smtp_fifo_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_recipient_gets_its_own_outcome),
        cmocka_unit_test(a_recipient_keeps_the_reply_that_decided_it),
        cmocka_unit_test(decided_recipients_are_not_asked_for),
        cmocka_unit_test(expected_replies_leave_in_order_while_more_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
