#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "producer/json.h"

#define VALUES_MAX 100

struct row {
    const char *name;
    struct str text;
};

#define ROW(name, text)                                                        \
    {                                                                          \
        name,                                                                  \
        {                                                                      \
            "" text, sizeof(text) - 1                                          \
        }                                                                      \
    }

static bool parse(struct arena *arena, struct str text,
                  struct json_value **value, struct refusal *refusal)
{
    refusal->word = REFUSAL_NONE;
    arena_reset(arena);
    return json_parse(text, VALUES_MAX, arena, value, refusal);
}

static void what_is_json_is_taken(void **state)
{
    static const struct row rows[] = {
        ROW("empty object", "{}"),
        ROW("blanks", " \t\r\n{ } \n"),
        ROW("all types",
            "{\"a\":null,\"b\":true,\"c\":false,\"d\":[1,\"x\"],\"e\":{}}"),
        ROW("numbers", "[0,-0,1.5,1e3,-1E+05,12345678901234567890123]"),
        ROW("escapes", "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fc\"]"),
        ROW("pair", "[\"\\ud83d\\ude00\"]"),
        ROW("escaped backslash before u", "[\"\\\\ud800\"]"),
        ROW("utf-8", "[\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"]"),
        ROW("delete is allowed", "[\"\x7f\"]"),
        ROW("same name in two objects", "[{\"a\":1},{\"a\":1}]"),
        ROW("same name in nested objects", "{\"a\":{\"a\":1}}"),
        ROW("nul in a value", "[\"\\u0000\"]"),
        ROW("sixteen deep", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"),
    };
    struct arena arena;
    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_value *value = NULL;
        struct refusal refusal;
        if (!parse(&arena, rows[i].text, &value, &refusal))
            fail_msg("%s: %s", rows[i].name, refusal.text);
        assert_non_null(value);
    }
    arena_fini(&arena);
}

static void what_is_not_json_is_refused(void **state)
{
    static const struct row rows[] = {
        ROW("nothing", ""),
        ROW("blanks only", "  "),
        ROW("half an object", "{"),
        ROW("half a string", "{\"a\":\"x"),
        ROW("half an escape", "{\"a\":\"\\u"),
        ROW("trailing brace", "{}}"),
        ROW("two objects", "{} {}"),
        ROW("trailing word", "{}x"),
        ROW("trailing nul", "{}\0"),
        ROW("nul between", "{\0}"),
        ROW("trailing comma in object", "{\"a\":1,}"),
        ROW("trailing comma in array", "[1,]"),
        ROW("no colon", "{\"a\" 1}"),
        ROW("no quotes", "{a:1}"),
        ROW("single quotes", "{'a':1}"),
        ROW("comment", "{/*x*/}"),
        ROW("line comment", "{}//x"),
        ROW("leading zero", "[01]"),
        ROW("plus", "[+1]"),
        ROW("dot first", "[.5]"),
        ROW("dot last", "[1.]"),
        ROW("minus only", "[-]"),
        ROW("no exponent", "[1e]"),
        ROW("hex", "[0x10]"),
        ROW("nan", "[NaN]"),
        ROW("infinity", "[Infinity]"),
        ROW("upper-case true", "[True]"),
        ROW("cut true", "[tru]"),
        ROW("bad escape", "[\"\\x\"]"),
        ROW("bad hex", "[\"\\u12g4\"]"),
        ROW("raw newline in string", "[\"\n\"]"),
        ROW("raw tab in string", "[\"\t\"]"),
        ROW("raw control in string", "[\"\x1f\"]"),
        ROW("raw nul in string", "[\"\0\"]"),
        ROW("raw form feed between", "{\f}"),
        ROW("raw vertical tab between", "{\v}"),
        ROW("raw form feed behind", "{}\f"),
        ROW("raw form feed in string", "[\"\f\"]"),
        ROW("byte order mark", "\xef\xbb\xbf{}"),
        ROW("overlong", "[\"\xc0\x80\"]"),
        ROW("surrogate in utf-8", "[\"\xed\xa0\x80\"]"),
        ROW("no utf-8", "[\"\xff\"]"),
        ROW("latin-1", "[\"gr\xfc\xdf\"]"),
        ROW("cut utf-8", "[\"\xc3\"]"),
        ROW("beyond unicode", "[\"\xf4\x90\x80\x80\"]"),
        ROW("lone high surrogate", "[\"\\ud800\"]"),
        ROW("lone low surrogate", "[\"\\udc00\"]"),
        ROW("two high surrogates", "[\"\\ud83d\\ud83d\"]"),
        ROW("high surrogate, then a letter", "[\"\\ud83d\\u0041\"]"),
        ROW("high surrogate, then no escape", "[\"\\ud83dxxxxxx\"]"),
        ROW("high surrogate behind a pair", "[\"\\ud83d\\ude00\\ud83d\"]"),
        ROW("same name twice", "{\"a\":1,\"b\":2,\"a\":3}"),
        ROW("same name by escape", "{\"a\":1,\"\\u0061\":3}"),
        ROW("same empty name", "{\"\":1,\"\":3}"),
        ROW("nul in a name", "{\"a\\u0000b\":1}"),
        ROW("seventeen deep", "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"),
    };
    struct arena arena;
    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_value *value = NULL;
        struct refusal refusal;
        if (parse(&arena, rows[i].text, &value, &refusal))
            fail_msg("%s was taken", rows[i].name);
        if (refusal.word != REFUSAL_BAD_JSON || refusal.text[0] == '\0')
            fail_msg("%s: %s", rows[i].name, refusal_name(refusal.word));
        assert_null(value);
    }
    arena_fini(&arena);
}

