#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/queue/spools.h"

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

static struct id put_in(struct spooled *s, const char *route,
                        enum job_priority priority)
{
    struct job *job = a_job(s, 1);
    mem_free(job->route);
    job->route = mem_strdup(str_from(route));
    job->priority = priority;
    return spooled_put(s, job);
}

static struct id put_at(struct spooled *s, int64_t send_at_ms)
{
    struct job *job = a_job(s, 1);
    job->send_at_ms = send_at_ms;
    return spooled_put(s, job);
}

static void claim_is(struct spooled *s, struct spool_lane lane,
                     const struct id *id)
{
    struct claim *claim = spooled_claim(s, lane);
    assert_non_null(claim);
    assert_string_equal(claim->job->id.text, id->text);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
}

/* ---- making ---- */

static void options_out_of_range_are_refused(void **state)
{
    struct spooled *s = *state;
    for (unsigned i = 0; i < 8; i++) {
        struct spool_options bad = s->options;
        struct spool *spool = NULL;
        struct err err = {.code = ERR_NONE};
        switch (i) {
        case 0:
            bad.route_count = 0;
            break;
        case 1:
            bad.max_jobs = 0;
            break;
        case 2:
            bad.max_bytes = 0;
            break;
        case 3:
            bad.history_keep_ms = -1;
            break;
        case 4:
            bad.history_max_jobs = -1;
            break;
        case 5:
            bad.key_window_ms = -1;
            break;
        case 6:
            bad.key_max = -1;
            break;
        default:
            bad.clock = NULL;
        }
        assert_int_equal(spooled_create(s, &spool, &bad, &err), ERR_INVALID);
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(spool);
    }
    spool_destroy(NULL);
    assert_string_equal(spool_durability(s->spool),
                        spools_are_durable() ? "disk" : "memory");
}

/* ---- lanes and due times ---- */

static void lanes_are_routes_and_priorities(void **state)
{
    struct spooled *s = *state;
    struct id low = put_in(s, "default", JOB_PRIORITY_LOW);
    struct id other = put_in(s, "other", JOB_PRIORITY_NORMAL);
    struct id unknown = put_in(s, "no such route", JOB_PRIORITY_HIGH);
    assert_null(spooled_claim(s, LANE_NORMAL));
    claim_is(s, LANE_HIGH, &unknown);
    claim_is(s, LANE_OTHER, &other);
    claim_is(s, LANE_LOW, &low);
    assert_null(spooled_claim(s, LANE_LOW));
}

static void jobs_are_claimed_in_order_of_time_due(void **state)
{
    struct spooled *s = *state;
    struct id late = put_at(s, START_MS + 200);
    struct id first = put_at(s, 0);
    struct id second = put_at(s, 0);
    struct id soon = put_at(s, START_MS + 100);
    claim_is(s, LANE_NORMAL, &first);
    claim_is(s, LANE_NORMAL, &second);
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_int_equal(spooled_next_due(s, LANE_NORMAL), START_MS + 100);
    spooled_tick(s, 99);
    assert_null(spooled_claim(s, LANE_NORMAL));
    spooled_tick(s, 1);
    claim_is(s, LANE_NORMAL, &soon);
    spooled_tick(s, 1000);
    struct id newer = put_at(s, 0);
    claim_is(s, LANE_NORMAL, &late);
    claim_is(s, LANE_NORMAL, &newer);
    assert_int_equal(spooled_next_due(s, LANE_NORMAL), SPOOL_NEVER);
}

struct many {
    struct waiter waiter;
    struct claim_list claims;
    size_t count;
    int64_t next_ms;
    char last[ID_LEN + 1];
};

static void keep_many(void *ctx, struct spool_lane lane,
                      struct claim_list *claims, int64_t next_due_ms)
{
    struct many *many = ctx;
    assert_int_equal(lane.priority, JOB_PRIORITY_NORMAL);
    many->next_ms = next_due_ms;
    STAILQ_CONCAT(&many->claims, claims);
    waiter_done(&many->waiter);
}

static void deliver_many(struct spooled *s, struct many *many, size_t limit)
{
    struct claim *claim;
    spool_claim(s->spool, LANE_NORMAL, limit, START_MS, keep_many, many);
    waiter_wait(&many->waiter);
    while ((claim = STAILQ_FIRST(&many->claims)) != NULL) {
        STAILQ_REMOVE_HEAD(&many->claims, next);
        many->count++;
        memcpy(many->last, claim->job->id.text, sizeof(many->last));
        (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                             0);
    }
}

