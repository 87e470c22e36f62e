#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/producer/desk.h"

#define MAIL "\"from\":\"a@x.org\",\"to\":\"b@x.org\",\"text\":\"hi\""

static struct id submit(struct desk *d)
{
    (void)desk_ask(d, "{" MAIL "}");
    const char *reply = desk_replies(d);
    assert_non_null(strstr(reply, "\"ok\":true"));
    return desk_id(reply);
}

/* {"op":OP,"id":ID} and, if not NULL, more members. */
static struct request *ask_of(struct desk *d, const char *op,
                              const struct id *id, const char *more)
{
    char json[256];
    (void)snprintf(json, sizeof(json), "{\"op\":\"%s\",\"id\":\"%s\"%s}", op,
                   id->text, more == NULL ? "" : more);
    return desk_ask(d, json);
}

static void expect(struct desk *d, const char *part)
{
    const char *reply = desk_replies(d);
    if (strstr(reply, part) == NULL)
        fail_msg("%s is not in %s", part, reply);
}

static void a_job_is_as_it_was_submitted(void **state)
{
    struct desk d;
    char json[256];
    (void)state;
    desk_open(&d, 10);
    (void)desk_ask(&d, "{\"from\":\"a@x.org\",\"to\":[\"b@x.org\",\"c@x.org\","
                       "\"b@X.org\"],\"bcc\":\"d@x.org\",\"text\":\"hi\","
                       "\"priority\":\"high\",\"route\":\"bulk\","
                       "\"send_at\":\"2025-11-20T12:01:00Z\","
                       "\"expires_at\":\"2025-11-20T12:02:00Z\","
                       "\"tag\":\"t\",\"metadata\":{\"m\":\"1\"}}");
    const char *reply = desk_replies(&d);
    assert_non_null(
        strstr(reply, "\"state\":\"queued\",\"durable\":\"memory\"}"));
    struct id id = desk_id(reply);
    (void)snprintf(json, sizeof(json), "{\"op\":\"status\",\"id\":\"%s\"}",
                   id.text);
    (void)desk_ask(&d, json);
    reply = desk_replies(&d);
    static const char *const parts[] = {
        "\"state\":\"queued\",\"created_at\":\"2025-11-20T12:00:00.000Z\","
        "\"send_at\":\"2025-11-20T12:01:00.000Z\","
        "\"expires_at\":\"2025-11-20T12:02:00.000Z\",\"route\":\"bulk\","
        "\"priority\":\"high\",\"tag\":\"t\",\"metadata\":{\"m\":\"1\"},",
        "\"recipients\":[{\"address\":\"b@x.org\",\"state\":\"pending\","
        "\"attempts\":0},{\"address\":\"c@x.org\",\"state\":\"pending\","
        "\"attempts\":0},{\"address\":\"d@x.org\",\"state\":\"pending\","
        "\"attempts\":0}],\"trail\":[",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strstr(reply, parts[i]) == NULL)
            fail_msg("%s is not in %s", parts[i], reply);
    assert_int_equal(metrics_get(&d.metrics, METRIC_SUBMITS_ACCEPTED), 1);
    desk_close(&d);
}

static void jobs_are_seen_by_who_handed_them_in(void **state)
{
    struct desk d;
    char json[128];
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d);
    static const char *const ops[] = {"status", "wait", "cancel"};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(json, sizeof(json), "{\"op\":\"%s\",\"id\":\"%s\"}",
                       ops[i], id.text);
        (void)desk_ask_as(&d, "other", false, json);
        expect(&d, "\"error\":\"not_found\"");
    }
    (void)snprintf(json, sizeof(json), "{\"op\":\"status\",\"id\":\"%s\"}",
                   id.text);
    (void)desk_ask_as(&d, "other", true, json);
    expect(&d, "\"state\":\"queued\"");
    (void)snprintf(json, sizeof(json), "{\"op\":\"cancel\",\"id\":\"%s\"}",
                   id.text);
    (void)desk_ask_as(&d, "other", true, json);
    expect(&d, "\"state\":\"cancelled\"");
    desk_close(&d);
}

static void cancel_works_once_and_may_be_repeated(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d);
    for (int i = 0; i < 2; i++) {
        (void)ask_of(&d, "cancel", &id, NULL);
        expect(&d, ",\"state\":\"cancelled\"}");
    }
    (void)ask_of(&d, "status", &id, NULL);
    expect(&d, "\"state\":\"cancelled\"");
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 0);
    desk_close(&d);
}

