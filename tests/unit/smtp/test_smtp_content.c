#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/random.h"
#include "smtp/content.h"

/* What DATA should carry, the simple way: lines first, then dots. */
static void model(struct str in, struct buf *out)
{
    struct buf lines;
    buf_init(&lines, SIZE_MAX / 4);
    for (size_t i = 0; i < in.len; i++) {
        char c = in.data[i];
        if (c == '\n' && i > 0 && in.data[i - 1] == '\r')
            continue; /* its CR has made the line end */
        if (c == '\r' || c == '\n')
            buf_add_text(&lines, "\r\n");
        else
            buf_add_char(&lines, c);
    }
    if (lines.len > 0 && lines.data[lines.len - 1] != '\n')
        buf_add_text(&lines, "\r\n");
    for (size_t i = 0; i < lines.len; i++) {
        if (lines.data[i] == '.' && (i == 0 || lines.data[i - 1] == '\n'))
            buf_add_char(out, '.');
        buf_add_char(out, lines.data[i]);
    }
    buf_add_text(out, ".\r\n");
    buf_fini(&lines);
}

static const char *const cases[] = {
    "",
    ".",
    "..",
    "\r",
    "\n",
    "\r\n",
    "\r\r\n",
    "\n\r",
    "\r\n\r\n",
    "a",
    "a\r\n",
    "a\n",
    "a\r",
    ".\r\n",
    "a\r\n.\r\nb\r\n",
    "a\n.\nMAIL FROM:<x@y>\nb",
    "a\r.\rb",
    "a\r\n.\n.\r.\r\n..\r\n...x\r\n",
    "\r.\n.\r\n.",
    ".a\r\n.b\r\nc.d\r\n",
    "Subject: x\r\n\r\nline one\r\n.line two\r\nlast without an end",
};

static void check_split(struct str in, size_t first, size_t second)
{
    struct buf want;
    struct buf got;
    struct dotstuff d;
    buf_init(&want, 1000);
    buf_init(&got, 1000);
    model(in, &want);
    dotstuff_init(&d);
    struct str parts[3] = {str_of(in.data, first),
                           str_of(in.data + first, second - first),
                           str_after(in, second)};
    for (size_t i = 0; i < 3; i++) {
        dotstuff_add(&d, &parts[i], &got, 1000);
        assert_int_equal(parts[i].len, 0);
    }
    size_t before = got.len;
    dotstuff_end(&d, &got);
    assert_true(got.len - before <= DOTSTUFF_END_MAX);
    if (!str_equal(buf_str(&got), buf_str(&want)))
        fail_msg("[%.*s] cut at %zu and %zu: [%.*s]", STR_ARG(in), first,
                 second, STR_ARG(buf_str(&got)));
    buf_fini(&want);
    buf_fini(&got);
}

static void dots_and_lines_are_right_however_the_bytes_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str in = str_from(cases[i]);
        for (size_t first = 0; first <= in.len; first++)
            for (size_t second = first; second <= in.len; second++)
                check_split(in, first, second);
    }
}

static void every_text_of_six_bytes_is_right(void **state)
{
    (void)state;
    static const char alphabet[] = {'a', '.', '\r', '\n'};
    for (unsigned n = 0; n < 4096; n++) {
        char text[6];
        for (unsigned i = 0; i < 6; i++)
            text[i] = alphabet[(n >> (2 * i)) & 3];
        check_split(str_of(text, 6), 2, 4);
    }
}

static void output_stays_below_any_limit(void **state)
{
    (void)state;
    struct str in = STR("..a\r\n.\r.\n\r\n.bc\n.");
    struct buf want;
    buf_init(&want, 1000);
    model(in, &want);
    for (size_t limit = 4; limit < 20; limit++) {
        struct dotstuff d;
        struct buf whole;
        struct str rest = in;
        buf_init(&whole, 1000);
        dotstuff_init(&d);
        while (rest.len > 0) {
            struct buf slice;
            buf_init(&slice, limit);
            dotstuff_add(&d, &rest, &slice, limit);
            assert_true(buf_ok(&slice));
            buf_add_str(&whole, buf_str(&slice));
            buf_fini(&slice);
        }
        dotstuff_end(&d, &whole);
        assert_true(str_equal(buf_str(&whole), buf_str(&want)));
        buf_fini(&whole);
    }
    buf_fini(&want);
}

static struct body *body_of(struct str bytes)
{
    char *data = mem_alloc(bytes.len + 1);
    if (bytes.len > 0)
        memcpy(data, bytes.data, bytes.len);
    return body_from_memory(data, bytes.len);
}

/* Returns the number of slices. */
static size_t check_content(struct str bytes)
{
    static char scratch[SMTP_CONTENT_SLICE];
    struct body *body = body_of(bytes);
    struct smtp_content c;
    struct buf want;
    struct buf whole;
    struct buf slice;
    size_t slices = 0;
    buf_init(&want, SIZE_MAX / 4);
    buf_init(&whole, SIZE_MAX / 4);
    buf_init(&slice, SMTP_CONTENT_SLICE);
    model(bytes, &want);
    smtp_content_begin(&c, body);
    while (!c.done) {
        buf_truncate(&slice, 0);
        assert_int_equal(smtp_content_fill(&c, &slice, scratch), ERR_NONE);
        assert_true(buf_ok(&slice));
        assert_true(slice.len > 0);
        /* the dot comes with bytes of the message, never alone */
        if (c.done && bytes.len > 0)
            assert_true(slice.len > 5);
        buf_add_str(&whole, buf_str(&slice));
        slices++;
    }
    assert_true(str_equal(buf_str(&whole), buf_str(&want)));
    buf_fini(&slice);
    buf_fini(&whole);
    buf_fini(&want);
    body_unref(body);
    return slices;
}

static void a_small_body_and_its_dot_are_one_slice(void **state)
{
    (void)state;
    assert_int_equal(check_content(STR("")), 1);
    assert_int_equal(check_content(STR("a\r\n")), 1);
    assert_int_equal(check_content(STR("a")), 1);
}

static void bodies_around_the_size_of_a_slice_are_whole(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, 1 << 20);
    for (size_t i = 0; i < 3 * SMTP_CONTENT_SLICE; i++)
        buf_add_char(&body, i % 80 == 79 ? '\n' : 'x');
    for (size_t slice = 1; slice <= 2; slice++)
        for (size_t d = 0; d < 40; d++) {
            size_t len = slice * SMTP_CONTENT_SLICE - 20 + d;
            (void)check_content(str_of(body.data, len));
        }
    buf_fini(&body);
}

static void random_bodies_are_whole(void **state)
{
    (void)state;
    struct random r;
    random_init(&r, 7);
    for (int round = 0; round < 20; round++) {
        struct buf body;
        size_t len = (size_t)random_below(&r, 100000);
        uint64_t variety = 2 + random_below(&r, 40);
        buf_init(&body, 1 << 20);
        for (size_t i = 0; i < len; i++) {
            uint64_t n = random_below(&r, variety);
            buf_add_char(&body, n < 3 ? ".\r\n"[n] : (char)('a' + n));
        }
        size_t slices = check_content(buf_str(&body));
        assert_true(slices <= len * 2 / 10000 + 2);
        buf_fini(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_and_lines_are_right_however_the_bytes_are_cut),
        cmocka_unit_test(every_text_of_six_bytes_is_right),
        cmocka_unit_test(output_stays_below_any_limit),
        cmocka_unit_test(a_small_body_and_its_dot_are_one_slice),
        cmocka_unit_test(bodies_around_the_size_of_a_slice_are_whole),
        cmocka_unit_test(random_bodies_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
