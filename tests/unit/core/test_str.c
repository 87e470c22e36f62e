#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/str.h"

static const struct str nothing = {NULL, 0};

static void comparing_knows_length_and_case(void **state)
{
    (void)state;
    assert_true(str_equal(STR("abc"), STR("abc")));
    assert_false(str_equal(STR("abc"), STR("abd")));
    assert_false(str_equal(STR("abc"), STR("ab")));
    assert_false(str_equal(STR("abc"), STR("ABC")));
    assert_true(str_equal(nothing, STR("")));
    assert_true(str_equal(STR("a\0b"), STR("a\0b")));
    assert_false(str_equal(STR("a\0b"), STR("a\0c")));
    assert_true(str_equal_nocase(STR("aBc[1"), STR("AbC[1")));
    assert_false(str_equal_nocase(STR("abc{"), STR("abc[")));
    /* bytes above ASCII have no case */
    assert_false(str_equal_nocase(STR("\xc3\xa4"), STR("\xc3\x84")));
    assert_true(str_equal_nocase(nothing, nothing));
}

static void beginnings_and_ends_are_seen(void **state)
{
    (void)state;
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(STR("abc"), nothing));
    assert_false(str_starts(STR("ab"), STR("abc")));
    assert_false(str_starts(STR("abc"), STR("AB")));
    assert_true(str_starts_nocase(STR("abc"), STR("AB")));
    assert_true(str_ends_nocase(STR("a.COM"), STR(".com")));
    assert_false(str_ends_nocase(STR("com"), STR(".com")));
    assert_true(str_ends_nocase(nothing, STR("")));
}

static void finding_gives_the_first_or_the_length(void **state)
{
    (void)state;
    assert_int_equal(str_find(STR("abcb"), 'b'), 1);
    assert_int_equal(str_find(STR("abc"), 'x'), 3);
    assert_int_equal(str_find(nothing, 'x'), 0);
    assert_int_equal(str_find(STR("ab\0c"), '\0'), 2);
    assert_true(str_contains(STR("abc"), STR("bc")));
    assert_true(str_contains(STR("abc"), nothing));
    assert_true(str_contains(nothing, nothing));
    assert_false(str_contains(STR("abc"), STR("cb")));
    assert_false(str_contains(nothing, STR("a")));
}

static void trimming_takes_blanks_from_both_ends(void **state)
{
    (void)state;
    assert_true(str_equal(str_trim(STR(" \t\r\na b\n ")), STR("a b")));
    assert_true(str_equal(str_trim(STR(" \n ")), nothing));
    assert_true(str_equal(str_trim(nothing), nothing));
}

static void rest_behind_the_end_is_empty(void **state)
{
    (void)state;
    assert_true(str_equal(str_after(STR("abc"), 1), STR("bc")));
    assert_int_equal(str_after(STR("abc"), 3).len, 0);
    assert_int_equal(str_after(STR("abc"), SIZE_MAX).len, 0);
    assert_int_equal(str_after(nothing, 0).len, 0);
    assert_int_equal(str_from(NULL).len, 0);
}

static void numbers_are_digits_in_range(void **state)
{
    static const struct {
        const char *text;
        unsigned long long max;
        bool good;
        unsigned long long value;
    } table[] = {
        {"0", 0, true, 0},
        {"007", 9, true, 7},
        {"9", 9, true, 9},
        {"10", 9, false, 0},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"18446744073709551615", ULLONG_MAX, true, ULLONG_MAX},
        {"18446744073709551616", ULLONG_MAX, false, 0},
        {"99999999999999999999999", ULLONG_MAX, false, 0},
        {"1", 0, false, 0},
        {"", 9, false, 0},
        {"-1", 9, false, 0},
        {"+1", 9, false, 0},
        {" 1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"0x1", 9, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        unsigned long long value = 4711;
        bool good = str_to_u64(str_from(table[i].text), table[i].max, &value);
        if (good != table[i].good || value != (good ? table[i].value : 4711))
            fail_msg("\"%s\"", table[i].text);
    }
}

static void hexadecimal_digits_have_values(void **state)
{
    (void)state;
    assert_int_equal(ascii_hex('0'), 0);
    assert_int_equal(ascii_hex('9'), 9);
    assert_int_equal(ascii_hex('a'), 10);
    assert_int_equal(ascii_hex('F'), 15);
    assert_int_equal(ascii_hex('g'), -1);
    assert_int_equal(ascii_hex('/'), -1);
    assert_int_equal(ascii_hex('\xff'), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing_knows_length_and_case),
        cmocka_unit_test(beginnings_and_ends_are_seen),
        cmocka_unit_test(finding_gives_the_first_or_the_length),
        cmocka_unit_test(trimming_takes_blanks_from_both_ends),
        cmocka_unit_test(rest_behind_the_end_is_empty),
        cmocka_unit_test(numbers_are_digits_in_range),
        cmocka_unit_test(hexadecimal_digits_have_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
