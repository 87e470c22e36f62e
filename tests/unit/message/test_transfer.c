#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base64.h"
#include "core/mem.h"
#include "core/random.h"
#include "message/transfer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define X10 "xxxxxxxxxx"
#define X70 X10 X10 X10 X10 X10 X10 X10

static const struct {
    struct str text;
    size_t unsafe;
    size_t bare_breaks;
    size_t longest;
} looks[] = {
    {{"", 0}, 0, 0, 0},
    {{"abc", 3}, 0, 0, 3},
    {{"abc\n", 4}, 0, 1, 3},
    {{"abc\r\n", 5}, 0, 0, 3},
    {{"a\rb", 3}, 0, 1, 1},
    {{"a\r", 2}, 0, 1, 1},
    {{"\n\n\r\r\n", 5}, 0, 3, 0},
    {{"\r\r", 2}, 0, 2, 0},
    {{"ab\ncdefghijkl\r\nm", 16}, 0, 1, 10},
    {{"1234567\r\n12345\r\n", 16}, 0, 0, 7},
    {{"tab\tis good", 11}, 0, 0, 11},
    {{"a\0b\x1b\x7f\xff", 6}, 4, 0, 6},
    {{"\x80\x81\x82\x83\x84\x85\x86\x87\x88", 9}, 9, 0, 9},
    {{"\xc3\xbc\n\xc3\xbc\x0b", 6}, 5, 1, 3},
};

static void looks_at_bytes_and_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(looks); i++) {
        struct transfer_facts facts;
        transfer_look(looks[i].text, &facts);
        assert_int_equal(facts.unsafe, looks[i].unsafe);
        assert_int_equal(facts.bare_breaks, looks[i].bare_breaks);
        assert_int_equal(facts.longest, looks[i].longest);
    }
}

/* Byte by byte, as the words say it. */
static struct transfer_facts look_simply(struct str s)
{
    struct transfer_facts f = {0};
    size_t line = 0;
    for (size_t i = 0; i <= s.len; i++) {
        char c = i < s.len ? s.data[i] : '\n';
        bool pair = c == '\r' && i + 1 < s.len && s.data[i + 1] == '\n';
        if (c != '\r' && c != '\n') {
            f.unsafe += (c < ' ' && c != '\t') || c == 0x7f;
            f.high += (unsigned char)c > 0x7f;
            line++;
            continue;
        }
        f.returns += c == '\r';
        f.bare_breaks += !pair && i < s.len;
        f.longest = line > f.longest ? line : f.longest;
        line = 0;
        if (pair)
            i++;
    }
    return f;
}

static void looks_the_same_at_any_offset(void **state)
{
    (void)state;
    static const char alphabet[] = "ab \t\r\n\r\n=\x01\x7f\xc3";
    struct random r;
    random_init(&r, 3);
    for (int round = 0; round < 20000; round++) {
        char text[64];
        size_t len = random_below(&r, sizeof(text));
        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[random_below(&r, sizeof(alphabet) - 1)];
        struct transfer_facts facts;
        transfer_look(str_of(text, len), &facts);
        struct transfer_facts wanted = look_simply(str_of(text, len));
        assert_memory_equal(&facts, &wanted, sizeof(facts));
    }
}

static void writes(struct str text, struct str forbidden,
                   enum transfer wanted_transfer, struct str wanted)
{
    struct transfer_facts facts;
    struct buf out;
    buf_init(&out, 1 << 16);
    transfer_look(text, &facts);
    assert_int_equal(transfer_choose(text, &facts, forbidden), wanted_transfer);
    transfer_text(&out, text, &facts, wanted_transfer);
    assert_true(buf_ok(&out));
    if (!str_equal(buf_str(&out), wanted))
        fail_msg("%.*s: \"%.*s\"", STR_ARG(text), STR_ARG(buf_str(&out)));
    buf_fini(&out);
}

