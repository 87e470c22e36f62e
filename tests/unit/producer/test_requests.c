#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/producer/desk.h"

#define MAIL "\"from\":\"a@x.org\",\"to\":\"b@x.org\",\"text\":\"hi\""

struct row {
    const char *json;
    const char *error;
    const char *field; /* NULL: none */
};

static void expect_refusal(const struct row *row, const char *reply)
{
    char expected[256];
    (void)snprintf(expected, sizeof(expected),
                   "{\"ok\":false,\"error\":\"%s\",%s%s%s", row->error,
                   row->field != NULL ? "\"field\":\"" : "\"message\":\"",
                   row->field != NULL ? row->field : "",
                   row->field != NULL ? "\",\"message\":\"" : "");
    if (strncmp(reply, expected, strlen(expected)) != 0)
        fail_msg("%s\ngives %s\nexpected %s", row->json, reply, expected);
}

static void expect_all(const struct row *rows, size_t count)
{
    struct desk d;
    struct spool_stats stats;
    desk_open(&d, 100);
    for (size_t i = 0; i < count; i++) {
        (void)desk_ask(&d, rows[i].json);
        const char *reply = desk_replies(&d);
        expect_refusal(&rows[i], reply);
        assert_non_null(strstr(reply, "\"retry\":false}\n"));
    }
    assert_int_equal(d.asked, d.answered);
    spool_stats(d.spool, &stats);
    assert_int_equal(stats.accepted, 0);
    assert_int_equal(metrics_get(&d.metrics, METRIC_REQUESTS), count);
    assert_int_equal(metrics_get(&d.metrics, METRIC_REQUESTS_REFUSED), count);
    desk_close(&d);
}

#define EXPECT_ALL(rows) expect_all(rows, sizeof(rows) / sizeof((rows)[0]))

static void requests_of_bad_shape_are_refused(void **state)
{
    static const struct row rows[] = {
        {"", "bad_json", NULL},
        {"{", "bad_json", NULL},
        {"{}}", "bad_json", NULL},
        {"{\"op\":\"ping\",\"op\":\"ping\"}", "bad_json", "op"},
        {"[]", "bad_type", NULL},
        {"1", "bad_type", NULL},
        {"\"ping\"", "bad_type", NULL},
        {"{\"op\":1}", "bad_type", "op"},
        {"{\"op\":null}", "bad_type", "op"},
        {"{\"op\":\"\"}", "unknown_op", "op"},
        {"{\"op\":\"Ping\"}", "unknown_op", "op"},
        {"{\"op\":\"pi\\u0000ng\"}", "bad_value", "op"},
        {"{\"op\":\"hello\",\"client\":\"x\"}", "unknown_op", "op"},
        {"{\"op\":\"auth\",\"mac\":\"x\"}", "unknown_op", "op"},
        {"{\"op\":\"retry\"}", "forbidden", NULL},
        {"{\"op\":\"drop\"}", "forbidden", NULL},
        {"{\"op\":\"list\"}", "forbidden", NULL},
        {"{\"op\":\"pause\"}", "unknown_op", "op"},
        {"{\"op\":\"resume\"}", "unknown_op", "op"},
        {"{\"op\":\"drain\"}", "unknown_op", "op"},
        {"{\"op\":\"reload\"}", "unknown_op", "op"},
        {"{\"ref\":null,\"op\":\"ping\"}", "bad_type", "ref"},
        {"{\"ref\":true,\"op\":\"ping\"}", "bad_type", "ref"},
        {"{\"ref\":[],\"op\":\"ping\"}", "bad_type", "ref"},
        {"{\"ref\":1.5,\"op\":\"ping\"}", "bad_value", "ref"},
        {"{\"ref\":1e2,\"op\":\"ping\"}", "bad_value", "ref"},
        {"{\"ref\":9007199254740993,\"op\":\"ping\"}", "bad_value", "ref"},
        {"{\"ref\":\"a\\u0000\",\"op\":\"ping\"}", "bad_value", "ref"},
    };
    (void)state;
    EXPECT_ALL(rows);
}

