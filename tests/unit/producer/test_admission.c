#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/thread.h"
#include "queue/spool_backend.h"
#include "tests/unit/producer/desk.h"

#define MAIL "\"from\":\"a@x.org\",\"to\":\"b@x.org\",\"text\":\"hi\""

/* ---- a spool that answers when the test says ---- */

#define ASKED_MAX 16

struct slow_spool {
    struct spool base;
    struct {
        struct job *job;
        spool_accept_fn fn;
        void *ctx;
    } asked[ASKED_MAX];
    size_t first;
    size_t count;
    size_t most; /* under way at once */
};

static void slow_accept(struct spool *spool, struct job *job,
                        spool_accept_fn fn, void *ctx)
{
    struct slow_spool *s = (struct slow_spool *)spool;
    assert_true(s->count < ASKED_MAX);
    s->asked[s->count].job = job;
    s->asked[s->count].fn = fn;
    s->asked[s->count++].ctx = ctx;
    if (s->count - s->first > s->most)
        s->most = s->count - s->first;
}

static const struct spool_ops slow_ops = {.durability = "disk",
                                          .accept = slow_accept};

static void slow_open(struct slow_spool *s)
{
    const struct spool_options options = {0};
    *s = (struct slow_spool){.first = 0};
    spool_init(&s->base, &slow_ops, &options);
}

static size_t under_way(const struct slow_spool *s)
{
    return s->count - s->first;
}

/* Answers the oldest. */
static void answer_with(struct slow_spool *s, struct spool_accepted *accepted)
{
    assert_true(under_way(s) > 0);
    size_t i = s->first++;
    accepted->id = s->asked[i].job->id;
    s->asked[i].fn(s->asked[i].ctx, accepted);
}

static void answer(struct slow_spool *s, enum spool_answer how)
{
    answer_with(s, &(struct spool_accepted){.answer = how});
}

static void answer_error(struct slow_spool *s, enum err_code code,
                         const char *text)
{
    struct spool_accepted accepted = {.answer = SPOOL_ERROR};
    (void)err_set(&accepted.err, code, "%s", text);
    answer_with(s, &accepted);
}

static void say_room(struct slow_spool *s)
{
    s->base.on_room(s->base.on_room_ctx);
}

/* ---- helpers ---- */

static struct request *submit(struct desk *d, int ref)
{
    char json[128];
    (void)snprintf(json, sizeof(json), "{" MAIL ",\"ref\":%d}", ref);
    return desk_ask(d, json);
}

/* "1+ 2spool_full": what came, in order. */
static void expect_outcomes(struct desk *d, const char *expected)
{
    char got[512] = "";
    size_t len = 0;
    const char *at = desk_replies(d);
    while ((at = strstr(at, "{\"ok\":")) != NULL) {
        int ref = 0;
        char word[32] = "+";
        if (sscanf(at, "{\"ok\":false,\"ref\":%d,\"error\":\"%31[a-z_]\"", &ref,
                   word) < 2)
            (void)sscanf(at, "{\"ok\":true,\"ref\":%d", &ref);
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%d%s",
                                len > 0 ? " " : "", ref, word);
        at++;
    }
    assert_string_equal(got, expected);
}

/* ---- full ---- */

static void a_full_spool_lets_a_stream_wait_for_room(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 2);
    for (int i = 1; i <= 5; i++)
        (void)submit(&d, i);
    expect_outcomes(&d, "1+ 2+");
    assert_int_equal(d.held, 3);
    desk_pass(&d, 100);
    expect_outcomes(&d, "");
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 1), 1);
    desk_pass(&d, 0);
    expect_outcomes(&d, "3+");
    assert_int_equal(d.held, 2);
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 2), 2);
    desk_pass(&d, 0);
    expect_outcomes(&d, "4+ 5+");
    assert_int_equal(d.held, 0);
    assert_int_equal(d.service.admission.held_bytes, 0);
    desk_close(&d);
}

static void waiting_for_room_has_an_end(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 1);
    (void)submit(&d, 1);
    (void)submit(&d, 2);
    desk_pass(&d, 1000);
    (void)submit(&d, 3);
    desk_pass(&d, 3999);
    expect_outcomes(&d, "1+");
    desk_pass(&d, 1);
    expect_outcomes(&d, "2spool_full");
    desk_pass(&d, 1000);
    expect_outcomes(&d, "3spool_full");
    assert_int_equal(d.held, 0);
    assert_int_equal(d.service.admission.held_bytes, 0);
    /* Room again, and nobody is in line: it goes at once. */
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 1), 1);
    (void)submit(&d, 4);
    expect_outcomes(&d, "4+");
    desk_close(&d);
}

static void a_datagram_does_not_wait(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 1);
    (void)submit(&d, 1);
    (void)desk_ask_datagram(&d, "{" MAIL ",\"ref\":2}");
    expect_outcomes(&d, "1+ 2spool_full");
    (void)submit(&d, 3);
    (void)desk_ask_datagram(&d, "{" MAIL ",\"ref\":4}");
    expect_outcomes(&d, "4spool_full");
    desk_pass(&d, 5000);
    expect_outcomes(&d, "3spool_full");
    desk_close(&d);
}

