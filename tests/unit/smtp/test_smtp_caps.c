#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "smtp/caps.h"

static void keywords_are_known_in_any_case(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum smtp_extension extension;
    } cases[] = {
        {"SIZE 1000", SMTP_EXTENSION_SIZE},
        {"8BITMIME", SMTP_EXTENSION_8BITMIME},
        {"smtputf8", SMTP_EXTENSION_SMTPUTF8},
        {"Pipelining", SMTP_EXTENSION_PIPELINING},
        {"CHUNKING", SMTP_EXTENSION_CHUNKING},
        {"ENHANCEDSTATUSCODES", SMTP_EXTENSION_ENHANCEDSTATUSCODES},
        {"STARTTLS", SMTP_EXTENSION_STARTTLS},
        {"AUTH PLAIN LOGIN", SMTP_EXTENSION_AUTH},
        {"  PIPELINING  ", SMTP_EXTENSION_PIPELINING},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct smtp_caps caps;
        smtp_caps_clear(&caps);
        smtp_caps_add(&caps, str_from(cases[i].line));
        for (int e = 0; e < SMTP_EXTENSION_COUNT; e++)
            assert_int_equal(smtp_caps_has(&caps, (enum smtp_extension)e),
                             e == (int)cases[i].extension);
    }
}

static void other_words_are_passed_over(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "", "SIZES", "XSIZE 5", "SIZE=1000", "AUTH=PLAIN", "DSN", "\x01\xff"};
    struct smtp_caps caps;
    smtp_caps_clear(&caps);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        smtp_caps_add(&caps, str_from(lines[i]));
    for (int e = 0; e < SMTP_EXTENSION_COUNT; e++)
        assert_false(smtp_caps_has(&caps, (enum smtp_extension)e));
}

static void the_size_limit_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint64_t size_max;
    } cases[] = {
        {"SIZE 35882577", 35882577},
        {"SIZE", 0},
        {"SIZE 0", 0},
        {"SIZE  10  ", 10},
        {"SIZE ten", 0},
        {"SIZE -1", 0},
        {"SIZE 18446744073709551615", UINT64_MAX},
        {"SIZE 18446744073709551616", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct smtp_caps caps;
        smtp_caps_clear(&caps);
        smtp_caps_add(&caps, str_from(cases[i].line));
        assert_true(smtp_caps_has(&caps, SMTP_EXTENSION_SIZE));
        assert_true(caps.size_max == cases[i].size_max);
    }
}

static void the_ways_to_authenticate_are_read(void **state)
{
    (void)state;
    struct smtp_caps caps;
    smtp_caps_clear(&caps);
    smtp_caps_add(&caps, STR("AUTH CRAM-MD5 login XPLAIN"));
    assert_false(caps.auth_plain);
    assert_true(caps.auth_login);
    smtp_caps_add(&caps, STR("AUTH PLAIN"));
    assert_true(caps.auth_plain);
    smtp_caps_clear(&caps);
    assert_false(caps.auth_plain);
    assert_false(caps.auth_login);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords_are_known_in_any_case),
        cmocka_unit_test(other_words_are_passed_over),
        cmocka_unit_test(the_size_limit_is_read),
        cmocka_unit_test(the_ways_to_authenticate_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