static void fields_of_jobs_are_checked(void **state)
{
    static const struct row rows[] = {
        {"{\"op\":\"ping\",\"x\":1}", "unknown_field", "x"},
        {"{\"op\":\"stats\",\"id\":1}", "unknown_field", "id"},
        {"{\"op\":\"status\"}", "missing_field", "id"},
        {"{\"op\":\"status\",\"id\":7}", "bad_type", "id"},
        {"{\"op\":\"status\",\"id\":\"x\",\"timeout_ms\":1}", "unknown_field",
         "timeout_ms"},
        {"{\"op\":\"status\",\"id\":\"\"}", "not_found", NULL},
        {"{\"op\":\"status\",\"id\":\"nonsense\"}", "not_found", NULL},
        {"{\"op\":\"status\",\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\"}",
         "not_found", NULL},
        {"{\"op\":\"status\",\"id\":\"01HQZZZZZZZZZZZZZZZZZZZZZZ\"}",
         "not_found", NULL},
        {"{\"op\":\"cancel\"}", "missing_field", "id"},
        {"{\"op\":\"cancel\",\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\"}",
         "not_found", NULL},
        {"{\"op\":\"wait\",\"timeout_ms\":0}", "missing_field", "id"},
        {"{\"op\":\"wait\",\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\"}", "not_found",
         NULL},
        {"{\"op\":\"wait\",\"id\":\"x\",\"timeout_ms\":\"1\"}", "bad_type",
         "timeout_ms"},
        {"{\"op\":\"wait\",\"id\":\"x\",\"timeout_ms\":-1}", "bad_value",
         "timeout_ms"},
        {"{\"op\":\"wait\",\"id\":\"x\",\"timeout_ms\":1.0}", "bad_value",
         "timeout_ms"},
    };
    (void)state;
    EXPECT_ALL(rows);
}

static void fields_of_submit_have_types(void **state)
{
    static const struct row rows[] = {
        {"{\"from\":1}", "bad_type", "from"},
        {"{\"from\":null}", "bad_type", "from"},
        {"{\"from\":[\"a@x.org\"]}", "bad_type", "from"},
        {"{\"to\":1}", "bad_type", "to"},
        {"{\"to\":{}}", "bad_type", "to"},
        {"{\"to\":[\"a@x.org\",2]}", "bad_type", "to[1]"},
        {"{\"to\":[[\"a@x.org\"]]}", "bad_type", "to[0]"},
        {"{\"cc\":false}", "bad_type", "cc"},
        {"{\"bcc\":[null]}", "bad_type", "bcc[0]"},
        {"{\"reply_to\":0}", "bad_type", "reply_to"},
        {"{\"subject\":7}", "bad_type", "subject"},
        {"{\"text\":[\"x\"]}", "bad_type", "text"},
        {"{\"html\":{}}", "bad_type", "html"},
        {"{\"headers\":[]}", "bad_type", "headers"},
        {"{\"headers\":{\"X-A\":1}}", "bad_type", "headers.X-A"},
        {"{\"attachments\":{}}", "bad_type", "attachments"},
        {"{\"attachments\":[1]}", "bad_type", "attachments[0]"},
        {"{\"attachments\":[{\"filename\":1}]}", "bad_type",
         "attachments[0].filename"},
        {"{\"attachments\":[{\"content\":[]}]}", "bad_type",
         "attachments[0].content"},
        {"{\"attachments\":[{\"content_type\":1}]}", "bad_type",
         "attachments[0].content_type"},
        {"{\"attachments\":[{\"content_id\":1}]}", "bad_type",
         "attachments[0].content_id"},
        {"{\"idempotency_key\":1}", "bad_type", "idempotency_key"},
        {"{\"priority\":1}", "bad_type", "priority"},
        {"{\"send_at\":1763640000}", "bad_type", "send_at"},
        {"{\"expires_at\":null}", "bad_type", "expires_at"},
        {"{\"route\":[]}", "bad_type", "route"},
        {"{\"on_unknown\":true}", "bad_type", "on_unknown"},
        {"{\"tag\":5}", "bad_type", "tag"},
        {"{\"metadata\":\"x\"}", "bad_type", "metadata"},
        {"{\"metadata\":{\"a\":1}}", "bad_type", "metadata.a"},
        {"{\"metadata\":{\"a\":{\"b\":\"c\"}}}", "bad_type", "metadata.a"},
    };
    (void)state;
    EXPECT_ALL(rows);
}

