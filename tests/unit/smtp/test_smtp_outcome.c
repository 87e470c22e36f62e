#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "smtp/outcome.h"

/*
 * The rules written a second time, as ranges of codes. Every stage, code,
 * history and event must be in exactly one row.
 */
enum tri { NO, YES, ANY };

struct row {
    enum smtp_stage stage;
    int from; /* 0, 0: no reply came */
    int to;
    enum tri accepted;
    enum tri reused;
    enum outcome outcome;
    enum outcome_scope scope;
    enum outcome_session session;
    bool relay_failed;
};

#define MESSAGE   OUTCOME_SCOPE_MESSAGE
#define RECIPIENT OUTCOME_SCOPE_RECIPIENT
#define KEEP      OUTCOME_SESSION_KEEP
#define RESET     OUTCOME_SESSION_RESET
#define CLOSE     OUTCOME_SESSION_CLOSE
#define NONE      OUTCOME_NONE
#define DELIVERED OUTCOME_DELIVERED
#define DEFERRED  OUTCOME_DEFERRED
#define REJECTED  OUTCOME_REJECTED
#define UNKNOWN   OUTCOME_UNKNOWN
#define UNTRIED   OUTCOME_UNTRIED
#define AGAIN     OUTCOME_AGAIN
#define THROTTLED OUTCOME_THROTTLED

/* clang-format off */
#define AUTH_ROWS(stage) \
    {stage, 530, 530, ANY, ANY, UNTRIED, MESSAGE, CLOSE, true}, \
    {stage, 534, 535, ANY, ANY, UNTRIED, MESSAGE, CLOSE, true}, \
    {stage, 538, 538, ANY, ANY, UNTRIED, MESSAGE, CLOSE, true}

