#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "producer/answer.h"
#include "producer/jsonout.h"

static const struct answer_ref no_ref = {.type = JSON_NULL};

static void expect(struct buf *out, const char *expected)
{
    if (!str_equal(buf_str(out), str_from(expected)))
        fail_msg("\n%.*s\nis not\n%s", STR_ARG(buf_str(out)), expected);
    buf_fini(out);
}

static void strings_are_escaped(void **state)
{
    const struct {
        struct str text;
        const char *expected;
    } rows[] = {
        {STR(""), "\"\""},
        {STR("plain text {[:,"), "\"plain text {[:,\""},
        {STR("\"\\/"), "\"\\\"\\\\/\""},
        {STR("\n\r\t\b\f\0\x1f\x7f"),
         "\"\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\\u007f\""},
        {STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"),
         "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\""},
        {STR("\xff|\xc3|\xed\xa0\x80|\xc0\x80"),
         "\"\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|"
         "\xef\xbf\xbd\xef\xbf\xbd\""},
        {STR("cut \xf0\x9f\x98"),
         "\"cut \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out;
        buf_init(&out, 1000);
        jsonout_string(&out, rows[i].text);
        expect(&out, rows[i].expected);
    }
}

static void commas_stand_between(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 1000);
    jsonout_open(&out, '{');
    jsonout_member(&out, "a", STR("{"));
    jsonout_member_integer(&out, "b", -5);
    jsonout_name(&out, "c");
    jsonout_open(&out, '[');
    jsonout_close(&out, ']');
    jsonout_name(&out, "d");
    jsonout_open(&out, '[');
    jsonout_string(&out, STR("["));
    jsonout_integer(&out, 7);
    jsonout_boolean(&out, false);
    jsonout_open(&out, '{');
    jsonout_close(&out, '}');
    jsonout_open(&out, '{');
    jsonout_close(&out, '}');
    jsonout_close(&out, ']');
    jsonout_member_time(&out, "e", 1763640000123);
    jsonout_close(&out, '}');
    expect(&out, "{\"a\":\"{\",\"b\":-5,\"c\":[],\"d\":[\"[\",7,false,{},{}],"
                 "\"e\":\"2025-11-20T12:00:00.123Z\"}");
}

static void refusals_say_whether_to_retry(void **state)
{
    static const struct {
        enum refusal_word word;
        const char *field;
        const char *expected;
    } rows[] = {
        {REFUSAL_BAD_ADDRESS, "to[1]",
         "{\"ok\":false,\"error\":\"bad_address\",\"field\":\"to[1]\","
         "\"message\":\"no\",\"retry\":false}"},
        {REFUSAL_NOT_FOUND, NULL,
         "{\"ok\":false,\"error\":\"not_found\",\"message\":\"no\","
         "\"retry\":false}"},
        {REFUSAL_SPOOL_FULL, NULL,
         "{\"ok\":false,\"error\":\"spool_full\",\"message\":\"no\","
         "\"retry\":true,\"retry_after_ms\":2000}"},
        {REFUSAL_RATE_LIMITED, NULL,
         "{\"ok\":false,\"error\":\"rate_limited\",\"message\":\"no\","
         "\"retry\":true,\"retry_after_ms\":1000}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct refusal refusal;
        struct buf out;
        buf_init(&out, 1000);
        (void)refusal_set(&refusal, rows[i].word, rows[i].field, "no");
        answer_refusal(&out, &no_ref, &refusal);
        expect(&out, rows[i].expected);
    }
}

static void every_word_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 1; i < REFUSAL_COUNT; i++) {
        assert_true(strlen(refusal_name((enum refusal_word)i)) > 3);
        for (int k = 1; k < i; k++)
            assert_string_not_equal(refusal_name((enum refusal_word)i),
                                    refusal_name((enum refusal_word)k));
        if (refusal_retry_after_ms((enum refusal_word)i) > 0)
            assert_true(refusal_may_retry((enum refusal_word)i));
    }
}

static void refusals_are_cut_at_a_character(void **state)
{
    struct refusal refusal;
    char name[400];
    struct str rest;
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        memset(name, 'x', shift);
        for (size_t i = 0; i < 100; i++)
            memcpy(name + shift + 3 * i, "\xe2\x82\xac", 3);
        (void)refusal_set_member(&refusal, REFUSAL_UNKNOWN_FIELD, "a[0]",
                                 str_of(name, shift + 300), "no");
        rest = str_from(refusal.field);
        assert_true(rest.len > 80 && rest.len < sizeof(refusal.field));
        rest = str_after(rest, 5 + shift);
        assert_int_equal(rest.len % 3, 0);
        assert_memory_equal(rest.data + rest.len - 3, "\xe2\x82\xac", 3);
        (void)refusal_set(&refusal, REFUSAL_BAD_VALUE, NULL, "%.*s%.*s",
                          (int)shift + 300, name, 300, name);
        rest = str_after(str_from(refusal.text), shift);
        assert_true(rest.len > 300);
        assert_memory_equal(rest.data, "\xe2\x82\xac", 3);
    }
}

