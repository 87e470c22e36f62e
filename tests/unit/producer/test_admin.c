#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/spool_backend.h"
#include "tests/unit/producer/desk.h"

/* Operations for administrators: list, retry, drop. */
#define MAIL "\"from\":\"a@x.org\",\"to\":\"b@x.org\",\"text\":\"hi\""

/* As root would on the Unix socket. */
static const char *ask(struct desk *d, const char *json)
{
    (void)desk_ask_as(d, "uid:0", true, json);
    return desk_replies(d);
}

static const char *ask_of(struct desk *d, const char *op, const struct id *id)
{
    char json[128];
    (void)snprintf(json, sizeof(json), "{\"op\":\"%s\",\"id\":\"%s\"}", op,
                   id->text);
    return ask(d, json);
}

static void expect(const char *reply, const char *part)
{
    if (strstr(reply, part) == NULL)
        fail_msg("%s is not in %s", part, reply);
}

/* Submits a mail of client "app", with more members if not NULL. */
static struct id submit(struct desk *d, const char *more)
{
    char json[256];
    (void)snprintf(json, sizeof(json), "{" MAIL "%s}",
                   more == NULL ? "" : more);
    (void)desk_ask(d, json);
    const char *reply = desk_replies(d);
    expect(reply, "\"ok\":true");
    return desk_id(reply);
}

static struct id submit_and_settle(struct desk *d, const char *more,
                                   enum recipient_state state,
                                   enum settle_rest rest)
{
    struct id id = submit(d, more);
    struct claim *claim = desk_claim(d->spool, d->real_ms);
    assert_non_null(claim);
    assert_string_equal(claim->job->id.text, id.text);
    desk_settle(d->spool, claim, state, rest, d->real_ms);
    return id;
}

static struct spool_stats ledger(const struct desk *d)
{
    struct spool_stats stats;
    spool_stats(d->spool, &stats);
    return stats;
}

/* ---- who may ---- */

static void others_are_told_that_they_may_not(void **state)
{
    static const char *const ops[] = {"list", "retry", "drop"};
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d, NULL);
    for (size_t i = 0; i < 3; i++) {
        char json[128];
        /* Before anything else is looked at: fields, ids. */
        (void)snprintf(json, sizeof(json),
                       "{\"op\":\"%s\",\"id\":\"%s\",\"x\":1,\"ref\":3}",
                       ops[i], id.text);
        (void)desk_ask_as(&d, "app", false, json);
        expect(desk_replies(&d), "{\"ok\":false,\"ref\":3,"
                                 "\"error\":\"forbidden\",\"message\":\"this "
                                 "is for administrators");
    }
    assert_int_equal(ledger(&d).waiting, 1);
    desk_close(&d);
}

/* ---- list ---- */

struct row {
    const char *json;
    const char *error;
    const char *field; /* NULL: none */
};