static const struct {
    const char *text;
    enum transfer transfer;
    const char *wanted;
} texts[] = {
    {"", TRANSFER_7BIT, ""},
    {"a", TRANSFER_7BIT, "a"},
    {"a\nb", TRANSFER_7BIT, "a\r\nb"},
    {"a\n", TRANSFER_7BIT, "a\r\n"},
    {"a\r\nb\r\n", TRANSFER_7BIT, "a\r\nb\r\n"},
    {"a\rb\r", TRANSFER_7BIT, "a\r\nb\r\n"},
    {"a\r\r\n\n\n\rb", TRANSFER_7BIT, "a\r\n\r\n\r\n\r\n\r\nb"},
    {"a \t\n=.\tb", TRANSFER_7BIT, "a \t\r\n=.\tb"},
    {".\n..\nFrom x", TRANSFER_7BIT, ".\r\n..\r\nFrom x"},
    {"a\x1b" X70 X70, TRANSFER_QUOTED_PRINTABLE,
     "a=1B" X70 "x=\r\nxxxxx" X10 X10 X10 X10 X10 X10 "xxxx"},
    {"caf\xc3\xa9 au lait, =\n", TRANSFER_QUOTED_PRINTABLE,
     "caf=C3=A9 au lait, =3D\r\n"},
    {"caf\xc3\xa9 and blanks before the line's end \t\r\nor\t\ra word ",
     TRANSFER_QUOTED_PRINTABLE,
     "caf=C3=A9 and blanks before the line's end =09\r\nor=09\r\n"
     "a word=20"},
    /* A line of 76 is split, as its last byte may be a soft break's "=". */
    {"caf\xc3\xa9 " X70 "\n", TRANSFER_QUOTED_PRINTABLE,
     "caf=C3=A9 " X10 X10 X10 X10 X10 X10 "xxxxx=\r\nxxxxx\r\n"},
    /* No line begins with what could be a boundary and was none. */
    {"caf\xc3\xa9 " X10 X10 X10 X10 X10 X10 "xxxxx--b\n--b\n",
     TRANSFER_QUOTED_PRINTABLE,
     "caf=C3=A9 " X10 X10 X10 X10 X10 X10 "xxxxx=\r\n=2D-b\r\n--b\r\n"},
    {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", TRANSFER_BASE64, "5pel5pys6Kqe"},
    {"\xe6\x97\xa5\n\xe6\x9c\r\xe8", TRANSFER_BASE64, "5pelDQrmnA0K6A=="},
};

static void encodes_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        writes(str_from(texts[i].text), (struct str){NULL, 0},
               texts[i].transfer, str_from(texts[i].wanted));
}

static void encodes_nul(void **state)
{
    (void)state;
    writes(STR("a text with a NUL\0in it"), (struct str){NULL, 0},
           TRANSFER_QUOTED_PRINTABLE, STR("a text with a NUL=00in it"));
}

static void encodes_a_text_with_the_boundary_in_it(void **state)
{
    (void)state;
    writes(STR("x\n--=_id_1\n"), STR("=_id_"), TRANSFER_QUOTED_PRINTABLE,
           STR("x\r\n--=3D_id_1\r\n"));
    writes(STR("x\n--=_ie_1\n"), STR("=_id_"), TRANSFER_7BIT,
           STR("x\r\n--=_ie_1\r\n"));
}

static void encodes_from_lines_of_999_on(void **state)
{
    (void)state;
    char text[1005];
    struct transfer_facts facts;
    memset(text, 'x', sizeof(text));
    memcpy(text + 998, "\r\nxxxx", 6);
    transfer_look(str_of(text, sizeof(text)), &facts);
    assert_int_equal(transfer_choose(str_of(text, sizeof(text)), &facts,
                                     (struct str){NULL, 0}),
                     TRANSFER_7BIT);
    memcpy(text + 998, "x\r\nxxx", 6);
    transfer_look(str_of(text, sizeof(text)), &facts);
    assert_int_equal(transfer_choose(str_of(text, sizeof(text)), &facts,
                                     (struct str){NULL, 0}),
                     TRANSFER_QUOTED_PRINTABLE);
}

