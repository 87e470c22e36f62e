#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "message/downgrade_plan.h"
#include "tests/unit/message/seven.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_BYTES    ((size_t)1 << 26)

#define V    "MIME-Version: 1.0\r\n"
#define CTE  "Content-Transfer-Encoding: "
#define QP   CTE "quoted-printable\r\n"
#define B64  CTE "base64\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"
#define MIX  "Content-Type: multipart/mixed; boundary=b\r\n"
#define RFC  "Content-Type: message/rfc822\r\n"
#define E    "\xc3\xa9"

static const struct {
    const char *name;
    const char *in;
    const char *wanted;
} conversions[] = {
    {"a text",
     "From: a@x.org\r\n" V TEXT CTE "8bit\r\nX: y\r\n\r\ncaf" E "\r\n",
     "From: a@x.org\r\n" V TEXT QP "X: y\r\n\r\ncaf=C3=A9\r\n"},
    {"most bytes are high", V TEXT CTE "8bit\r\n\r\n" E E E E "\r\n",
     V TEXT B64 "\r\nw6nDqcOpw6kNCg==\r\n"},
    {"no encoding named", V TEXT "\r\ncaf" E " au lait\r\n",
     V TEXT QP "\r\ncaf=C3=A9 au lait\r\n"},
    {"7bit named wrongly", V TEXT CTE "7BIT\r\n\r\ncaf" E " au lait\r\n",
     V TEXT QP "\r\ncaf=C3=A9 au lait\r\n"},
    {"binary text in lines", V TEXT CTE "Binary\r\n\r\ncaf" E " au lait\r\n",
     V TEXT QP "\r\ncaf=C3=A9 au lait\r\n"},
    {"no text", V "Content-Type: image/x\r\n\r\nabcdefgh" E "\r\n",
     V "Content-Type: image/x\r\n" B64 "\r\nYWJjZGVmZ2jDqQ0K\r\n"},
    {"a bare LF is content", V TEXT "\r\nabcdefghijkl" E "\nx\r\n",
     V TEXT B64 "\r\nYWJjZGVmZ2hpamtsw6kKeA0K\r\n"},
    {"a bare CR is content", V TEXT "\r\nabcdefghijkl" E "\rx\r\n",
     V TEXT B64 "\r\nYWJjZGVmZ2hpamtsw6kNeA0K\r\n"},
    {"no line end at the end", V TEXT "\r\ncaf" E " au lait ",
     V TEXT QP "\r\ncaf=C3=A9 au lait=20"},
    {"a folded field with comments",
     V "content-transfer-encoding : (b\r\n (c)) 8bit\r\n\t(d)\r\n\r\n"
       "caf" E " au lait\r\n",
     V QP "\r\ncaf=C3=A9 au lait\r\n"},
    {"no MIME", "Subject: x\r\n\r\ncaf" E " au lait\r\n",
     "Subject: x\r\n" V "Content-Type: text/plain; charset=unknown-8bit\r\n" QP
     "\r\ncaf=C3=A9 au lait\r\n"},
    {"no header at all", "\r\ncaf" E " au lait\r\n",
     V "Content-Type: text/plain; charset=unknown-8bit\r\n" QP
       "\r\ncaf=C3=A9 au lait\r\n"},
    {"no MIME-Version only",
     TEXT CTE "8bit\r\nX: y\r\n\r\ncaf" E " au lait\r\n",
     TEXT QP "X: y\r\n" V "\r\ncaf=C3=A9 au lait\r\n"},
    {"no MIME, no high byte", "Subject: x\r\n\r\ncafe\r\n",
     "Subject: x\r\n\r\ncafe\r\n"},
    {"8bit that is 7bit", V TEXT CTE "8bit\r\n\r\ncafe\x1b\r\n",
     V TEXT CTE "7bit\r\n\r\ncafe\x1b\r\n"},
    {"a multipart",
     V MIX CTE "8bit\r\n\r\npre\r\n--b\r\n" TEXT "\r\ncaf" E " au lait\r\n"
               "--b \t\r\n" CTE
               "8bit\r\n\r\n7\r\n--b\r\n\r\nx\r\n--b--\r\npost\r\n",
     V MIX CTE "7bit\r\n\r\npre\r\n--b\r\n" TEXT QP "\r\ncaf=C3=A9 au lait\r\n"
               "--b \t\r\n" CTE
               "7bit\r\n\r\n7\r\n--b\r\n\r\nx\r\n--b--\r\npost\r\n"},
    {"a part without a header",
     V MIX "\r\n--b\r\n\r\ncaf" E " au lait\r\n--b--",
     V MIX "\r\n--b\r\n" QP "\r\ncaf=C3=A9 au lait\r\n--b--"},
    {"a part without a body",
     V MIX "\r\n--b\r\n" CTE "8bit\r\n--b\r\n\r\n" E "\r\n--b--\r\n",
     V MIX "\r\n--b\r\n" CTE "7bit\r\n--b\r\n" B64 "\r\nw6k=\r\n--b--\r\n"},
    {"no closing boundary", V MIX "\r\n--b\r\n\r\ncaf" E " au lait\r\n",
     V MIX "\r\n--b\r\n" QP "\r\ncaf=C3=A9 au lait\r\n"},
    {"a boundary of many words",
     V "Content-Type: Multipart/Mixed; x=\"b;\\\"\"; (c)\r\n"
       " Boundary=\"a \\b (c)\" ; y=z\r\n\r\n"
       "--a b (c)\r\n\r\ncaf" E " au lait\r\n--a b (c)--\r\n",
     V "Content-Type: Multipart/Mixed; x=\"b;\\\"\"; (c)\r\n"
       " Boundary=\"a \\b (c)\" ; y=z\r\n\r\n"
       "--a b (c)\r\n" QP "\r\ncaf=C3=A9 au lait\r\n--a b (c)--\r\n"},
    {"a boundary that should be quoted",
     V "Content-Type: multipart/x;boundary=--=_a/b?;\r\n\r\n"
       "----=_a/b?\r\n\r\ncaf" E " au lait\r\n----=_a/b?--\r\n",
     V "Content-Type: multipart/x;boundary=--=_a/b?;\r\n\r\n"
       "----=_a/b?\r\n" QP "\r\ncaf=C3=A9 au lait\r\n----=_a/b?--\r\n"},
    {"multiparts in a multipart, one unclosed, one boundary a prefix",
     V MIX "\r\n--b\r\nContent-Type: multipart/x; boundary=bb\r\n\r\n"
           "--bb\r\n\r\ncaf" E " au lait\r\n--b\r\n"
           "Content-Type: multipart/x; boundary=b--\r\n\r\n"
           "--b--\r\n\r\nth" E " au lait\r\n--b----\r\n--b--\r\n",
     V MIX "\r\n--b\r\nContent-Type: multipart/x; boundary=bb\r\n\r\n"
           "--bb\r\n" QP "\r\ncaf=C3=A9 au lait\r\n--b\r\n"
           "Content-Type: multipart/x; boundary=b--\r\n\r\n"
           "--b--\r\n" QP "\r\nth=C3=A9 au lait\r\n--b----\r\n--b--\r\n"},
    {"no parts behind the last one",
     V MIX "\r\n--b\r\n\r\n" E "\r\n--b--\r\n--b\r\n" CTE "8bit\r\n\r\n",
     V MIX "\r\n--b\r\n" B64 "\r\nw6k=\r\n--b--\r\n--b\r\n" CTE "8bit\r\n\r\n"},
    {"a boundary with blanks at its end, which do not count",
     V "Content-Type: multipart/x; boundary=\"b \"\r\n\r\n--b\r\n\r\n" E
       "\r\n--b--\r\n",
     V "Content-Type: multipart/x; boundary=\"b \"\r\n\r\n--b\r\n" B64
       "\r\nw6k=\r\n--b--\r\n"},
    {"a message in a message",
     V RFC CTE "binary\r\n\r\n" V TEXT "\r\ncaf" E " au lait\r\n",
     V RFC CTE "7bit\r\n\r\n" V TEXT QP "\r\ncaf=C3=A9 au lait\r\n"},
    {"messages without MIME-Version, and one that stays as it is",
     MIX "\r\n--b\r\n" RFC "\r\n" TEXT "\r\ncaf" E " au lait\r\n"
         "--b\r\n" RFC "\r\n" TEXT "\r\ncafe\r\n"
         "--b\r\n" RFC "\r\nContent-Type: multipart/x; boundary=c\r\n\r\n"
         "--c\r\n\r\ncafe\r\n--c--\r\n--b--\r\n",
     MIX V "\r\n--b\r\n" RFC "\r\n" TEXT V QP "\r\ncaf=C3=A9 au lait\r\n"
           "--b\r\n" RFC "\r\n" TEXT "\r\ncafe\r\n"
           "--b\r\n" RFC "\r\nContent-Type: multipart/x; boundary=c\r\n\r\n"
           "--c\r\n\r\ncafe\r\n--c--\r\n--b--\r\n"},
    {"a digest",
     V "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n"
       "Subject: x\r\n" V TEXT "\r\ncaf" E " au lait\r\n"
       "--b\r\n" TEXT "\r\ncaf" E " au lait\r\n--b--\r\n",
     V "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n"
       "Subject: x\r\n" V TEXT QP "\r\ncaf=C3=A9 au lait\r\n"
       "--b\r\n" TEXT QP "\r\ncaf=C3=A9 au lait\r\n--b--\r\n"},
    {"message/global may be encoded",
     V "Content-Type: message/global\r\n" CTE "8bit\r\n\r\nSubject: caf" E
       "\r\n\r\nx\r\n",
     V "Content-Type: message/global\r\n" QP
       "\r\nSubject: caf=C3=A9\r\n\r\nx\r\n"},
    {"what could not be converted, but has no high byte",
     V MIX "\r\n--b\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n"
           "--c\r\n" CTE "8bit\r\n\r\nx\r\n--c--\r\n--b\r\n" B64
           "\r\neA==\r\n--b\r\nno field\r\n" CTE "8bit\r\n\r\nx\r\n"
           "--b\r\nContent-Type: message/delivery-status\r\n\r\nx\r\n"
           "--b\r\nContent-Type: multipart/x\r\n\r\nx\r\n--b\r\n\r\n" E
           "\r\n--b--\r\n",
     V MIX "\r\n--b\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n"
           "--c\r\n" CTE "8bit\r\n\r\nx\r\n--c--\r\n--b\r\n" B64
           "\r\neA==\r\n--b\r\nno field\r\n" CTE "8bit\r\n\r\nx\r\n"
           "--b\r\nContent-Type: message/delivery-status\r\n\r\nx\r\n"
           "--b\r\nContent-Type: multipart/x\r\n\r\nx\r\n--b\r\n" B64
           "\r\nw6k=\r\n--b--\r\n"},
    {"LF only",
     "MIME-Version: 1.0\nContent-Type: multipart/x; boundary=b\n"
     "\n--b\n\nabcdefghij" E "\nb\n--b--\n",
     "MIME-Version: 1.0\nContent-Type: multipart/x; boundary=b\n"
     "\n--b\n" B64 "\nYWJjZGVmZ2hpasOpCmI=\n--b--\n"},
    {"nothing", "", ""},
};