static void a_delivered_job_cannot_be_cancelled(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d);
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 1);
    (void)ask_of(&d, "cancel", &id, NULL);
    expect(&d, "\"error\":\"not_cancellable\",\"message\":\"the job is "
               "delivered\",\"retry\":false");
    desk_close(&d);
}

static void wait_answers_when_the_job_is_settled(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d);
    (void)ask_of(&d, "wait", &id, ",\"ref\":1");
    (void)ask_of(&d, "wait", &id, ",\"ref\":2");
    desk_pass(&d, 1000);
    assert_string_equal(desk_replies(&d), "");
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 1);
    const char *replies = desk_replies(&d);
    assert_non_null(strstr(replies, "\"ref\":1,"));
    assert_non_null(strstr(replies, "\"ref\":2,"));
    assert_non_null(strstr(replies, "\"state\":\"delivered\",\"attempts\":1,"
                                    "\"reply\":\"250 2.0.0 \xef\xbf\xbd ok "
                                    "\\\"quoted\\\"\",\"relay\":\"main\""));
    (void)ask_of(&d, "wait", &id, NULL);
    expect(&d, "\"state\":\"delivered\"");
    desk_close(&d);
}

static void wait_answers_when_its_time_is_over(void **state)
{
    static const struct {
        const char *more;
        int64_t ms;
    } rows[] = {
        {",\"timeout_ms\":1500", 1500},
        {NULL, 30000},
        {",\"timeout_ms\":9007199254740992", 600000},
        {",\"timeout_ms\":1", 1},
    };
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)ask_of(&d, "wait", &id, rows[i].more);
        desk_pass(&d, rows[i].ms - 1);
        assert_string_equal(desk_replies(&d), "");
        desk_pass(&d, 1);
        expect(&d, "{\"ok\":true,\"job\":{");
    }
    assert_int_equal(d.service.outstanding, 0);
    (void)ask_of(&d, "wait", &id, ",\"timeout_ms\":0");
    desk_pass(&d, 0);
    expect(&d, "\"state\":\"queued\"");
    desk_close(&d);
}

static void a_client_that_is_gone_waits_no_more(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d);
    struct request *r = ask_of(&d, "wait", &id, NULL);
    r->owner = NULL;
    assert_true(request_abandon(r));
    request_free(r);
    assert_int_equal(d.service.outstanding, 0);
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 1);
    assert_string_equal(desk_replies(&d), "");
    desk_close(&d);
}

static void all_who_wait_are_answered_at_the_end(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d);
    for (int i = 0; i < 3; i++)
        (void)ask_of(&d, "wait", &id, NULL);
    watch_end_all(&d.service);
    assert_int_equal(d.asked, d.answered);
    expect(&d, "\"state\":\"queued\"");
    desk_close(&d);
}

static void stats_add_up(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    for (int i = 0; i < 5; i++)
        (void)submit(&d);
    struct id id = submit(&d);
    (void)ask_of(&d, "cancel", &id, NULL);
    (void)desk_replies(&d);
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 2), 2);
    (void)desk_ask(&d, "{\"op\":\"stats\"}");
    const char *reply = desk_replies(&d);
    static const char *const parts[] = {
        "{\"ok\":true,\"version\":\"1.2.3\",\"uptime_ms\":1234,"
        "\"durable\":\"memory\",",
        "\"ledger\":{\"accepted\":6,\"delivered\":2,\"failed\":0,"
        "\"expired\":0,\"cancelled\":1,\"waiting\":3,\"active\":0,"
        "\"held\":0}",
        "\"spool\":{\"jobs\":3,\"bytes\":",
        "\"remembered\":3,\"keys\":0,\"commits\":0,\"unrecorded\":0}",
        "\"relays\":[]",
        "\"counters\":{\"connections_open\":0,",
        "\"submits_accepted\":6,",
        "\"recipients_unknown\":0,\"recipients_throttled\":0}}\n",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strstr(reply, parts[i]) == NULL)
            fail_msg("%s is not in %s", parts[i], reply);
    desk_close(&d);
}