/* Many "=" alone make base64 shorter. */
static void counts_equal_signs(void **state)
{
    (void)state;
    struct transfer_facts facts;
    struct str text = STR("\x01========");
    transfer_look(text, &facts);
    assert_int_equal(transfer_choose(text, &facts, (struct str){NULL, 0}),
                     TRANSFER_BASE64);
}

static void quoted_printable_is_the_same_in_pieces(void **state)
{
    (void)state;
    struct str text = STR("caf\xc3\xa9 =" X70 X70 "\r\n-a\tlast\r\n\r\nline");
    for (size_t cut = 0; cut <= text.len; cut++) {
        struct transfer_facts facts;
        struct transfer_qp w;
        struct buf out;
        struct buf wanted;
        if (cut > 0 && strchr(" \t\r", text.data[cut - 1]) != NULL)
            continue;
        buf_init(&out, 1 << 12);
        buf_init(&wanted, 1 << 12);
        transfer_look(text, &facts);
        transfer_text(&wanted, text, &facts, TRANSFER_QUOTED_PRINTABLE);
        transfer_qp_begin(&w, &out);
        transfer_qp_add(&w, str_of(text.data, cut));
        transfer_qp_add(&w, str_after(text, cut));
        transfer_qp_end(&w);
        assert_true(str_equal(buf_str(&out), buf_str(&wanted)));
        buf_fini(&out);
        buf_fini(&wanted);
    }
}

static void base64_is_what_others_write_in_lines_of_76(void **state)
{
    (void)state;
    struct random r;
    char data[600];
    random_init(&r, 5);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)random_next(&r);
    for (size_t len = 0; len <= sizeof(data); len++) {
        struct buf out;
        struct buf wanted;
        struct buf joined;
        buf_init(&out, transfer_base64_len(len));
        buf_init(&wanted, 4096);
        buf_init(&joined, 4096);
        transfer_base64(&out, str_of(data, len));
        assert_true(buf_ok(&out));
        assert_int_equal(out.len, transfer_base64_len(len));
        base64_encode(str_of(data, len), &wanted);
        for (struct str s = buf_str(&out); s.len > 0;) {
            size_t line = str_find(s, '\r');
            assert_true(line == 76 || (line == s.len && line < 77));
            buf_add(&joined, s.data, line);
            s = str_after(s, line + 2);
        }
        assert_true(str_equal(buf_str(&joined), buf_str(&wanted)));
        buf_fini(&joined);
        buf_fini(&wanted);
        buf_fini(&out);
    }
}

static void stops_at_the_cap(void **state)
{
    (void)state;
    static const char *const samples[] = {
        "a\nb", "caf\xc3\xa9 and a long text around it",
        "\xe6\x97\xa5\xe6\x9c\xac"};
    for (size_t i = 0; i < COUNT(samples); i++) {
        struct str text = str_from(samples[i]);
        struct transfer_facts facts;
        struct buf out;
        transfer_look(text, &facts);
        enum transfer transfer =
            transfer_choose(text, &facts, (struct str){NULL, 0});
        buf_init(&out, 3);
        transfer_text(&out, text, &facts, transfer);
        assert_false(buf_ok(&out));
        buf_fini(&out);
    }
}

static void names_its_encodings(void **state)
{
    (void)state;
    assert_true(str_equal(transfer_name(TRANSFER_7BIT), STR("7bit")));
    assert_true(str_equal(transfer_name(TRANSFER_QUOTED_PRINTABLE),
                          STR("quoted-printable")));
    assert_true(str_equal(transfer_name(TRANSFER_BASE64), STR("base64")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_at_bytes_and_lines),
        cmocka_unit_test(looks_the_same_at_any_offset),
        cmocka_unit_test(encodes_texts),
        cmocka_unit_test(encodes_nul),
        cmocka_unit_test(encodes_a_text_with_the_boundary_in_it),
        cmocka_unit_test(encodes_from_lines_of_999_on),
        cmocka_unit_test(counts_equal_signs),
        cmocka_unit_test(quoted_printable_is_the_same_in_pieces),
        cmocka_unit_test(base64_is_what_others_write_in_lines_of_76),
        cmocka_unit_test(stops_at_the_cap),
        cmocka_unit_test(names_its_encodings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
