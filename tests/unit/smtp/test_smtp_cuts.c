#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/smtp/exchange.h"

/*
 * A conversation of a few mails is cut after every byte that the connection
 * takes, and after every byte of the relay's replies. What must come of each
 * mail follows from what left and from what was answered, and from nothing
 * else.
 */
#define MAILS      3
#define RECIPIENTS 2

static const struct mode {
    const char *name;
    bool pipelining;
    bool chunking;
    unsigned unconfirmed;
} modes[] = {
    {"one by one", false, false, 1},
    {"pipeline", true, false, 1},
    {"bdat, 1 unconfirmed", true, true, 1},
    {"bdat, 2 unconfirmed", true, true, 2},
    {"bdat, 16 unconfirmed", true, true, 16},
};

#define MODES (sizeof(modes) / sizeof(modes[0]))

/* One reply of the conversation, if all goes well. */
struct exchange_step {
    size_t mail;
    enum smtp_stage stage;
    size_t recipient;
};

static size_t list_steps(const struct mode *mode, struct exchange_step *out)
{
    size_t n = 0;
    for (size_t k = 0; k < MAILS; k++) {
        if (mode->unconfirmed > 1 && k > 0)
            out[n++] = (struct exchange_step){k, SMTP_STAGE_RSET, 0};
        out[n++] = (struct exchange_step){k, SMTP_STAGE_MAIL, 0};
        for (size_t i = 0; i < RECIPIENTS; i++)
            out[n++] = (struct exchange_step){k, SMTP_STAGE_RCPT, i};
        if (!mode->chunking)
            out[n++] = (struct exchange_step){k, SMTP_STAGE_DATA, 0};
        out[n++] = (struct exchange_step){k, SMTP_STAGE_FINAL, 0};
    }
    return n;
}

/* Whole messages in what left; a simple reader of both kinds. */
static size_t count_sent(struct str stream)
{
    size_t count = 0;
    size_t at = 0;
    while (at < stream.len) {
        struct str rest = str_after(stream, at);
        const char *end = memmem(rest.data, rest.len, "\r\n", 2);
        unsigned long long size = 0;
        if (end == NULL)
            break;
        size_t line = (size_t)(end - rest.data) + 2;
        at += line;
        if (str_starts(rest, STR("BDAT "))) {
            struct str number = str_of(rest.data + 5, line - 12);
            assert_true(str_to_u64(number, 10000, &size));
            at += size;
            count += at <= stream.len ? 1 : 0;
        } else if (line == 3 && rest.data[0] == '.') {
            count++;
        }
    }
    return count;
}

/* What the end at a step means for its mail. */
static char letter_at(const struct exchange_step *front)
{
    /* A relay may end a session between two mails. */
    if (front->stage == SMTP_STAGE_RSET)
        return 'n';
    return front->stage == SMTP_STAGE_MAIL && front->mail > 0 ? 'n' : 'f';
}

/* What must come of mail k. */
static char expected(const struct mode *mode, const struct exchange_result *r,
                     bool abort, size_t k)
{
    struct exchange_step steps[64];
    size_t count = list_steps(mode, steps);
    size_t heard = r->answers_heard;
    const struct exchange_step *front = heard < count ? &steps[heard] : NULL;
    if (front == NULL || k < front->mail)
        return 'd';
    if (k < count_sent(buf_str(&r->stream)))
        return 'u';
    return k > front->mail || abort ? 'n' : letter_at(front);
}

static void check(const struct mode *mode,
                  const struct exchange_options *options,
                  const struct exchange_result *r)
{
    bool abort = options->end == EXCHANGE_END_ABORT;
    for (size_t k = 0; k < r->results; k++) {
        char letter = expected(mode, r, abort, k);
        const char want[] = {letter, letter, '\0'};
        if (strcmp(r->outcomes[k], want) != 0)
            fail_msg("%s, %zu of ours, %zu of theirs: mail %zu is %s, not %s",
                     mode->name, r->stream.len, (size_t)r->replied, k,
                     r->outcomes[k], want);
        if (letter == 'n' && r->taken[k])
            fail_msg("the relay has what it was not sent");
    }
    assert_int_equal(r->closing.by_us, abort);
    assert_false(r->closing.relay_failed);
}

static struct exchange_options options_of(const struct mode *mode,
                                          enum exchange_end end)
{
    return (struct exchange_options){
        .pipelining = mode->pipelining,
        .chunking = mode->chunking,
        .unconfirmed = mode->unconfirmed,
        .mails = MAILS,
        .recipients = RECIPIENTS,
        .end = end,
    };
}

/* The length of both streams if nobody cuts. */
static void measure(const struct mode *mode, uint64_t *ours, uint64_t *theirs)
{
    struct exchange_options options = options_of(mode, EXCHANGE_END_LOST);
    struct exchange_result r;
    exchange_play(&options, &r);
    assert_int_equal(r.results, MAILS);
    for (size_t k = 0; k < MAILS; k++)
        assert_string_equal(r.outcomes[k], "dd");
    *ours = r.stream.len;
    *theirs = r.replied;
    exchange_result_fini(&r);
}

