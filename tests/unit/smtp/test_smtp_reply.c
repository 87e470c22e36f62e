#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "smtp/reply.h"

struct good_case {
    const char *name;
    const char *input;
    int code;
    const char *enhanced;
    const char *text;
};

static const struct good_case good_cases[] = {
    {"one line", "250 ok\r\n", 250, "", "ok"},
    {"no text", "250\r\n", 250, "", ""},
    {"blank and no text", "250 \r\n", 250, "", ""},
    {"bare LF", "250 ok\n", 250, "", "ok"},
    {"enhanced", "550 5.1.1 no such user\r\n", 550, "5.1.1", "no such user"},
    {"enhanced alone", "250 2.0.0\r\n", 250, "2.0.0", ""},
    {"enhanced, long parts", "450 4.123.456 x\r\n", 450, "4.123.456", "x"},
    {"enhanced of another class", "550 4.1.1 x\r\n", 550, "", "4.1.1 x"},
    {"no enhanced in 3yz", "354 3.0.0 x\r\n", 354, "", "3.0.0 x"},
    {"a version is none", "220 2.0 x\r\n", 220, "", "2.0 x"},
    {"part too long", "250 2.1234.1 x\r\n", 250, "", "2.1234.1 x"},
    {"glued to a word", "250 2.1.1x\r\n", 250, "", "2.1.1x"},
    {"lines", "250-a\r\n250-b\r\n250 c\r\n", 250, "", "a / b / c"},
    {"enhanced in each line", "550-5.7.1 a\r\n550 5.7.1 b\r\n", 550, "5.7.1",
     "a / b"},
    {"another enhanced in line two", "550-5.7.1 a\r\n550 5.7.2 b\r\n", 550,
     "5.7.1", "a / 5.7.2 b"},
    {"enhanced in line two only", "550-a\r\n550 5.7.1 b\r\n", 550, "",
     "a / 5.7.1 b"},
    {"empty lines", "250-\r\n250-a\r\n250\r\n", 250, "", "a / "},
    {"controls", "250 a\tb\x01\x7f\r\n", 250, "", "a?b??"},
    {"CR inside", "250 a\rb\r\n", 250, "", "a?b"},
    {"UTF-8", "550 Empf\xc3\xa4nger\r\n", 550, "", "Empf\xc3\xa4nger"},
    {"Latin-1", "550 Empf\xe4nger\r\n", 550, "", "Empf?nger"},
    {"C1 control", "550 a\xc2\x85z\r\n", 550, "", "a?z"},
    {"cut character", "550 a\xc3\r\n", 550, "", "a?"},
    {"least code", "200 x\r\n", 200, "", "x"},
    {"greatest code", "599 x\r\n", 599, "", "x"},
};

static void check_reply(const struct good_case *c,
                        const struct smtp_reply *reply)
{
    if (reply->code != c->code || strcmp(reply->enhanced, c->enhanced) != 0 ||
        strcmp(reply->text, c->text) != 0)
        fail_msg("%s: %d [%s] [%s]", c->name, reply->code, reply->enhanced,
                 reply->text);
}

/* Twice in a row, cut once at every byte. */
static void check_split(const struct good_case *c, size_t split)
{
    struct smtp_reply_parser p;
    struct smtp_reply reply;
    char twice[512];
    int replies = 0;
    smtp_reply_parser_init(&p);
    (void)snprintf(twice, sizeof(twice), "%s%s", c->input, c->input);
    struct str all = str_from(twice);
    struct str parts[2] = {str_of(all.data, split), str_after(all, split)};
    for (int i = 0; i < 2; i++) {
        enum err_code rc;
        while ((rc = smtp_reply_parse(&p, &parts[i], &reply)) == ERR_NONE) {
            check_reply(c, &reply);
            replies++;
        }
        assert_int_equal(rc, ERR_AGAIN);
        assert_int_equal(parts[i].len, 0);
    }
    assert_int_equal(replies, 2);
    assert_true(smtp_reply_parser_is_empty(&p));
}

