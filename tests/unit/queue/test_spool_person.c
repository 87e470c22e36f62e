#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/spool.h"
#include "tests/unit/queue/spools.h"

/* What a person does with jobs: list, retry, drop; and what that needs. */

static int open_spool(void **state)
{
    static struct spooled s;
    spooled_open(&s, NULL);
    *state = &s;
    return 0;
}

static int close_spool(void **state)
{
    spooled_close(*state);
    return 0;
}

static struct job *sized_job(struct spooled *s, size_t body_bytes)
{
    struct job *job = a_job(s, 1);
    body_unref(job->body);
    job->body = body_from_memory(mem_calloc(1, body_bytes), body_bytes);
    return job;
}

/* Claims the next job and settles it so. */
static void settle_next(struct spooled *s, enum recipient_state state,
                        enum settle_rest rest)
{
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_non_null(claim);
    assert_true(claim_start(claim));
    (void)spooled_settle(s, claim, state, rest,
                         atomic_load(&s->fake.now_ms) + 1000);
}

static struct id put_failed(struct spooled *s, struct job *job)
{
    struct id id = spooled_put(s, job);
    settle_next(s, RECIPIENT_FAILED, SETTLE_REST_RETRY);
    assert_int_equal(spooled_state(s, &id), JOB_FAILED);
    return id;
}

static bool has_body(struct spooled *s, const struct id *id)
{
    struct spool_status *status = spooled_find(s, id, NULL);
    assert_non_null(status);
    bool has = status->has_body;
    assert_true(!has || status->job->body != NULL || spools_are_durable());
    spool_status_destroy(status);
    return has;
}

/* ---- bodies that are kept ---- */

static void failed_and_expired_jobs_keep_their_body(void **state)
{
    struct spooled *s = *state;
    struct job *job = a_job(s, 1);
    job->expires_at_ms = START_MS + 5;
    struct id expired = spooled_put(s, job);
    spooled_tick(s, 5);
    assert_int_equal(spooled_expire(s, 1).count, 1);
    struct id failed = put_failed(s, a_job(s, 1));
    assert_true(has_body(s, &failed));
    assert_true(has_body(s, &expired));
    assert_in_range(spooled_stats(s).kept_bytes, 200, 8000);
    assert_int_equal(spooled_stats(s).bytes, spooled_stats(s).kept_bytes);
    struct id delivered = spooled_put_one(s);
    spooled_deliver(s, LANE_NORMAL);
    assert_false(has_body(s, &delivered));
    struct id cancelled = spooled_put_one(s);
    assert_true(spooled_cancel(s, &cancelled, NULL, NULL));
    assert_false(has_body(s, &cancelled));
    spooled_tick(s, 2 * DAY_MS);
    assert_int_equal(spooled_stats(s).bytes, 0);
    assert_int_equal(spooled_stats(s).failed, 1);
}

static void a_while(struct spool_options *o)
{
    o->history_keep_ms = 100;
    o->history_keep_failed_ms = 1000;
}

static void failed_jobs_have_a_time_of_their_own(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, a_while);
    struct id failed = put_failed(&s, a_job(&s, 1));
    struct id delivered = spooled_put_one(&s);
    spooled_deliver(&s, LANE_NORMAL);
    spooled_tick(&s, 100);
    assert_int_equal(spooled_state(&s, &delivered), JOB_STATE_COUNT);
    assert_int_equal(spooled_stats(&s).remembered, 1);
    spooled_tick(&s, 899);
    assert_int_equal(spooled_state(&s, &failed), JOB_FAILED);
    spooled_tick(&s, 1);
    assert_int_equal(spooled_state(&s, &failed), JOB_STATE_COUNT);
    assert_false(spooled_retry(&s, &failed));
    assert_int_equal(spooled_stats(&s).bytes, 0);
    spooled_close(&s);
}

static void two_remembered(struct spool_options *o)
{
    o->history_max_jobs = 2;
}

