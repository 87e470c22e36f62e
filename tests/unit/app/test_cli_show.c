#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/cli/content_type.h"
#include "app/cli/show.h"
#include "app/cli/show_value.h"

/* How things are written for a person. */
static void test_text_is_safe_for_a_terminal(void **state)
{
    (void)state;
    const struct {
        struct str text;
        const char *shown;
    } rows[] = {
        {STR(""), ""},
        {STR("plain \303\274 \342\202\254"), "plain \303\274 \342\202\254"},
        {STR("\n\r\t\0\33\177"), "\\n\\r\\t\\x00\\x1b\\x7f"},
        {STR("\302\205\302\233"), "\\u0085\\u009b"},
        {STR("\342\200\256\342\201\246\330\234"), "\\u202e\\u2066\\u061c"},
        {STR("a\377b\303"), "a\\xffb\\xc3"},
        {STR("\300\257"), "\\xc0\\xaf"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        show_text(out, rows[i].text);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(text, rows[i].shown);
        free(text);
    }
}

static void test_an_excerpt_is_short_and_safe(void **state)
{
    (void)state;
    char out[SHOW_EXCERPT_MAX];
    char longer[300];
    show_excerpt(STR("a\nb"), out);
    assert_string_equal(out, "\"a\\nb\"");
    memset(longer, '\33', sizeof(longer));
    show_excerpt(str_of(longer, sizeof(longer)), out);
    assert_non_null(strstr(out, "\\x1b\\x1b"));
    assert_string_equal(out + strlen(out) - 4, "\"...");
}

static void test_times_relative_to_now(void **state)
{
    (void)state;
    static const struct {
        int64_t apart_ms;
        const char *words;
    } rows[] = {
        {0, "now"},
        {-999, "now"},
        {1000, "in 1 s"},
        {-119999, "119 s ago"},
        {120000, "in 2 min"},
        {-7199000, "119 min ago"},
        {7200000, "in 2 h"},
        {-172799000, "47 h ago"},
        {172800000, "in 2 days"},
        {-5LL * 365 * 86400000, "1825 days ago"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[SHOW_RELATIVE_MAX];
        int64_t now = 1800000000000;
        show_relative(now + rows[i].apart_ms, now, out);
        assert_string_equal(out, rows[i].words);
    }
}

static void test_numbers_have_groups(void **state)
{
    (void)state;
    static const struct {
        int64_t number;
        const char *shown;
    } rows[] = {
        {0, "0"},
        {999, "999"},
        {1000, "1,000"},
        {-1234567, "-1,234,567"},
        {-123, "-123"},
        {INT64_MAX, "9,223,372,036,854,775,807"},
        {INT64_MIN, "-9,223,372,036,854,775,808"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[SHOW_NUMBER_MAX];
        show_number(rows[i].number, out);
        assert_string_equal(out, rows[i].shown);
    }
}

static void test_values_are_shown_by_what_their_names_say(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *shown;
    } rows[] = {
        {"{\"n\":1234}", "n                         1,234\n"},
        {"{\"uptime_ms\":250}", "uptime                    250 ms\n"},
        {"{\"uptime_ms\":7384000}", "uptime                    2 h 3 min\n"},
        {"{\"uptime_ms\":180000000}", "uptime                    2 days 2 h\n"},
        {"{\"max_bytes\":536870912}", "max bytes                 512.0 MiB\n"},
        {"{\"bytes\":12}", "bytes                     12 bytes\n"},
        {"{\"a_at\":\"2026-11-20T11:22:33Z\"}",
         "a                         2026-11-20 11:22:33 (in 2 min)\n"},
        {"{\"a_at\":\"no time\"}", "a                         no time\n"},
        {"{\"f\":1.5,\"b\":false}",
         "f                         1.5\nb                         no\n"},
        {"{\"rate\":14,\"slowed\":true}",
         "rate                      14/s\nslowed                    yes\n"},
        {"{\"rate\":0.05}", "rate                      3/m\n"},
        {"{\"rate\":2.77777e-05}", "rate                      0.1/h\n"},
        {"{\"rate\":0}", "rate                      0\n"},
        {"{\"rate\":1e400}", "rate                      1e400\n"},
        {"{\"rate\":\"slow\"}", "rate                      slow\n"},
        {"{\"empty\":\"\",\"o\":{},\"l\":[],\"z\":null}", ""},
        {"{\"o\":{\"in\":1}}", "o\n  in                      1\n"},
        {"{\"l\":[{\"name\":\"main\",\"x\":2}]}",
         "l\n  main\n    x                     2\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_node *root;
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        assert_int_equal(jsontree_parse(str_from(rows[i].json), &root, NULL),
                         ERR_NONE);
        for (const struct json_node *n = root->first; n != NULL; n = n->next)
            show_member(out, n, 0, 1795173600000);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(text, rows[i].shown);
        free(text);
        jsontree_destroy(root);
    }
}

static void test_endings_of_files_have_types(void **state)
{
    (void)state;
    assert_string_equal(content_type_of(STR("a.pdf")), "application/pdf");
    assert_string_equal(content_type_of(STR("A.JPEG")), "image/jpeg");
    assert_string_equal(content_type_of(STR("a.tar.gz")), "application/gzip");
    assert_string_equal(content_type_of(STR("pdf")),
                        "application/octet-stream");
    assert_string_equal(content_type_of(STR("")), "application/octet-stream");
    assert_string_equal(content_type_of(STR("a.exe")),
                        "application/octet-stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_safe_for_a_terminal),
        cmocka_unit_test(test_an_excerpt_is_short_and_safe),
        cmocka_unit_test(test_times_relative_to_now),
        cmocka_unit_test(test_numbers_have_groups),
        cmocka_unit_test(test_values_are_shown_by_what_their_names_say),
        cmocka_unit_test(test_endings_of_files_have_types),
    };
    (void)setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