static void fields_are_checked(void **state)
{
    static const struct row rows[] = {
        {"{\"op\":\"list\",\"state\":7}", "bad_type", "state"},
        {"{\"op\":\"list\",\"state\":[]}", "bad_value", "state"},
        {"{\"op\":\"list\",\"state\":[7]}", "bad_type", "state"},
        {"{\"op\":\"list\",\"state\":\"\"}", "bad_value", "state"},
        {"{\"op\":\"list\",\"state\":\"Failed\"}", "bad_value", "state"},
        {"{\"op\":\"list\",\"state\":[\"failed\",\"x\"]}", "bad_value",
         "state"},
        {"{\"op\":\"list\",\"states\":\"failed\"}", "unknown_field", "states"},
        {"{\"op\":\"list\",\"relay\":null}", "bad_type", "relay"},
        {"{\"op\":\"list\",\"relay\":\"a\\u0000b\"}", "bad_value", "relay"},
        {"{\"op\":\"list\",\"tag\":[]}", "bad_type", "tag"},
        {"{\"op\":\"list\",\"older\":3600}", "bad_type", "older"},
        {"{\"op\":\"list\",\"older\":\"\"}", "bad_value", "older"},
        {"{\"op\":\"list\",\"older\":\"1\"}", "bad_value", "older"},
        {"{\"op\":\"list\",\"older\":\"-1h\"}", "bad_value", "older"},
        {"{\"op\":\"list\",\"older\":\"1 h\"}", "bad_value", "older"},
        {"{\"op\":\"list\",\"older\":\"99999d\"}", "bad_value", "older"},
        {"{\"op\":\"list\",\"limit\":0}", "bad_value", "limit"},
        {"{\"op\":\"list\",\"limit\":1001}", "bad_value", "limit"},
        {"{\"op\":\"list\",\"limit\":-1}", "bad_value", "limit"},
        {"{\"op\":\"list\",\"limit\":\"9\"}", "bad_type", "limit"},
        {"{\"op\":\"list\",\"after\":\"x\"}", "bad_value", "after"},
        {"{\"op\":\"list\",\"after\":1}", "bad_type", "after"},
        {"{\"op\":\"list\",\"id\":\"x\"}", "unknown_field", "id"},
        {"{\"op\":\"retry\"}", "missing_field", "id"},
        {"{\"op\":\"retry\",\"id\":[]}", "bad_type", "id"},
        {"{\"op\":\"retry\",\"id\":\"x\"}", "not_found", NULL},
        {"{\"op\":\"retry\",\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\"}",
         "not_found", NULL},
        {"{\"op\":\"retry\",\"id\":\"x\",\"all\":true}", "unknown_field",
         "all"},
        {"{\"op\":\"drop\"}", "missing_field", "id"},
        {"{\"op\":\"drop\",\"id\":\"x\"}", "not_found", NULL},
        {"{\"op\":\"drop\",\"id\":\"01hqzzzzzzzzzzzzzzzzzzzzzz\"}", "not_found",
         NULL},
    };
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[128];
        (void)snprintf(expected, sizeof(expected),
                       "{\"ok\":false,\"error\":\"%s\",\"%s", rows[i].error,
                       rows[i].field == NULL ? "message" : "field\":\"");
        const char *reply = ask(&d, rows[i].json);
        if (strncmp(reply, expected, strlen(expected)) != 0 ||
            (rows[i].field != NULL &&
             strncmp(reply + strlen(expected), rows[i].field,
                     strlen(rows[i].field)) != 0))
            fail_msg("%s\ngives %s", rows[i].json, reply);
    }
    assert_int_equal(d.service.outstanding, 0);
    desk_close(&d);
}

/* The jobs that a list has, by their place in ids: "0 2 3". */
static void expect_listed(struct desk *d, const char *json,
                          const struct id *ids, size_t count,
                          const char *expected)
{
    char got[64] = "";
    size_t len = 0;
    const char *at = ask(d, json);
    expect(at, "{\"ok\":true,\"jobs\":[");
    while ((at = strstr(at, "{\"id\":\"")) != NULL) {
        size_t i = 0;
        at += 7;
        while (i < count && strncmp(ids[i].text, at, ID_LEN) != 0)
            i++;
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%zu",
                                len > 0 ? " " : "", i);
    }
    if (strcmp(got, expected) != 0)
        fail_msg("%s\nlists %s\nnot %s", json, got, expected);
}

static void a_list_is_filtered(void **state)
{
    static const struct {
        const char *filter;
        const char *listed;
    } rows[] = {
        {"", "0 1 2 3 4"},
        {",\"state\":\"queued\"", "4"},
        {",\"state\":\"failed\"", "1"},
        {",\"state\":[\"failed\",\"held\"]", "1 2"},
        {",\"state\":[\"expired\",\"cancelled\"]", ""},
        {",\"state\":[\"queued\",\"active\",\"deferred\",\"delivered\","
         "\"failed\",\"expired\",\"cancelled\",\"held\"]",
         "0 1 2 3 4"},
        {",\"relay\":\"main\"", "0 1 2 3"},
        {",\"relay\":\"mai\"", ""},
        {",\"relay\":\"\"", ""},
        {",\"tag\":\"news\"", "1 4"},
        {",\"tag\":\"news\",\"state\":\"queued\"", "4"},
        {",\"older\":\"0s\"", "0 1 2 3"},
        {",\"older\":\"3m\"", "0"},
        {",\"older\":\"10m\"", ""},
        {",\"limit\":2", "0 1"},
        {",\"limit\":1000", "0 1 2 3 4"},
    };
    struct id ids[5];
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    ids[0] = submit_and_settle(&d, NULL, RECIPIENT_DELIVERED, SETTLE_REST_FAIL);
    desk_pass(&d, 200000);
    ids[1] = submit_and_settle(&d, ",\"tag\":\"news\"", RECIPIENT_FAILED,
                               SETTLE_REST_FAIL);
    ids[2] = submit_and_settle(&d, NULL, RECIPIENT_UNKNOWN, SETTLE_REST_HOLD);
    ids[3] = submit_and_settle(&d, ",\"tag\":\"New\"", RECIPIENT_DEFERRED,
                               SETTLE_REST_RETRY);
    desk_pass(&d, 1000);
    ids[4] = submit(&d, ",\"tag\":\"news\"");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char json[256];
        (void)snprintf(json, sizeof(json), "{\"op\":\"list\"%s}",
                       rows[i].filter);
        expect_listed(&d, json, ids, 5, rows[i].listed);
    }
    desk_close(&d);
}

