#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/smtp/exchange.h"

#define ONE_BY_ONE  .unconfirmed = 1
#define PIPELINE    .pipelining = true, .unconfirmed = 1
#define BDAT(count) .pipelining = true, .chunking = true, .unconfirmed = count

/* What a play comes to; outcomes of all recipients, a space between mails. */
struct fault {
    const char *name;
    struct exchange_options options;
    const char *outcomes;
    bool by_us;
    bool relay_failed;
    enum smtp_stage stage;
};

#define AT(mail, stage, reply)                                                 \
    {                                                                          \
        mail, SMTP_STAGE_##stage, 0, reply, false                              \
    }
#define AT_RCPT(mail, recipient, reply)                                        \
    {                                                                          \
        mail, SMTP_STAGE_RCPT, recipient, reply, false                         \
    }
#define LAST_AT(mail, stage, reply)                                            \
    {                                                                          \
        mail, SMTP_STAGE_##stage, 0, reply, true                               \
    }

static const struct fault faults[] = {
    /* pipelined recipients */
    {"pipeline, the second of three refused",
     {PIPELINE, .mails = 2, .recipients = 3,
      .rules = {AT_RCPT(0, 1, "550 no\r\n")}},
     "drd ddd",
     true,
     false,
     SMTP_STAGE_QUIT},
    {"pipeline, too many from the second on: each has its own answer",
     {PIPELINE, .mails = 2, .recipients = 4,
      .rules = {AT_RCPT(0, 1, "452 too many\r\n"),
                AT_RCPT(0, 3, "552 too many\r\n")}},
     "dada dddd",
     true,
     false,
     SMTP_STAGE_QUIT},
    {"bdat, too many from the second on: each has its own answer",
     {BDAT(2), .mails = 2, .recipients = 4,
      .rules = {AT_RCPT(0, 1, "452 too many\r\n"),
                AT_RCPT(0, 2, "450 later\r\n")}},
     "dafd dddd",
     true,
     false,
     SMTP_STAGE_QUIT},
    {"pipeline, 452 to the first",
     {PIPELINE, .mails = 1, .recipients = 2,
      .rules = {AT_RCPT(0, 0, "452 no\r\n")}},
     "fd",
     true,
     false,
     SMTP_STAGE_QUIT},
    {"pipeline, DATA refused after accepted recipients",
     {PIPELINE, .mails = 2, .recipients = 2,
      .rules = {AT_RCPT(0, 0, "550 no\r\n"), AT(0, DATA, "451 no\r\n")}},
     "rf dd",
     true,
     false,
     SMTP_STAGE_QUIT},
    {"bdat, the message refused",
     {BDAT(4), .mails = 3, .recipients = 2,
      .rules = {AT_RCPT(1, 0, "550 no\r\n"), AT(1, FINAL, "554 no\r\n")}},
     "dd rr dd",
     true,
     false,
     SMTP_STAGE_QUIT},
    {"bdat, all refused, the chunk taken: changes nothing",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT_RCPT(0, 0, "550 no\r\n"), AT(0, FINAL, "250 ok\r\n")}},
     "r d",
     true,
     false,
     SMTP_STAGE_QUIT},
    /* an empty or another's mail must not go out */
    {"pipeline, 354 after a refused MAIL and an accepted RCPT",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {AT(0, MAIL, "550 no\r\n"), AT(0, RCPT, "250 ok\r\n"),
                AT(0, DATA, "354 go\r\n")}},
     "r n",
     false,
     false,
     SMTP_STAGE_DATA},
    /* the relay ends it */
    {"pipeline, 421 to the first MAIL",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {LAST_AT(0, MAIL, "421 bye\r\n")}},
     "f n",
     false,
     false,
     SMTP_STAGE_MAIL},
    {"pipeline, 421 to a message: the next is untried",
     {PIPELINE, .mails = 3, .recipients = 1,
      .rules = {LAST_AT(0, FINAL, "421 bye\r\n")}},
     "f n",
     false,
     false,
     SMTP_STAGE_FINAL},
    {"bdat, 421 to the first MAIL: those behind it may be there",
     {BDAT(4), .mails = 3, .recipients = 1,
      .rules = {LAST_AT(0, MAIL, "421 bye\r\n")}},
     "f u u",
     false,
     false,
     SMTP_STAGE_MAIL},
    {"bdat, 421 to a later MAIL",
     {BDAT(4), .mails = 3, .recipients = 1,
      .rules = {LAST_AT(1, MAIL, "421 bye\r\n")}},
     "d n u",
     false,
     false,
     SMTP_STAGE_MAIL},
    {"bdat, 421 to RSET",
     {BDAT(4), .mails = 3, .recipients = 1,
      .rules = {LAST_AT(1, RSET, "421 bye\r\n")}},
     "d n u",
     false,
     false,
     SMTP_STAGE_RSET},
    {"bdat, 421 to a recipient after another was accepted",
     {BDAT(4), .mails = 2, .recipients = 3,
      .rules = {{0, SMTP_STAGE_RCPT, 1, "421 bye\r\n", true}}},
     "fff uuu",
     false,
     false,
     SMTP_STAGE_RCPT},
    {"bdat, 421 to a message",
     {BDAT(4), .mails = 3, .recipients = 1,
      .rules = {LAST_AT(1, FINAL, "421 bye\r\n")}},
     "d f u",
     false,
     false,
     SMTP_STAGE_FINAL},
    {"bdat, 421 to a message, yet the next ones are answered",
     {BDAT(4), .mails = 4, .recipients = 1,
      .rules = {AT(0, FINAL, "421 bye\r\n"), AT(2, FINAL, "550 no\r\n"),
                LAST_AT(3, MAIL, "421 bye\r\n")}},
     "f d r n",
     false,
     false,
     SMTP_STAGE_FINAL},
    {"bdat, 421 to a recipient, yet the message is taken",
     {BDAT(4), .mails = 2, .recipients = 3,
      .rules = {AT_RCPT(0, 1, "421 bye\r\n"), AT_RCPT(0, 2, "550 no\r\n")}},
     "dff ddd",
     false,
     false,
     SMTP_STAGE_RCPT},
    {"bdat, RSET is refused, yet the message is taken",
     {BDAT(4), .mails = 2, .recipients = 2,
      .rules = {AT(1, RSET, "502 no\r\n")}},
     "dd dd",
     false,
     false,
     SMTP_STAGE_RSET},
    {"bdat, a chunk was refused and RSET is: the next message stays here",
     {BDAT(1), .mails = 2, .recipients = 2,
      .rules = {AT(0, FINAL, "451 no\r\n"), AT(1, RSET, "451 no\r\n")}},
     "ff nn",
     false,
     false,
     SMTP_STAGE_RSET},
    {"pipeline, DATA was refused and RSET is: the next message stays here",
     {PIPELINE, .mails = 2, .recipients = 2,
      .rules = {AT(0, DATA, "451 no\r\n"), AT(1, RSET, "451 no\r\n")}},
     "ff nn",
     false,
     false,
     SMTP_STAGE_RSET},
    {"bdat, RSET is refused, and MAIL and the rest because of it",
     {BDAT(4), .mails = 2, .recipients = 2,
      .rules = {AT(1, RSET, "502 no\r\n"), AT(1, MAIL, "503 no\r\n")}},
     "dd nn",
     false,
     false,
     SMTP_STAGE_RSET},
    {"bdat, RSET is refused, and the message not answered",
     {BDAT(4), .mails = 2, .recipients = 2,
      .rules = {AT(1, RSET, "502 no\r\n"), LAST_AT(1, FINAL, "")}},
     "dd uu",
     false,
     false,
     SMTP_STAGE_RSET},
    {"bdat, a recipient wants a login, and the message is not answered",
     {BDAT(4), .mails = 1, .recipients = 3,
      .rules = {AT_RCPT(0, 1, "530 login\r\n"), LAST_AT(0, FINAL, "")}},
     "unu",
     false,
     true,
     SMTP_STAGE_RCPT},
    {"pipeline, RSET is refused: nothing is sent",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {AT_RCPT(0, 0, "550 no\r\n"), AT(1, RSET, "502 no\r\n")}},
     "r n",
     false,
     false,
     SMTP_STAGE_RSET},
    {"bdat, a login is wanted",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT(0, MAIL, "530 login\r\n"), AT(1, MAIL, "530 login\r\n")}},
     "n n",
     false,
     true,
     SMTP_STAGE_MAIL},
    {"pipeline, a login is wanted",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {AT(0, MAIL, "530 login\r\n")}},
     "n n",
     false,
     true,
     SMTP_STAGE_MAIL},
    /* too fast */
    {"bdat, too fast at MAIL",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT(0, MAIL, "450 4.7.0 too many messages, slow down\r\n")}},
     "t d",
     true,
     false,
     SMTP_STAGE_QUIT},
    {"pipeline, too fast at a recipient",
     {PIPELINE, .mails = 1, .recipients = 2,
      .rules = {AT_RCPT(0, 1, "450 4.7.1 rate limit exceeded\r\n")}},
     "dt",
     true,
     false,
     SMTP_STAGE_QUIT},
    /* not the right answer */
    {"pipeline, 250 to DATA",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {AT(0, DATA, "250 x\r\n")}},
     "f n",
     false,
     false,
     SMTP_STAGE_DATA},
    {"bdat, 354 to MAIL: it may be there",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT(0, MAIL, "354 x\r\n")}},
     "u u",
     false,
     false,
     SMTP_STAGE_MAIL},
    {"bdat, no SMTP",
     {BDAT(4), .mails = 3, .recipients = 1,
      .rules = {AT(1, RCPT, "what?\r\n")}},
     "d u u",
     false,
     false,
     SMTP_STAGE_RCPT},
    {"bdat, 354 to a message",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT(0, FINAL, "354 x\r\n")}},
     "u u",
     false,
     false,
     SMTP_STAGE_FINAL},
    /* more answers than commands */
    {"one by one, two answers to MAIL",
     {ONE_BY_ONE, .mails = 1, .recipients = 1,
      .rules = {AT(0, MAIL, "250 ok\r\n250 ok\r\n")}},
     "f",
     false,
     false,
     SMTP_STAGE_RCPT},
    {"pipeline, 354 and a yes to what was not sent",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {AT(0, DATA, "354 go\r\n250 taken\r\n")}},
     "f n",
     false,
     false,
     SMTP_STAGE_BODY},
    {"pipeline, 354 and a no to what was not sent",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {AT(0, DATA, "354 go\r\n552 too much\r\n")}},
     "r n",
     false,
     false,
     SMTP_STAGE_BODY},
    {"pipeline, 354 and the end",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {AT(0, DATA, "354 go\r\n421 bye\r\n")}},
     "f n",
     false,
     false,
     SMTP_STAGE_BODY},
    {"bdat, one answer too many behind the last",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT(1, FINAL, "250 ok\r\n250 ok\r\n")}},
     "d d",
     false,
     false,
     SMTP_STAGE_IDLE},
    {"bdat, 421 behind the last answer",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT(1, FINAL, "250 ok\r\n421 bye\r\n")}},
     "d d",
     false,
     false,
     SMTP_STAGE_IDLE},
    {"pipeline, a part of an answer before its command",
     {PIPELINE, .mails = 1, .recipients = 1,
      .rules = {AT(0, DATA, "354 go\r\n25"), AT(0, FINAL, "0 ok\r\n")}},
     "u",
     false,
     false,
     SMTP_STAGE_BODY},
};

