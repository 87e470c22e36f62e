#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/cli/lines.h"
#include "app/cli/window.h"

/* Lines of the input, and the jobs that are under way. */
#define LINE_MAX 10

/* Writes what is given into a pipe in pieces of that size and reads lines. */
static void read_all(struct str input, size_t piece, char *out, size_t out_len)
{
    int fds[2];
    struct lines l;
    size_t at = 0;
    size_t len = 0;
    struct str line;
    enum lines_result result = LINES_NEED_MORE;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    lines_init(&l, fds[0], LINE_MAX);
    while (result != LINES_END) {
        result = lines_next(&l, &line);
        if (result == LINES_NEED_MORE) {
            struct str rest = str_after(input, at);
            rest.len = rest.len < piece ? rest.len : piece;
            if (rest.len > 0)
                assert_int_equal(write(fds[1], rest.data, rest.len), rest.len);
            at += rest.len;
            if (rest.len == 0 && fds[1] >= 0) {
                (void)close(fds[1]);
                fds[1] = -1;
            }
            assert_int_equal(lines_fill(&l, NULL), ERR_NONE);
        }
        int n = 0;
        if (result == LINES_READY)
            n = snprintf(out + len, out_len - len, "%d:%.*s|", (int)l.number,
                         STR_ARG(line));
        else if (result == LINES_TOO_LONG)
            n = snprintf(out + len, out_len - len, "%d!|", (int)l.number);
        len += (size_t)n;
        assert_true(len < out_len);
    }
    lines_fini(&l);
    (void)close(fds[0]);
}

static void test_lines_come_whole_however_they_are_cut(void **state)
{
    (void)state;
    const struct {
        struct str input;
        const char *lines;
    } rows[] = {
        {STR(""), ""},
        {STR("\n"), "1:|"},
        {STR("a"), "1:a|"},
        {STR("a\n"), "1:a|"},
        {STR("a\n\nbc\r\nd"), "1:a|2:|3:bc\r|4:d|"},
        {STR("0123456789\nx\n"), "1:0123456789|2:x|"},
        {STR("0123456789"), "1:0123456789|"},
        {STR("0123456789a\nx\n"), "1!|2:x|"},
        {STR("0123456789a"), "1!|"},
        {STR("ab\n0123456789abcdefghijklmnopqrstuvwxyz\n\ny"),
         "1:ab|2!|3:|4:y|"},
        {STR("0123456789abc\n0123456789abc\nz"), "1!|2!|3:z|"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t piece = 1; piece < 16; piece++) {
            char out[200] = "";
            read_all(rows[i].input, piece, out, sizeof(out));
            assert_string_equal(out, rows[i].lines);
        }
    }
}

static void test_a_broken_descriptor_is_an_error(void **state)
{
    (void)state;
    struct lines l;
    struct err err;
    lines_init(&l, -1, LINE_MAX);
    assert_int_equal(lines_fill(&l, &err), ERR_SYSTEM);
    lines_fini(&l);
}

static void test_answers_go_to_the_jobs_in_the_order_of_sending(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, 3);
    assert_null(window_answered(&w));
    for (uint64_t line = 1; line <= 3; line++) {
        assert_true(window_has_room(&w));
        window_add(&w, line, STR("{}"));
    }
    assert_false(window_has_room(&w));
    struct window_slot *first = window_answered(&w);
    assert_int_equal(first->line, 1);
    window_hold(&w, first, 100);
    assert_int_equal(window_next_due(&w), 100);
    struct window_slot *second = window_answered(&w);
    assert_int_equal(second->line, 2);
    window_drop(&w, second);
    assert_null(window_due(&w, 99));
    const struct window_slot *again = window_due(&w, 100);
    assert_int_equal(again->line, 1);
    assert_int_equal(window_next_due(&w), INT64_MAX);
    window_add(&w, 4, STR("{}"));
    for (size_t i = 0; i < 3; i++) {
        static const uint64_t order[] = {3, 1, 4};
        struct window_slot *slot = window_answered(&w);
        assert_int_equal(slot->line, order[i]);
        window_drop(&w, slot);
    }
    assert_null(window_answered(&w));
    assert_int_equal(w.bytes, 0);
    window_fini(&w);
}

static void test_held_jobs_go_again_in_the_order_of_their_lines(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, 2);
    window_add(&w, 1, STR("{}"));
    window_add(&w, 2, STR("{}"));
    window_drop(&w, window_answered(&w));
    /* Line 3 lies where line 1 did, before line 2. */
    window_add(&w, 3, STR("{}"));
    window_hold(&w, window_answered(&w), 50);
    window_hold(&w, window_answered(&w), 40);
    assert_int_equal(window_next_due(&w), 40);
    const struct window_slot *first = window_due(&w, 50);
    assert_int_equal(first->line, 2);
    const struct window_slot *second = window_due(&w, 50);
    assert_int_equal(second->line, 3);
    window_fini(&w);
}

static void test_bytes_are_bounded_too(void **state)
{
    (void)state;
    struct window w;
    static const char data[1 << 20];
    window_init(&w, 1000);
    size_t count = 0;
    while (window_has_room(&w))
        window_add(&w, ++count, str_of(data, sizeof(data)));
    assert_int_equal(count, WINDOW_BYTES_MAX / sizeof(data));
    window_drop(&w, window_answered(&w));
    assert_true(window_has_room(&w));
    window_fini(&w);
}

static void assert_ranges(const uint64_t *lines, size_t count,
                          const char *expected)
{
    struct window w;
    char text[WINDOW_RANGES_MAX];
    window_init(&w, 32);
    for (size_t i = 0; i < count; i++)
        window_add(&w, lines[i], STR("{}"));
    window_ranges(&w, WINDOW_SENT, text);
    assert_string_equal(text, expected);
    window_ranges(&w, WINDOW_HELD, text);
    assert_string_equal(text, "");
    window_fini(&w);
}

static void test_line_numbers_are_named_as_ranges(void **state)
{
    (void)state;
    static const uint64_t mixed[] = {20, 5, 4, 3, 21, 9};
    static const uint64_t many[] = {1, 3, 5, 7, 9, 11, 13, 15};
    static const uint64_t huge[] = {18446744073709551613ULL,
                                    18446744073709551614ULL};
    assert_ranges(NULL, 0, "");
    assert_ranges(mixed, 1, "20");
    assert_ranges(mixed, 6, "3 to 5, 9, 20 to 21");
    assert_ranges(many, 8, "1, 3, 5, 7, 9, ... 15");
    assert_ranges(huge, 2, "18446744073709551613 to 18446744073709551614");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_come_whole_however_they_are_cut),
        cmocka_unit_test(test_a_broken_descriptor_is_an_error),
        cmocka_unit_test(test_answers_go_to_the_jobs_in_the_order_of_sending),
        cmocka_unit_test(test_held_jobs_go_again_in_the_order_of_their_lines),
        cmocka_unit_test(test_bytes_are_bounded_too),
        cmocka_unit_test(test_line_numbers_are_named_as_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