static void a_list_shows_jobs_of_everybody_without_trails(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id first = submit(&d, NULL);
    (void)desk_ask_as(&d, "other", false, "{" MAIL "}");
    struct id second = desk_id(desk_replies(&d));
    const char *reply = ask(&d, "{\"op\":\"list\",\"ref\":\"r\"}");
    expect(reply, "{\"ok\":true,\"ref\":\"r\",\"jobs\":[{\"id\":\"");
    expect(reply, first.text);
    expect(reply, second.text);
    expect(reply, "\"body\":true,\"attempts\":0,");
    expect(reply, "}]}],\"more\":false,\"after\":\"");
    assert_null(strstr(reply, "trail"));
    assert_null(strstr(reply, "left_out"));
    desk_close(&d);
}

static void a_list_goes_on_behind_its_end(void **state)
{
    struct desk d;
    char json[128];
    char got[8][ID_LEN + 1] = {{0}};
    struct id ids[7];
    size_t count = 0;
    (void)state;
    desk_open(&d, 10);
    for (size_t i = 0; i < 7; i++) {
        ids[i] = submit(&d, NULL);
        desk_pass(&d, 1);
    }
    (void)snprintf(json, sizeof(json), "{\"op\":\"list\",\"limit\":3}");
    for (int page = 0; page < 3; page++) {
        const char *reply = ask(&d, json);
        const char *at = reply;
        for (; (at = strstr(at, "{\"id\":\"")) != NULL; at += 7)
            memcpy(got[count++], at + 7, ID_LEN);
        expect(reply, page < 2 ? "\"more\":true" : "\"more\":false");
        const char *after = strstr(reply, "\"after\":\"");
        assert_non_null(after);
        (void)snprintf(json, sizeof(json),
                       "{\"op\":\"list\",\"limit\":3,\"after\":\"%.*s\"}",
                       ID_LEN, after + 9);
    }
    assert_int_equal(count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(got[i], ids[i].text);
    expect(ask(&d, json), "\"jobs\":[],\"more\":false");
    desk_close(&d);
}

/* ---- a spool that answers late ---- */

struct late_spool {
    struct spool base;
    spool_list_fn fn;
    void *ctx;
    struct spool_filter filter;
};

static void late_list(struct spool *spool, const struct spool_filter *filter,
                      spool_list_fn fn, void *ctx)
{
    struct late_spool *late = (struct late_spool *)spool;
    late->fn = fn;
    late->ctx = ctx;
    late->filter = *filter;
    /* Not promised to live longer than the call. */
    late->filter.relay = NULL;
    late->filter.tag = NULL;
}

static const struct spool_ops late_ops = {.durability = "disk",
                                          .list = late_list};

static void a_list_for_a_client_that_is_gone_is_thrown_away(void **state)
{
    struct late_spool late = {.fn = NULL};
    struct desk inner;
    struct desk d;
    (void)state;
    desk_open(&inner, 10);
    (void)submit(&inner, NULL);
    spool_init(&late.base, &late_ops, &(struct spool_options){0});
    desk_open_with(&d, &late.base);
    for (int gone = 0; gone < 2; gone++) {
        struct request *r =
            desk_ask_as(&d, "uid:0", true, "{\"op\":\"list\",\"tag\":\"\"}");
        assert_string_equal(desk_replies(&d), "");
        assert_int_equal(d.service.outstanding, 1);
        if (gone != 0) {
            r->owner = NULL;
            assert_false(request_abandon(r));
        }
        spool_list(inner.spool, &late.filter, late.fn, late.ctx);
        assert_int_equal(d.service.outstanding, 0);
        const char *reply = desk_replies(&d);
        assert_int_equal(strstr(reply, "\"jobs\":[{") != NULL, gone == 0);
    }
    desk_close(&d);
    desk_close(&inner);
}

/* ---- retry ---- */

static void a_failed_job_is_tried_again(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id =
        submit_and_settle(&d, NULL, RECIPIENT_FAILED, SETTLE_REST_FAIL);
    assert_int_equal(ledger(&d).failed, 1);
    const char *reply = ask_of(&d, "retry", &id);
    expect(reply, "{\"ok\":true,\"changed\":true,\"job\":{\"id\":\"");
    expect(reply, "\"state\":\"deferred\"");
    expect(reply, "\"event\":\"retried\"}]}}\n");
    assert_int_equal(ledger(&d).failed, 0);
    assert_int_equal(ledger(&d).waiting, 1);
    /* What is so already is no error, and no change. */
    reply = ask_of(&d, "retry", &id);
    assert_int_equal(strncmp(reply, "{\"ok\":true,\"changed\":", 21), 0);
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 1);
    assert_int_equal(ledger(&d).delivered, 1);
    desk_close(&d);
}