static void a_claim_takes_up_to_its_limit(void **state)
{
    struct spooled *s = *state;
    struct many many = {.count = 0};
    struct id ids[300];
    waiter_init(&many.waiter);
    STAILQ_INIT(&many.claims);
    for (unsigned i = 0; i < 300; i++)
        ids[i] = spooled_put_one(s);
    (void)put_at(s, START_MS + 5);
    deliver_many(s, &many, 200);
    assert_int_equal(many.count, 200);
    assert_int_equal(many.next_ms, START_MS);
    assert_string_equal(many.last, ids[199].text);
    deliver_many(s, &many, 200);
    assert_int_equal(many.count, 300);
    assert_int_equal(many.next_ms, START_MS + 5);
    assert_string_equal(many.last, ids[299].text);
    waiter_fini(&many.waiter);
}

static void on_due_tells_of_earlier_times_only(void **state)
{
    struct spooled *s = *state;
    (void)put_at(s, START_MS + 100);
    assert_int_equal(s->due_count, 1);
    assert_int_equal(s->due[0].due_ms, START_MS + 100);
    assert_int_equal(s->due[0].lane.route, 0);
    assert_int_equal(s->due[0].lane.priority, JOB_PRIORITY_NORMAL);
    (void)put_at(s, START_MS + 100);
    (void)put_at(s, START_MS + 300);
    assert_int_equal(s->due_count, 1);
    (void)put_at(s, START_MS + 50);
    assert_int_equal(s->due_count, 2);
    assert_int_equal(s->due[1].due_ms, START_MS + 50);
    (void)put_in(s, "other", JOB_PRIORITY_NORMAL);
    assert_int_equal(s->due_count, 3);
    assert_int_equal(s->due[2].lane.route, 1);
    /* What a claim says is known too. */
    spooled_tick(s, 50);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    (void)put_at(s, START_MS + 100);
    assert_int_equal(s->due_count, 3);
    spool_release(s->spool, claim, 0, STR(""), STR(""));
    spooled_rest(s);
    assert_int_equal(s->due_count, 4);
    assert_int_equal(s->due[3].due_ms, START_MS + 50);
}

static void a_deferred_job_announces_its_next_attempt(void **state)
{
    struct spooled *s = *state;
    (void)spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_int_equal(s->due_count, 1);
    struct spool_settled settled = spooled_settle(
        s, claim, RECIPIENT_DEFERRED, SETTLE_REST_RETRY, START_MS + 30000);
    assert_int_equal(settled.state, JOB_DEFERRED);
    assert_int_equal(settled.next_attempt_ms, START_MS + 30000);
    assert_int_equal(s->due_count, 2);
    assert_int_equal(s->due[1].due_ms, START_MS + 30000);
    assert_null(spooled_claim(s, LANE_NORMAL));
    spooled_tick(s, 30000);
    claim = spooled_claim(s, LANE_NORMAL);
    assert_int_equal(claim->attempt, 2);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
}

/* ---- limits ---- */

static void two_jobs(struct spool_options *o)
{
    o->max_jobs = 2;
}

static void a_full_spool_refuses_until_there_is_room(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, two_jobs);
    struct id first = spooled_put_one(&s);
    (void)spooled_put_one(&s);
    struct job *job = a_job(&s, 1);
    struct id id = job->id;
    assert_int_equal(spooled_accept(&s, job).answer, SPOOL_FULL);
    assert_int_equal(spooled_accept(&s, a_job(&s, 1)).answer, SPOOL_FULL);
    assert_int_equal(spooled_state(&s, &id), JOB_STATE_COUNT);
    assert_int_equal(spooled_stats(&s).accepted, 2);
    struct claim *claim = spooled_claim(&s, LANE_NORMAL);
    assert_int_equal(spooled_accept(&s, a_job(&s, 1)).answer, SPOOL_FULL);
    assert_int_equal(s.room_count, 0);
    (void)spooled_settle(&s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);
    assert_int_equal(s.room_count, 1);
    spooled_deliver(&s, LANE_NORMAL);
    assert_int_equal(s.room_count, 1); /* once */
    (void)spooled_put_one(&s);
    assert_int_equal(spooled_state(&s, &first), JOB_FAILED);
    spooled_close(&s);
}

