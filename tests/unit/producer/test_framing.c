#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "producer/framing.h"

#define FRAMES_MAX 8
#define LIMIT      10

struct row {
    const char *name;
    struct str input;
    const char *frames[FRAMES_MAX]; /* ends with NULL */
    enum framing_result last;
    size_t left; /* bytes not taken, when it wants more */
};

#define BYTES(text)                                                            \
    {                                                                          \
        "" text, sizeof(text) - 1                                              \
    }

static const struct row rows[] = {
    {"nothing", BYTES(""), {NULL}, FRAMING_MORE, 0},
    {"a line", BYTES("{}\n"), {"{}"}, FRAMING_MORE, 0},
    {"a line with CR", BYTES("{}\r\n"), {"{}"}, FRAMING_MORE, 0},
    {"two lines", BYTES("{1}\n{2}\n"), {"{1}", "{2}"}, FRAMING_MORE, 0},
    {"empty lines",
     BYTES("{1}\n\n\r\n\n{2}\n\n"),
     {"{1}", "{2}"},
     FRAMING_MORE,
     0},
    {"half a line", BYTES("{1}\n{2"), {"{1}"}, FRAMING_MORE, 2},
    {"later lines may begin as they like",
     BYTES("{\nabc\n"),
     {"{", "abc"},
     FRAMING_MORE,
     0},
    {"a line of the limit",
     BYTES("{12345678}\n"),
     {"{12345678}"},
     FRAMING_MORE,
     0},
    {"a line of the limit with CR",
     BYTES("{12345678}\r\n"),
     {"{12345678}"},
     FRAMING_MORE,
     0},
    {"a line over the limit",
     BYTES("{}\n{123456789}\n"),
     {"{}"},
     FRAMING_TOO_LARGE,
     0},
    {"a line over the limit without end",
     BYTES("{123456789}"),
     {NULL},
     FRAMING_TOO_LARGE,
     0},
    {"a length", BYTES("\0\0\0\2{}"), {"{}"}, FRAMING_MORE, 0},
    {"two lengths",
     BYTES("\0\0\0\2{}\0\0\0\3{1}"),
     {"{}", "{1}"},
     FRAMING_MORE,
     0},
    {"newlines are bytes there",
     BYTES("\0\0\0\4{\n}\n"),
     {"{\n}\n"},
     FRAMING_MORE,
     0},
    {"a length of the limit",
     BYTES("\0\0\0\x0a{12345678}"),
     {"{12345678}"},
     FRAMING_MORE,
     0},
    {"a length over the limit",
     BYTES("\0\0\0\2{}\0\0\0\x0b"),
     {"{}"},
     FRAMING_TOO_LARGE,
     0},
    {"a huge length", BYTES("\xff\xff\xff\xff"), {NULL}, FRAMING_TOO_LARGE, 0},
    {"a length of zero",
     BYTES("\0\0\0\2{}\0\0\0\0\0\0\0\2{}"),
     {"{}"},
     FRAMING_EMPTY,
     0},
    {"half a length", BYTES("\0\0\0\2{}\0\0"), {"{}"}, FRAMING_MORE, 2},
    {"half a frame", BYTES("\0\0\0\4{}"), {NULL}, FRAMING_MORE, 6},
    {"another protocol", BYTES("GET / HTTP/1.1\r\n"), {NULL}, FRAMING_TEXT, 0},
    {"another binary protocol",
     BYTES("\x16\x03\x01\x02"),
     {NULL},
     FRAMING_TOO_LARGE,
     0},
    {"a newline first", BYTES("\n{}\n"), {NULL}, FRAMING_TEXT, 0},
    {"blanks first", BYTES("  {}\n"), {NULL}, FRAMING_TEXT, 0},
    {"an array", BYTES("[{}]\n"), {NULL}, FRAMING_TEXT, 0},
    {"a short line", BYTES("[]\n"), {NULL}, FRAMING_TEXT, 0},
    {"an empty line", BYTES("\r\n"), {NULL}, FRAMING_TEXT, 0},
    {"too little to tell", BYTES("GET"), {NULL}, FRAMING_MORE, 3},
    {"text and a length of the limit",
     BYTES("GE\x00\x01"),
     {NULL},
     FRAMING_TOO_LARGE,
     0},
    {"text and zeros", BYTES("GE\0\0"), {NULL}, FRAMING_TOO_LARGE, 0},
    {"text later on",
     BYTES("\0\0\0\2{}GET / HTTP/1.1\r\n"),
     {"{}"},
     FRAMING_TOO_LARGE,
     0},
};

