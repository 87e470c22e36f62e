#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/random.h"
#include "message/field.h"
#include "message/header.h"
#include "message/word.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define X10 "xxxxxxxxxx"
#define X50 X10 X10 X10 X10 X10
#define X60 X50 X10

/* Header text of a field with this value, for the caller to free. */
static void write_text(struct buf *out, const char *name, struct str value)
{
    struct header h;
    buf_init(out, 1 << 20);
    header_begin(&h, out, str_from(name));
    field_text(&h, value);
    header_end(&h);
}

static const struct {
    const char *name;
    const char *value;
    const char *wanted;
} texts[] = {
    {"Subject", "", "Subject:\r\n"},
    {"Subject", "Hello", "Subject: Hello\r\n"},
    {"Subject", "a  b", "Subject: a  b\r\n"},
    {"Subject", X60 " 123456", "Subject: " X60 " 123456\r\n"},
    {"Subject", X60 " 1234567", "Subject: " X60 "\r\n 1234567\r\n"},
    {"Subject", X60 "   1234567", "Subject: " X60 "\r\n   1234567\r\n"},
    {"Subject", X60 X60 " a", "Subject:\r\n " X60 X60 "\r\n a\r\n"},
    {"Subject", "a " X60 X60, "Subject: a\r\n " X60 X60 "\r\n"},
    {"Subject",
     "Gr\xc3\xbc\xc3\x9f"
     "e",
     "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n"},
    {"Subject", "The caf\xc3\xa9 is open",
     "Subject: =?UTF-8?Q?The_caf=C3=A9_is_open?=\r\n"},
    {"Subject", "\xe6\x97\xa5\xe6\x9c\xac",
     "Subject: =?UTF-8?B?5pel5pys?=\r\n"},
    {"Subject", " a", "Subject: =?UTF-8?Q?_a?=\r\n"},
    {"Subject", "a ", "Subject: =?UTF-8?Q?a_?=\r\n"},
    {"Subject",
     "=?UTF-8?Q?a?=", "Subject: =?UTF-8?B?PT9VVEYtOD9RP2E/PQ==?=\r\n"},
    {"Subject", "is 1=?", "Subject: =?UTF-8?B?aXMgMT0/?=\r\n"},
    {"Subject", "a=b? c", "Subject: a=b? c\r\n"},
    /* No room for a sensible word behind the name. */
    {"X-" X60, "\xc3\xa9", "X-" X60 ":\r\n =?UTF-8?B?w6k=?=\r\n"},
};

static void folds_and_encodes_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct buf out;
        write_text(&out, texts[i].name, str_from(texts[i].value));
        if (!str_equal(buf_str(&out), str_from(texts[i].wanted)))
            fail_msg("%s: \"%.*s\"", texts[i].value, STR_ARG(buf_str(&out)));
        buf_fini(&out);
    }
}

static void encodes_words_that_fit_in_no_line(void **state)
{
    (void)state;
    char text[1500];
    for (size_t len = 890; len < 910; len++) {
        struct buf out;
        memset(text, 'y', len);
        write_text(&out, "Subject", str_of(text, len));
        assert_int_equal(str_contains(buf_str(&out), STR("=?UTF-8?Q?yy")),
                         len > HEADER_TOKEN_MAX);
        buf_fini(&out);
    }
    /* So does a run of blanks: no line of blanks may come out. */
    struct buf out;
    memset(text, ' ', sizeof(text));
    text[0] = 'a';
    text[sizeof(text) - 1] = 'b';
    write_text(&out, "Subject", str_of(text, sizeof(text)));
    assert_true(str_contains(buf_str(&out), STR("=?UTF-8?Q?a____")));
    buf_fini(&out);
}

/* Undoes nothing: looks at lines only. */
static void assert_lines(struct str s, size_t max)
{
    while (s.len > 0) {
        size_t line = str_find(s, '\n');
        assert_true(line > 0 && line < s.len);
        assert_int_equal(s.data[line - 1], '\r');
        assert_true(line - 1 <= max);
        s = str_after(s, line + 1);
    }
}

/* Every encoded word holds whole characters, and all lie within 75 bytes. */
static void assert_words(struct str s)
{
    bool any = false;
    while (s.len > 0) {
        if (!str_starts(s, STR("=?UTF-8?"))) {
            s = str_after(s, 1);
            continue;
        }
        size_t len = 10;
        while (s.data[len] != '?')
            len++;
        assert_true(len + 2 <= 75);
        assert_int_equal(s.data[len + 1], '=');
        /* An odd number of =C3 or =A9 would be half a character. */
        size_t escapes = 0;
        for (size_t i = 10; i < len; i++)
            escapes += s.data[i] == '=';
        if (s.data[8] == 'Q')
            assert_int_equal(escapes % 2, 0);
        else
            assert_int_equal((len - 10) % 4, 0);
        s = str_after(s, len + 2);
        any = true;
    }
    assert_true(any);
}