static void check_fault(const struct fault *f, const struct exchange_result *r)
{
    char got[EXCHANGE_MAILS * (EXCHANGE_RECIPIENTS + 1) + 1] = "";
    size_t len = 0;
    for (size_t k = 0; k < r->results; k++)
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%s",
                                k > 0 ? " " : "", r->outcomes[k]);
    if (strcmp(got, f->outcomes) != 0)
        fail_msg("%s: %s, not %s (%s)", f->name, got, f->outcomes,
                 r->closing.err.text);
    if (r->closing.by_us != f->by_us || r->closing.stage != f->stage ||
        r->closing.relay_failed != f->relay_failed)
        fail_msg("%s: by us %d, failed %d, %s", f->name, r->closing.by_us,
                 r->closing.relay_failed, smtp_stage_name(r->closing.stage));
}

static void each_fault_has_its_outcomes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct exchange_result r;
        exchange_play(&faults[i].options, &r);
        check_fault(&faults[i], &r);
        exchange_result_fini(&r);
    }
}

/* ---- time ---- */

static const struct fault silences[] = {
    {"one by one, RCPT is not answered",
     {ONE_BY_ONE, .mails = 1, .recipients = 2, .rules = {AT_RCPT(0, 1, "")}},
     "ff",
     false,
     false,
     SMTP_STAGE_RCPT},
    {"pipeline, DATA is not answered",
     {PIPELINE, .mails = 2, .recipients = 1, .rules = {AT(0, DATA, "")}},
     "f n",
     false,
     false,
     SMTP_STAGE_DATA},
    {"pipeline, a message is not answered, nor what is behind it",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {AT(0, FINAL, ""), AT(1, MAIL, ""), AT(1, RCPT, ""),
                AT(1, DATA, "")}},
     "u n",
     false,
     false,
     SMTP_STAGE_FINAL},
    {"bdat, a message is not answered",
     {BDAT(1), .mails = 1, .recipients = 1, .rules = {AT(0, FINAL, "")}},
     "u",
     false,
     false,
     SMTP_STAGE_FINAL},
    {"bdat, nothing more from the second on",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT(1, RSET, ""), AT(1, MAIL, ""), AT(1, RCPT, ""),
                AT(1, FINAL, "")}},
     "d u",
     false,
     false,
     SMTP_STAGE_RSET},
    {"the body is not taken",
     {PIPELINE, .mails = 2, .recipients = 1, .accept_max = 80},
     "f n",
     false,
     false,
     SMTP_STAGE_BODY},
    {"bdat, the body is not taken",
     {BDAT(2), .mails = 2, .recipients = 1, .accept_max = 80},
     "f n",
     false,
     false,
     SMTP_STAGE_BODY},
    {"bdat, a no while the body is on its way",
     {BDAT(2), .mails = 2, .recipients = 1, .accept_max = 80,
      .rules = {AT(0, RCPT, "250 ok\r\n552 too much\r\n")}},
     "r n",
     false,
     false,
     SMTP_STAGE_BODY},
    {"bdat, a yes while the body is on its way",
     {BDAT(2), .mails = 2, .recipients = 1, .accept_max = 80,
      .rules = {AT(0, RCPT, "250 ok\r\n250 taken\r\n")}},
     "f n",
     false,
     false,
     SMTP_STAGE_BODY},
    {"bdat, 421 and then nothing: 2 s for what is owed",
     {BDAT(4), .mails = 2, .recipients = 1,
      .rules = {AT(0, MAIL, "421 x\r\n"), AT(0, RCPT, ""), AT(0, FINAL, ""),
                AT(1, RSET, ""), AT(1, MAIL, ""), AT(1, RCPT, ""),
                AT(1, FINAL, "")}},
     "f u",
     false,
     false,
     SMTP_STAGE_MAIL},
};

static void silence_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(silences) / sizeof(silences[0]); i++) {
        struct exchange_options options = silences[i].options;
        struct exchange_result r;
        options.timeout_ms = 300;
        options.end = EXCHANGE_END_WAIT;
        exchange_play(&options, &r);
        check_fault(&silences[i], &r);
        exchange_result_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_has_its_outcomes),
        cmocka_unit_test(silence_is_not_waited_for_for_ever),
    };
    return cmocka_run_group_tests(tests, exchange_global_setup,
                                  exchange_global_teardown);
}