static void fields_of_submit_have_names(void **state)
{
    static const struct row rows[] = {
        {"{" MAIL ",\"bccc\":\"c@x.org\"}", "unknown_field", "bccc"},
        {"{" MAIL ",\"Bcc\":\"c@x.org\"}", "unknown_field", "Bcc"},
        {"{" MAIL ",\"\":\"\"}", "unknown_field", NULL},
        {"{" MAIL ",\"id\":\"x\"}", "unknown_field", "id"},
        {"{" MAIL ",\"raw\":\"eA==\"}", "unknown_field", "raw"},
        {"{" MAIL ",\"raw_bytes\":5}", "unknown_field", "raw_bytes"},
        {"{" MAIL ",\"envelope\":{}}", "unknown_field", "envelope"},
        {"{" MAIL ",\"attachments\":[{\"filename\":\"a\",\"content\":\"\"},"
         "{\"foo\":1}]}",
         "unknown_field", "attachments[1].foo"},
        {"{" MAIL ",\"a\\nb\\u007f\\\"\":1}", "unknown_field", "a?b?\\\""},
    };
    (void)state;
    EXPECT_ALL(rows);
}

static void values_of_submit_are_checked(void **state)
{
    static const struct row rows[] = {
        {"{\"from\":\"a@x.org\\u0000\"}", "bad_value", "from"},
        {"{\"to\":[\"a@x.org\",\"\\u0000\"]}", "bad_value", "to[1]"},
        {"{\"subject\":\"\\u0000\"}", "bad_value", "subject"},
        {"{\"text\":\"a\\u0000b\"}", "bad_value", "text"},
        {"{\"headers\":{\"X-A\":\"\\u0000\"}}", "bad_value", "headers.X-A"},
        {"{\"metadata\":{\"A\":\"\\u0000\"}}", "bad_value", "metadata.A"},
        {"{\"metadata\":{\"\":\"x\"}}", "bad_value", "metadata."},
        {"{\"idempotency_key\":\"\"}", "bad_value", "idempotency_key"},
        {"{\"tag\":\"\"}", "bad_value", "tag"},
        {"{\"priority\":\"urgent\"}", "bad_value", "priority"},
        {"{\"priority\":\"High\"}", "bad_value", "priority"},
        {"{\"on_unknown\":\"drop\"}", "bad_value", "on_unknown"},
        {"{\"send_at\":\"tomorrow\"}", "bad_value", "send_at"},
        {"{\"send_at\":\"2026-11-20\"}", "bad_value", "send_at"},
        {"{\"send_at\":\"2026-11-20T11:22:33\"}", "bad_value", "send_at"},
        {"{\"expires_at\":\"2026-13-20T11:22:33Z\"}", "bad_value",
         "expires_at"},
        {"{\"expires_at\":\"1970-01-01T00:00:00Z\"}", "bad_value",
         "expires_at"},
        /* The desk's clock stands at 2025-11-20T12:00:00Z. */
        {"{\"expires_at\":\"2025-11-20T12:00:00Z\"}", "bad_value",
         "expires_at"},
        {"{\"expires_at\":\"2025-11-21T12:00:00Z\","
         "\"send_at\":\"2025-11-21T12:00:00Z\"}",
         "bad_value", "expires_at"},
        {"{\"route\":\"nowhere\"}", "bad_value", "route"},
        {"{\"route\":\"\"}", "bad_value", "route"},
    };
    (void)state;
    EXPECT_ALL(rows);
}