static void never_splits_a_character_between_words(void **state)
{
    (void)state;
    for (size_t before = 0; before < 90; before++) {
        char text[400];
        struct buf out;
        size_t len = 0;
        memset(text, 'a', before);
        len = before;
        for (int i = 0; i < 40; i++, len += 2)
            memcpy(text + len, "\xc3\xa9", 2);
        write_text(&out, "Subject", str_of(text, len));
        assert_lines(buf_str(&out), 76);
        assert_words(buf_str(&out));
        buf_fini(&out);
    }
}

static void survives_bytes_that_are_no_utf8(void **state)
{
    (void)state;
    struct random r;
    random_init(&r, 7);
    for (int round = 0; round < 2000; round++) {
        char text[300];
        struct buf out;
        size_t len = 1 + random_below(&r, sizeof(text) - 1);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)(0x80 | random_next(&r));
        write_text(&out, "Subject", str_of(text, len));
        assert_lines(buf_str(&out), 76);
        buf_fini(&out);
    }
}

static const struct {
    const char *mailbox;
    const char *wanted;
} mailboxes[] = {
    {"a@x.org", "To: a@x.org\r\n"},
    {"<a@x.org>", "To: a@x.org\r\n"},
    {"\"\" <a@x.org>", "To: a@x.org\r\n"},
    {"A B <a@x.org>", "To: A B <a@x.org>\r\n"},
    {"\"A  B\" <a@x.org>", "To: \"A  B\" <a@x.org>\r\n"},
    {"A. B. <a@x.org>", "To: \"A. B.\" <a@x.org>\r\n"},
    {"\"A, \\\"B\\\\\" <a@x.org>", "To: \"A, \\\"B\\\\\" <a@x.org>\r\n"},
    {"\"a@b\" <a@x.org>", "To: \"a@b\" <a@x.org>\r\n"},
    {"J\xc3\xbcrgen Meier <a@x.org>",
     "To: =?UTF-8?Q?J=C3=BCrgen_Meier?= <a@x.org>\r\n"},
    {"\"M\xc3\xbc, J\" <a@x.org>", "To: =?UTF-8?B?TcO8LCBK?= <a@x.org>\r\n"},
    {"=?utf-8?q?x?= <a@x.org>",
     "To: =?UTF-8?B?PT91dGYtOD9xP3g/PQ==?= <a@x.org>\r\n"},
    {"\" A\" <a@x.org>", "To: =?UTF-8?Q?_A?= <a@x.org>\r\n"},
    {X60 "xxxxx <a@x.org>", "To: " X60 "xxxxx\r\n <a@x.org>\r\n"},
    {X60 " yyyyyyyyy <a@x.org>", "To: " X60 " yyyyyyyyy\r\n <a@x.org>\r\n"},
    /* Too long for one line: encoded, so that it can be folded. */
    {X60 X10 "x <a@x.org>",
     "To: =?UTF-8?Q?" X50 "xxxxxxxxxx?=\r\n =?UTF-8?Q?xxxxxxxxxxx?= "
     "<a@x.org>\r\n"},
    {"\"" X60 ",xxxxxxxxxx\" <a@x.org>",
     "To: =?UTF-8?Q?" X60 "?=\r\n =?UTF-8?Q?=2Cxxxxxxxxxx?= <a@x.org>\r\n"},
};

static void writes_display_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mailboxes); i++) {
        struct address a;
        struct str rest;
        struct header h;
        struct buf out;
        buf_init(&out, 4096);
        assert_int_equal(
            address_next(str_from(mailboxes[i].mailbox), &a, &rest, NULL),
            ERR_NONE);
        header_begin(&h, &out, STR("To"));
        field_mailbox(&h, &a);
        header_end(&h);
        if (!str_equal(buf_str(&out), str_from(mailboxes[i].wanted)))
            fail_msg("%s: \"%.*s\"", mailboxes[i].mailbox,
                     STR_ARG(buf_str(&out)));
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_and_encodes_text),
        cmocka_unit_test(encodes_words_that_fit_in_no_line),
        cmocka_unit_test(never_splits_a_character_between_words),
        cmocka_unit_test(survives_bytes_that_are_no_utf8),
        cmocka_unit_test(writes_display_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