static void converts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(conversions); i++) {
        struct buf out;
        buf_init(&out, MAX_BYTES);
        seven_convert(str_from(conversions[i].in), &out);
        if (!str_equal(buf_str(&out), str_from(conversions[i].wanted)))
            fail_msg("%s: \"%.*s\"", conversions[i].name,
                     STR_ARG(buf_str(&out)));
        buf_fini(&out);
    }
}

static const struct {
    const char *in;
    const char *why;
} refusals[] = {
    {V "Subject: caf" E "\r\n\r\nx\r\n", "SMTPUTF8"},
    {V "Subject: caf" E, "SMTPUTF8"},
    {V MIX "\r\n--b\r\nX: " E "\r\n\r\nx\r\n--b--\r\n", "SMTPUTF8"},
    {V RFC "\r\nSubject: " E "\r\n\r\nx\r\n", "SMTPUTF8"},
    {V MIX "\r\ncaf" E "\r\n--b--\r\n", "before the first part"},
    {V MIX "\r\n--b\r\n\r\nx\r\n--b--\r\n" E "\r\n--b\r\n\r\n",
     "behind the last part"},
    {V "Content-Type: Multipart/Signed; boundary=b\r\n\r\n"
       "--b\r\n\r\n" E "\r\n--b--\r\n",
     "signed"},
    {V "Content-Type: multipart/x\r\n\r\n--b\r\n\r\n" E "\r\n--b--\r\n",
     "without a usable boundary"},
    {V "Content-Type: multipart/x; boundary=\"\"\r\n\r\n--\r\n\r\n" E "\r\n",
     "without a usable boundary"},
    {V "Content-Type: multipart/x; boundary=b; boundary=c\r\n\r\n"
       "--b\r\n\r\n" E "\r\n",
     "without a usable boundary"},
    {V CTE "base64\r\n\r\n" E "\r\n", "said to be encoded"},
    {V CTE "Quoted-Printable\r\n\r\n" E "\r\n", "said to be encoded"},
    {CTE "quoted-printable\r\n\r\n" E "\r\n", "said to be encoded"},
    {V MIX B64 "\r\n--b\r\n\r\n" E "\r\n--b--\r\n", "said to be encoded"},
    {V RFC B64 "\r\nX: y\r\n\r\n" E "\r\n", "said to be encoded"},
    {V CTE "8-bit\r\n\r\n" E "\r\n", "not known"},
    {V CTE "8bit 8bit\r\n\r\n" E "\r\n", "not known"},
    {V CTE "\r\n\r\n" E "\r\n", "not known"},
    {V "Content-Type: message/partial; id=x; number=1\r\n\r\n" E "\r\n",
     "has to be 7bit"},
    {V "Content-Type: message/delivery-status\r\n\r\n" E "\r\n",
     "has to be 7bit"},
    {"From a@x.org today\r\n" V "\r\n" E "\r\n", "no field"},
    {" folded: \r\n" V "\r\n" E "\r\n", "no field"},
    {V CTE "8bit\r\n" CTE "8bit\r\n\r\n" E "\r\n", "twice"},
    {V TEXT MIX "\r\n--b\r\n\r\n" E "\r\n--b--\r\n", "twice"},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct err err = {.text = ""};
        assert_int_equal(seven_refuse(str_from(refusals[i].in), &err),
                         ERR_INVALID);
        if (strstr(err.text, refusals[i].why) == NULL)
            fail_msg("%zu: %s", i, err.text);
        assert_int_equal(seven_refuse(str_from(refusals[i].in), NULL),
                         ERR_INVALID);
    }
}