static void what_makes_no_mail_is_refused(void **state)
{
    static const struct row rows[] = {
        {"{}", "missing_field", "from"},
        {"{\"to\":\"b@x.org\",\"text\":\"hi\"}", "missing_field", "from"},
        {"{\"from\":\"a@x.org\",\"text\":\"hi\"}", "missing_field", "to"},
        {"{\"from\":\"a@x.org\",\"to\":\"b@x.org\"}", "missing_field", "text"},
        {"{\"from\":\"a\",\"to\":\"b@x.org\",\"text\":\"hi\"}", "bad_address",
         "from"},
        {"{\"from\":\"a@x.org\",\"to\":[\"b@x.org\",\"c\"],\"text\":\"hi\"}",
         "bad_address", "to[1]"},
        {"{" MAIL ",\"cc\":\"c@x.org, d\"}", "bad_address", "cc"},
        {"{" MAIL ",\"headers\":{\"Bcc\":\"d@x.org\"}}", "bad_header",
         "headers.Bcc"},
        {"{" MAIL ",\"headers\":{\"X-A\":\"a\\r\\nBcc: d@x.org\"}}",
         "bad_header", "headers.X-A"},
        {"{" MAIL ",\"subject\":\"a\\r\\nBcc: d@x.org\"}", "bad_value",
         "subject"},
        {"{" MAIL ",\"attachments\":[{\"content\":\"\"}]}", "missing_field",
         "attachments[0].filename"},
        {"{" MAIL ",\"attachments\":[{\"filename\":\"a\"}]}", "missing_field",
         "attachments[0].content"},
        {"{" MAIL ",\"attachments\":[{\"filename\":\"a\",\"content\":\"x\"}]}",
         "bad_attachment", "attachments[0].content"},
        {"{" MAIL
         ",\"attachments\":[{\"filename\":\"a\",\"content\":\"eHh4\\n\"}]}",
         "bad_attachment", "attachments[0].content"},
        {"{" MAIL ",\"attachments\":[{\"filename\":\"a\",\"content\":\"\","
         "\"content_type\":\"nonsense\"}]}",
         "bad_attachment", "attachments[0].content_type"},
    };
    (void)state;
    EXPECT_ALL(rows);
}

static void limits_hold(void **state)
{
    static const struct {
        const char *field;
        size_t len;
        bool ok;
    } rows[] = {
        {"tag", 256, true},
        {"tag", 257, false},
        {"idempotency_key", 256, true},
        {"idempotency_key", 257, false},
        {"ref", 128, true},
        {"ref", 129, false},
    };
    struct desk d;
    char value[512];
    char json[1024];
    (void)state;
    desk_open(&d, 100);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memset(value, 'v', rows[i].len);
        value[rows[i].len] = '\0';
        (void)snprintf(json, sizeof(json), "{" MAIL ",\"%s\":\"%s\"}",
                       rows[i].field, value);
        (void)desk_ask(&d, json);
        const char *reply = desk_replies(&d);
        assert_int_equal(strstr(reply, "\"ok\":true") != NULL, rows[i].ok);
        if (!rows[i].ok) {
            assert_non_null(strstr(reply, "\"error\":\"bad_value\""));
            assert_non_null(strstr(reply, rows[i].field));
        }
    }
    desk_close(&d);
}

static const char *with_metadata(struct desk *d, int pairs, int value_len)
{
    struct buf json;
    buf_init(&json, 1 << 20);
    buf_add_text(&json, "{" MAIL ",\"metadata\":{");
    for (int i = 0; i < pairs; i++) {
        buf_add_format(&json, "%s\"n%02d\":\"", i > 0 ? "," : "", i);
        for (int k = 0; k < value_len; k++)
            buf_add_char(&json, 'v');
        buf_add_char(&json, '"');
    }
    buf_add_text(&json, "}}");
    (void)desk_ask_bytes(d, json.data, json.len);
    buf_fini(&json);
    return desk_replies(d);
}