static void without_a_wait_a_stream_is_refused_at_once(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 1);
    d.service.options.limits.full_wait_ms = 0;
    (void)submit(&d, 1);
    (void)submit(&d, 2);
    expect_outcomes(&d, "1+ 2spool_full");
    desk_close(&d);
}

static void who_is_gone_leaves_the_line(void **state)
{
    struct desk d;
    struct spool_stats stats;
    (void)state;
    desk_open(&d, 1);
    (void)submit(&d, 1);
    struct request *r = submit(&d, 2);
    (void)submit(&d, 3);
    r->owner = NULL;
    assert_true(request_abandon(r));
    request_free(r);
    assert_int_equal(desk_deliver(d.spool, d.real_ms, 1), 1);
    desk_pass(&d, 0);
    expect_outcomes(&d, "1+ 3+");
    spool_stats(d.spool, &stats);
    assert_int_equal(stats.accepted, 2);
    desk_close(&d);
}

static void draining_refuses_who_is_in_line(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d, 1);
    (void)submit(&d, 1);
    (void)submit(&d, 2);
    d.service.draining = true;
    admission_drain(&d.service.admission);
    expect_outcomes(&d, "1+ 2shutting_down");
    desk_close(&d);
}

/* ---- too many under way ---- */

static void submits_under_way_are_bounded(void **state)
{
    struct slow_spool s;
    struct desk d;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    d.service.options.limits.pending_submits = 2;
    for (int i = 1; i <= 5; i++)
        (void)submit(&d, i);
    (void)desk_ask_datagram(&d, "{" MAIL ",\"ref\":9}");
    assert_int_equal(under_way(&s), 2);
    expect_outcomes(&d, "9queue_full");
    answer(&s, SPOOL_ACCEPTED);
    assert_int_equal(under_way(&s), 2);
    desk_pass(&d, 5000);
    expect_outcomes(&d, "1+ 4queue_full 5queue_full");
    while (under_way(&s) > 0)
        answer(&s, SPOOL_ACCEPTED);
    expect_outcomes(&d, "2+ 3+");
    assert_int_equal(s.most, 2);
    assert_int_equal(d.held, 0);
    desk_close(&d);
}

static void the_line_keeps_its_order_when_answers_come_late(void **state)
{
    struct slow_spool s;
    struct desk d;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    for (int i = 1; i <= 4; i++)
        (void)submit(&d, i);
    assert_int_equal(under_way(&s), 4);
    for (int i = 0; i < 4; i++)
        answer(&s, SPOOL_FULL);
    assert_int_equal(d.held, 4);
    assert_int_equal(under_way(&s), 0);
    say_room(&s);
    desk_pass(&d, 0);
    assert_int_equal(under_way(&s), 1); /* one tries, */
    answer(&s, SPOOL_ACCEPTED);
    assert_int_equal(under_way(&s), 2); /* then two */
    answer(&s, SPOOL_FULL);
    answer(&s, SPOOL_FULL);
    assert_int_equal(under_way(&s), 0);
    say_room(&s);
    desk_pass(&d, 0);
    answer(&s, SPOOL_ACCEPTED);
    answer(&s, SPOOL_ACCEPTED);
    answer(&s, SPOOL_ACCEPTED);
    expect_outcomes(&d, "1+ 2+ 3+ 4+");
    desk_close(&d);
}

static void room_that_came_before_the_answer_is_not_missed(void **state)
{
    struct slow_spool s;
    struct desk d;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    (void)submit(&d, 1);
    say_room(&s);
    desk_pass(&d, 0);
    answer(&s, SPOOL_FULL);
    assert_int_equal(under_way(&s), 1); /* it tries again by itself */
    answer(&s, SPOOL_ACCEPTED);
    expect_outcomes(&d, "1+");
    desk_close(&d);
}

static void a_job_stays_accepted_when_its_client_is_gone(void **state)
{
    struct slow_spool s;
    struct desk d;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    struct request *r = submit(&d, 1);
    r->owner = NULL;
    assert_false(request_abandon(r));
    answer(&s, SPOOL_ACCEPTED);
    expect_outcomes(&d, "");
    assert_int_equal(metrics_get(&d.metrics, METRIC_SUBMITS_ACCEPTED), 1);
    /* Full, and nobody to wait for it: it is over. */
    r = submit(&d, 2);
    r->owner = NULL;
    assert_false(request_abandon(r));
    answer(&s, SPOOL_FULL);
    assert_int_equal(d.service.outstanding, 0);
    assert_int_equal(d.service.admission.held_bytes, 0);
    desk_close(&d);
}