static void replies_are_read_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good_cases) / sizeof(good_cases[0]); i++)
        for (size_t at = 0; at <= 2 * strlen(good_cases[i].input); at++)
            check_split(&good_cases[i], at);
}

static const char *const bad_cases[] = {
    "ok\r\n",
    "25\r\n",
    "2500 ok\r\n",
    "\r\n",
    "HTTP/1.1 400 Bad Request\r\n",
    "199 x\r\n",
    "600 x\r\n",
    "099 x\r\n",
    "25O ok\r\n",
    "250+ok\r\n",
    "250\tok\r\n",
    " 250 ok\r\n",
    "250-a\r\n251 b\r\n",
    "250-a\r\nb\r\n",
    "\x15\x03\x01\x00\x02\x02",
};

static void what_is_no_reply_is_refused_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++)
        for (size_t at = 0; at < strlen(bad_cases[i]); at++) {
            struct smtp_reply_parser p;
            struct smtp_reply reply;
            smtp_reply_parser_init(&p);
            struct str all = str_from(bad_cases[i]);
            struct str first = str_of(all.data, at);
            struct str rest = str_after(all, at);
            enum err_code rc = smtp_reply_parse(&p, &first, &reply);
            if (rc == ERR_AGAIN)
                rc = smtp_reply_parse(&p, &rest, &reply);
            if (rc != ERR_INVALID)
                fail_msg("%s at %zu: %d", bad_cases[i], at, (int)rc);
        }
}

static void bytes_behind_a_reply_stay(void **state)
{
    (void)state;
    struct smtp_reply_parser p;
    struct smtp_reply reply;
    smtp_reply_parser_init(&p);
    struct str input = STR("250 a\r\n421 bye\r\n");
    assert_int_equal(smtp_reply_parse(&p, &input, &reply), ERR_NONE);
    assert_int_equal(reply.code, 250);
    assert_int_equal(input.len, 9);
    assert_int_equal(smtp_reply_parse(&p, &input, &reply), ERR_NONE);
    assert_int_equal(reply.code, 421);
    assert_int_equal(input.len, 0);
}

static enum err_code parse_all(struct smtp_reply_parser *p, struct str input,
                               struct smtp_reply *reply)
{
    smtp_reply_parser_init(p);
    return smtp_reply_parse(p, &input, reply);
}

/* However it is cut: what a read brings in one piece is not copied. */
static void a_long_line_is_cut_and_is_still_an_answer(void **state)
{
    (void)state;
    static const size_t sizes[] = {2047, 2048, 2049, 2050, 8000, 65536};
    char *line = mem_alloc(SMTP_REPLY_MAX);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (size_t at = 1; at < sizes[i]; at += at < 8 ? 1 : 499) {
            struct smtp_reply_parser p;
            struct smtp_reply reply;
            memset(line, 'a', sizes[i]);
            memcpy(line, "250 ", 4);
            memcpy(line + sizes[i] - 2, "\r\n", 2);
            struct str rest = str_of(line + at, sizes[i] - at);
            assert_int_equal(parse_all(&p, str_of(line, at), &reply),
                             ERR_AGAIN);
            assert_int_equal(smtp_reply_parse(&p, &rest, &reply), ERR_NONE);
            assert_int_equal(reply.code, 250);
            assert_int_equal(strlen(reply.text), SMTP_REPLY_TEXT_MAX);
            assert_true(smtp_reply_parser_is_empty(&p));
            rest = STR("354 go\r\n");
            assert_int_equal(smtp_reply_parse(&p, &rest, &reply), ERR_NONE);
            assert_string_equal(reply.text, "go");
        }
    mem_free(line);
}