static void metadata_is_bounded(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 100);
    assert_non_null(strstr(with_metadata(&d, 64, 5), "\"ok\":true"));
    assert_non_null(strstr(with_metadata(&d, 65, 5), "\"field\":\"metadata\""));
    /* 64 * (3 + 125) is the limit of 8192. */
    assert_non_null(strstr(with_metadata(&d, 64, 125), "\"ok\":true"));
    assert_non_null(
        strstr(with_metadata(&d, 64, 126), "\"field\":\"metadata\""));
    desk_close(&d);
}

static void names_of_metadata_are_bounded(void **state)
{
    struct desk d;
    char name[130];
    char json[512];
    (void)state;
    desk_open(&d, 100);
    for (size_t len = 128; len <= 129; len++) {
        memset(name, 'n', len);
        name[len] = '\0';
        (void)snprintf(json, sizeof(json),
                       "{" MAIL ",\"metadata\":{\"%s\":\"v\"}}", name);
        (void)desk_ask(&d, json);
        assert_int_equal(strstr(desk_replies(&d), "\"ok\":true") != NULL,
                         len == 128);
    }
    desk_close(&d);
}

static void recipients_and_sizes_are_bounded(void **state)
{
    struct desk d;
    struct buf json;
    (void)state;
    desk_open(&d, 100);
    buf_init(&json, 4 << 20);
    buf_add_text(&json, "{\"from\":\"a@x.org\",\"text\":\"t\",\"to\":[");
    for (int i = 0; i <= 100; i++)
        buf_add_format(&json, "%s\"r%d@x.org\"", i > 0 ? "," : "", i);
    buf_add_text(&json, "]}");
    (void)desk_ask_bytes(&d, json.data, json.len);
    assert_non_null(
        strstr(desk_replies(&d), "\"error\":\"too_many_recipients\""));

    buf_truncate(&json, 0);
    buf_add_text(&json, "{" MAIL ",\"html\":\"");
    for (int i = 0; i < (1 << 20) / 8; i++)
        buf_add_text(&json, "12345678");
    buf_add_text(&json, "\"}");
    (void)desk_ask_bytes(&d, json.data, json.len);
    assert_non_null(strstr(desk_replies(&d), "\"error\":\"too_large\""));
    (void)desk_ask(&d, "{" MAIL "}"); /* the next is none the worse */
    assert_non_null(strstr(desk_replies(&d), "\"ok\":true"));
    buf_fini(&json);
    desk_close(&d);
}

static void too_many_values_are_refused(void **state)
{
    struct desk d;
    struct buf json;
    (void)state;
    desk_open(&d, 100);
    buf_init(&json, 1 << 20);
    buf_add_text(&json, "{\"to\":[0");
    for (int i = 0; i < 100000; i++)
        buf_add_text(&json, ",0");
    buf_add_text(&json, "]}");
    (void)desk_ask_bytes(&d, json.data, json.len);
    assert_non_null(strstr(desk_replies(&d), "\"error\":\"too_large\""));
    assert_true(d.service.arena.total < 65536); /* nothing is kept */
    buf_fini(&json);
    desk_close(&d);
}

static void a_route_that_is_not_there_names_those_that_are(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 100);
    (void)desk_ask(&d, "{" MAIL ",\"route\":\"x\"}");
    assert_non_null(strstr(desk_replies(&d), "\\\"default\\\", \\\"bulk\\\""));
    desk_close(&d);
}

