#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/cli/cli_json.h"
#include "app/cli/jobline.h"
#include "app/cli/jsontree.h"

/* JSON out and in: what one writes the other reads back. */
#define OUT_MAX (4U << 20)

static void assert_writes(struct buf *out, const char *expected)
{
    assert_true(buf_ok(out));
    assert_int_equal(out->len, strlen(expected));
    assert_memory_equal(out->data, expected, out->len);
}

static void test_objects_lists_and_commas(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, OUT_MAX);
    struct cli_json j = cli_json_to(&out);
    cli_json_open(&j, '{');
    cli_json_pair(&j, "a", "1");
    cli_json_pair(&j, "none", NULL);
    cli_json_name(&j, STR("b"));
    cli_json_open(&j, '[');
    cli_json_text(&j, STR("x"));
    cli_json_open(&j, '{');
    cli_json_close(&j, '}');
    cli_json_int(&j, -5);
    cli_json_base64(&j, STR("\0\377"));
    cli_json_close(&j, ']');
    cli_json_name(&j, STR("c"));
    cli_json_int(&j, 9007199254740992);
    cli_json_close(&j, '}');
    assert_writes(&out, "{\"a\":\"1\",\"b\":[\"x\",{},-5,\"AP8=\"],"
                        "\"c\":9007199254740992}");
    buf_fini(&out);
}

static void test_escapes_are_the_short_ones_and_one_line(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, OUT_MAX);
    struct cli_json j = cli_json_to(&out);
    cli_json_text(&j, STR("\"\\/\b\f\n\r\t\1\037\177\0end \303\274"));
    assert_writes(&out, "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\\u0001\\u001f"
                        "\\u007f\\u0000end \303\274\"");
    buf_fini(&out);
}

static void add_utf8(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_add_char(b, (char)c);
    } else if (c < 0x800) {
        buf_add_char(b, (char)(0xc0 | c >> 6));
        buf_add_char(b, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_add_char(b, (char)(0xe0 | c >> 12));
        buf_add_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_add_char(b, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_add_char(b, (char)(0xf0 | c >> 18));
        buf_add_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_add_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_add_char(b, (char)(0x80 | (c & 0x3f)));
    }
}

/* Every character there is comes back from a parser that is not ours. */
static void test_all_of_unicode_comes_back(void **state)
{
    (void)state;
    struct buf all;
    struct buf out;
    struct json_node *root;
    buf_init(&all, 8U << 20);
    buf_init(&out, 16U << 20);
    for (uint32_t c = 0; c <= 0x10ffff; c++)
        if (c < 0xd800 || c > 0xdfff)
            add_utf8(&all, c);
    struct cli_json j = cli_json_to(&out);
    cli_json_open(&j, '[');
    cli_json_text(&j, buf_str(&all));
    cli_json_close(&j, ']');
    assert_true(buf_ok(&all) && buf_ok(&out));
    assert_null(memchr(out.data, '\n', out.len));
    assert_int_equal(jsontree_parse(buf_str(&out), &root, NULL), ERR_NONE);
    assert_true(str_equal(root->first->text, buf_str(&all)));
    jsontree_destroy(root);
    buf_fini(&all);
    buf_fini(&out);
}

static void test_past_the_cap_the_buf_says_so(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 8);
    struct cli_json j = cli_json_to(&out);
    cli_json_text(&j, STR("longer than that"));
    assert_false(buf_ok(&out));
    buf_fini(&out);
}

static void test_members_are_found_by_name_and_kind(void **state)
{
    (void)state;
    struct json_node *root;
    int64_t n = 7;
    assert_int_equal(
        jsontree_parse(STR(" {\"t\":\"a\\u0000b\",\"n\":-12,\"f\":1.5,"
                           "\"y\":true,\"z\":false,\"0\":null,"
                           "\"big\":9007199254740993,"
                           "\"o\":{\"t\":\"in\"},\"l\":[1,[],2]} "),
                       &root, NULL),
        ERR_NONE);
    assert_true(str_equal(jsontree_text(root, "t"), STR("a\0b")));
    assert_int_equal(jsontree_text(root, "n").len, 0);
    assert_true(jsontree_true(root, "y"));
    assert_false(jsontree_true(root, "z"));
    assert_false(jsontree_true(root, "t"));
    assert_false(jsontree_int(jsontree_get(root, "f", JSON_NUMBER), &n));
    assert_false(jsontree_int(jsontree_get(root, "big", JSON_NUMBER), &n));
    assert_false(jsontree_int(NULL, &n));
    assert_int_equal(n, 7);
    assert_true(jsontree_int(jsontree_get(root, "n", JSON_NUMBER), &n));
    assert_int_equal(n, -12);
    assert_null(jsontree_get(root, "nosuch", JSON_STRING));
    assert_null(jsontree_get(root, "t", JSON_OBJECT));
    assert_null(jsontree_get(NULL, "t", JSON_STRING));
    const struct json_node *o = jsontree_get(root, "o", JSON_OBJECT);
    assert_true(str_equal(jsontree_text(o, "t"), STR("in")));
    const struct json_node *l = jsontree_get(root, "l", JSON_ARRAY);
    assert_int_equal(l->first->kind, JSON_NUMBER);
    assert_int_equal(l->first->next->kind, JSON_ARRAY);
    assert_int_equal(l->last->kind, JSON_NUMBER);
    assert_ptr_equal(l->first->next->next, l->last);
    jsontree_destroy(root);
}

