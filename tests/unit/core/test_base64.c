#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base64.h"
#include "core/random.h"

/* RFC 4648 section 10, and bytes that are no text. */
static const struct {
    const char *bytes;
    size_t len;
    const char *text;
} pairs[] = {
    {"", 0, ""},
    {"f", 1, "Zg=="},
    {"fo", 2, "Zm8="},
    {"foo", 3, "Zm9v"},
    {"foob", 4, "Zm9vYg=="},
    {"fooba", 5, "Zm9vYmE="},
    {"foobar", 6, "Zm9vYmFy"},
    {"\0\0\0", 3, "AAAA"},
    {"\xff\xff\xff", 3, "////"},
    {"\xfb\xef\xbe", 3, "++++"},
    {"\0", 1, "AA=="},
};

static void known_pairs_go_both_ways_and_fill_the_cap(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct str bytes = str_of(pairs[i].bytes, pairs[i].len);
        struct str text = str_from(pairs[i].text);
        struct buf b;
        buf_init(&b, text.len);
        base64_encode(bytes, &b);
        assert_true(buf_ok(&b));
        assert_true(str_equal(buf_str(&b), text));
        buf_fini(&b);
        buf_init(&b, bytes.len);
        assert_int_equal(base64_decode(text, &b), ERR_NONE);
        assert_true(str_equal(buf_str(&b), bytes));
        buf_fini(&b);
    }
}

static void caps_are_kept(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 7);
    base64_encode(STR("foob"), &b);
    assert_false(buf_ok(&b));
    buf_fini(&b);
    buf_init(&b, 3);
    assert_int_equal(base64_decode(STR("Zm9vYg=="), &b), ERR_TOO_LARGE);
    buf_fini(&b);
}

static void anything_not_strict_is_refused(void **state)
{
    static const char *const table[] = {
        "Z",           "Zg",       "Zg=",     "Zg===",    "Zm9vZg",
        "=",           "==",       "====",    "Z===",     "Zg==Zg==",
        "Zm9v\n",      "Zm9\n",    "Zm 9v",   " Zm9",     "Zm9 ",
        "Zm9v\r\n",    "Zm9-",     "Zm9_",    "Zm9.",     "Zh==",
        "Zm9=",        "Zm=v",     "Z=9v",    "Zm9-Zm9v", "Zm 9Zm9v",
        "Zm9\xc3Zm9v", "Zm9v=m9v", "Zm9\xc3", "Zm9v    ",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct buf b;
        buf_init(&b, 100);
        if (base64_decode(str_from(table[i]), &b) != ERR_INVALID)
            fail_msg("\"%s\"", table[i]);
        buf_fini(&b);
    }
}

static void random_bytes_come_back(void **state)
{
    struct random random;
    (void)state;
    random_init(&random, 1);
    for (size_t len = 0; len < 300; len++) {
        char bytes[300];
        struct buf text;
        struct buf again;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)random_next(&random);
        buf_init(&text, 1000);
        buf_init(&again, len);
        base64_encode(str_of(bytes, len), &text);
        assert_int_equal(text.len, (len + 2) / 3 * 4);
        assert_int_equal(base64_decode(buf_str(&text), &again), ERR_NONE);
        assert_true(str_equal(buf_str(&again), str_of(bytes, len)));
        buf_fini(&text);
        buf_fini(&again);
    }
}

/* More than one piece of what OpenSSL is given at once. */
static void megabytes_come_back(void **state)
{
    const size_t len = ((size_t)3 << 24) + 5;
    struct buf bytes;
    struct buf text;
    struct buf again;
    (void)state;
    buf_init(&bytes, len);
    buf_init(&text, (len + 2) / 3 * 4);
    buf_init(&again, len);
    char *room = buf_reserve(&bytes, len);
    assert_non_null(room);
    for (size_t i = 0; i < len; i++)
        room[i] = (char)(i * 2654435761U >> 13);
    bytes.len = len;
    base64_encode(buf_str(&bytes), &text);
    assert_true(buf_ok(&text));
    assert_int_equal(base64_decode(buf_str(&text), &again), ERR_NONE);
    assert_true(str_equal(buf_str(&again), buf_str(&bytes)));
    buf_fini(&bytes);
    buf_fini(&text);
    buf_fini(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_pairs_go_both_ways_and_fill_the_cap),
        cmocka_unit_test(caps_are_kept),
        cmocka_unit_test(anything_not_strict_is_refused),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(megabytes_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