static void ref_comes_back_as_it_was(void **state)
{
    static const struct {
        const char *given;
        const char *back;
    } rows[] = {
        {"\"a\"", "\"a\""},
        {"\"\"", "\"\""},
        {"7", "7"},
        {"0", "0"},
        {"-9007199254740992", "-9007199254740992"},
        {"\"\\u00fc\\n\\\"\\\\\"", "\"\xc3\xbc\\n\\\"\\\\\""},
    };
    static const char *const ops[] = {"\"op\":\"ping\"",   "\"op\":\"nope\"",
                                      "\"op\":\"status\"", "\"from\":1",
                                      "\"op\":\"stats\"",  MAIL};
    struct desk d;
    char json[256];
    char expected[256];
    (void)state;
    desk_open(&d, 1000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < sizeof(ops) / sizeof(ops[0]); k++) {
            (void)snprintf(json, sizeof(json), "{%s,\"ref\":%s}", ops[k],
                           rows[i].given);
            (void)snprintf(expected, sizeof(expected), ",\"ref\":%s,",
                           rows[i].back);
            (void)desk_ask(&d, json);
            assert_non_null(strstr(desk_replies(&d), expected));
        }
    }
    desk_close(&d);
}

static void datagrams_may_ask_for_less(void **state)
{
    static const struct {
        const char *json;
        bool known;
    } rows[] = {
        {"{\"op\":\"ping\"}", true},
        {"{" MAIL "}", true},
        {"{\"op\":\"submit\"," MAIL "}", true},
        {"{\"op\":\"status\",\"id\":\"x\"}", true},
        {"{\"op\":\"wait\",\"id\":\"x\"}", false},
        {"{\"op\":\"cancel\",\"id\":\"x\"}", false},
        {"{\"op\":\"stats\"}", false},
        {"{\"op\":\"list\"}", false},
        {"{\"op\":\"retry\",\"id\":\"x\"}", false},
        {"{\"op\":\"drop\",\"id\":\"x\"}", false},
        {"{\"op\":\"hello\"}", false},
    };
    struct desk d;
    (void)state;
    desk_open(&d, 1000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)desk_ask_datagram(&d, rows[i].json);
        assert_int_equal(strstr(desk_replies(&d), "\"error\":\"unknown_op\"") ==
                             NULL,
                         rows[i].known);
    }
    desk_close(&d);
}

static void refusals_echo_no_values(void **state)
{
    static const char *const rows[] = {
        "{" MAIL ",\"metadata\":{\"a\":{\"b\":\"s3cret\"}}}",
        "{" MAIL ",\"text\":\"s3cret\\u0000\"}",
        "{\"from\":[\"s3cret\"]}",
        "{" MAIL ",\"tag\":\"s3cret",
        "{" MAIL ",\"ref\":{\"x\":\"s3cret\"}}",
    };
    struct desk d;
    (void)state;
    desk_open(&d, 1000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)desk_ask(&d, rows[i]);
        const char *reply = desk_replies(&d);
        assert_non_null(strstr(reply, "\"ok\":false"));
        assert_null(strstr(reply, "s3cret"));
    }
    desk_close(&d);
}

static void while_draining_all_is_refused_for_now(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 1000);
    d.service.draining = true;
    (void)desk_ask(&d, "{" MAIL ",\"ref\":7}");
    const char *reply = desk_replies(&d);
    assert_non_null(strstr(reply, "\"error\":\"shutting_down\""));
    assert_non_null(strstr(reply, "\"ref\":7,"));
    assert_non_null(strstr(reply, "\"retry\":true,\"retry_after_ms\":"));
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_bad_shape_are_refused),
        cmocka_unit_test(fields_of_jobs_are_checked),
        cmocka_unit_test(fields_of_submit_have_types),
        cmocka_unit_test(fields_of_submit_have_names),
        cmocka_unit_test(values_of_submit_are_checked),
        cmocka_unit_test(what_makes_no_mail_is_refused),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(metadata_is_bounded),
        cmocka_unit_test(names_of_metadata_are_bounded),
        cmocka_unit_test(recipients_and_sizes_are_bounded),
        cmocka_unit_test(too_many_values_are_refused),
        cmocka_unit_test(a_route_that_is_not_there_names_those_that_are),
        cmocka_unit_test(ref_comes_back_as_it_was),
        cmocka_unit_test(datagrams_may_ask_for_less),
        cmocka_unit_test(refusals_echo_no_values),
        cmocka_unit_test(while_draining_all_is_refused_for_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