static void few_bytes(struct spool_options *o)
{
    o->max_bytes = 100000;
}

static struct job *sized_job(struct spooled *s, size_t body_bytes)
{
    struct job *job = a_job(s, 1);
    body_unref(job->body);
    job->body = body_from_memory(mem_calloc(1, body_bytes), body_bytes);
    return job;
}

static void bytes_are_limited_and_room_is_for_what_was_refused(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, few_bytes);
    (void)spooled_put(&s, sized_job(&s, 10000));
    (void)spooled_put(&s, sized_job(&s, 70000));
    int64_t bytes = spooled_stats(&s).bytes;
    assert_in_range(bytes, 80000, 83000);
    assert_int_equal(spooled_accept(&s, sized_job(&s, 40000)).answer,
                     SPOOL_FULL);
    (void)spooled_put(&s, sized_job(&s, 1000));
    spooled_deliver(&s, LANE_NORMAL);
    assert_int_equal(s.room_count, 0); /* 10000 are not enough */
    spooled_deliver(&s, LANE_NORMAL);
    assert_int_equal(s.room_count, 1);
    (void)spooled_put(&s, sized_job(&s, 40000));
    spooled_close(&s);
}

static void a_job_larger_than_the_spool_is_an_error(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, few_bytes);
    struct spool_accepted accepted = spooled_accept(&s, sized_job(&s, 100000));
    assert_int_equal(accepted.answer, SPOOL_ERROR);
    assert_int_equal(accepted.err.code, ERR_TOO_LARGE);
    assert_int_equal(spooled_stats(&s).accepted, 0);
    spooled_close(&s);
}

/* ---- settling ---- */

struct outcome {
    enum recipient_state states[3];
    enum settle_rest rest;
    enum job_state expected;
    enum recipient_state after[3];
};

#define DEL RECIPIENT_DELIVERED
#define DEF RECIPIENT_DEFERRED
#define FAI RECIPIENT_FAILED
#define UNK RECIPIENT_UNKNOWN

static void the_jobs_state_follows_its_recipients(void **state)
{
    static const struct outcome table[] = {
        {{DEL, DEL, DEL}, SETTLE_REST_RETRY, JOB_DELIVERED, {DEL, DEL, DEL}},
        {{DEL, DEL, DEL}, SETTLE_REST_EXPIRE, JOB_DELIVERED, {DEL, DEL, DEL}},
        {{DEL, FAI, DEL}, SETTLE_REST_RETRY, JOB_FAILED, {DEL, FAI, DEL}},
        {{FAI, FAI, FAI}, SETTLE_REST_EXPIRE, JOB_FAILED, {FAI, FAI, FAI}},
        {{DEL, DEF, FAI}, SETTLE_REST_RETRY, JOB_DEFERRED, {DEL, DEF, FAI}},
        {{DEL, DEF, FAI}, SETTLE_REST_HOLD, JOB_HELD, {DEL, DEF, FAI}},
        {{DEL, DEF, UNK}, SETTLE_REST_FAIL, JOB_FAILED, {DEL, FAI, UNK}},
        {{DEL, DEF, UNK}, SETTLE_REST_EXPIRE, JOB_EXPIRED, {DEL, FAI, UNK}},
        {{DEL, UNK, DEL}, SETTLE_REST_HOLD, JOB_HELD, {DEL, UNK, DEL}},
        {{DEL, UNK, DEL}, SETTLE_REST_RETRY, JOB_DEFERRED, {DEL, UNK, DEL}},
    };
    struct spooled *s = *state;
    for (size_t t = 0; t < sizeof(table) / sizeof(table[0]); t++) {
        struct id id = spooled_put(s, a_job(s, 3));
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        struct settle_recipient said[3];
        for (uint32_t i = 0; i < 3; i++)
            said[i] = (struct settle_recipient){i, table[t].states[i], STR("")};
        const struct settlement settlement = {.recipients = said,
                                              .count = 3,
                                              .rest = table[t].rest,
                                              .at_ms = START_MS,
                                              .next_attempt_ms = DAY_MS};
        spool_settle(s->spool, claim, &settlement, NULL, NULL);
        spooled_rest(s);
        struct spool_status *status = spooled_find(s, &id, "app");
        assert_int_equal(status->state, table[t].expected);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(status->recipients[i].state, table[t].after[i]);
        spool_status_destroy(status);
        (void)spooled_stats(s);
    }
}