/* ---- sizes ---- */

static void add_times(struct buf *b, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        buf_add_text(b, text);
}

/* levels multiparts in one another, and a part with an e acute in the last. */
static void nest(struct buf *b, unsigned levels)
{
    buf_add_text(b, V);
    for (unsigned i = 0; i < levels; i++)
        buf_add_format(b,
                       "Content-Type: multipart/x; boundary=b%u\r\n\r\n"
                       "--b%u\r\n",
                       i, i);
    buf_add_text(b, "\r\ncaf" E " au lait\r\n");
}

static void goes_sixteen_levels_deep(void **state)
{
    (void)state;
    struct err err;
    struct buf in;
    struct buf out;
    buf_init(&in, MAX_BYTES);
    buf_init(&out, MAX_BYTES);
    nest(&in, DOWNGRADE_DEPTH_MAX);
    seven_convert(buf_str(&in), &out);
    assert_true(str_contains(buf_str(&out), STR("\r\ncaf=C3=A9 au lait\r\n")));
    buf_truncate(&in, 0);
    nest(&in, DOWNGRADE_DEPTH_MAX + 1);
    assert_int_equal(seven_refuse(buf_str(&in), &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "too deep"));
    buf_fini(&in);
    buf_fini(&out);
}

static void converts_thousands_of_parts_but_not_more(void **state)
{
    (void)state;
    struct err err;
    struct buf in;
    struct buf out;
    buf_init(&in, MAX_BYTES);
    buf_init(&out, MAX_BYTES);
    buf_add_text(&in, V MIX "\r\n");
    add_times(&in, "--b\r\n\r\n" E "\r\n", DOWNGRADE_EDITS_MAX / 2);
    seven_convert(buf_str(&in), &out);
    add_times(&in, "--b\r\n\r\n" E "\r\n", 1);
    assert_int_equal(seven_refuse(buf_str(&in), &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "too many parts"));
    buf_fini(&in);
    buf_fini(&out);
}