static void who_failed_is_remembered_longest(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, two_remembered);
    struct id first = put_failed(&s, a_job(&s, 1));
    struct id delivered = spooled_put_one(&s);
    spooled_deliver(&s, LANE_NORMAL);
    struct id second = put_failed(&s, a_job(&s, 1));
    assert_int_equal(spooled_state(&s, &delivered), JOB_STATE_COUNT);
    struct id third = put_failed(&s, a_job(&s, 1));
    assert_int_equal(spooled_state(&s, &first), JOB_STATE_COUNT);
    assert_int_equal(spooled_state(&s, &second), JOB_FAILED);
    assert_int_equal(spooled_state(&s, &third), JOB_FAILED);
    spooled_close(&s);
}

static void few_bytes(struct spool_options *o)
{
    o->max_bytes = 100000;
}

static void kept_bodies_give_way_the_oldest_first(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, few_bytes);
    struct id one = put_failed(&s, sized_job(&s, 20000));
    struct id two = put_failed(&s, sized_job(&s, 20000));
    struct id three = put_failed(&s, sized_job(&s, 20000));
    (void)spooled_put(&s, sized_job(&s, 30000));
    assert_true(has_body(&s, &one));
    assert_in_range(spooled_stats(&s).bytes, 90000, 97000);
    (void)spooled_put(&s, sized_job(&s, 30000));
    assert_false(has_body(&s, &one));
    assert_false(has_body(&s, &two));
    assert_true(has_body(&s, &three));
    assert_int_equal(spooled_state(&s, &one), JOB_FAILED);
    assert_false(spooled_retry(&s, &one));
    assert_in_range(spooled_stats(&s).bytes, 80000, 85000);
    /* What waits does not give way. */
    assert_int_equal(spooled_accept(&s, sized_job(&s, 40000)).answer,
                     SPOOL_FULL);
    assert_true(has_body(&s, &three));
    assert_int_equal(s.room_count, 0);
    settle_next(&s, RECIPIENT_FAILED, SETTLE_REST_RETRY);
    assert_int_equal(s.room_count, 1); /* a kept body is room */
    (void)spooled_put(&s, sized_job(&s, 40000));
    assert_false(has_body(&s, &three));
    assert_false(spooled_retry(&s, &two));
    spooled_close(&s);
}

static void one_large_job_makes_many_small_bodies_go(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, few_bytes);
    struct id ids[90];
    for (unsigned i = 0; i < 90; i++)
        ids[i] = put_failed(&s, a_job(&s, 1));
    struct id large = spooled_put(&s, sized_job(&s, 95000));
    for (unsigned i = 0; i < 85; i++)
        assert_false(has_body(&s, &ids[i]));
    assert_true(has_body(&s, &large));
    assert_in_range(spooled_stats(&s).bytes, 95000, 100000);
    spooled_close(&s);
}

static void a_retried_job_does_not_give_way(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, few_bytes);
    struct id one = put_failed(&s, sized_job(&s, 20000));
    struct id two = put_failed(&s, sized_job(&s, 20000));
    struct id three = put_failed(&s, sized_job(&s, 20000));
    struct id four = put_failed(&s, sized_job(&s, 20000));
    assert_true(spooled_retry(&s, &one));
    assert_true(spooled_drop(&s, &two));
    (void)spooled_put(&s, sized_job(&s, 50000));
    assert_true(has_body(&s, &one));
    assert_false(has_body(&s, &three));
    assert_true(has_body(&s, &four));
    /* 70000 of the bytes are of waiting jobs now, 20000 of a failed one. */
    assert_int_equal(spooled_accept(&s, sized_job(&s, 30000)).answer,
                     SPOOL_FULL);
    assert_true(has_body(&s, &four));
    (void)spooled_put(&s, sized_job(&s, 20000));
    assert_false(has_body(&s, &four));
    spooled_close(&s);
}