static void only_what_is_left_is_claimed_again(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put(s, a_job(s, 4));
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_int_equal(claim->attempt, 1);
    assert_int_equal(claim->pending_count, 4);
    const struct settle_recipient said[] = {
        {1, RECIPIENT_DELIVERED, STR("250 ok")},
        {2, RECIPIENT_FAILED, STR("550 no such user")},
        {3, RECIPIENT_DEFERRED, STR("450 later")},
    };
    const struct settlement settlement = {.recipients = said,
                                          .count = 3,
                                          .relay = STR("main"),
                                          .rest = SETTLE_REST_RETRY,
                                          .at_ms = START_MS,
                                          .next_attempt_ms = START_MS + 10,
                                          .note = STR("the relay was busy")};
    spool_settle(s->spool, claim, &settlement, NULL, NULL);
    spooled_rest(s);
    struct spool_status *status = spooled_find(s, &id, "app");
    assert_int_equal(status->state, JOB_DEFERRED);
    assert_int_equal(status->attempts, 1);
    assert_int_equal(status->next_attempt_ms, START_MS + 10);
    assert_int_equal(status->settled_ms, 0);
    assert_string_equal(status->note, "the relay was busy");
    assert_int_equal(status->recipient_count, 4);
    assert_string_equal(status->recipients[0].address, "to@example.org");
    assert_int_equal(status->recipients[0].attempts, 0);
    assert_null(status->recipients[0].reply);
    assert_null(status->recipients[0].relay);
    assert_int_equal(status->recipients[2].attempts, 1);
    assert_string_equal(status->recipients[2].reply, "550 no such user");
    assert_string_equal(status->recipients[3].reply, "450 later");
    assert_string_equal(status->recipients[3].relay, "main");
    spool_status_destroy(status);

    spooled_tick(s, 10);
    claim = spooled_claim(s, LANE_NORMAL);
    assert_int_equal(claim->attempt, 2);
    assert_int_equal(claim->pending_count, 2);
    assert_int_equal(claim->pending[0], 0);
    assert_int_equal(claim->pending[1], 3);
    assert_int_equal(
        spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0)
            .state,
        JOB_FAILED);
    status = spooled_find(s, &id, "app");
    assert_int_equal(status->attempts, 2);
    assert_int_equal(status->settled_ms, START_MS + 10);
    assert_int_equal(status->next_attempt_ms, 0);
    assert_int_equal(status->recipients[3].attempts, 2);
    assert_string_equal(status->recipients[3].reply, "250 the relay's words");
    assert_null(status->note);
    spool_status_destroy(status);
}

static void long_and_odd_words_are_cut(void **state)
{
    struct spooled *s = *state;
    static char words[SPOOL_TEXT_MAX + 100];
    struct id id = spooled_put_one(s);
    memset(words, 'w', sizeof(words));
    spool_release(s->spool, spooled_claim(s, LANE_NORMAL), 0, STR(""),
                  str_of(words, sizeof(words)));
    spooled_rest(s);
    struct spool_status *status = spooled_find(s, &id, NULL);
    assert_int_equal(strlen(status->note), SPOOL_TEXT_MAX);
    spool_status_destroy(status);
    words[10] = '\0';
    const struct settle_recipient said = {
        0, RECIPIENT_FAILED, str_of(words + 20, sizeof(words) - 20)};
    const struct settlement settlement = {
        .recipients = &said, .count = 1, .note = str_of(words, sizeof(words))};
    spool_settle(s->spool, spooled_claim(s, LANE_NORMAL), &settlement, NULL,
                 NULL);
    spooled_rest(s);
    status = spooled_find(s, &id, NULL);
    assert_int_equal(strlen(status->recipients[0].reply), SPOOL_TEXT_MAX);
    assert_string_equal(status->note, "wwwwwwwwww");
    spool_status_destroy(status);
}