static void test_what_is_no_json_is_refused(void **state)
{
    (void)state;
    const struct str rows[] = {
        STR(""),          STR(" "),        STR("{"),
        STR("{\"a\"}"),   STR("{\"a\":}"), STR("{\"a\":\"b"),
        STR("{} {}"),     STR("[1,]"),     STR("nul"),
        STR("\"\377\""),  STR("[\"\1\"]"), STR("{\"a\":{\"b\":[tru"),
        STR("/**/ true"), STR("\0"),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_node *root = NULL;
        struct err err = {0};
        assert_int_equal(jsontree_parse(rows[i], &root, &err), ERR_INVALID);
        assert_null(root);
        assert_true(err.text[0] != '\0');
    }
}

static void test_depth_and_number_of_values_are_bounded(void **state)
{
    (void)state;
    struct json_node *root = NULL;
    struct buf many;
    char deep[2 * JSONTREE_DEPTH_MAX + 2];
    size_t depth = JSONTREE_DEPTH_MAX;
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    assert_int_equal(jsontree_parse(str_of(deep, 2 * depth), &root, NULL),
                     ERR_NONE);
    jsontree_destroy(root);
    root = NULL;
    depth++;
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    assert_int_equal(jsontree_parse(str_of(deep, 2 * depth), &root, NULL),
                     ERR_TOO_LARGE);
    assert_null(root);
    buf_init(&many, OUT_MAX);
    buf_add_text(&many, "[0");
    for (int i = 1; i < JSONTREE_NODES_MAX; i++)
        buf_add_text(&many, ",0");
    buf_add_text(&many, "]");
    assert_int_equal(jsontree_parse(buf_str(&many), &root, NULL),
                     ERR_TOO_LARGE);
    assert_null(root);
    buf_fini(&many);
}

static void test_lines_that_may_go_as_jobs(void **state)
{
    (void)state;
    const struct {
        struct str line;
        bool may;
    } rows[] = {
        {STR("{}"), true},
        {STR("{\"op\":\"submit\"}"), true},
        {STR("{\"op\":\"\\u0073ubmit\"}"), true},
        {STR("{\"to\":[{\"op\":\"cancel\",\"raw_bytes\":1}]}"), true},
        {STR("{\"metadata\":{\"op\":\"x\"},\"raw\":\"\"}"), true},
        {STR("{\"text\":\"\\\"raw_bytes\\\":1\"}"), true},
        {STR("{broken"), true}, /* the daemon will say so */
        {STR(""), false},
        {STR("[]"), false},
        {STR(" {}"), false},
        {STR("\0{}"), false},
        {STR("{\"op\":\"cancel\"}"), false},
        {STR("{\"op\":null}"), false},
        {STR("{\"op\":{\"op\":\"submit\"}}"), false},
        {STR("{\"op\":[\"submit\"]}"), false},
        {STR("{\"op\":1}"), false},
        {STR("{\"op\":true}"), false},
        {STR("{\"op\":\"submitx\"}"), false},
        {STR("{\"a\":{},\"\\u006fp\":\"stats\"}"), false},
        {STR("{\"raw_bytes\":10}"), false},
        {STR("{\"a\":[{}],\"raw\\u005fbytes\" : null}"), false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        enum err_code code = jobline_check(rows[i].line, &err);
        assert_int_equal(code, rows[i].may ? ERR_NONE : ERR_INVALID);
        assert_true(rows[i].may == (err.text[0] == '\0'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_lists_and_commas),
        cmocka_unit_test(test_escapes_are_the_short_ones_and_one_line),
        cmocka_unit_test(test_all_of_unicode_comes_back),
        cmocka_unit_test(test_past_the_cap_the_buf_says_so),
        cmocka_unit_test(test_members_are_found_by_name_and_kind),
        cmocka_unit_test(test_what_is_no_json_is_refused),
        cmocka_unit_test(test_depth_and_number_of_values_are_bounded),
        cmocka_unit_test(test_lines_that_may_go_as_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
