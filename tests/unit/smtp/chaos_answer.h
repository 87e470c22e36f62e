#ifndef TESTS_UNIT_SMTP_CHAOS_ANSWER_H
#define TESTS_UNIT_SMTP_CHAOS_ANSWER_H

#include "tests/unit/smtp/chaos_relay.h"

/*
 * What the relay of the random test says: what it should, or else what the
 * dice give. The number of each reply is in its text: "#12".
 */
enum chaos_answer {
    CHAOS_ANSWER_YES, /* and it does what it was asked */
    CHAOS_ANSWER_NO,
};

/* To the command noted last. usual: what SMTP wants it to be now. */
enum chaos_answer chaos_answer(struct chaos_relay *x, enum chaos_kind kind,
                               int usual);

/* To a message that has not come to its end: a refusal. */
void chaos_answer_early(struct chaos_relay *x);

/* To nothing. */
void chaos_answer_lie(struct chaos_relay *x);

#endif
