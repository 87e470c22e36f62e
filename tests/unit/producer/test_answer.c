#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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
    jsonout_member_boolean(&out, "f", true);
    jsonout_member_number(&out, "g", 1000000.0);
    jsonout_member_number(&out, "h", 50000.0 / 3600);
    jsonout_close(&out, '}');
    expect(&out, "{\"a\":\"{\",\"b\":-5,\"c\":[],\"d\":[\"[\",7,false,{},{}],"
                 "\"e\":\"2025-11-20T12:00:00.123Z\",\"f\":true,"
                 "\"g\":1000000,\"h\":13.8888889}");
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

static struct job *a_job(void)
{
    struct job *job = job_new();
    memcpy(job->id.text, "01hqzzzzzzzzzzzzzzzzzzzzzz", ID_LEN + 1);
    job->route = mem_strdup(STR("default"));
    job->priority = JOB_PRIORITY_NORMAL;
    job->created_ms = 1763640000000;
    job->size_bytes = 512;
    return job;
}

static void a_status_shows_no_more_than_there_is(void **state)
{
    struct spool_recipient recipient = {.address = "b@x.org",
                                        .state = RECIPIENT_PENDING};
    struct spool_status status = {
        .job = a_job(), .recipients = &recipient, .recipient_count = 1};
    struct buf out;
    (void)state;
    buf_init(&out, 4000);
    answer_status(&out, &no_ref, &status, ANSWER_TRAIL);
    expect(&out,
           "{\"ok\":true,\"job\":{\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\","
           "\"state\":\"queued\",\"created_at\":\"2025-11-20T12:00:00.000Z\","
           "\"route\":\"default\",\"priority\":\"normal\",\"size\":512,"
           "\"body\":false,\"attempts\":0,\"recipients\":[{\"address\":"
           "\"b@x.org\",\"state\":\"pending\",\"attempts\":0}],"
           "\"trail\":[]}}");
    job_unref(status.job);
}

static struct job *a_full_job(void)
{
    struct job *job = a_job();
    job->tag = mem_strdup(STR("t"));
    job->metadata_count = 2;
    job->metadata = mem_calloc(2, sizeof(struct job_pair));
    job->metadata[0].name = mem_strdup(STR("a\"b"));
    job->metadata[0].value = mem_strdup(STR("{"));
    job->metadata[1].name = mem_strdup(STR(":"));
    job->metadata[1].value = mem_strdup(STR(""));
    job->send_at_ms = 1763640001000;
    job->expires_at_ms = 1763640009000;
    return job;
}

static void a_status_shows_all_that_is_there(void **state)
{
    char note[] = "relay main: 4\xff";
    char reply[] = "450 4.2.1 \"later\"";
    char relay[] = "main";
    struct spool_recipient recipients[2] = {
        {.address = "b@x.org", .state = RECIPIENT_PENDING},
        {.address = "c@x.org",
         .state = RECIPIENT_DEFERRED,
         .attempts = 2,
         .reply = reply,
         .relay = relay},
    };
    struct spool_status status = {
        .job = a_full_job(),
        .state = JOB_DEFERRED,
        .attempts = 2,
        .expires_at_ms = 1763640002000, /* not the job's any more */
        .next_attempt_ms = 1763640003000,
        .settled_ms = 1763640004000,
        .note = note,
        .recipients = recipients,
        .recipient_count = 2,
        .has_body = true,
    };
    struct buf out;
    (void)state;
    buf_init(&out, 4000);
    answer_status(&out, &no_ref, &status, ANSWER_PLAIN);
    expect(&out,
           "{\"ok\":true,\"job\":{\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\","
           "\"state\":\"deferred\",\"created_at\":\"2025-11-20T12:00:00.000Z\","
           "\"send_at\":\"2025-11-20T12:00:01.000Z\","
           "\"expires_at\":\"2025-11-20T12:00:02.000Z\","
           "\"route\":\"default\",\"priority\":\"normal\",\"tag\":\"t\","
           "\"metadata\":{\"a\\\"b\":\"{\",\":\":\"\"},\"size\":512,"
           "\"body\":true,\"attempts\":2,"
           "\"next_attempt_at\":\"2025-11-20T12:00:03.000Z\","
           "\"settled_at\":\"2025-11-20T12:00:04.000Z\","
           "\"note\":\"relay main: 4\xef\xbf\xbd\","
           "\"recipients\":[{\"address\":\"b@x.org\",\"state\":\"pending\","
           "\"attempts\":0},{\"address\":\"c@x.org\",\"state\":\"deferred\","
           "\"attempts\":2,\"reply\":\"450 4.2.1 \\\"later\\\"\","
           "\"relay\":\"main\"}]}}");
    job_unref(status.job);
}