static void answers_to_a_submit(void **state)
{
    struct spool_accepted accepted = {.answer = SPOOL_ACCEPTED,
                                      .state = JOB_QUEUED};
    struct answer_ref ref = {.type = JSON_STRING, .len = 2, .text = "r\""};
    struct buf out;
    (void)state;
    memcpy(accepted.id.text, "01hqzzzzzzzzzzzzzzzzzzzzzz", ID_LEN + 1);
    buf_init(&out, 1000);
    answer_accepted(&out, &ref, &accepted, "memory");
    expect(&out, "{\"ok\":true,\"ref\":\"r\\\"\","
                 "\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\",\"state\":\"queued\","
                 "\"durable\":\"memory\"}");
    accepted.answer = SPOOL_DUPLICATE;
    accepted.state = JOB_DELIVERED;
    answer_accepted(&out, &no_ref, &accepted, "disk");
    expect(&out, "{\"ok\":true,\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\","
                 "\"state\":\"delivered\",\"durable\":\"disk\","
                 "\"duplicate\":true}");
    answer_cancelled(&out, &no_ref, &accepted.id);
    expect(&out, "{\"ok\":true,\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\","
                 "\"state\":\"cancelled\"}");
}

static void a_status_shows_what_is_there(void **state)
{
    struct job *job = job_new();
    struct spool_recipient recipients[2] = {
        {.address = "b@x.org", .state = RECIPIENT_PENDING},
    };
    struct spool_status status = {
        .job = job, .recipients = recipients, .recipient_count = 1};
    char note[] = "relay main: 4\xff";
    char reply[] = "450 4.2.1 \"later\"";
    char relay[] = "main";
    struct buf out;
    (void)state;
    memcpy(job->id.text, "01hqzzzzzzzzzzzzzzzzzzzzzz", ID_LEN + 1);
    job->route = mem_strdup(STR("default"));
    job->priority = JOB_PRIORITY_NORMAL;
    job->created_ms = 1763640000000;
    job->size_bytes = 512;
    buf_init(&out, 4000);
    answer_status(&out, &no_ref, &status);
    expect(&out,
           "{\"ok\":true,\"job\":{\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\","
           "\"state\":\"queued\",\"created_at\":\"2025-11-20T12:00:00.000Z\","
           "\"route\":\"default\",\"priority\":\"normal\",\"size\":512,"
           "\"attempts\":0,\"recipients\":[{\"address\":\"b@x.org\","
           "\"state\":\"pending\",\"attempts\":0}]}}");

    job->tag = mem_strdup(STR("t"));
    job->metadata_count = 2;
    job->metadata = mem_calloc(2, sizeof(struct job_pair));
    job->metadata[0].name = mem_strdup(STR("a\"b"));
    job->metadata[0].value = mem_strdup(STR("{"));
    job->metadata[1].name = mem_strdup(STR(":"));
    job->metadata[1].value = mem_strdup(STR(""));
    job->send_at_ms = 1763640001000;
    job->expires_at_ms = 1763640002000;
    status.state = JOB_DEFERRED;
    status.attempts = 2;
    status.next_attempt_ms = 1763640003000;
    status.settled_ms = 1763640004000;
    status.note = note;
    status.recipient_count = 2;
    recipients[1] = (struct spool_recipient){.address = "c@x.org",
                                             .state = RECIPIENT_DEFERRED,
                                             .attempts = 2,
                                             .reply = reply,
                                             .relay = relay};
    answer_status(&out, &no_ref, &status);
    expect(&out,
           "{\"ok\":true,\"job\":{\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\","
           "\"state\":\"deferred\",\"created_at\":\"2025-11-20T12:00:00.000Z\","
           "\"send_at\":\"2025-11-20T12:00:01.000Z\","
           "\"expires_at\":\"2025-11-20T12:00:02.000Z\","
           "\"route\":\"default\",\"priority\":\"normal\",\"tag\":\"t\","
           "\"metadata\":{\"a\\\"b\":\"{\",\":\":\"\"},\"size\":512,"
           "\"attempts\":2,\"next_attempt_at\":\"2025-11-20T12:00:03.000Z\","
           "\"settled_at\":\"2025-11-20T12:00:04.000Z\","
           "\"note\":\"relay main: 4\xef\xbf\xbd\","
           "\"recipients\":[{\"address\":\"b@x.org\",\"state\":\"pending\","
           "\"attempts\":0},{\"address\":\"c@x.org\",\"state\":\"deferred\","
           "\"attempts\":2,\"reply\":\"450 4.2.1 \\\"later\\\"\","
           "\"relay\":\"main\"}]}}");
    job_unref(job);
}

static void a_pong_names_the_version(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 1000);
    answer_pong(&out, &no_ref, "1.2.3");
    expect(&out, "{\"ok\":true,\"version\":\"1.2.3\",\"protocol\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(commas_stand_between),
        cmocka_unit_test(refusals_say_whether_to_retry),
        cmocka_unit_test(every_word_has_a_name_of_its_own),
        cmocka_unit_test(refusals_are_cut_at_a_character),
        cmocka_unit_test(answers_to_a_submit),
        cmocka_unit_test(a_status_shows_what_is_there),
        cmocka_unit_test(a_pong_names_the_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