static void held_and_deferred_jobs_are_tried_at_once(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id held =
        submit_and_settle(&d, NULL, RECIPIENT_UNKNOWN, SETTLE_REST_HOLD);
    struct id deferred =
        submit_and_settle(&d, NULL, RECIPIENT_DEFERRED, SETTLE_REST_RETRY);
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 0);
    expect(ask_of(&d, "retry", &held), "\"changed\":true");
    expect(ask_of(&d, "retry", &deferred), "\"changed\":true");
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 2);
    desk_close(&d);
}

static void a_job_that_waits_for_its_first_attempt_is_left_so(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id = submit(&d, ",\"send_at\":\"2025-11-20T13:00:00Z\"");
    const char *reply = ask_of(&d, "retry", &id);
    expect(reply, "{\"ok\":true,\"changed\":false,\"job\":{");
    expect(reply, "\"state\":\"queued\"");
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 0);
    desk_close(&d);
}

static void what_cannot_be_tried_again_says_why(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id delivered =
        submit_and_settle(&d, NULL, RECIPIENT_DELIVERED, SETTLE_REST_FAIL);
    expect(ask_of(&d, "retry", &delivered),
           "{\"ok\":false,\"error\":\"bad_value\",\"field\":\"id\","
           "\"message\":\"the job is delivered: every recipient has the "
           "mail\",\"retry\":false}");
    struct id cancelled = submit(&d, NULL);
    (void)ask_of(&d, "cancel", &cancelled);
    expect(ask_of(&d, "retry", &cancelled),
           "{\"ok\":false,\"error\":\"bad_value\",\"field\":\"id\","
           "\"message\":\"the job's message is no longer kept; hand the mail "
           "in again\",\"retry\":false}");
    desk_close(&d);
}

static void a_running_attempt_is_not_disturbed(void **state)
{
    static const char *const ops[] = {"retry", "drop"};
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    (void)submit_and_settle(&d, NULL, RECIPIENT_DEFERRED, SETTLE_REST_RETRY);
    desk_pass(&d, 60000);
    struct claim *claim = desk_claim(d.spool, d.real_ms);
    assert_non_null(claim);
    for (size_t i = 0; i < 2; i++)
        expect(ask_of(&d, ops[i], &claim->job->id),
               "{\"ok\":false,\"error\":\"not_cancellable\",\"message\":\"an "
               "attempt to send the job is running; ask again when it is "
               "over\"");
    desk_settle(d.spool, claim, RECIPIENT_DELIVERED, SETTLE_REST_FAIL,
                d.real_ms);
    assert_int_equal(ledger(&d).delivered, 1);
    desk_close(&d);
}

/* ---- drop ---- */

static void what_waits_is_cancelled(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id ids[3] = {
        submit_and_settle(&d, NULL, RECIPIENT_UNKNOWN, SETTLE_REST_HOLD),
        submit_and_settle(&d, NULL, RECIPIENT_DEFERRED, SETTLE_REST_RETRY),
        submit(&d, NULL),
    };
    for (size_t i = 0; i < 3; i++) {
        const char *reply = ask_of(&d, "drop", &ids[i]);
        expect(reply, "{\"ok\":true,\"changed\":true,\"job\":{");
        expect(reply, "\"state\":\"cancelled\"");
        expect(reply, "\"event\":\"dropped\"}]}}\n");
        expect(ask_of(&d, "status", &ids[i]), "\"state\":\"cancelled\"");
    }
    desk_pass(&d, 60000);
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 10), 0);
    assert_int_equal(ledger(&d).cancelled, 3);
    desk_close(&d);
}