/* What a client gets that writes one object over several lines. */
static void a_piece_of_an_object_is_told_to_be_on_one_line(void **state)
{
    const struct {
        struct str text;
        bool piece;
    } rows[] = {
        {STR("{"), true},
        {STR("{\"a\":1,"), true},
        {STR("{\"a\":\"x"), true},
        {STR("  \"a\":1,"), true},
        {STR("\"a\":{\"b\":1}"), true},
        {STR("2],"), true},
        {STR("}"), true},
        {STR("\t}"), true},
        {STR("{a:1}"), false},
        {STR("{\"a\":1}}"), false},
        {STR("{\"a\":1,\"a\":2}"), false},
    };
    struct arena arena;
    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_value *value = NULL;
        struct refusal refusal;
        assert_false(parse(&arena, rows[i].text, &value, &refusal));
        assert_int_equal(refusal.word, REFUSAL_BAD_JSON);
        bool told = strstr(refusal.text, "must be on one line") != NULL;
        if (told != rows[i].piece)
            fail_msg("%s: %s", rows[i].text.data, refusal.text);
    }
    arena_fini(&arena);
}

static void names_twice_are_found_among_many(void **state)
{
    struct arena arena;
    struct refusal refusal;
    struct json_value *value = NULL;
    struct buf text;
    (void)state;
    arena_init(&arena);
    buf_init(&text, 65536);
    for (int twice = 0; twice < 2; twice++) {
        buf_truncate(&text, 0);
        buf_add_char(&text, '{');
        for (int i = 0; i < 80; i++)
            buf_add_format(&text, "%s\"%s%d\":0", i > 0 ? "," : "",
                           i % 2 == 0 ? "x" : "xx", i);
        if (twice)
            buf_add_text(&text, ",\"xx41\":1");
        buf_add_char(&text, '}');
        bool taken = parse(&arena, buf_str(&text), &value, &refusal);
        assert_int_equal(taken, !twice);
    }
    assert_int_equal(refusal.word, REFUSAL_BAD_JSON);
    assert_string_equal(refusal.field, "xx41");
    buf_fini(&text);
    arena_fini(&arena);
}

static void values_are_bounded_in_number(void **state)
{
    struct arena arena;
    struct refusal refusal;
    struct json_value *value = NULL;
    struct buf text;
    (void)state;
    arena_init(&arena);
    buf_init(&text, 65536);
    buf_add_text(&text, "[0");
    for (int i = 2; i < VALUES_MAX; i++)
        buf_add_text(&text, ",0");
    buf_add_text(&text, "]");
    assert_true(parse(&arena, buf_str(&text), &value, &refusal));
    assert_int_equal(value->count, VALUES_MAX - 1);
    buf_truncate(&text, text.len - 1);
    buf_add_text(&text, ",0]");
    assert_false(parse(&arena, buf_str(&text), &value, &refusal));
    assert_int_equal(refusal.word, REFUSAL_TOO_LARGE);
    buf_fini(&text);
    arena_fini(&arena);
}