static void cut_heard(const struct mode *mode, enum exchange_end end,
                      uint64_t ours, uint64_t theirs, size_t hear_piece)
{
    struct exchange_options options = options_of(mode, end);
    struct exchange_result r;
    options.accept_max = ours;
    options.no_accept = ours == 0;
    options.reply_max = theirs;
    options.no_reply = theirs == 0;
    options.hear_piece = hear_piece;
    exchange_play(&options, &r);
    check(mode, &options, &r);
    exchange_result_fini(&r);
}

static void cut(const struct mode *mode, enum exchange_end end, uint64_t ours,
                uint64_t theirs)
{
    cut_heard(mode, end, ours, theirs, 0);
}

static void outcomes_are_exact_wherever_our_stream_is_cut(void **state)
{
    (void)state;
    static const enum exchange_end ends[] = {
        EXCHANGE_END_LOST, EXCHANGE_END_RESET, EXCHANGE_END_ABORT};
    for (size_t m = 0; m < MODES; m++) {
        uint64_t ours;
        uint64_t theirs;
        measure(&modes[m], &ours, &theirs);
        for (uint64_t n = 0; n < ours; n++)
            cut(&modes[m], ends[n % 3], n, UINT64_MAX);
        for (uint64_t n = 0; n < ours; n++)
            cut(&modes[m], ends[(n + 1) % 3], n, UINT64_MAX);
    }
}

static void outcomes_are_exact_wherever_the_replies_are_cut(void **state)
{
    (void)state;
    static const enum exchange_end ends[] = {
        EXCHANGE_END_LOST, EXCHANGE_END_RESET, EXCHANGE_END_ABORT};
    for (size_t m = 0; m < MODES; m++) {
        uint64_t ours;
        uint64_t theirs;
        measure(&modes[m], &ours, &theirs);
        for (size_t end = 0; end < 3; end++)
            for (uint64_t n = 0; n < theirs; n++)
                cut(&modes[m], ends[end], UINT64_MAX, n);
    }
}

/* Both at once: a message that left in part, replies that came in part. */
static void outcomes_are_exact_when_both_are_cut(void **state)
{
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        uint64_t ours;
        uint64_t theirs;
        measure(&modes[m], &ours, &theirs);
        for (uint64_t a = 1; a < ours; a += 17)
            for (uint64_t b = 0; b < theirs; b += 13)
                cut_heard(&modes[m], EXCHANGE_END_LOST, a, b, 1 + b % 7);
    }
}

/*
 * In place of each reply, and the relay closes behind it. A 421 is an answer
 * to its mail; what is no answer leaves a message that left in doubt.
 */
static void check_end_at(const struct mode *mode,
                         const struct exchange_step *step, const char *words,
                         bool is_answer)
{
    struct exchange_options options = options_of(mode, EXCHANGE_END_QUIT);
    struct exchange_result r;
    options.rules[0] = (struct exchange_rule){step->mail, step->stage,
                                              step->recipient, words, true};
    exchange_play(&options, &r);
    size_t sent = count_sent(buf_str(&r.stream));
    assert_true(r.results > step->mail);
    for (size_t k = 0; k < r.results; k++) {
        char letter = k < sent ? 'u' : 'n';
        if (k < step->mail)
            letter = 'd';
        else if (k == step->mail && (is_answer || k >= sent))
            letter = letter_at(step);
        const char want[] = {letter, letter, '\0'};
        if (strcmp(r.outcomes[k], want) != 0)
            fail_msg("%s, %.3s to %s of %zu: mail %zu is %s, not %s",
                     mode->name, words, smtp_stage_name(step->stage),
                     step->mail, k, r.outcomes[k], want);
    }
    assert_int_equal(r.closing.stage, step->stage);
    assert_false(r.closing.by_us || r.closing.relay_failed);
    exchange_result_fini(&r);
}

static void outcomes_are_exact_wherever_the_relay_ends_it(void **state)
{
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        struct exchange_step steps[64];
        size_t count = list_steps(&modes[m], steps);
        for (size_t i = 0; i < count; i++) {
            check_end_at(&modes[m], &steps[i], "421 4.3.2 bye\r\n", true);
            check_end_at(&modes[m], &steps[i], "421-a\r\n421 b\r\n", true);
            check_end_at(&modes[m], &steps[i], "nonsense\r\n", false);
            check_end_at(&modes[m], &steps[i], "25", false);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_are_exact_wherever_our_stream_is_cut),
        cmocka_unit_test(outcomes_are_exact_wherever_the_replies_are_cut),
        cmocka_unit_test(outcomes_are_exact_when_both_are_cut),
        cmocka_unit_test(outcomes_are_exact_wherever_the_relay_ends_it),
    };
    return cmocka_run_group_tests(tests, exchange_global_setup,
                                  exchange_global_teardown);
}