static void a_trail_has_a_line_for_each_event(void **state)
{
    struct spool_event events[2] = {
        {.at_ms = 1763640000000, .kind = SPOOL_EVENT_ACCEPTED},
        {.at_ms = 1763640001000,
         .kind = SPOOL_EVENT_ATTEMPT,
         .attempt = 2,
         .relay = "main",
         .text = "deferred 1: \xff"},
    };
    struct spool_status status = {
        .job = a_job(), .events = events, .event_count = 2};
    static const char trail[] =
        "\"recipients\":[],\"trail\":["
        "{\"at\":\"2025-11-20T12:00:00.000Z\",\"event\":\"accepted\"},"
        "{\"at\":\"2025-11-20T12:00:01.000Z\",\"event\":\"attempt\","
        "\"attempt\":2,\"relay\":\"main\","
        "\"text\":\"deferred 1: \xef\xbf\xbd\"}]}}";
    struct buf out;
    (void)state;
    buf_init(&out, 4000);
    answer_status(&out, &no_ref, &status, ANSWER_TRAIL);
    assert_true(str_ends_nocase(buf_str(&out), str_from(trail)));
    buf_truncate(&out, 0);
    answer_status(&out, &no_ref, &status, ANSWER_PLAIN);
    assert_false(str_contains(buf_str(&out), STR("trail")));
    buf_truncate(&out, 0);
    answer_changed(&out, &no_ref, &status, true);
    assert_true(
        str_starts(buf_str(&out), STR("{\"ok\":true,\"changed\":true,\"job\":"
                                      "{\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz"
                                      "\",\"state\":\"queued\",")));
    assert_true(str_ends_nocase(buf_str(&out), str_from(trail)));
    buf_truncate(&out, 0);
    answer_changed(&out, &no_ref, &status, false);
    assert_true(str_contains(buf_str(&out), STR(",\"changed\":false,")));
    buf_fini(&out);
    job_unref(status.job);
}

/* ---- lists ---- */

#define LISTED 300

static struct spool_status *listed(size_t number, const char *reply,
                                   size_t recipients)
{
    struct spool_status *status;
    MEM_NEW(status);
    status->job = job_new();
    (void)snprintf(status->job->id.text, sizeof(status->job->id.text),
                   "01hq%022zu", number);
    status->job->route = mem_strdup(STR("default"));
    status->recipients = mem_calloc(recipients, sizeof(*status->recipients));
    status->recipient_count = recipients;
    for (size_t i = 0; i < recipients; i++)
        status->recipients[i] = (struct spool_recipient){
            .address = "b@x.org", .reply = mem_strdup(str_from(reply))};
    return status;
}

static void listed_free(struct spool_status *status)
{
    for (size_t i = 0; i < status->recipient_count; i++)
        mem_free(status->recipients[i].reply);
    mem_free(status->recipients);
    spool_status_destroy(status);
}

static size_t occurrences(const struct buf *out, struct str what)
{
    size_t count = 0;
    for (size_t at = 0; at + what.len <= out->len; at++)
        count += memcmp(out->data + at, what.data, what.len) == 0;
    return count;
}