static size_t two_relays(void *ctx, struct producer_relay_stats *out,
                         size_t max)
{
    (void)ctx;
    assert_true(max >= 2);
    out[0] = (struct producer_relay_stats){
        .name = "main",
        .state = "ready",
        .sessions = 2,
        .delivered = 7,
        .rate_per_s = 3.5,
        .slowed = true,
        .throttled = 4,
    };
    out[1] = (struct producer_relay_stats){.name = "spare",
                                           .state = "backing_off",
                                           .last_error = "no \"route\"",
                                           .retry_in_ms = 900};
    return 2;
}

static void stats_show_relays_and_limits(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    d.service.options.relay_stats = two_relays;
    d.service.options.spool_max_jobs = 10;
    d.service.options.spool_max_bytes = 1000;
    (void)desk_ask(&d, "{\"op\":\"stats\"}");
    const char *reply = desk_replies(&d);
    assert_non_null(strstr(
        reply,
        "\"relays\":[{\"name\":\"main\",\"state\":\"ready\","
        "\"rate\":3.5,\"slowed\":true,\"sessions\":2,\"waiting\":0,"
        "\"delivered\":7,\"deferred\":0,"
        "\"rejected\":0,\"unknown\":0,\"throttled\":4},{\"name\":\"spare\","
        "\"state\":\"backing_off\",\"retry_in_ms\":900,"
        "\"last_error\":\"no \\\"route\\\"\",\"slowed\":false,"
        "\"sessions\":0,"));
    assert_non_null(strstr(reply, "\"max_jobs\":10,\"max_bytes\":1000}"));
    desk_close(&d);
}

static void a_key_is_good_for_one_mail(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    (void)desk_ask(&d, "{" MAIL ",\"idempotency_key\":\"k\"}");
    struct id first = desk_id(desk_replies(&d));
    /* Another order, another way to write it: the same mail. */
    (void)desk_ask(&d, "{\"idempotency_key\":\"\\u006b\",\"text\":\"hi\","
                       "\"to\":\"b@x.org\",\"from\":\"a@x.org\"}");
    const char *reply = desk_replies(&d);
    assert_non_null(strstr(reply, "\"duplicate\":true}"));
    assert_string_equal(desk_id(reply).text, first.text);
    (void)desk_ask(&d, "{\"from\":\"a@x.org\",\"to\":\"b@x.org\","
                       "\"text\":\"other\",\"idempotency_key\":\"k\"}");
    expect(&d, "\"error\":\"key_conflict\",\"field\":\"idempotency_key\"");
    (void)desk_ask_as(&d, "other", false,
                      "{" MAIL ",\"idempotency_key\":\"k\"}");
    reply = desk_replies(&d);
    assert_null(strstr(reply, "duplicate"));
    assert_int_equal(metrics_get(&d.metrics, METRIC_SUBMITS_ACCEPTED), 2);
    assert_int_equal(metrics_get(&d.metrics, METRIC_SUBMITS_DUPLICATE), 1);
    assert_int_equal(metrics_get(&d.metrics, METRIC_SUBMITS_REFUSED), 1);
    desk_close(&d);
}

static void a_status_too_large_for_a_datagram_is_refused(void **state)
{
    struct desk d;
    struct id id;
    char json[128];
    (void)state;
    desk_open(&d, 10);
    id = submit(&d);
    buf_fini(&d.replies);
    buf_init(&d.replies, 200); /* as a datagram has its end */
    (void)snprintf(json, sizeof(json),
                   "{\"op\":\"status\",\"id\":\"%s\",\"ref\":5}", id.text);
    (void)desk_ask_datagram(&d, json);
    expect(&d, "{\"ok\":false,\"ref\":5,\"error\":\"too_large\"");
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_as_it_was_submitted),
        cmocka_unit_test(jobs_are_seen_by_who_handed_them_in),
        cmocka_unit_test(cancel_works_once_and_may_be_repeated),
        cmocka_unit_test(a_delivered_job_cannot_be_cancelled),
        cmocka_unit_test(wait_answers_when_the_job_is_settled),
        cmocka_unit_test(wait_answers_when_its_time_is_over),
        cmocka_unit_test(a_client_that_is_gone_waits_no_more),
        cmocka_unit_test(all_who_wait_are_answered_at_the_end),
        cmocka_unit_test(stats_add_up),
        cmocka_unit_test(stats_show_relays_and_limits),
        cmocka_unit_test(a_key_is_good_for_one_mail),
        cmocka_unit_test(a_status_too_large_for_a_datagram_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
