#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/utf8.h"

static void valid_and_invalid_bytes_are_told_apart(void **state)
{
    static const struct {
        const char *bytes;
        bool valid;
    } table[] = {
        {"", true},
        {"plain", true},
        {"\x7f", true},
        {"\xc2\x80", true},
        {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xee\x80\x80", true},
        {"\xef\xbf\xbf", true},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z", true},
        {"\x80", false},
        {"\xbf", false},
        {"\xc0\x80", false}, /* overlong NUL */
        {"\xc1\xbf", false},
        {"\xe0\x80\x80", false},
        {"\xe0\x9f\xbf", false},
        {"\xf0\x80\x80\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xed\xa0\x80", false}, /* surrogates */
        {"\xed\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false}, /* over U+10FFFF */
        {"\xf5\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"\xc3", false}, /* cut */
        {"\xe2\x82", false},
        {"\xf0\x9f\x98", false},
        {"\xc3z", false},
        {"\xe2\x82z", false},
        {"a\xc3\xa4\xa4", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (utf8_is_valid(str_from(table[i].bytes)) != table[i].valid)
            fail_msg("row %zu", i);
    assert_true(utf8_is_valid(STR("a\0b")));
    assert_true(utf8_is_valid(str_from(NULL)));
}

static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static void every_code_point_is_read_unless_a_surrogate(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char bytes[4];
        uint32_t read = 4711;
        size_t len = encode(c, bytes);
        bool is_one = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        size_t got = utf8_next(str_of(bytes, len), 0, &read);
        if (got != (is_one ? len : 0) || read != (is_one ? c : 4711))
            fail_msg("U+%04X", c);
    }
}

static void characters_follow_each_other(void **state)
{
    const struct str s = STR("a\xc3\xa4\xf0\x9f\x98\x80");
    uint32_t c;
    (void)state;
    assert_int_equal(utf8_next(s, 0, &c), 1);
    assert_int_equal(c, 'a');
    assert_int_equal(utf8_next(s, 1, &c), 2);
    assert_int_equal(c, 0xe4);
    assert_int_equal(utf8_next(s, 3, NULL), 4);
    assert_int_equal(utf8_next(s, 7, NULL), 0);
    assert_int_equal(utf8_next(s, 100, NULL), 0);
}

static void ascii_has_no_high_bytes(void **state)
{
    (void)state;
    assert_true(utf8_is_ascii(STR("a\0\x7f")));
    assert_true(utf8_is_ascii(str_from(NULL)));
    assert_false(utf8_is_ascii(STR("a\x80")));
}

/* ASCII is read in steps of several bytes. */
static void a_high_byte_is_seen_wherever_it_is(void **state)
{
    char text[40];
    (void)state;
    for (size_t len = 2; len <= sizeof(text); len++) {
        for (size_t at = 0; at + 2 <= len; at++) {
            memset(text, 'a', sizeof(text));
            assert_true(utf8_is_ascii(str_of(text, len)));
            memcpy(text + at, "\xc3\xbc", 2);
            assert_false(utf8_is_ascii(str_of(text, len)));
            assert_true(utf8_is_valid(str_of(text, len)));
            text[at + 1] = 'a';
            assert_false(utf8_is_valid(str_of(text, len)));
            text[at] = '\xbc';
            assert_false(utf8_is_valid(str_of(text, len)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_and_invalid_bytes_are_told_apart),
        cmocka_unit_test(every_code_point_is_read_unless_a_surrogate),
        cmocka_unit_test(characters_follow_each_other),
        cmocka_unit_test(ascii_has_no_high_bytes),
        cmocka_unit_test(a_high_byte_is_seen_wherever_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