static void what_is_settled_is_forgotten(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 10);
    struct id id =
        submit_and_settle(&d, NULL, RECIPIENT_FAILED, SETTLE_REST_FAIL);
    const char *reply = ask_of(&d, "drop", &id);
    expect(reply, "\"changed\":true");
    expect(reply, "\"state\":\"failed\"");
    expect(ask_of(&d, "status", &id), "\"error\":\"not_found\"");
    expect(ask_of(&d, "drop", &id), "\"error\":\"not_found\"");
    assert_int_equal(ledger(&d).failed, 1);
    assert_int_equal(ledger(&d).accepted, 1);
    desk_close(&d);
}

/* ---- a spool that cannot write ---- */

struct broken_spool {
    struct spool base;
    struct spool *inner; /* what is asked about jobs */
    const char *disk_error;
    bool unreadable;
};

static struct broken_spool *broken(struct spool *spool)
{
    return (struct broken_spool *)spool;
}

static void broken_accept(struct spool *spool, struct job *job,
                          spool_accept_fn fn, void *ctx)
{
    spool_accept(broken(spool)->inner, job, fn, ctx);
}

static void keep_found(void *ctx, struct spool_status *status, bool changed,
                       const struct err *err)
{
    (void)changed;
    (void)err;
    *(struct spool_status **)ctx = status;
}

/* As it is, and unchanged; or, if it cannot be read either, nothing. */
static void broken_find(struct spool *spool, const struct id *id,
                        const char *client, spool_status_fn fn, void *ctx)
{
    const struct broken_spool *b = broken(spool);
    struct spool_status *status = NULL;
    struct err err = {.code = ERR_NONE};
    spool_find(b->inner, id, client, keep_found, &status);
    if (b->disk_error[0] != '\0')
        (void)err_set(&err, ERR_SYSTEM, "%s", b->disk_error);
    if (b->unreadable) {
        spool_status_destroy(status);
        status = NULL;
    }
    fn(ctx, status, false, &err);
}

static void broken_change(struct spool *spool, const struct id *id,
                          spool_status_fn fn, void *ctx)
{
    broken_find(spool, id, NULL, fn, ctx);
}

static void broken_list(struct spool *spool, const struct spool_filter *filter,
                        spool_list_fn fn, void *ctx)
{
    struct err err;
    (void)filter;
    (void)err_set(&err, ERR_SYSTEM, "%s", broken(spool)->disk_error);
    fn(ctx, NULL, 0, false, NULL, &err);
}

static void broken_watch(struct spool *spool, const char *client,
                         struct spool_watch *watch)
{
    broken_find(spool, &watch->id, client, watch->fn, watch->ctx);
}

static void broken_stats(struct spool *spool, struct spool_stats *stats)
{
    spool_stats(broken(spool)->inner, stats);
    stats->commits = 77;
    stats->unrecorded = 5;
    (void)snprintf(stats->disk_error, sizeof(stats->disk_error), "%s",
                   broken(spool)->disk_error);
}

static const struct spool_ops broken_ops = {
    .durability = "disk",
    .accept = broken_accept,
    .find = broken_find,
    .cancel = broken_find,
    .retry = broken_change,
    .drop = broken_change,
    .list = broken_list,
    .watch = broken_watch,
    .stats = broken_stats,
};