static void a_growing_trail_counts_in_the_bytes(void **state)
{
    struct spooled *s = *state;
    (void)spooled_put_one(s);
    int64_t before = spooled_stats(s).bytes;
    for (unsigned i = 0; i < 100; i++) {
        settle_next(s, RECIPIENT_DEFERRED, SETTLE_REST_RETRY);
        spooled_tick(s, 1000);
    }
    assert_in_range(spooled_stats(s).bytes, before + 2000, before + 8000);
    spooled_deliver(s, LANE_NORMAL);
    assert_int_equal(spooled_stats(s).bytes, 0);
}

/* ---- retry ---- */

static void a_failed_job_is_tried_again(void **state)
{
    struct spooled *s = *state;
    bool changed;
    struct id id = put_failed(s, a_job(s, 1));
    int64_t bytes = spooled_stats(s).bytes;
    spooled_tick(s, 50);
    struct spool_status *status = spooled_ask(s, spool_retry, &id, &changed);
    assert_true(changed);
    assert_int_equal(status->state, JOB_DEFERRED);
    assert_int_equal(status->next_attempt_ms, START_MS + 50);
    assert_int_equal(status->settled_ms, 0);
    assert_true(status->has_body);
    assert_int_equal(status->events[status->event_count - 1].kind,
                     SPOOL_EVENT_RETRIED);
    spool_status_destroy(status);
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.failed, 0);
    assert_int_equal(n.waiting, 1);
    assert_int_equal(n.accepted, 1);
    assert_int_equal(n.remembered, 0);
    assert_true(n.bytes >= bytes);
    assert_int_equal(s->due[s->due_count - 1].due_ms, START_MS + 50);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_int_equal(claim->attempt, 2);
    assert_int_equal(claim->give_up_at_ms, START_MS + 50 + DAY_MS);
    assert_non_null(claim->job->body);
    assert_false(spooled_retry(s, &id)); /* claimed */
    assert_int_equal(
        spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0)
            .state,
        JOB_DELIVERED);
    assert_false(has_body(s, &id));
    assert_false(spooled_retry(s, &id));
    assert_int_equal(spooled_stats(s).bytes, 0);
    assert_int_equal(spooled_stats(s).delivered, 1);
}

static void a_retried_job_may_fail_and_be_retried_again(void **state)
{
    struct spooled *s = *state;
    struct id id = put_failed(s, a_job(s, 1));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(spooled_retry(s, &id));
        settle_next(s, RECIPIENT_DEFERRED, SETTLE_REST_FAIL);
        assert_int_equal(spooled_state(s, &id), JOB_FAILED);
        assert_int_equal(spooled_stats(s).remembered, 1);
    }
    spooled_tick(s, DAY_MS);
    assert_int_equal(spooled_stats(s).bytes, 0);
    assert_int_equal(spooled_stats(s).failed, 1);
}

static void retry_gives_a_new_time_to_give_up(void **state)
{
    struct spooled *s = *state;
    struct job *job = a_job(s, 1);
    job->give_up_at_ms = START_MS + 100;
    struct id id = spooled_put(s, job);
    spooled_tick(s, 100);
    assert_int_equal(spooled_expire(s, 1).count, 1);
    assert_int_equal(spooled_state(s, &id), JOB_FAILED);
    assert_true(spooled_retry(s, &id));
    assert_int_equal(spooled_state(s, &id), JOB_QUEUED); /* never tried */
    struct expired expired = spooled_expire(s, 1);
    assert_int_equal(expired.count, 0);
    assert_int_equal(expired.next_ms, START_MS + 100 + DAY_MS);
    spooled_tick(s, DAY_MS);
    assert_null(spooled_claim(s, LANE_NORMAL));
    expired = spooled_expire(s, 1);
    assert_int_equal(expired.count, 1);
    assert_int_equal(expired.jobs[0].state, JOB_FAILED);
}

static int64_t expires_at(struct spooled *s, const struct id *id)
{
    struct spool_status *status = spooled_find(s, id, NULL);
    int64_t at_ms = status->expires_at_ms;
    spool_status_destroy(status);
    return at_ms;
}