static const struct row rows[] = {
    {SMTP_STAGE_CONNECT, 0, 0, ANY, ANY, UNTRIED, MESSAGE, CLOSE, true},
    {SMTP_STAGE_CONNECT, 200, 399, ANY, ANY, NONE, MESSAGE, KEEP, false},
    {SMTP_STAGE_CONNECT, 400, 599, ANY, ANY, UNTRIED, MESSAGE, CLOSE, true},

    {SMTP_STAGE_MAIL, 0, 0, ANY, NO, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 0, 0, ANY, YES, UNTRIED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 200, 299, ANY, ANY, NONE, MESSAGE, KEEP, false},
    {SMTP_STAGE_MAIL, 300, 399, ANY, NO, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 300, 399, ANY, YES, UNTRIED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 400, 420, ANY, ANY, DEFERRED, MESSAGE, KEEP, false},
    {SMTP_STAGE_MAIL, 421, 421, ANY, NO, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 421, 421, ANY, YES, UNTRIED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 422, 499, ANY, ANY, DEFERRED, MESSAGE, KEEP, false},
    {SMTP_STAGE_MAIL, 500, 502, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    {SMTP_STAGE_MAIL, 503, 503, ANY, NO, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 503, 503, ANY, YES, UNTRIED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 504, 529, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    {SMTP_STAGE_MAIL, 531, 533, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    {SMTP_STAGE_MAIL, 536, 537, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    {SMTP_STAGE_MAIL, 539, 599, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    AUTH_ROWS(SMTP_STAGE_MAIL),

    {SMTP_STAGE_RCPT, 0, 0, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_RCPT, 200, 299, ANY, ANY, NONE, MESSAGE, KEEP, false},
    {SMTP_STAGE_RCPT, 300, 399, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_RCPT, 400, 420, ANY, ANY, DEFERRED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 421, 421, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_RCPT, 422, 451, ANY, ANY, DEFERRED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 452, 452, NO, ANY, DEFERRED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 452, 452, YES, ANY, AGAIN, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 453, 499, ANY, ANY, DEFERRED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 500, 529, ANY, ANY, REJECTED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 531, 533, ANY, ANY, REJECTED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 536, 537, ANY, ANY, REJECTED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 539, 551, ANY, ANY, REJECTED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 552, 552, NO, ANY, REJECTED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 552, 552, YES, ANY, AGAIN, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 553, 599, ANY, ANY, REJECTED, RECIPIENT, KEEP, false},
    AUTH_ROWS(SMTP_STAGE_RCPT),

    {SMTP_STAGE_DATA, 0, 0, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_DATA, 200, 353, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_DATA, 354, 354, ANY, ANY, NONE, MESSAGE, KEEP, false},
    {SMTP_STAGE_DATA, 355, 399, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_DATA, 400, 420, ANY, ANY, DEFERRED, MESSAGE, RESET, false},
    {SMTP_STAGE_DATA, 421, 421, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_DATA, 422, 499, ANY, ANY, DEFERRED, MESSAGE, RESET, false},
    {SMTP_STAGE_DATA, 500, 529, ANY, ANY, REJECTED, MESSAGE, RESET, false},
    {SMTP_STAGE_DATA, 531, 533, ANY, ANY, REJECTED, MESSAGE, RESET, false},
    {SMTP_STAGE_DATA, 536, 537, ANY, ANY, REJECTED, MESSAGE, RESET, false},
    {SMTP_STAGE_DATA, 539, 599, ANY, ANY, REJECTED, MESSAGE, RESET, false},
    AUTH_ROWS(SMTP_STAGE_DATA),

    {SMTP_STAGE_BODY, 0, 0, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_BODY, 200, 499, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_BODY, 500, 529, ANY, ANY, REJECTED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_BODY, 531, 533, ANY, ANY, REJECTED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_BODY, 536, 537, ANY, ANY, REJECTED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_BODY, 539, 599, ANY, ANY, REJECTED, MESSAGE, CLOSE, false},
    AUTH_ROWS(SMTP_STAGE_BODY),

    {SMTP_STAGE_FINAL, 0, 0, ANY, ANY, UNKNOWN, MESSAGE, CLOSE, false},
    {SMTP_STAGE_FINAL, 200, 299, ANY, ANY, DELIVERED, MESSAGE, KEEP, false},
    {SMTP_STAGE_FINAL, 300, 399, ANY, ANY, UNKNOWN, MESSAGE, CLOSE, false},
    {SMTP_STAGE_FINAL, 400, 420, ANY, ANY, DEFERRED, MESSAGE, KEEP, false},
    {SMTP_STAGE_FINAL, 421, 421, ANY, ANY, DEFERRED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_FINAL, 422, 499, ANY, ANY, DEFERRED, MESSAGE, KEEP, false},
    {SMTP_STAGE_FINAL, 500, 529, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    {SMTP_STAGE_FINAL, 531, 533, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    {SMTP_STAGE_FINAL, 536, 537, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    {SMTP_STAGE_FINAL, 539, 599, ANY, ANY, REJECTED, MESSAGE, KEEP, false},
    AUTH_ROWS(SMTP_STAGE_FINAL),

    {SMTP_STAGE_RSET, 0, 0, ANY, ANY, UNTRIED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_RSET, 200, 299, ANY, ANY, NONE, MESSAGE, KEEP, false},
    {SMTP_STAGE_RSET, 300, 529, ANY, ANY, UNTRIED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_RSET, 531, 533, ANY, ANY, UNTRIED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_RSET, 536, 537, ANY, ANY, UNTRIED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_RSET, 539, 599, ANY, ANY, UNTRIED, MESSAGE, CLOSE, false},
    AUTH_ROWS(SMTP_STAGE_RSET),

    {SMTP_STAGE_IDLE, 0, 0, ANY, ANY, NONE, MESSAGE, CLOSE, false},
    {SMTP_STAGE_IDLE, 200, 599, ANY, ANY, NONE, MESSAGE, CLOSE, false},
    {SMTP_STAGE_QUIT, 0, 0, ANY, ANY, NONE, MESSAGE, CLOSE, false},
    {SMTP_STAGE_QUIT, 200, 599, ANY, ANY, NONE, MESSAGE, CLOSE, false},
};

/* Before those above, when a reply says that it was too fast. */
static const struct row fast_rows[] = {
    {SMTP_STAGE_MAIL, 400, 420, ANY, ANY, THROTTLED, MESSAGE, KEEP, false},
    {SMTP_STAGE_MAIL, 421, 421, ANY, ANY, THROTTLED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_MAIL, 422, 499, ANY, ANY, THROTTLED, MESSAGE, KEEP, false},
    {SMTP_STAGE_RCPT, 400, 420, ANY, ANY, THROTTLED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_RCPT, 421, 421, ANY, ANY, THROTTLED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_RCPT, 422, 499, ANY, ANY, THROTTLED, RECIPIENT, KEEP, false},
    {SMTP_STAGE_DATA, 400, 420, ANY, ANY, THROTTLED, MESSAGE, RESET, false},
    {SMTP_STAGE_DATA, 421, 421, ANY, ANY, THROTTLED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_DATA, 422, 499, ANY, ANY, THROTTLED, MESSAGE, RESET, false},
    {SMTP_STAGE_BODY, 400, 499, ANY, ANY, THROTTLED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_FINAL, 400, 420, ANY, ANY, THROTTLED, MESSAGE, KEEP, false},
    {SMTP_STAGE_FINAL, 421, 421, ANY, ANY, THROTTLED, MESSAGE, CLOSE, false},
    {SMTP_STAGE_FINAL, 422, 499, ANY, ANY, THROTTLED, MESSAGE, KEEP, false},
};
/* clang-format on */

static bool fits(enum tri want, bool is)
{
    return want == ANY || (want == YES) == is;
}

/* The one that fits, or NULL. */
static const struct row *find_in(const struct row *table, size_t count,
                                 const struct outcome_input *input)
{
    const struct row *found = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &table[i];
        if (row->stage != input->stage || input->code < row->from ||
            input->code > row->to ||
            !fits(row->accepted, input->rcpt_accepted) ||
            !fits(row->reused, input->reused))
            continue;
        if (found != NULL)
            fail_msg("two rows for %s %d", smtp_stage_name(input->stage),
                     input->code);
        found = row;
    }
    return found;
}

static const struct row *find_row(const struct outcome_input *input)
{
    const struct row *found = NULL;
    if (input->too_fast && input->event == SMTP_EVENT_REPLY)
        found =
            find_in(fast_rows, sizeof(fast_rows) / sizeof(fast_rows[0]), input);
    if (found == NULL)
        found = find_in(rows, sizeof(rows) / sizeof(rows[0]), input);
    if (found == NULL)
        fail_msg("no row for %s %d", smtp_stage_name(input->stage),
                 input->code);
    return found;
}

static void check(const struct outcome_input *input, const struct row *row)
{
    struct outcome_verdict v = outcome_of(input);
    if (v.outcome != row->outcome || v.scope != row->scope ||
        v.session != row->session || v.relay_failed != row->relay_failed)
        fail_msg("%s event %d code %d accepted %d reused %d fast %d: %s %d %d "
                 "%d",
                 smtp_stage_name(input->stage), (int)input->event, input->code,
                 input->rcpt_accepted, input->reused, input->too_fast,
                 outcome_name(v.outcome), (int)v.scope, (int)v.session,
                 v.relay_failed);
}

static void for_each_history(enum smtp_stage stage, enum smtp_event event,
                             int code)
{
    for (int history = 0; history < 8; history++) {
        struct outcome_input input = {
            .stage = stage,
            .event = event,
            .code = code,
            .rcpt_accepted = (history & 1) != 0,
            .reused = (history & 2) != 0,
            .too_fast = (history & 4) != 0,
        };
        const struct row *row = find_row(&input);
        check(&input, row);
    }
}

static void every_reply_code_at_every_stage_is_as_the_rules_say(void **state)
{
    (void)state;
    for (int stage = 0; stage < SMTP_STAGE_COUNT; stage++)
        for (int code = 200; code <= 599; code++)
            for_each_history((enum smtp_stage)stage, SMTP_EVENT_REPLY, code);
}

static void every_silence_at_every_stage_is_as_the_rules_say(void **state)
{
    (void)state;
    static const enum smtp_event silences[] = {
        SMTP_EVENT_LOST, SMTP_EVENT_TIMEOUT, SMTP_EVENT_GARBAGE};
    for (int stage = 0; stage < SMTP_STAGE_COUNT; stage++)
        for (size_t i = 0; i < 3; i++)
            for_each_history((enum smtp_stage)stage, silences[i], 0);
}

static void a_code_that_is_none_is_garbage(void **state)
{
    (void)state;
    static const int codes[] = {-1, 0, 1, 100, 199, 600, 999};
    for (int stage = 0; stage < SMTP_STAGE_COUNT; stage++)
        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
            struct outcome_input input = {.stage = (enum smtp_stage)stage,
                                          .event = SMTP_EVENT_REPLY};
            const struct row *row = find_row(&input);
            input.code = codes[i];
            check(&input, row);
        }
}

static void only_the_whole_message_makes_delivered_or_unknown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].outcome == DELIVERED || rows[i].outcome == UNKNOWN)
            assert_int_equal(rows[i].stage, SMTP_STAGE_FINAL);
}

static void throttling_never_fails_a_relay_and_never_is_for_good(void **state)
{
    (void)state;
    for (int stage = 0; stage < SMTP_STAGE_COUNT; stage++)
        for (int code = 200; code <= 599; code++) {
            struct outcome_input input = {
                .stage = (enum smtp_stage)stage,
                .event = SMTP_EVENT_REPLY,
                .code = code,
                .too_fast = true,
            };
            struct outcome_verdict v = outcome_of(&input);
            bool throttles = v.outcome == OUTCOME_THROTTLED;
            assert_false(throttles && (v.relay_failed || code / 100 != 4));
            assert_false(code / 100 == 4 && v.outcome == OUTCOME_DEFERRED);
        }
}

static void outcomes_and_stages_have_names(void **state)
{
    (void)state;
    assert_string_equal(outcome_name(OUTCOME_DELIVERED), "delivered");
    assert_string_equal(outcome_name(OUTCOME_AGAIN), "again");
    assert_string_equal(smtp_stage_name(SMTP_STAGE_MAIL), "mail");
    assert_string_equal(smtp_stage_name(SMTP_STAGE_QUIT), "quit");
    for (int i = 0; i < OUTCOME_COUNT; i++)
        assert_non_null(outcome_name((enum outcome)i));
    for (int i = 0; i < SMTP_STAGE_COUNT; i++)
        assert_non_null(smtp_stage_name((enum smtp_stage)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_code_at_every_stage_is_as_the_rules_say),
        cmocka_unit_test(every_silence_at_every_stage_is_as_the_rules_say),
        cmocka_unit_test(a_code_that_is_none_is_garbage),
        cmocka_unit_test(only_the_whole_message_makes_delivered_or_unknown),
        cmocka_unit_test(throttling_never_fails_a_relay_and_never_is_for_good),
        cmocka_unit_test(outcomes_and_stages_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