/* Gives input in two parts, cut at a byte. */
static void run(const struct row *row, size_t cut)
{
    struct framing f;
    size_t begin = 0;
    size_t end = cut;
    size_t frames = 0;
    enum framing_result result;
    framing_init(&f, LIMIT);
    for (;;) {
        struct str frame = {NULL, 0};
        size_t used;
        result = framing_next(&f, str_of(row->input.data + begin, end - begin),
                              &frame, &used);
        begin += used;
        if (result == FRAMING_FRAME) {
            assert_true(frames < FRAMES_MAX && row->frames[frames] != NULL);
            if (!str_equal(frame, str_from(row->frames[frames])))
                fail_msg("%s, cut at %zu: frame %zu is \"%.*s\"", row->name,
                         cut, frames, STR_ARG(frame));
            frames++;
        } else if (result == FRAMING_MORE && end < row->input.len) {
            end = row->input.len;
        } else {
            break;
        }
    }
    if (result != row->last || row->frames[frames] != NULL)
        fail_msg("%s, cut at %zu: %zu frames, then %d", row->name, cut, frames,
                 (int)result);
    if (result == FRAMING_MORE)
        assert_int_equal(row->input.len - begin, row->left);
}

static void frames_are_found_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t cut = 0; cut <= rows[i].input.len; cut++)
            run(&rows[i], cut);
}

static void frames_are_found_byte_by_byte(void **state)
{
    const struct str input = STR("{1}\r\n\n{22}\n{3");
    static const char *const expected[] = {"{1}", "{22}"};
    struct framing f;
    size_t begin = 0;
    size_t frames = 0;
    (void)state;
    framing_init(&f, LIMIT);
    for (size_t end = 0; end <= input.len; end++) {
        struct str frame;
        size_t used;
        if (framing_next(&f, str_of(input.data + begin, end - begin), &frame,
                         &used) == FRAMING_FRAME)
            assert_true(str_equal(frame, str_from(expected[frames++])));
        begin += used;
    }
    assert_int_equal(frames, 2);
    assert_int_equal(begin, input.len - 2);
}

/* A length that is allowed is one, also if it can be read as text. */
static void a_length_within_the_limit_is_no_text(void **state)
{
    struct framing f;
    struct str frame;
    size_t used;
    (void)state;
    framing_init(&f, 0x20202020);
    assert_int_equal(framing_next(&f, STR("    "), &frame, &used),
                     FRAMING_MORE);
    assert_int_equal(f.kind, FRAMING_LENGTH);
    framing_init(&f, 0x2020201f);
    assert_int_equal(framing_next(&f, STR("    "), &frame, &used),
                     FRAMING_TEXT);
    /* Not known yet, and the pieces do not matter. */
    framing_init(&f, 0x2020201f);
    assert_int_equal(framing_next(&f, STR(" "), &frame, &used), FRAMING_MORE);
    assert_int_equal(f.kind, FRAMING_UNDECIDED);
    assert_int_equal(framing_next(&f, STR("    "), &frame, &used),
                     FRAMING_TEXT);
}

static void text_is_answered_in_lines(void **state)
{
    const struct str texts[] = {STR("GET "), STR("\n"), STR("GE")};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct framing f;
        struct str frame;
        size_t used;
        struct buf out;
        framing_init(&f, LIMIT);
        (void)framing_next(&f, texts[i], &frame, &used);
        assert_int_not_equal(f.kind, FRAMING_LENGTH);
        buf_init(&out, 100);
        framing_begin(&f, &out);
        assert_int_equal(out.len, 0);
        buf_fini(&out);
    }
}

static void replies_have_the_framing_of_requests(void **state)
{
    const struct {
        enum framing_kind kind;
        struct str expected;
    } replies[] = {
        {FRAMING_UNDECIDED, STR("x{}\n{\"a\":1}\n")},
        {FRAMING_NEWLINE, STR("x{}\n{\"a\":1}\n")},
        {FRAMING_LENGTH, STR("x\0\0\0\2{}\0\0\0\7{\"a\":1}")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        const struct framing f = {.kind = replies[i].kind};
        struct buf out;
        buf_init(&out, 100);
        buf_add_char(&out, 'x');
        framing_begin(&f, &out);
        size_t at = out.len;
        buf_add_text(&out, "{}");
        framing_end(&f, &out, at);
        framing_begin(&f, &out);
        at = out.len;
        buf_add_text(&out, "{\"a\":1}");
        framing_end(&f, &out, at);
        assert_true(str_equal(buf_str(&out), replies[i].expected));
        buf_fini(&out);
    }
}

static void a_long_length_is_written_whole(void **state)
{
    const struct framing f = {.kind = FRAMING_LENGTH};
    struct buf out;
    (void)state;
    buf_init(&out, 100000);
    framing_begin(&f, &out);
    for (int i = 0; i < 66051; i++) /* 0x010203 */
        buf_add_char(&out, 'x');
    framing_end(&f, &out, 4);
    assert_memory_equal(out.data, "\0\1\2\3x", 5);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_found_however_they_are_cut),
        cmocka_unit_test(frames_are_found_byte_by_byte),
        cmocka_unit_test(a_length_within_the_limit_is_no_text),
        cmocka_unit_test(text_is_answered_in_lines),
        cmocka_unit_test(replies_have_the_framing_of_requests),
        cmocka_unit_test(a_long_length_is_written_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