static void a_time_to_expire_that_has_passed_holds_no_more(void **state)
{
    struct spooled *s = *state;
    struct job *job = a_job(s, 1);
    job->expires_at_ms = START_MS + 100;
    struct id id = spooled_put(s, job);
    spooled_tick(s, 100);
    assert_int_equal(spooled_expire(s, 1).count, 1);
    assert_int_equal(expires_at(s, &id), START_MS + 100);
    assert_true(spooled_retry(s, &id));
    assert_int_equal(expires_at(s, &id), 0);
    /* One that is to come does. */
    job = a_job(s, 1);
    job->expires_at_ms = START_MS + 500;
    job->give_up_at_ms = START_MS + 200;
    id = spooled_put(s, job);
    spooled_tick(s, 100);
    assert_int_equal(spooled_expire(s, 1).count, 1);
    assert_true(spooled_retry(s, &id));
    assert_int_equal(expires_at(s, &id), START_MS + 500);
}

static void held_and_deferred_jobs_are_due_at_once(void **state)
{
    struct spooled *s = *state;
    struct id held = spooled_put_one(s);
    settle_next(s, RECIPIENT_UNKNOWN, SETTLE_REST_HOLD);
    struct id deferred = spooled_put_one(s);
    settle_next(s, RECIPIENT_DEFERRED, SETTLE_REST_RETRY);
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_int_equal(spooled_stats(s).held, 1);
    spooled_tick(s, 1);
    assert_true(spooled_retry(s, &held));
    assert_true(spooled_retry(s, &deferred));
    assert_int_equal(spooled_stats(s).waiting, 2);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_string_equal(claim->job->id.text, held.text);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    claim = spooled_claim(s, LANE_NORMAL);
    assert_string_equal(claim->job->id.text, deferred.text);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    assert_null(spooled_claim(s, LANE_NORMAL));
}

static void what_waits_or_is_done_is_not_retried(void **state)
{
    struct spooled *s = *state;
    bool changed;
    struct id queued = spooled_put_one(s);
    struct id cancelled = spooled_put_one(s);
    struct id unknown;
    id_new(&unknown, START_MS);
    assert_true(spooled_cancel(s, &cancelled, NULL, NULL));
    assert_false(spooled_retry(s, &queued));
    assert_false(spooled_retry(s, &cancelled));
    assert_null(spooled_ask(s, spool_retry, &unknown, &changed));
    assert_false(changed);
    assert_null(spooled_ask(s, spool_drop, &unknown, &changed));
    assert_false(changed);
}

/* ---- drop ---- */

static void what_waits_is_cancelled_by_drop(void **state)
{
    struct spooled *s = *state;
    bool changed;
    struct id waits = spooled_put_one(s);
    struct spool_status *status = spooled_ask(s, spool_drop, &waits, &changed);
    assert_true(changed);
    assert_int_equal(status->state, JOB_CANCELLED);
    assert_int_equal(status->events[1].kind, SPOOL_EVENT_DROPPED);
    spool_status_destroy(status);
    struct id active = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim));
    assert_false(spooled_drop(s, &active));
    (void)spooled_settle(s, claim, RECIPIENT_UNKNOWN, SETTLE_REST_HOLD, 0);
    assert_true(spooled_drop(s, &active));
    assert_int_equal(spooled_stats(s).cancelled, 2);
    struct id claimed = spooled_put_one(s);
    claim = spooled_claim(s, LANE_NORMAL);
    assert_true(spooled_drop(s, &claimed));
    assert_true(spooled_drop(s, &claimed)); /* and now it is forgotten */
    assert_int_equal(spooled_state(s, &claimed), JOB_STATE_COUNT);
    assert_false(claim_start(claim));
    assert_non_null(claim->job->body);
    spool_release(s->spool, claim, 0, STR(""), STR(""));
    spooled_rest(s);
    assert_int_equal(spooled_stats(s).bytes, 0);
}