static void what_could_not_be_stored_may_be_asked_again(void **state)
{
    static const char *const ops[] = {"retry", "drop", "cancel"};
    struct broken_spool b = {.disk_error = "write: No \"space\" left"};
    struct desk inner;
    struct desk d;
    (void)state;
    desk_open(&inner, 10);
    spool_init(&b.base, &broken_ops, &(struct spool_options){0});
    b.inner = inner.spool;
    desk_open_with(&d, &b.base);
    struct id id = submit(&d, NULL);
    struct claim *claim = desk_claim(inner.spool, d.real_ms);
    desk_settle(inner.spool, claim, RECIPIENT_DEFERRED, SETTLE_REST_RETRY,
                d.real_ms);
    for (size_t i = 0; i < 3; i++) {
        const char *reply = ask_of(&d, ops[i], &id);
        expect(reply, "{\"ok\":false,\"error\":\"internal\",\"message\":\"");
        expect(reply, "\"retry\":true,\"retry_after_ms\":");
        expect(reply, ": write: No \\\"space\\\" left\"");
    }
    const char *reply = ask(&d, "{\"op\":\"stats\"}");
    expect(reply, "\"commits\":77,\"unrecorded\":5,");
    expect(reply, "\"disk_error\":\"write: No \\\"space\\\" left\"}");
    /* On its way to a relay: not an error, for no disk is. */
    b.disk_error = "";
    expect(ask_of(&d, "retry", &id), "\"changed\":false");
    assert_null(strstr(ask(&d, "{\"op\":\"stats\"}"), "disk_error"));
    desk_close(&d);
    desk_close(&inner);
}

static void what_cannot_be_read_is_not_said_to_be_missing(void **state)
{
    static const char *const ops[] = {"retry", "drop", "cancel", "status",
                                      "wait"};
    struct broken_spool b = {.disk_error = "read: I/O error",
                             .unreadable = true};
    struct desk inner;
    struct desk d;
    (void)state;
    desk_open(&inner, 10);
    spool_init(&b.base, &broken_ops, &(struct spool_options){0});
    b.inner = inner.spool;
    desk_open_with(&d, &b.base);
    struct id id = submit(&d, NULL);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        const char *reply = ask_of(&d, ops[i], &id);
        expect(reply, "{\"ok\":false,\"error\":\"internal\",\"message\":\"");
        expect(reply, ": read: I/O error\",\"retry\":true");
    }
    const char *reply = ask(&d, "{\"op\":\"list\"}");
    expect(reply, "\"error\":\"internal\"");
    expect(reply, ": read: I/O error\",\"retry\":true");
    desk_close(&d);
    desk_close(&inner);
}

/* What the disk cannot change any more is said whatever it does. */
static void what_is_settled_stays_so_on_a_broken_disk(void **state)
{
    struct broken_spool b = {.disk_error = "write: I/O error"};
    struct desk inner;
    struct desk d;
    (void)state;
    desk_open(&inner, 10);
    spool_init(&b.base, &broken_ops, &(struct spool_options){0});
    b.inner = inner.spool;
    desk_open_with(&d, &b.base);
    struct id id = submit(&d, NULL);
    expect(ask_of(&d, "retry", &id), "\"changed\":false"); /* it waits */
    struct claim *claim = desk_claim(inner.spool, d.real_ms);
    expect(ask_of(&d, "cancel", &id), "\"error\":\"internal\"");
    expect(ask_of(&d, "drop", &id), "\"error\":\"internal\"");
    expect(ask_of(&d, "retry", &id), "\"error\":\"internal\"");
    desk_settle(inner.spool, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                d.real_ms);
    expect(ask_of(&d, "cancel", &id), "\"error\":\"not_cancellable\"");
    expect(ask_of(&d, "retry", &id), "\"error\":\"bad_value\"");
    expect(ask_of(&d, "drop", &id), "\"error\":\"internal\"");
    desk_close(&d);
    desk_close(&inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_are_told_that_they_may_not),
        cmocka_unit_test(fields_are_checked),
        cmocka_unit_test(a_list_is_filtered),
        cmocka_unit_test(a_list_shows_jobs_of_everybody_without_trails),
        cmocka_unit_test(a_list_goes_on_behind_its_end),
        cmocka_unit_test(a_list_for_a_client_that_is_gone_is_thrown_away),
        cmocka_unit_test(a_failed_job_is_tried_again),
        cmocka_unit_test(held_and_deferred_jobs_are_tried_at_once),
        cmocka_unit_test(a_job_that_waits_for_its_first_attempt_is_left_so),
        cmocka_unit_test(what_cannot_be_tried_again_says_why),
        cmocka_unit_test(a_running_attempt_is_not_disturbed),
        cmocka_unit_test(what_waits_is_cancelled),
        cmocka_unit_test(what_is_settled_is_forgotten),
        cmocka_unit_test(what_could_not_be_stored_may_be_asked_again),
        cmocka_unit_test(what_cannot_be_read_is_not_said_to_be_missing),
        cmocka_unit_test(what_is_settled_stays_so_on_a_broken_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