static void a_long_line_that_never_ends_is_refused(void **state)
{
    (void)state;
    struct smtp_reply_parser p;
    struct smtp_reply reply;
    char part[4096];
    memset(part, 'a', sizeof(part));
    memcpy(part, "250-", 4);
    assert_int_equal(parse_all(&p, str_of(part, sizeof(part)), &reply),
                     ERR_AGAIN);
    memset(part, 'a', 4);
    enum err_code rc = ERR_AGAIN;
    for (size_t sent = sizeof(part); sent < SMTP_REPLY_MAX;
         sent += sizeof(part)) {
        struct str more = str_of(part, sizeof(part));
        assert_int_equal(rc, ERR_AGAIN);
        rc = smtp_reply_parse(&p, &more, &reply);
    }
    struct str last = STR("a");
    assert_int_equal(rc, ERR_AGAIN);
    assert_int_equal(smtp_reply_parse(&p, &last, &reply), ERR_INVALID);
}

static void a_reply_over_64_kib_is_refused(void **state)
{
    (void)state;
    struct smtp_reply_parser p;
    struct smtp_reply reply;
    struct buf lines;
    buf_init(&lines, 100000);
    while (lines.len + 16 <= SMTP_REPLY_MAX - 16)
        buf_add_text(&lines, "250-0123456789\r\n");
    size_t len = lines.len;
    buf_add_text(&lines, "250 0123456789\r\n");
    assert_int_equal(parse_all(&p, buf_str(&lines), &reply), ERR_NONE);
    buf_truncate(&lines, len);
    buf_add_text(&lines, "250-0123456789\r\n250 0123456789\r\n");
    assert_int_equal(parse_all(&p, buf_str(&lines), &reply), ERR_INVALID);
    buf_fini(&lines);
}

static void a_cut_text_is_still_utf8(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 4; lead++) {
        struct smtp_reply_parser p;
        struct smtp_reply reply;
        struct buf line;
        buf_init(&line, 2048);
        buf_add_text(&line, "250 ");
        for (size_t i = 0; i < lead; i++)
            buf_add_char(&line, 'a');
        for (size_t i = 0; i < 300; i++)
            buf_add_text(&line, "\xe2\x82\xac");
        buf_add_text(&line, "\r\n");
        assert_int_equal(parse_all(&p, buf_str(&line), &reply), ERR_NONE);
        assert_true(utf8_is_valid(str_from(reply.text)));
        assert_true(strlen(reply.text) > SMTP_REPLY_TEXT_MAX - 3);
        assert_null(strchr(reply.text, '?'));
        buf_fini(&line);
    }
}

static void replies_are_formatted_for_people(void **state)
{
    (void)state;
    char out[64];
    struct smtp_reply reply = {550, "5.1.1", "no such user"};
    smtp_reply_format(&reply, out, sizeof(out));
    assert_string_equal(out, "550 5.1.1 no such user");
    smtp_reply_format(&reply, out, 12);
    assert_string_equal(out, "550 5.1.1 n");
    reply.enhanced[0] = '\0';
    smtp_reply_format(&reply, out, sizeof(out));
    assert_string_equal(out, "550 no such user");
    smtp_reply_set_own(&reply, "", "no answer");
    smtp_reply_format(&reply, out, sizeof(out));
    assert_string_equal(out, "no answer");
    smtp_reply_set_own(&reply, "5.3.4", "too large");
    smtp_reply_format(&reply, out, sizeof(out));
    assert_string_equal(out, "5.3.4 too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read_however_they_are_cut),
        cmocka_unit_test(what_is_no_reply_is_refused_however_it_is_cut),
        cmocka_unit_test(bytes_behind_a_reply_stay),
        cmocka_unit_test(a_long_line_is_cut_and_is_still_an_answer),
        cmocka_unit_test(a_long_line_that_never_ends_is_refused),
        cmocka_unit_test(a_reply_over_64_kib_is_refused),
        cmocka_unit_test(a_cut_text_is_still_utf8),
        cmocka_unit_test(replies_are_formatted_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
