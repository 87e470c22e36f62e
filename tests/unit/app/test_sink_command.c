#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/sink/sink_command.h"
#include "app/sink/sink_options.h"

static void verbs_are_known_in_any_case(void **state)
{
    static const struct {
        const char *line;
        enum sink_verb verb;
        const char *argument;
    } rows[] = {
        {"EHLO a.org", SINK_VERB_EHLO, "a.org"},
        {"helo  a.org ", SINK_VERB_HELO, "a.org"},
        {"mAiL FROM:<>", SINK_VERB_MAIL, "FROM:<>"},
        {"RCPT TO:<a@b>", SINK_VERB_RCPT, "TO:<a@b>"},
        {"DATA", SINK_VERB_DATA, ""},
        {"BDAT 5 LAST", SINK_VERB_BDAT, "5 LAST"},
        {"rset", SINK_VERB_RSET, ""},
        {"NOOP x y", SINK_VERB_NOOP, "x y"},
        {"quit", SINK_VERB_QUIT, ""},
        {"VRFY a", SINK_VERB_VRFY, "a"},
        {"EXPN a", SINK_VERB_EXPN, "a"},
        {"HELP", SINK_VERB_HELP, ""},
        {"AUTH PLAIN AA==", SINK_VERB_AUTH, "PLAIN AA=="},
        {"StartTls", SINK_VERB_STARTTLS, ""},
        {"", SINK_VERB_UNKNOWN, ""},
        {"MAILX", SINK_VERB_UNKNOWN, ""},
        {"MAI", SINK_VERB_UNKNOWN, ""},
        {" QUIT", SINK_VERB_UNKNOWN, "QUIT"},
        {"MAIL\tFROM:<>", SINK_VERB_UNKNOWN, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_command c = sink_command_parse(str_from(rows[i].line));
        if (c.verb != rows[i].verb ||
            !str_equal(c.argument, str_from(rows[i].argument)))
            fail_msg("%s", rows[i].line);
    }
}

static void mail_is_read_or_refused(void **state)
{
    static const struct {
        const char *argument;
        unsigned code; /* 0: right */
        const char *sender;
    } rows[] = {
        {"FROM:<a@b.org>", 0, "a@b.org"},
        {"from:<a@b.org>", 0, "a@b.org"},
        {"FROM:<>", 0, ""},
        {"FROM:<a@[127.0.0.1]>", 0, "a@[127.0.0.1]"},
        {"FROM:<a@[IPv6:::1]>", 0, "a@[IPv6:::1]"},
        {"FROM:<\"a b>\"@c.org>", 0, "\"a b>\"@c.org"},
        {"FROM:<\"a\\\"b\"@c.org>", 0, "\"a\\\"b\"@c.org"},
        {"FROM:<@x.org,@y.org:a@b.org>", 0, "a@b.org"},
        {"FROM:<a+b!#$%&'*/=?^_`{|}~-@b>", 0, "a+b!#$%&'*/=?^_`{|}~-@b"},
        {"FROM:<a@b.org> SIZE=100 BODY=8BITMIME SMTPUTF8 AUTH=<>", 0,
         "a@b.org"},
        {"FROM:<a@b.org>  size=1  body=7bit", 0, "a@b.org"},
        {"FROM:<\xc3\xa4@b.org> SMTPUTF8", 0, "\xc3\xa4@b.org"},
        {"FROM:<a@b\xc3\xa4.org> SMTPUTF8", 0, "a@b\xc3\xa4.org"},
        {"FROM:<\xc3\xa4@b.org>", 553, NULL},
        {"FROM:<\xff@b.org> SMTPUTF8", 501, NULL},
        {"", 501, NULL},
        {"<a@b.org>", 501, NULL},
        {"TO:<a@b.org>", 501, NULL},
        {"FROM: <a@b.org>", 501, NULL},
        {"FROM:a@b.org", 501, NULL},
        {"FROM:<a@b.org", 501, NULL},
        {"FROM:<a@b.org>SIZE=1", 501, NULL},
        {"FROM:<a>", 501, NULL},
        {"FROM:<@b.org>", 501, NULL},
        {"FROM:<a@>", 501, NULL},
        {"FROM:<a..b@c>", 501, NULL},
        {"FROM:<.a@c>", 501, NULL},
        {"FROM:<a.@c>", 501, NULL},
        {"FROM:<a@b..c>", 501, NULL},
        {"FROM:<a@-b.org>", 501, NULL},
        {"FROM:<a@b.org->", 501, NULL},
        {"FROM:<a@b.org.>", 501, NULL},
        {"FROM:<a b@c>", 501, NULL},
        {"FROM:<\"a@c>", 501, NULL},
        {"FROM:<\"a\"b@c>", 501, NULL},
        {"FROM:<a@[]>", 501, NULL},
        {"FROM:<@x.org:>", 501, NULL},
        {"FROM:<@x.org>", 501, NULL},
        {"FROM:<a@b.org> SIZE=", 501, NULL},
        {"FROM:<a@b.org> SIZE=x", 501, NULL},
        {"FROM:<a@b.org> SIZE=99999999999999999999999", 501, NULL},
        {"FROM:<a@b.org> SIZE=1 SIZE=2", 501, NULL},
        {"FROM:<a@b.org> BODY=9BIT", 501, NULL},
        {"FROM:<a@b.org> SMTPUTF8=1", 501, NULL},
        {"FROM:<a@b.org> AUTH=", 501, NULL},
        {"FROM:<a@b.org> RET=FULL", 555, NULL},
        {"FROM:<a@b.org> X Y", 555, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_mail mail;
        const struct sink_refusal *refusal = sink_command_mail(
            str_from(rows[i].argument), SINK_EXTENSION_ALL, &mail);
        unsigned code = refusal == NULL ? 0 : refusal->code;
        if (code != rows[i].code)
            fail_msg("%s: %u", rows[i].argument, code);
        if (code == 0 && !str_equal(mail.sender, str_from(rows[i].sender)))
            fail_msg("%s: \"%.*s\"", rows[i].argument, STR_ARG(mail.sender));
    }
}

static void mail_parameters_are_told(void **state)
{
    struct sink_mail mail;
    (void)state;
    assert_null(sink_command_mail(STR("FROM:<a@b> SIZE=123 BODY=8bitmime"),
                                  SINK_EXTENSION_ALL, &mail));
    assert_true(mail.has_size);
    assert_int_equal(mail.size_bytes, 123);
    assert_true(mail.body_8bit);
    assert_false(mail.smtputf8);
}

static void parameters_of_what_is_off_are_unknown(void **state)
{
    static const struct {
        const char *argument;
        enum sink_extension extension;
    } rows[] = {
        {"FROM:<a@b> SIZE=1", SINK_EXTENSION_SIZE},
        {"FROM:<a@b> BODY=7BIT", SINK_EXTENSION_8BITMIME},
        {"FROM:<a@b> SMTPUTF8", SINK_EXTENSION_SMTPUTF8},
        {"FROM:<a@b> AUTH=<>", SINK_EXTENSION_AUTH},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_mail mail;
        unsigned off = SINK_EXTENSION_ALL & ~(unsigned)rows[i].extension;
        struct str argument = str_from(rows[i].argument);
        assert_null(sink_command_mail(argument, SINK_EXTENSION_ALL, &mail));
        const struct sink_refusal *refusal =
            sink_command_mail(argument, off, &mail);
        assert_non_null(refusal);
        assert_int_equal(refusal->code, 555);
    }
}

static void rcpt_is_read_or_refused(void **state)
{
    static const struct {
        const char *argument;
        bool utf8;
        unsigned code;
        const char *recipient;
    } rows[] = {
        {"TO:<a@b.org>", false, 0, "a@b.org"},
        {"to:<Postmaster>", false, 0, "Postmaster"},
        {"TO:<\xc3\xa4@b.org>", true, 0, "\xc3\xa4@b.org"},
        {"TO:<\xc3\xa4@b.org>", false, 553, NULL},
        {"TO:<>", false, 501, NULL},
        {"TO:<someone>", false, 501, NULL},
        {"TO:<a@b.org> NOTIFY=NEVER", false, 555, NULL},
        {"TO:<postmaster>x", false, 501, NULL},
        {"FROM:<a@b.org>", false, 501, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_rcpt rcpt;
        const struct sink_refusal *refusal =
            sink_command_rcpt(str_from(rows[i].argument), rows[i].utf8, &rcpt);
        unsigned code = refusal == NULL ? 0 : refusal->code;
        if (code != rows[i].code)
            fail_msg("%s: %u", rows[i].argument, code);
        if (code == 0)
            assert_true(str_equal(rcpt.recipient, str_from(rows[i].recipient)));
    }
}

static void long_addresses_are_refused(void **state)
{
    char text[400] = "TO:<";
    struct sink_rcpt rcpt;
    (void)state;
    memset(text + 4, 'a', 64);
    memcpy(text + 68, "@b.org>", 8);
    assert_null(sink_command_rcpt(str_from(text), false, &rcpt));
    memset(text + 4, 'a', 65);
    memcpy(text + 69, "@b.org>", 8);
    assert_non_null(sink_command_rcpt(str_from(text), false, &rcpt));
    memcpy(text + 4, "a@", 2);
    memset(text + 6, 'b', 256);
    memcpy(text + 262, ">", 2);
    assert_non_null(sink_command_rcpt(str_from(text), false, &rcpt));
}

static void bdat_is_a_size_and_perhaps_last(void **state)
{
    static const struct {
        const char *argument;
        bool right;
        uint64_t size;
        bool last;
    } rows[] = {
        {"0", true, 0, false},         {"5 LAST", true, 5, true},
        {"5  last", true, 5, true},    {"123456789", true, 123456789, false},
        {"", false, 0, false},         {"x", false, 0, false},
        {"-1", false, 0, false},       {"5 FIRST", false, 0, false},
        {"5 LAST x", false, 0, false}, {"9999999999999999999999", false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_chunk chunk;
        const struct sink_refusal *refusal =
            sink_command_bdat(str_from(rows[i].argument), &chunk);
        if ((refusal == NULL) != rows[i].right)
            fail_msg("%s", rows[i].argument);
        if (refusal == NULL) {
            assert_true(chunk.size_bytes == rows[i].size);
            assert_true(chunk.last == rows[i].last);
        } else {
            assert_int_equal(refusal->code, 501);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_are_known_in_any_case),
        cmocka_unit_test(mail_is_read_or_refused),
        cmocka_unit_test(mail_parameters_are_told),
        cmocka_unit_test(parameters_of_what_is_off_are_unknown),
        cmocka_unit_test(rcpt_is_read_or_refused),
        cmocka_unit_test(long_addresses_are_refused),
        cmocka_unit_test(bdat_is_a_size_and_perhaps_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