/* ---- slices ---- */

#define SLICE 16384

static void finds_boundaries_wherever_slices_end(void **state)
{
    (void)state;
    const char *const head = V MIX "\r\n--b\r\n\r\n";
    for (size_t pad = 2 * SLICE - 130; pad < 2 * SLICE + 10; pad++) {
        struct buf in;
        struct buf wanted;
        struct buf out;
        buf_init(&in, MAX_BYTES);
        buf_init(&wanted, MAX_BYTES);
        buf_init(&out, MAX_BYTES);
        buf_add_text(&in, head);
        add_times(&in, "x", pad);
        buf_add_str(&wanted, buf_str(&in));
        buf_add_text(&in, "\r\n--b\r\n" TEXT "\r\n" E "\r\r\n--b--\r\n");
        buf_add_text(&wanted, "\r\n--b\r\n" TEXT B64 "\r\nw6kN\r\n--b--\r\n");
        seven_convert(buf_str(&in), &out);
        assert_true(str_equal(buf_str(&out), buf_str(&wanted)));
        buf_fini(&in);
        buf_fini(&wanted);
        buf_fini(&out);
    }
}

/* A CRLF at a slice's end is a line end all the same, and no bare CR. */
static void encodes_lines_wherever_slices_end(void **state)
{
    (void)state;
    const char *const head = V TEXT "\r\n";
    for (size_t pad = SLICE - 140; pad < SLICE + 3; pad++) {
        struct buf in;
        struct buf out;
        buf_init(&in, MAX_BYTES);
        buf_init(&out, MAX_BYTES);
        buf_add_text(&in, head);
        add_times(&in, "x", pad);
        buf_add_text(&in, "\r\ncaf" E "\r\n");
        seven_convert(buf_str(&in), &out);
        assert_true(str_starts(buf_str(&out), STR(V TEXT QP "\r\nxx")));
        assert_true(str_contains(buf_str(&out), STR("x\r\ncaf=C3=A9\r\n")));
        assert_false(str_contains(buf_str(&out), STR("=0D")));
        seven_check_lines(buf_str(&out), 76);
        buf_fini(&in);
        buf_fini(&out);
    }
}