static void large_requests_are_kept_back_before_it_is_full(void **state)
{
    struct slow_spool s;
    struct desk d;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    assert_false(admission_is_loaded(&d.service.admission));
    d.service.admission.held_bytes_max = 3 * 300;
    (void)submit(&d, 1); /* about 200 bytes */
    assert_false(admission_is_loaded(&d.service.admission));
    (void)submit(&d, 2);
    assert_true(admission_is_loaded(&d.service.admission));
    answer(&s, SPOOL_ACCEPTED);
    assert_false(admission_is_loaded(&d.service.admission));
    answer(&s, SPOOL_ACCEPTED);
    expect_outcomes(&d, "1+ 2+");
    desk_close(&d);
}

static void the_bytes_under_way_are_bounded(void **state)
{
    struct slow_spool s;
    struct desk d;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    d.service.admission.held_bytes_max = 1;
    (void)submit(&d, 1); /* one may be of any size */
    (void)submit(&d, 2);
    expect_outcomes(&d, "2queue_full");
    answer(&s, SPOOL_ACCEPTED);
    (void)submit(&d, 3);
    answer(&s, SPOOL_ACCEPTED);
    expect_outcomes(&d, "1+ 3+");
    desk_close(&d);
}

static void an_error_of_the_spool_is_internal(void **state)
{
    struct slow_spool s;
    struct desk d;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    (void)submit(&d, 1);
    answer_error(&s, ERR_SYSTEM, "disk /secret/path broke");
    const char *reply = desk_replies(&d);
    assert_non_null(strstr(reply, "\"error\":\"internal\""));
    assert_non_null(strstr(reply, "\"retry\":true"));
    assert_null(strstr(reply, "secret"));
    desk_close(&d);
}

static void a_full_disk_is_a_full_spool_in_its_own_words(void **state)
{
    struct slow_spool s;
    struct desk d;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    (void)submit(&d, 1);
    answer_error(&s, ERR_FULL, "the disk is full: make room");
    const char *reply = desk_replies(&d);
    assert_non_null(strstr(reply, "\"error\":\"spool_full\","
                                  "\"message\":\"the disk is full: make "
                                  "room\",\"retry\":true,"));
    assert_int_equal(d.service.admission.held_bytes, 0);
    /* It holds up nobody who comes after. */
    (void)submit(&d, 2);
    answer(&s, SPOOL_ACCEPTED);
    expect_outcomes(&d, "2+");
    desk_close(&d);
}

static void a_mail_larger_than_the_spool_is_too_large(void **state)
{
    struct desk d;
    struct buf json;
    (void)state;
    desk_open(&d, 10);
    d.service.composed.max = (size_t)256 << 20;
    buf_init(&json, (size_t)100 << 20);
    buf_add_text(&json, "{\"from\":\"a@x.org\",\"to\":\"b@x.org\",\"text\":\"");
    for (size_t i = 0; i < ((size_t)65 << 20) / 8; i++)
        buf_add_text(&json, "abcdefg ");
    buf_add_text(&json, "\"}");
    (void)desk_ask_bytes(&d, json.data, json.len);
    const char *reply = desk_replies(&d);
    assert_non_null(strstr(reply, "\"error\":\"too_large\""));
    assert_non_null(strstr(reply, "\"retry\":false"));
    buf_fini(&json);
    desk_close(&d);
}

/* ---- answers from another thread ---- */

static void answer_all(void *arg)
{
    struct slow_spool *s = arg;
    while (under_way(s) > 0)
        answer(s, SPOOL_ACCEPTED);
}

static void answers_of_other_threads_come_by_mail(void **state)
{
    struct slow_spool s;
    struct desk d;
    struct thread thread = {.started = false};
    struct err err;
    (void)state;
    slow_open(&s);
    desk_open_with(&d, &s.base);
    for (int i = 1; i <= 3; i++)
        (void)submit(&d, i);
    assert_int_equal(thread_start(&thread, "spool", answer_all, &s, &err),
                     ERR_NONE);
    thread_join(&thread);
    expect_outcomes(&d, ""); /* not on the other's thread */
    desk_pass(&d, 0);
    expect_outcomes(&d, "1+ 2+ 3+");
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_spool_lets_a_stream_wait_for_room),
        cmocka_unit_test(waiting_for_room_has_an_end),
        cmocka_unit_test(a_datagram_does_not_wait),
        cmocka_unit_test(without_a_wait_a_stream_is_refused_at_once),
        cmocka_unit_test(who_is_gone_leaves_the_line),
        cmocka_unit_test(draining_refuses_who_is_in_line),
        cmocka_unit_test(submits_under_way_are_bounded),
        cmocka_unit_test(the_line_keeps_its_order_when_answers_come_late),
        cmocka_unit_test(room_that_came_before_the_answer_is_not_missed),
        cmocka_unit_test(a_job_stays_accepted_when_its_client_is_gone),
        cmocka_unit_test(large_requests_are_kept_back_before_it_is_full),
        cmocka_unit_test(the_bytes_under_way_are_bounded),
        cmocka_unit_test(an_error_of_the_spool_is_internal),
        cmocka_unit_test(a_full_disk_is_a_full_spool_in_its_own_words),
        cmocka_unit_test(a_mail_larger_than_the_spool_is_too_large),
        cmocka_unit_test(answers_of_other_threads_come_by_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