static void the_body_goes_when_the_job_is_settled(void **state)
{
    struct spooled *s = *state;
    (void)spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    struct job *job = job_ref(claim->job);
    assert_non_null(job->body);
    (void)spooled_settle(s, claim, RECIPIENT_DEFERRED, SETTLE_REST_RETRY, 0);
    assert_non_null(job->body);
    spooled_deliver(s, LANE_NORMAL);
    assert_null(job->body);
    job_unref(job);
}

/* ---- release ---- */

static void a_released_job_keeps_its_place(void **state)
{
    struct spooled *s = *state;
    struct id first = spooled_put_one(s);
    struct id second = spooled_put_one(s);
    struct id third = spooled_put_one(s);
    struct claim *one = spooled_claim(s, LANE_NORMAL);
    struct claim *two = spooled_claim(s, LANE_NORMAL);
    assert_int_equal(spooled_stats(s).active, 2);
    spool_release(s->spool, two, 0, STR(""), STR(""));
    spooled_rest(s);
    spool_release(s->spool, one, START_MS, STR(""), STR(""));
    spooled_rest(s);
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.active, 0);
    assert_int_equal(n.waiting, 3);
    spooled_tick(s, 5);
    one = spooled_claim(s, LANE_NORMAL);
    assert_string_equal(one->job->id.text, first.text);
    assert_int_equal(one->attempt, 1); /* releasing counts none */
    spool_release(s->spool, one, 0, STR(""), STR(""));
    spooled_rest(s);
    claim_is(s, LANE_NORMAL, &first);
    claim_is(s, LANE_NORMAL, &second);
    claim_is(s, LANE_NORMAL, &third);
}

static void a_job_released_for_later_waits(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim));
    spool_release(s->spool, claim, START_MS + 500, STR(""),
                  STR("no relay is up"));
    spooled_rest(s);
    struct spool_status *status = spooled_find(s, &id, NULL);
    assert_int_equal(status->state, JOB_QUEUED);
    assert_int_equal(status->attempts, 0);
    assert_int_equal(status->next_attempt_ms, START_MS + 500);
    assert_string_equal(status->note, "no relay is up");
    spool_status_destroy(status);
    assert_int_equal(spooled_next_due(s, LANE_NORMAL), START_MS + 500);
    spooled_tick(s, 500);
    claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim)); /* open again */
    spool_release(s->spool, claim, 0, STR(""), STR(""));
    spooled_rest(s);
    status = spooled_find(s, &id, NULL);
    assert_string_equal(status->note, "no relay is up");
    spool_status_destroy(status);
    claim_is(s, LANE_NORMAL, &id);
}

/* ---- find ---- */

static void a_client_finds_its_own_jobs_only(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    struct id unknown;
    id_new(&unknown, START_MS);
    struct spool_status *status = spooled_find(s, &id, "app");
    assert_non_null(status);
    assert_string_equal(status->job->id.text, id.text);
    spool_status_destroy(status);
    assert_null(spooled_find(s, &id, "another"));
    assert_null(spooled_find(s, &unknown, NULL));
    assert_false(spooled_cancel(s, &id, "another", NULL));
    assert_int_equal(spooled_state(s, &id), JOB_QUEUED);
    spool_status_destroy(NULL);
}

static void a_job_is_active_from_start_to_settlement(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_int_equal(spooled_state(s, &id), JOB_QUEUED);
    assert_true(claim_start(claim));
    assert_int_equal(spooled_state(s, &id), JOB_ACTIVE);
    struct spool_status *status = spooled_find(s, &id, NULL);
    assert_int_equal(status->next_attempt_ms, 0);
    spool_status_destroy(status);
    (void)spooled_settle(s, claim, RECIPIENT_DEFERRED, SETTLE_REST_RETRY, 0);
    assert_int_equal(spooled_state(s, &id), JOB_DEFERRED);
    claim_is(s, LANE_NORMAL, &id);
}

/* ---- cancel ---- */

static void a_waiting_job_can_be_cancelled_once(void **state)
{
    struct spooled *s = *state;
    enum job_state after;
    struct id id = spooled_put_one(s);
    assert_true(spooled_cancel(s, &id, "app", &after));
    assert_int_equal(after, JOB_CANCELLED);
    assert_false(spooled_cancel(s, &id, "app", &after));
    assert_int_equal(after, JOB_CANCELLED);
    assert_null(spooled_claim(s, LANE_NORMAL));
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.cancelled, 1);
    assert_int_equal(n.bytes, 0);
    struct id unknown;
    id_new(&unknown, START_MS);
    assert_false(spooled_cancel(s, &unknown, NULL, &after));
    assert_int_equal(after, JOB_STATE_COUNT);
}