static void a_settled_job_is_forgotten_by_drop(void **state)
{
    struct spooled *s = *state;
    bool changed;
    struct id failed = put_failed(s, a_job(s, 1));
    struct id other = put_failed(s, a_job(s, 1));
    int64_t bytes = spooled_stats(s).bytes;
    struct spool_status *status = spooled_ask(s, spool_drop, &failed, &changed);
    assert_true(changed);
    assert_int_equal(status->state, JOB_FAILED);
    assert_false(status->has_body);
    spool_status_destroy(status);
    assert_int_equal(spooled_state(s, &failed), JOB_STATE_COUNT);
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.failed, 2); /* the ledger forgets nothing */
    assert_int_equal(n.remembered, 1);
    assert_int_equal(n.bytes, bytes / 2);
    assert_true(spooled_drop(s, &other));
    assert_int_equal(spooled_stats(s).bytes, 0);
}

static struct job *keyed(struct spooled *s)
{
    struct job *job = a_job(s, 1);
    job->key = mem_strdup(STR("k"));
    return job;
}

static void the_key_stays_with_its_job(void **state)
{
    struct spooled *s = *state;
    struct id id = put_failed(s, keyed(s));
    assert_true(spooled_retry(s, &id));
    spooled_tick(s, DAY_MS - 1);
    struct spool_accepted again = spooled_accept(s, keyed(s));
    assert_int_equal(again.answer, SPOOL_DUPLICATE);
    assert_int_equal(again.state, JOB_DEFERRED);
    settle_next(s, RECIPIENT_FAILED, SETTLE_REST_RETRY);
    assert_true(spooled_retry(s, &id)); /* the window is not over */
    spooled_tick(s, DAY_MS);
    assert_int_equal(spooled_accept(s, keyed(s)).answer, SPOOL_DUPLICATE);
    assert_true(spooled_drop(s, &id));
    assert_true(spooled_drop(s, &id));
    assert_int_equal(spooled_stats(s).keys, 1);
    (void)spooled_put(s, keyed(s)); /* settled, and the window is over */
}

static void a_dropped_jobs_key_still_answers(void **state)
{
    struct spooled *s = *state;
    struct id id = put_failed(s, keyed(s));
    assert_true(spooled_drop(s, &id));
    struct spool_accepted again = spooled_accept(s, keyed(s));
    assert_int_equal(again.answer, SPOOL_DUPLICATE);
    assert_string_equal(again.id.text, id.text);
    assert_int_equal(again.state, JOB_FAILED);
}

/* ---- list ---- */

static void a_list_is_in_order_and_in_pages(void **state)
{
    struct spooled *s = *state;
    struct id ids[25];
    struct spool_filter filter = {.limit = 10};
    assert_false(spooled_list(s, &filter).has_last);
    for (unsigned i = 0; i < 25; i++)
        ids[i] = spooled_put_one(s);
    for (unsigned page = 0; page < 3; page++) {
        struct listed l = spooled_list(s, &filter);
        assert_int_equal(l.count, page < 2 ? 10 : 5);
        assert_int_equal(l.more, page < 2);
        for (size_t i = 0; i < l.count; i++)
            assert_string_equal(l.ids[i].text, ids[page * 10 + i].text);
        assert_string_equal(l.last.text, l.ids[l.count - 1].text);
        filter.after = l.last;
        filter.has_after = true;
    }
    struct listed l = spooled_list(s, &filter);
    assert_int_equal(l.count, 0);
    assert_false(l.more);
}

static void a_list_begins_where_a_forgotten_job_was(void **state)
{
    struct spooled *s = *state;
    struct id ids[200];
    for (unsigned i = 0; i < 200; i++) {
        ids[i] = put_failed(s, a_job(s, 1));
        spooled_tick(s, 1);
    }
    for (unsigned i = 120; i <= 150; i++)
        assert_true(spooled_drop(s, &ids[i]));
    struct spool_filter filter = {
        .after = ids[150], .has_after = true, .limit = 1000};
    struct listed l = spooled_list(s, &filter);
    assert_int_equal(l.count, 49);
    assert_string_equal(l.ids[0].text, ids[151].text);
    filter.after = ids[119];
    l = spooled_list(s, &filter);
    assert_int_equal(l.count, 49);
    assert_string_equal(l.ids[0].text, ids[151].text);
}

