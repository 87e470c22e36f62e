#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/sink/sink_data.h"
#include "core/buf.h"

/* Reads wire in pieces of step bytes; *rest: bytes behind the final dot. */
static bool read_all(struct str wire, size_t step, struct buf *content,
                     size_t *rest)
{
    struct sink_data d;
    struct str piece;
    sink_data_start(&d);
    for (size_t at = 0; at < wire.len; at += step) {
        struct str left = str_after(wire, at);
        struct str in = str_of(left.data, left.len < step ? left.len : step);
        for (;;) {
            enum sink_data_step got = sink_data_next(&d, &in, &piece);
            if (got == SINK_DATA_END) {
                *rest = left.len - (left.len < step ? left.len : step) + in.len;
                return true;
            }
            if (got == SINK_DATA_MORE)
                break;
            assert_true(piece.len > 0);
            buf_add_str(content, piece);
        }
    }
    return false;
}

struct row {
    struct str wire;
    struct str content;
    size_t rest;
    bool ends;
};

static const struct row rows[] = {
    {{".\r\n", 3}, {"", 0}, 0, true},
    {{"a\r\n.\r\n", 6}, {"a\r\n", 3}, 0, true},
    {{"a\r\n.\r\nMAIL", 10}, {"a\r\n", 3}, 4, true},
    {{"..\r\n.\r\n", 7}, {".\r\n", 3}, 0, true},
    {{"...a\r\n.\r\n", 9}, {"..a\r\n", 5}, 0, true},
    {{".a\r\n.\r\n", 7}, {"a\r\n", 3}, 0, true},
    {{"a.b\r\nc..\r\n.\r\n", 13}, {"a.b\r\nc..\r\n", 10}, 0, true},
    {{"\r\n\r\n.\r\n", 7}, {"\r\n\r\n", 4}, 0, true},
    /* Only CRLF is the end of a line: none of these ends the message. */
    {{"a\n.\n", 4}, {"a\n.\n", 4}, 0, false},
    {{"a\n.\r\nb", 6}, {"a\n.\r\nb", 6}, 0, false},
    {{"a\r.\r\nb", 6}, {"a\r.\r\nb", 6}, 0, false},
    {{"a\r\n.\nb", 6}, {"a\r\n\nb", 5}, 0, false},
    {{"a\r\n.\rb", 6}, {"a\r\n\rb", 5}, 0, false},
    {{"a\r\r\n.\r\n", 7}, {"a\r\r\n", 4}, 0, true},
    {{".\r\r\n.\r\n", 7}, {"\r\r\n", 3}, 0, true},
    {{".\rx\r\n.\r\n", 8}, {"\rx\r\n", 4}, 0, true},
    {{"\n\n.\n\r\n.\r\n", 9}, {"\n\n.\n\r\n", 6}, 0, true},
    {{"a\0b\r\n.\r\n", 8}, {"a\0b\r\n", 5}, 0, true},
    {{"a\r\n.", 4}, {"a\r\n", 3}, 0, false},
    {{"a\r\n.\r", 5}, {"a\r\n", 3}, 0, false},
    {{"a\r", 2}, {"a\r", 2}, 0, false},
};

static void content_ends_at_the_dot_however_it_comes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t step = 1; step <= rows[i].wire.len; step++) {
            struct buf content;
            size_t rest = 0;
            buf_init(&content, 1000);
            bool ends = read_all(rows[i].wire, step, &content, &rest);
            if (ends != rows[i].ends || rest != rows[i].rest ||
                !str_equal(buf_str(&content), rows[i].content))
                fail_msg("row %zu in steps of %zu: \"%.*s\", rest %zu", i, step,
                         STR_ARG(buf_str(&content)), rest);
            buf_fini(&content);
        }
    }
}

static void lines_without_dots_come_in_one_piece(void **state)
{
    struct sink_data d;
    struct str piece;
    struct str in = STR("one\r\ntwo\r\nthree\r\n.\r\nQUIT\r\n");
    (void)state;
    sink_data_start(&d);
    assert_int_equal(sink_data_next(&d, &in, &piece), SINK_DATA_PIECE);
    assert_true(str_equal(piece, STR("one\r\ntwo\r\nthree\r\n")));
    assert_int_equal(sink_data_next(&d, &in, &piece), SINK_DATA_END);
    assert_true(str_equal(in, STR("QUIT\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_ends_at_the_dot_however_it_comes),
        cmocka_unit_test(lines_without_dots_come_in_one_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
