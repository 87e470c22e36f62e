#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

static void assert_holds(const struct buf *b, const char *text)
{
    assert_true(buf_ok(b));
    assert_true(str_equal(buf_str(b), str_from(text)));
}

static void everything_added_is_there_in_order(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_holds(&b, "");
    buf_add(&b, "ab", 2);
    buf_add(&b, NULL, 0);
    buf_add_str(&b, STR("cd"));
    buf_add_str(&b, str_from(NULL));
    buf_add_text(&b, "ef");
    buf_add_char(&b, 'g');
    buf_add_u64(&b, 0);
    buf_add_char(&b, ' ');
    buf_add_u64(&b, ULLONG_MAX);
    buf_add_char(&b, ' ');
    buf_add_i64(&b, LLONG_MIN);
    buf_add_char(&b, ' ');
    buf_add_i64(&b, LLONG_MAX);
    buf_add_format(&b, " %s-%d", "x", -5);
    assert_holds(&b, "abcdefg0 18446744073709551615 -9223372036854775808 "
                     "9223372036854775807 x--5");
    buf_fini(&b);
}

static void growth_keeps_the_bytes(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 100000; i++)
        buf_add_char(&b, (char)(i * 7 % 251));
    assert_true(buf_ok(&b));
    assert_int_equal(b.len, 100000);
    assert_true(b.capacity >= b.len && b.capacity <= b.max);
    for (unsigned i = 0; i < 100000; i++)
        if (b.data[i] != (char)(i * 7 % 251))
            fail_msg("byte %u", i);
    buf_fini(&b);
}

static void cap_can_be_filled_and_not_passed(void **state)
{
    static const size_t caps[] = {0, 1, 10, 63, 64, 65, 100, 4096};
    (void)state;
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        struct buf b;
        buf_init(&b, caps[i]);
        for (size_t n = 0; n < caps[i]; n++)
            buf_add_char(&b, 'x');
        assert_true(buf_ok(&b));
        assert_int_equal(b.len, caps[i]);
        assert_true(b.capacity <= caps[i]);
        buf_add_char(&b, 'y');
        assert_false(buf_ok(&b));
        assert_int_equal(b.len, caps[i]);
        buf_fini(&b);
    }
}

static void overflow_adds_nothing_and_stays(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4);
    buf_add_text(&b, "abc");
    buf_add_text(&b, "de");
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 3);
    buf_add_char(&b, 'd'); /* would fit */
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 3);
    buf_truncate(&b, 2);
    assert_holds(&b, "ab");
    buf_add_text(&b, "cd");
    assert_holds(&b, "abcd");
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_false(buf_ok(&b));
    buf_fini(&b);
    assert_holds(&b, "");
    assert_int_equal(b.max, 4);
}

static void formatted_text_of_any_length_fits_up_to_the_cap(void **state)
{
    static const int lengths[] = {0, 1, 254, 255, 256, 257, 1000};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct buf b;
        size_t len = (size_t)lengths[i] + 1;
        buf_init(&b, len);
        buf_add_format(&b, "%*s!", lengths[i], "");
        assert_true(buf_ok(&b));
        assert_int_equal(b.len, len);
        assert_int_equal(b.data[len - 1], '!');
        buf_fini(&b);
        buf_init(&b, len - 1);
        buf_add_format(&b, "%*s!", lengths[i], "");
        assert_false(buf_ok(&b));
        assert_int_equal(b.len, 0);
        buf_fini(&b);
    }
}

static void reserved_room_is_the_callers_to_fill(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 300);
    buf_add_text(&b, "a");
    char *room = buf_reserve(&b, 200);
    assert_non_null(room);
    assert_int_equal(b.len, 1);
    memset(room, 'b', 200);
    b.len += 200;
    assert_int_equal(buf_str(&b).data[200], 'b');
    assert_null(buf_reserve(&b, 100));
    buf_fini(&b);
}

static void consuming_moves_the_rest_to_the_front(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    buf_add_text(&b, "abcdef");
    buf_consume(&b, 0);
    assert_holds(&b, "abcdef");
    buf_consume(&b, 2);
    assert_holds(&b, "cdef");
    buf_consume(&b, 4);
    assert_holds(&b, "");
    buf_add_text(&b, "g");
    assert_holds(&b, "g");
    buf_fini(&b);
}

static void taking_gives_the_bytes_away(void **state)
{
    struct buf b;
    size_t len = 4711;
    (void)state;
    buf_init(&b, 100);
    assert_null(buf_take(&b, &len));
    assert_int_equal(len, 0);
    buf_add_text(&b, "abc");
    char *data = buf_take(&b, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "abc", 3);
    assert_holds(&b, "");
    buf_add_text(&b, "d");
    assert_holds(&b, "d");
    assert_memory_equal(data, "abc", 3);
    mem_free(data);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_added_is_there_in_order),
        cmocka_unit_test(growth_keeps_the_bytes),
        cmocka_unit_test(cap_can_be_filled_and_not_passed),
        cmocka_unit_test(overflow_adds_nothing_and_stays),
        cmocka_unit_test(formatted_text_of_any_length_fits_up_to_the_cap),
        cmocka_unit_test(reserved_room_is_the_callers_to_fill),
        cmocka_unit_test(consuming_moves_the_rest_to_the_front),
        cmocka_unit_test(taking_gives_the_bytes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