/* Which came first cannot be said then: rather twice than not at all. */
static void a_list_misses_none_of_the_same_millisecond(void **state)
{
    struct spooled *s = *state;
    struct id ids[10];
    for (unsigned i = 0; i < 10; i++)
        ids[i] = put_failed(s, a_job(s, 1));
    assert_true(spooled_drop(s, &ids[5]));
    struct spool_filter filter = {
        .after = ids[5], .has_after = true, .limit = 10};
    struct listed l = spooled_list(s, &filter);
    assert_int_equal(l.count, 9);
    assert_string_equal(l.ids[8].text, ids[9].text);
}

static void a_filter_that_few_pass_answers_in_parts(void **state)
{
    struct spooled *s = *state;
    struct spool_filter filter = {.tag = "rare", .limit = 10};
    unsigned parts = 0;
    struct listed l;
    spool_destroy(s->spool);
    s->options.max_jobs = 20000;
    s->options.max_bytes = 100000000;
    assert_int_equal(spooled_create(s, &s->spool, &s->options, NULL), ERR_NONE);
    for (unsigned i = 0; i < 9999; i++)
        (void)spooled_put_one(s);
    struct job *job = a_job(s, 1);
    job->tag = mem_strdup(STR("rare"));
    struct id rare = spooled_put(s, job);
    do {
        l = spooled_list(s, &filter);
        filter.after = l.last;
        filter.has_after = true;
        parts++;
        assert_int_equal(l.count, l.more ? 0 : 1);
    } while (l.more);
    assert_in_range(parts, 2, 20);
    assert_string_equal(l.ids[0].text, rare.text);
}

static void a_limit_is_taken_into_its_range(void **state)
{
    struct spooled *s = *state;
    struct spool_filter filter = {.limit = 0};
    for (unsigned i = 0; i < 1000; i++)
        (void)spooled_put_one(s);
    assert_int_equal(spooled_list(s, &filter).count, 1);
    filter.limit = SIZE_MAX;
    assert_int_equal(spooled_list(s, &filter).count, 1000);
}

static size_t count_at(struct spooled *s, const char *relay)
{
    const struct spool_filter filter = {.relay = relay, .limit = 10};
    return spooled_list(s, &filter).count;
}

static void a_list_shows_who_waits_for_a_relay(void **state)
{
    struct spooled *s = *state;
    const struct str down = STR("connection refused");
    struct id id = spooled_put_one(s);
    (void)spooled_put_one(s);
    spool_release(s->spool, spooled_claim(s, LANE_NORMAL), 0, STR("main"),
                  down);
    spooled_rest(s);
    assert_int_equal(count_at(s, "main"), 1);
    /* Of the same words only the relay is new. */
    spool_release(s->spool, spooled_claim(s, LANE_NORMAL), 0, STR("spare"),
                  down);
    spooled_rest(s);
    if (spools_are_durable())
        spooled_reopen(s);
    assert_int_equal(count_at(s, "main"), 0);
    assert_int_equal(count_at(s, "spare"), 1);
    struct spool_status *status = spooled_find(s, &id, NULL);
    assert_int_equal(status->event_count, 3);
    assert_string_equal(status->events[1].relay, "main");
    assert_string_equal(status->events[2].relay, "spare");
    assert_null(status->recipients[0].relay);
    spool_status_destroy(status);
}

