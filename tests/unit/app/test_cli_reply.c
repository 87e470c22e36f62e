#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#include "app/cli/reply.h"
#include "app/cli/show_stats.h"

/* Replies, and the exit codes that they mean. */
static void test_an_accepted_job(void **state)
{
    (void)state;
    struct reply r;
    assert_int_equal(
        reply_parse(STR("{\"ok\":true,\"id\":\"01k\",\"state\":\"queued\","
                        "\"durable\":\"disk\",\"duplicate\":true}"),
                    &r, NULL),
        ERR_NONE);
    assert_true(r.ok && r.duplicate && !r.retry);
    assert_true(str_equal(r.id, STR("01k")));
    assert_true(str_equal(r.state, STR("queued")));
    assert_true(str_equal(r.durable, STR("disk")));
    assert_int_equal(r.retry_after_ms, -1);
    assert_int_equal(reply_exit_code(&r), EX_OK);
    reply_fini(&r);
}

static void test_members_of_another_type_count_as_absent(void **state)
{
    (void)state;
    struct reply r;
    assert_int_equal(
        reply_parse(STR("{\"ok\":false,\"error\":7,\"retry\":\"yes\","
                        "\"message\":{},\"retry_after_ms\":-5}"),
                    &r, NULL),
        ERR_NONE);
    assert_int_equal(r.error.len, 0);
    assert_int_equal(r.message.len, 0);
    assert_false(r.retry);
    assert_int_equal(r.retry_after_ms, -1);
    assert_int_equal(reply_exit_code(&r), EX_DATAERR);
    reply_fini(&r);
}

static void test_exit_codes_of_errors(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
    } rows[] = {
        {"{\"ok\":false,\"error\":\"bad_json\",\"retry\":false}", EX_DATAERR},
        {"{\"ok\":false,\"error\":\"made_up\"}", EX_DATAERR},
        {"{\"ok\":false,\"error\":\"made_up\",\"retry\":true}", EX_TEMPFAIL},
        {"{\"ok\":false,\"error\":\"queue_full\",\"retry\":true}", EX_TEMPFAIL},
        {"{\"ok\":false,\"error\":\"spool_full\"}", EX_TEMPFAIL},
        {"{\"ok\":false,\"error\":\"forbidden\",\"retry\":false}", EX_NOPERM},
        {"{\"ok\":false,\"error\":\"auth_failed\",\"retry\":false}", EX_NOPERM},
        {"{\"ok\":true,\"error\":\"forbidden\"}", EX_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply r;
        assert_int_equal(reply_parse(str_from(rows[i].line), &r, NULL),
                         ERR_NONE);
        assert_int_equal(reply_exit_code(&r), rows[i].code);
        reply_fini(&r);
    }
}

static void test_lines_that_are_no_replies(void **state)
{
    (void)state;
    const struct str rows[] = {
        STR(""),           STR("{}"),           STR("[true]"),
        STR("\"ok\""),     STR("{\"ok\":1}"),   STR("{\"ok\":null}"),
        STR("{\"ok\":tr"), STR("\33[2J\0\377"), STR("{\"job\":{\"ok\":true}}"),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply r;
        struct err err = {0};
        assert_int_equal(reply_parse(rows[i], &r, &err), ERR_INVALID);
        assert_true(err.text[0] != '\0');
        for (const char *c = err.text; *c != '\0'; c++)
            assert_true(*c >= ' ' && *c <= '~');
    }
}

static void test_an_error_is_printed_with_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *words;
    } rows[] = {
        {"{\"ok\":false,\"error\":\"bad_address\",\"field\":\"to[1]\","
         "\"message\":\"no \\u001b at-sign\"}",
         "bad_address in to[1]: no \\x1b at-sign"},
        {"{\"ok\":false,\"error\":\"bad_json\"}", "bad_json"},
        {"{\"ok\":false}", "refused"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply r;
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        assert_int_equal(reply_parse(str_from(rows[i].line), &r, NULL),
                         ERR_NONE);
        reply_print_error(out, &r);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(text, rows[i].words);
        free(text);
        reply_fini(&r);
    }
}

static void test_states_and_what_a_wait_says_of_them(void **state)
{
    (void)state;
    static const struct {
        const char *state;
        bool is_final;
        int code;
    } rows[] = {
        {"queued", false, EX_TEMPFAIL},   {"active", false, EX_TEMPFAIL},
        {"deferred", false, EX_TEMPFAIL}, {"delivered", true, EX_OK},
        {"failed", true, EX_DATAERR},     {"expired", true, EX_DATAERR},
        {"cancelled", true, EX_DATAERR},  {"held", true, EX_TEMPFAIL},
        {"", false, EX_TEMPFAIL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(reply_state_is_final(str_from(rows[i].state)),
                         rows[i].is_final);
        assert_int_equal(reply_state_exit_code(str_from(rows[i].state)),
                         rows[i].code);
    }
}

static void test_the_ledger_is_added_up(void **state)
{
    (void)state;
    static const struct {
        const char *ledger;
        bool known;
        bool adds_up;
    } rows[] = {
        {"{\"accepted\":28,\"delivered\":1,\"failed\":2,\"expired\":3,"
         "\"cancelled\":4,\"waiting\":5,\"active\":6,\"held\":7}",
         true, true},
        {"{\"accepted\":27,\"delivered\":1,\"failed\":2,\"expired\":3,"
         "\"cancelled\":4,\"waiting\":5,\"active\":6,\"held\":7}",
         true, false},
        {"{\"accepted\":1,\"delivered\":1}", false, false},
        {"{\"delivered\":1}", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_node *root;
        bool adds_up = false;
        assert_int_equal(jsontree_parse(str_from(rows[i].ledger), &root, NULL),
                         ERR_NONE);
        assert_int_equal(show_stats_ledger(root, &adds_up), rows[i].known);
        assert_int_equal(adds_up, rows[i].adds_up);
        jsontree_destroy(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_accepted_job),
        cmocka_unit_test(test_members_of_another_type_count_as_absent),
        cmocka_unit_test(test_exit_codes_of_errors),
        cmocka_unit_test(test_lines_that_are_no_replies),
        cmocka_unit_test(test_an_error_is_printed_with_its_field),
        cmocka_unit_test(test_states_and_what_a_wait_says_of_them),
        cmocka_unit_test(test_the_ledger_is_added_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