static void a_claimed_job_is_cancelled_through_its_gate(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(spooled_cancel(s, &id, "app", NULL));
    assert_int_equal(spooled_state(s, &id), JOB_CANCELLED);
    assert_int_equal(spooled_stats(s).active, 0);
    assert_false(claim_start(claim));
    assert_true(claim_size_bytes(claim) > 100); /* whole until it is back */
    spool_release(s->spool, claim, 0, STR(""), STR("not cancelled"));
    spooled_rest(s);
    assert_int_equal(spooled_state(s, &id), JOB_CANCELLED);
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_int_equal(spooled_stats(s).cancelled, 1);
}

static void a_started_job_cannot_be_cancelled(void **state)
{
    struct spooled *s = *state;
    enum job_state after;
    struct id id = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim));
    assert_false(spooled_cancel(s, &id, "app", &after));
    assert_int_equal(after, JOB_ACTIVE);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    assert_false(spooled_cancel(s, &id, "app", &after));
    assert_int_equal(after, JOB_DELIVERED);
}

static void settling_a_cancelled_job_changes_nothing(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(spooled_cancel(s, &id, "app", NULL));
    assert_int_equal(
        spooled_settle(s, claim, RECIPIENT_DEFERRED, SETTLE_REST_EXPIRE, 0)
            .state,
        JOB_CANCELLED);
    struct spool_status *status = spooled_find(s, &id, NULL);
    assert_int_equal(status->attempts, 0);
    assert_int_equal(status->recipients[0].state, RECIPIENT_PENDING);
    spool_status_destroy(status);
}

static void a_held_job_waits_for_a_person(void **state)
{
    struct spooled *s = *state;
    struct job *job = a_job(s, 1);
    job->expires_at_ms = START_MS + 10;
    struct id id = spooled_put(s, job);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_int_equal(
        spooled_settle(s, claim, RECIPIENT_UNKNOWN, SETTLE_REST_HOLD, 0).state,
        JOB_HELD);
    spooled_tick(s, 100);
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_int_equal(spooled_expire(s, 10).count, 0);
    assert_int_equal(spooled_stats(s).held, 1);
    assert_true(spooled_stats(s).bytes > 0);
    assert_true(spooled_cancel(s, &id, "app", NULL));
    assert_int_equal(spooled_stats(s).held, 0);
}

#define SPOOL_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, open_spool, close_spool)

int main(int argc, char **argv)
{
    spools_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(options_out_of_range_are_refused),
        SPOOL_TEST(lanes_are_routes_and_priorities),
        SPOOL_TEST(jobs_are_claimed_in_order_of_time_due),
        SPOOL_TEST(a_claim_takes_up_to_its_limit),
        SPOOL_TEST(on_due_tells_of_earlier_times_only),
        SPOOL_TEST(a_deferred_job_announces_its_next_attempt),
        cmocka_unit_test(a_full_spool_refuses_until_there_is_room),
        cmocka_unit_test(bytes_are_limited_and_room_is_for_what_was_refused),
        cmocka_unit_test(a_job_larger_than_the_spool_is_an_error),
        SPOOL_TEST(the_jobs_state_follows_its_recipients),
        SPOOL_TEST(only_what_is_left_is_claimed_again),
        SPOOL_TEST(long_and_odd_words_are_cut),
        SPOOL_TEST(the_body_goes_when_the_job_is_settled),
        SPOOL_TEST(a_released_job_keeps_its_place),
        SPOOL_TEST(a_job_released_for_later_waits),
        SPOOL_TEST(a_client_finds_its_own_jobs_only),
        SPOOL_TEST(a_job_is_active_from_start_to_settlement),
        SPOOL_TEST(a_waiting_job_can_be_cancelled_once),
        SPOOL_TEST(a_claimed_job_is_cancelled_through_its_gate),
        SPOOL_TEST(a_started_job_cannot_be_cancelled),
        SPOOL_TEST(settling_a_cancelled_job_changes_nothing),
        SPOOL_TEST(a_held_job_waits_for_a_person),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