static void a_list_shows_active_and_not_what_is_over(void **state)
{
    struct spooled s;
    struct spool_filter filter = {.states = 1U << JOB_ACTIVE, .limit = 10};
    (void)state;
    spooled_open(&s, a_while);
    (void)put_failed(&s, a_job(&s, 1));
    struct id id = spooled_put_one(&s);
    struct claim *claim = spooled_claim(&s, LANE_NORMAL);
    assert_int_equal(spooled_list(&s, &filter).count, 0);
    assert_true(claim_start(claim));
    struct listed l = spooled_list(&s, &filter);
    assert_int_equal(l.count, 1);
    assert_string_equal(l.ids[0].text, id.text);
    filter.states = 1U << JOB_FAILED;
    assert_int_equal(spooled_list(&s, &filter).count, 1);
    spooled_tick(&s, 1000);
    assert_int_equal(spooled_list(&s, &filter).count, 0);
    spool_release(s.spool, claim, 0, STR(""), STR(""));
    spooled_rest(&s);
    spooled_close(&s);
}

/* ---- mark, names ---- */

struct marking {
    struct waiter waiter;
    enum err_code code;
};

static void keep_code(void *ctx, const struct err *err)
{
    struct marking *marking = ctx;
    marking->code = err->code;
    waiter_done(&marking->waiter);
}

static void a_mark_ends_with_its_claim(void **state)
{
    struct spooled *s = *state;
    struct marking marking = {.code = ERR_TIMEOUT};
    (void)spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim));
    waiter_init(&marking.waiter);
    spool_mark(s->spool, claim, STR("main"), keep_code, &marking);
    waiter_wait(&marking.waiter);
    waiter_fini(&marking.waiter);
    assert_int_equal(marking.code, ERR_NONE);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
}

static void every_event_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SPOOL_EVENT_COUNT; i++)
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(spool_event_name((enum spool_event_kind)i),
                                    spool_event_name((enum spool_event_kind)j));
}

#define SPOOL_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, open_spool, close_spool)

int main(int argc, char **argv)
{
    spools_choose(argc, argv);
    /* On the disk the trail is not counted. */
    const struct CMUnitTest in_memory[] = {
        SPOOL_TEST(a_growing_trail_counts_in_the_bytes),
        SPOOL_TEST(a_list_misses_none_of_the_same_millisecond),
    };
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(failed_and_expired_jobs_keep_their_body),
        cmocka_unit_test(kept_bodies_give_way_the_oldest_first),
        cmocka_unit_test(a_retried_job_does_not_give_way),
        cmocka_unit_test(one_large_job_makes_many_small_bodies_go),
        cmocka_unit_test(failed_jobs_have_a_time_of_their_own),
        cmocka_unit_test(who_failed_is_remembered_longest),
        SPOOL_TEST(a_failed_job_is_tried_again),
        SPOOL_TEST(a_retried_job_may_fail_and_be_retried_again),
        SPOOL_TEST(retry_gives_a_new_time_to_give_up),
        SPOOL_TEST(a_time_to_expire_that_has_passed_holds_no_more),
        SPOOL_TEST(held_and_deferred_jobs_are_due_at_once),
        SPOOL_TEST(what_waits_or_is_done_is_not_retried),
        SPOOL_TEST(what_waits_is_cancelled_by_drop),
        SPOOL_TEST(a_settled_job_is_forgotten_by_drop),
        SPOOL_TEST(the_key_stays_with_its_job),
        SPOOL_TEST(a_dropped_jobs_key_still_answers),
        SPOOL_TEST(a_list_is_in_order_and_in_pages),
        SPOOL_TEST(a_list_shows_who_waits_for_a_relay),
        SPOOL_TEST(a_list_begins_where_a_forgotten_job_was),
        SPOOL_TEST(a_filter_that_few_pass_answers_in_parts),
        SPOOL_TEST(a_limit_is_taken_into_its_range),
        cmocka_unit_test(a_list_shows_active_and_not_what_is_over),
        SPOOL_TEST(a_mark_ends_with_its_claim),
        cmocka_unit_test(every_event_has_a_name_of_its_own),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (!spools_are_durable())
        failed += cmocka_run_group_tests(in_memory, NULL, NULL);
    return failed;
}
