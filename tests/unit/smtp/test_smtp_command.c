#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/command.h"

static void mail_has_the_parameters_asked_for(void **state)
{
    (void)state;
    static const struct {
        struct smtp_command_mail mail;
        const char *line;
    } cases[] = {
        {{.sender = {NULL, 0}}, "MAIL FROM:<>\r\n"},
        {{.sender = {"a@b", 3}}, "MAIL FROM:<a@b>\r\n"},
        {{.sender = {"a@b", 3}, .with_size = true, .size_bytes = 0},
         "MAIL FROM:<a@b> SIZE=0\r\n"},
        {{.sender = {"a@b", 3},
          .with_size = true,
          .size_bytes = 18446744073709551615U,
          .body_8bit = true,
          .utf8 = true},
         "MAIL FROM:<a@b> SIZE=18446744073709551615 BODY=8BITMIME "
         "SMTPUTF8\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out;
        buf_init(&out, 1000);
        smtp_command_mail(&out, &cases[i].mail);
        assert_true(buf_ok(&out));
        assert_true(str_equal(buf_str(&out), str_from(cases[i].line)));
        buf_fini(&out);
    }
}

static void the_other_commands_are_lines(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    smtp_command_rset(&out);
    smtp_command_rcpt(&out, STR("a+b@x.org"));
    smtp_command_data(&out);
    smtp_command_quit(&out);
    assert_true(str_equal(
        buf_str(&out), STR("RSET\r\nRCPT TO:<a+b@x.org>\r\nDATA\r\nQUIT\r\n")));
    buf_fini(&out);
}

static void addresses_that_hide_a_command_are_refused(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a@b",
        "j\xc3\xb6rg@x.org",
        "a@[IPv6:::1]",
        "\"a\\\"b\"@x.org",
        "\"a b\"@x.org",
        "\"<\"@x.org",
        "\"a>b@c\"@x.org",
        "\"\\\\\"@x.org",
        "\"\\ \"@x.org",
        "\"\"@x.org",
    };
    static const struct str bad[] = {
        {"", 0},
        {"a@b\r\nRCPT TO:<c@d>", 19},
        {"a@b\n", 4},
        {"a@b\r", 4},
        {"a\0@b", 4},
        {"a b@c", 5},
        {"a\tb@c", 5},
        {"<a@b>", 5},
        {"a@b> SIZE=1", 11},
        {"a\x7f@b", 4},
        {"\x01@b", 3},
        {"j\xf6rg@x", 6},
        {"\"a b@c", 6},
        {"\"a\\\" b@c", 8},
        {"\"a\"@b c", 7},
        {"\"a\"> @b", 7},
        {"\"a\" b@c", 7},
        {"\"a\"@b>", 6},
        {"x\"a b\"@c", 8},
        {"\"a\r\n\"@b", 8},
        {"\"a\\\n\"@b", 8},
        {"\"a\tb\"@c", 7},
        {"\"a\0b\"@c", 7},
        {"\"a\x7f\"@b", 6},
        {"\"", 1},
        {"\" ", 2},
        {"\"\\ ", 3},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(smtp_command_address_ok(str_from(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(smtp_command_address_ok(bad[i]));
    char text[SMTP_ADDRESS_MAX + 1];
    memset(text, 'a', sizeof(text));
    assert_true(smtp_command_address_ok(str_of(text, SMTP_ADDRESS_MAX)));
    assert_false(smtp_command_address_ok(str_of(text, SMTP_ADDRESS_MAX + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_has_the_parameters_asked_for),
        cmocka_unit_test(the_other_commands_are_lines),
        cmocka_unit_test(addresses_that_hide_a_command_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