static void a_list_says_whether_it_goes_on_and_where(void **state)
{
    struct id last = {"01hqxxxxxxxxxxxxxxxxxxxxxx"};
    struct buf out;
    (void)state;
    buf_init(&out, 100000);
    answer_list(&out, &no_ref, &(struct answer_page){.last = NULL});
    expect(&out, "{\"ok\":true,\"jobs\":[],\"more\":false}");
    answer_list(&out, &no_ref,
                &(struct answer_page){.more = true, .last = &last});
    expect(&out, "{\"ok\":true,\"jobs\":[],\"more\":true,"
                 "\"after\":\"01hqxxxxxxxxxxxxxxxxxxxxxx\"}");
    struct spool_status *jobs[2] = {listed(1, "250", 1), listed(2, "250", 1)};
    jobs[0]->events = &(struct spool_event){.kind = SPOOL_EVENT_ACCEPTED};
    jobs[0]->event_count = 1;
    answer_list(&out, &no_ref,
                &(struct answer_page){.jobs = jobs, .count = 2, .last = &last});
    assert_int_equal(occurrences(&out, STR("\"id\":\"01hq00000")), 2);
    assert_int_equal(occurrences(&out, STR("trail")), 0);
    assert_true(str_ends_nocase(
        buf_str(&out),
        STR("],\"more\":false,\"after\":\"01hqxxxxxxxxxxxxxxxxxxxxxx\"}")));
    buf_fini(&out);
    listed_free(jobs[0]);
    listed_free(jobs[1]);
}

static void a_list_is_cut_at_its_largest_size(void **state)
{
    static char reply[2000];
    struct spool_status *jobs[LISTED];
    struct id last = {"01hqxxxxxxxxxxxxxxxxxxxxxx"};
    struct buf out;
    char end[128];
    (void)state;
    memset(reply, 'x', sizeof(reply) - 1);
    for (size_t i = 0; i < LISTED; i++)
        jobs[i] = listed(i, reply, 1);
    buf_init(&out, 1 << 20);
    answer_list(
        &out, &no_ref,
        &(struct answer_page){.jobs = jobs, .count = LISTED, .last = &last});
    assert_in_range(out.len, ANSWER_LIST_BYTES, ANSWER_LIST_BYTES + 4096);
    size_t shown = occurrences(&out, STR("\"id\":\"01hq00000"));
    assert_in_range(shown, 100, LISTED - 1);
    /* The next page begins where this one ends. */
    (void)snprintf(end, sizeof(end), "],\"more\":true,\"after\":\"%s\"}",
                   jobs[shown - 1]->job->id.text);
    assert_true(str_ends_nocase(buf_str(&out), str_from(end)));
    buf_fini(&out);
    for (size_t i = 0; i < LISTED; i++)
        listed_free(jobs[i]);
}

static void a_huge_job_in_a_list_shows_its_first_recipients(void **state)
{
    static char reply[2000];
    struct buf out;
    char left_out[64];
    (void)state;
    memset(reply, 'x', sizeof(reply) - 1);
    struct spool_status *job = listed(1, reply, 1000);
    buf_init(&out, 4 << 20);
    answer_list(&out, &no_ref, &(struct answer_page){.jobs = &job, .count = 1});
    assert_in_range(out.len, ANSWER_LIST_JOB_BYTES, 2 * ANSWER_LIST_JOB_BYTES);
    size_t shown = occurrences(&out, STR("b@x.org"));
    (void)snprintf(left_out, sizeof(left_out),
                   "],\"recipients_left_out\":%zu}]", 1000 - shown);
    assert_true(str_contains(buf_str(&out), str_from(left_out)));
    buf_fini(&out);
    answer_status(&out, &no_ref, job, ANSWER_PLAIN);
    assert_int_equal(occurrences(&out, STR("b@x.org")), 1000);
    assert_int_equal(occurrences(&out, STR("left_out")), 0);
    buf_fini(&out);
    listed_free(job);
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
        cmocka_unit_test(a_status_shows_no_more_than_there_is),
        cmocka_unit_test(a_status_shows_all_that_is_there),
        cmocka_unit_test(a_trail_has_a_line_for_each_event),
        cmocka_unit_test(a_list_says_whether_it_goes_on_and_where),
        cmocka_unit_test(a_list_is_cut_at_its_largest_size),
        cmocka_unit_test(a_huge_job_in_a_list_shows_its_first_recipients),
        cmocka_unit_test(a_pong_names_the_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