/* A soft line break must not make a boundary of what was within a line. */
static void makes_no_boundaries(void **state)
{
    (void)state;
    for (size_t pad = 60; pad < 80; pad++) {
        struct buf in;
        struct buf out;
        buf_init(&in, MAX_BYTES);
        buf_init(&out, MAX_BYTES);
        buf_add_text(&in, V MIX "\r\n--b\r\n\r\n");
        add_times(&in, "x", pad);
        buf_add_text(&in, "--b\r\n" E " and some more\r\n--b--\r\n");
        seven_convert(buf_str(&in), &out);
        struct str end = STR("\r\n=C3=A9 and some more\r\n--b--\r\n");
        assert_true(str_contains(buf_str(&out), end));
        for (struct str s = buf_str(&out); s.len > 0;
             s = str_after(s, str_find(s, '\n') + 1))
            if (str_starts(s, STR("--b")) && !str_starts(s, STR("--b--")))
                assert_ptr_equal(s.data, out.data + strlen(V MIX "\r\n"));
        buf_fini(&in);
        buf_fini(&out);
    }
}

static void long_lines_are_broken_also_where_no_byte_is_high(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *encoding;
    } lines[] = {{998, CTE "7bit"}, {999, CTE "quoted-printable"}};
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct buf in;
        struct buf out;
        buf_init(&in, MAX_BYTES);
        buf_init(&out, MAX_BYTES);
        buf_add_text(&in, V TEXT CTE "8bit\r\n\r\n");
        add_times(&in, "x", lines[i].len);
        buf_add_text(&in, "\r\n");
        seven_convert(buf_str(&in), &out);
        assert_true(str_contains(buf_str(&out), str_from(lines[i].encoding)));
        seven_check_lines(buf_str(&out), 998);
        buf_fini(&in);
        buf_fini(&out);
    }
}

static void nul_is_encoded_also_where_no_byte_is_high(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, MAX_BYTES);
    seven_convert(STR(V TEXT CTE "binary\r\n\r\nsome text\0\r\n"), &out);
    assert_true(
        str_equal(buf_str(&out), STR(V TEXT QP "\r\nsome text=00\r\n")));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(goes_sixteen_levels_deep),
        cmocka_unit_test(converts_thousands_of_parts_but_not_more),
        cmocka_unit_test(finds_boundaries_wherever_slices_end),
        cmocka_unit_test(encodes_lines_wherever_slices_end),
        cmocka_unit_test(makes_no_boundaries),
        cmocka_unit_test(long_lines_are_broken_also_where_no_byte_is_high),
        cmocka_unit_test(nul_is_encoded_also_where_no_byte_is_high),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