static void strings_come_decoded(void **state)
{
    const struct {
        struct str text;
        struct str expected;
    } rows[] = {
        {STR("[\"\"]"), STR("")},
        {STR("[\"plain\"]"), STR("plain")},
        {STR("[\"a\\nb\"]"), STR("a\nb")},
        {STR("[\"\\u0041\\u00fc\\u20ac\"]"), STR("A\xc3\xbc\xe2\x82\xac")},
        {STR("[\"\\ud83d\\ude00!\"]"), STR("\xf0\x9f\x98\x80!")},
        {STR("[\"\\uDBFF\\uDFFF\"]"), STR("\xf4\x8f\xbf\xbf")},
        {STR("[\"\\\\ud800\"]"), STR("\\ud800")},
        {STR("[\"a\\u0000b\"]"), STR("a\0b")},
    };
    struct arena arena;
    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_value *value = NULL;
        struct refusal refusal;
        assert_true(parse(&arena, rows[i].text, &value, &refusal));
        const struct json_value *s = value->first;
        assert_int_equal(s->type, JSON_STRING);
        assert_int_equal(s->text.len, rows[i].expected.len);
        assert_memory_equal(s->text.data, rows[i].expected.data, s->text.len);
        assert_int_equal(s->has_nul,
                         memchr(s->text.data, 0, s->text.len) != NULL);
    }
    arena_fini(&arena);
}

static void many_decoded_strings_stay_apart(void **state)
{
    struct arena arena;
    struct refusal refusal;
    struct json_value *value = NULL;
    char expected[16];
    struct buf text;
    (void)state;
    arena_init(&arena);
    buf_init(&text, 1 << 20);
    buf_add_char(&text, '[');
    for (int i = 0; i < VALUES_MAX - 1; i++)
        buf_add_format(&text, "%s\"\\u0041%d\"", i > 0 ? "," : "", i);
    buf_add_char(&text, ']');
    assert_true(parse(&arena, buf_str(&text), &value, &refusal));
    int i = 0;
    for (const struct json_value *v = value->first; v != NULL; v = v->next) {
        (void)snprintf(expected, sizeof(expected), "A%d", i++);
        assert_true(str_equal(v->text, str_from(expected)));
    }
    assert_int_equal(i, VALUES_MAX - 1);
    buf_fini(&text);
    arena_fini(&arena);
}

static void only_whole_numbers_are_integers(void **state)
{
    const struct {
        struct str text;
        bool whole;
        int64_t expected;
    } rows[] = {
        {STR("[0]"), true, 0},
        {STR("[-0]"), true, 0},
        {STR("[42]"), true, 42},
        {STR("[-42]"), true, -42},
        {STR("[9007199254740992]"), true, INT64_C(9007199254740992)},
        {STR("[-9007199254740992]"), true, -INT64_C(9007199254740992)},
        {STR("[9007199254740993]"), false, 0},
        {STR("[-9007199254740993]"), false, 0},
        {STR("[18446744073709551617]"), false, 0},
        {STR("[1.0]"), false, 0},
        {STR("[1e3]"), false, 0},
        {STR("[\"1\"]"), false, 0},
        {STR("[true]"), false, 0},
        {STR("[null]"), false, 0},
    };
    struct arena arena;
    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_value *value = NULL;
        struct refusal refusal;
        int64_t number = 77;
        assert_true(parse(&arena, rows[i].text, &value, &refusal));
        assert_int_equal(json_integer(value->first, &number), rows[i].whole);
        if (rows[i].whole)
            assert_true(number == rows[i].expected);
    }
    arena_fini(&arena);
}

static void members_are_found_by_name(void **state)
{
    struct arena arena;
    struct refusal refusal;
    struct json_value *value = NULL;
    (void)state;
    arena_init(&arena);
    assert_true(
        parse(&arena, STR("{\"a\":1,\"ab\":[2,3],\"\":4}"), &value, &refusal));
    assert_int_equal(value->count, 3);
    assert_int_equal(json_member(value, STR("ab"))->count, 2);
    assert_true(str_equal(json_member(value, STR(""))->text, STR("4")));
    assert_null(json_member(value, STR("b")));
    assert_null(json_member(value, STR("A")));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_taken),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(a_piece_of_an_object_is_told_to_be_on_one_line),
        cmocka_unit_test(names_twice_are_found_among_many),
        cmocka_unit_test(values_are_bounded_in_number),
        cmocka_unit_test(strings_come_decoded),
        cmocka_unit_test(many_decoded_strings_stay_apart),
        cmocka_unit_test(only_whole_numbers_are_integers),
        cmocka_unit_test(members_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
