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

/* ---- expiry ---- */

static struct id put_until(struct spooled *s, int64_t expires_at_ms,
                           int64_t give_up_at_ms)
{
    struct job *job = a_job(s, 1);
    job->expires_at_ms = expires_at_ms;
    job->give_up_at_ms = give_up_at_ms;
    return spooled_put(s, job);
}

static void jobs_expire_and_are_given_up(void **state)
{
    static const struct {
        int64_t expires_ms;
        int64_t give_up_ms;
        int64_t at_ms; /* when it happens; 0: never */
        enum job_state expected;
    } table[] = {
        {100, 0, 100, JOB_EXPIRED},   {0, 100, 100, JOB_FAILED},
        {100, 200, 100, JOB_EXPIRED}, {200, 100, 100, JOB_FAILED},
        {100, 100, 100, JOB_EXPIRED}, {0, 0, 0, JOB_QUEUED},
        {DAY_MS, 0, 0, JOB_QUEUED},
    };
    struct spooled *s = *state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        int64_t now_ms = atomic_load(&s->fake.now_ms);
        struct id id = put_until(
            s, table[i].expires_ms == 0 ? 0 : now_ms + table[i].expires_ms,
            table[i].give_up_ms == 0 ? 0 : now_ms + table[i].give_up_ms);
        assert_int_equal(spooled_expire(s, 10).count, 0);
        spooled_tick(s, 99);
        assert_int_equal(spooled_expire(s, 10).count, 0);
        spooled_tick(s, 1);
        struct expired expired = spooled_expire(s, 10);
        assert_int_equal(expired.count, table[i].at_ms == 0 ? 0 : 1);
        assert_int_equal(spooled_state(s, &id), table[i].expected);
        if (expired.count == 1) {
            assert_string_equal(expired.jobs[0].id.text, id.text);
            assert_int_equal(expired.jobs[0].state, table[i].expected);
            struct spool_status *status = spooled_find(s, &id, NULL);
            assert_int_equal(status->recipients[0].state, RECIPIENT_FAILED);
            assert_int_equal(status->settled_ms, now_ms + 100);
            assert_non_null(status->note);
            spool_status_destroy(status);
        }
        (void)spooled_cancel(s, &id, NULL, NULL);
        (void)spooled_stats(s);
    }
}

static void expire_says_when_to_come_again(void **state)
{
    struct spooled *s = *state;
    assert_int_equal(spooled_expire(s, 10).next_ms, SPOOL_NEVER);
    (void)put_until(s, START_MS + 20, START_MS + 30);
    (void)put_until(s, 0, START_MS + 10);
    (void)put_until(s, START_MS + 10, 0);
    (void)put_until(s, 0, 0);
    assert_int_equal(spooled_expire(s, 10).next_ms, START_MS + 10);
    spooled_tick(s, 10);
    struct expired expired = spooled_expire(s, 1);
    assert_int_equal(expired.count, 1);
    assert_int_equal(expired.next_ms, START_MS + 10);
    expired = spooled_expire(s, 10);
    assert_int_equal(expired.count, 1);
    assert_int_equal(expired.next_ms, START_MS + 20);
    assert_int_equal(spooled_stats(s).waiting, 2);
}

static void many_expire_at_once(void **state)
{
    struct spooled *s = *state;
    for (unsigned i = 0; i < 250; i++)
        (void)put_until(s, START_MS + 10, 0);
    spooled_tick(s, 10);
    assert_int_equal(spooled_expire(s, 200).count, 200);
    assert_int_equal(spooled_expire(s, 200).count, 50);
    assert_int_equal(spooled_stats(s).expired, 250);
}

static void what_is_past_its_time_is_not_claimed(void **state)
{
    struct spooled *s = *state;
    struct id id = put_until(s, START_MS + 10, 0);
    struct id good = spooled_put_one(s);
    spooled_tick(s, 10);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_non_null(claim);
    assert_string_equal(claim->job->id.text, good.text);
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_int_equal(spooled_stats(s).waiting, 1);
    assert_int_equal(spooled_expire(s, 10).count, 1);
    assert_int_equal(spooled_state(s, &id), JOB_EXPIRED);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
}

static void a_claimed_job_is_left_to_its_settlement(void **state)
{
    struct spooled *s = *state;
    struct id released = put_until(s, START_MS + 10, 0);
    struct id deferred = put_until(s, 0, START_MS + 10);
    struct id delivered = put_until(s, START_MS + 10, 0);
    struct claim *one = spooled_claim(s, LANE_NORMAL);
    struct claim *two = spooled_claim(s, LANE_NORMAL);
    struct claim *three = spooled_claim(s, LANE_NORMAL);
    spooled_tick(s, 50);
    assert_int_equal(spooled_expire(s, 10).count, 0);
    spool_release(s->spool, one, 0, STR(""), STR(""));
    spooled_rest(s);
    (void)spooled_settle(s, two, RECIPIENT_DEFERRED, SETTLE_REST_RETRY,
                         START_MS + 60);
    (void)spooled_settle(s, three, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    struct expired expired = spooled_expire(s, 10);
    assert_int_equal(expired.count, 2);
    assert_int_equal(expired.next_ms, SPOOL_NEVER);
    assert_int_equal(spooled_state(s, &released), JOB_EXPIRED);
    assert_int_equal(spooled_state(s, &deferred), JOB_FAILED);
    assert_int_equal(spooled_state(s, &delivered), JOB_DELIVERED);
}

/* ---- history ---- */

static void three_remembered(struct spool_options *o)
{
    o->history_max_jobs = 3;
}

static void none_remembered(struct spool_options *o)
{
    o->history_max_jobs = 0;
}

static void the_oldest_settled_job_is_forgotten_first(void **state)
{
    struct spooled s;
    struct id ids[5];
    (void)state;
    spooled_open(&s, three_remembered);
    for (unsigned i = 0; i < 5; i++)
        ids[i] = spooled_put_one(&s);
    assert_true(spooled_cancel(&s, &ids[4], NULL, NULL));
    spooled_tick(&s, 1);
    for (unsigned i = 0; i < 3; i++)
        spooled_deliver(&s, LANE_NORMAL);
    assert_int_equal(spooled_state(&s, &ids[4]), JOB_STATE_COUNT);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(spooled_state(&s, &ids[i]), JOB_DELIVERED);
    assert_int_equal(spooled_state(&s, &ids[3]), JOB_QUEUED);
    spooled_deliver(&s, LANE_NORMAL);
    assert_int_equal(spooled_state(&s, &ids[0]), JOB_STATE_COUNT);
    struct spool_stats n = spooled_stats(&s);
    assert_int_equal(n.remembered, 3);
    assert_int_equal(n.delivered, 4); /* the ledger forgets nothing */
    assert_int_equal(n.cancelled, 1);
    spooled_close(&s);
}

static void settled_jobs_are_forgotten_in_time(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    spooled_deliver(s, LANE_NORMAL);
    spooled_tick(s, DAY_MS - 1);
    assert_int_equal(spooled_state(s, &id), JOB_DELIVERED);
    spooled_tick(s, 1);
    assert_int_equal(spooled_state(s, &id), JOB_STATE_COUNT);
    assert_int_equal(spooled_stats(s).remembered, 0);
    assert_int_equal(spooled_stats(s).delivered, 1);
}

static void a_claim_outlives_its_forgotten_job(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, none_remembered);
    struct id id = spooled_put_one(&s);
    struct claim *claim = spooled_claim(&s, LANE_NORMAL);
    assert_true(spooled_cancel(&s, &id, NULL, NULL));
    assert_int_equal(spooled_state(&s, &id), JOB_STATE_COUNT);
    assert_string_equal(claim->job->id.text, id.text);
    assert_true(claim_size_bytes(claim) > 100);
    assert_false(claim_start(claim));
    spool_release(s.spool, claim, 0, STR(""), STR(""));
    spooled_rest(&s);
    spooled_close(&s);
}

/* ---- idempotency keys ---- */

static struct job *keyed(struct spooled *s, const char *client, const char *key,
                         unsigned char digest)
{
    struct job *job = a_job(s, 1);
    mem_free(job->client);
    job->client = mem_strdup(str_from(client));
    job->key = mem_strdup(str_from(key));
    memset(job->digest, digest, sizeof(job->digest));
    return job;
}

static void answers(struct spooled *s, struct job *job,
                    enum spool_answer expected, const struct id *id,
                    enum job_state state)
{
    struct spool_accepted accepted = spooled_accept(s, job);
    assert_int_equal(accepted.answer, expected);
    assert_string_equal(accepted.id.text, id->text);
    assert_int_equal(accepted.state, state);
}

static void the_same_key_gives_the_first_jobs_id(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put(s, keyed(s, "app", "k", 1));
    answers(s, keyed(s, "app", "k", 1), SPOOL_DUPLICATE, &id, JOB_QUEUED);
    answers(s, keyed(s, "app", "k", 2), SPOOL_KEY_CONFLICT, &id, JOB_QUEUED);
    (void)spooled_put(s, keyed(s, "another", "k", 1));
    (void)spooled_put(s, keyed(s, "app", "k2", 1));
    (void)spooled_put(s, keyed(s, "ap", "pk", 1));
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.accepted, 4);
    assert_int_equal(n.keys, 4);
    spooled_deliver(s, LANE_NORMAL);
    answers(s, keyed(s, "app", "k", 1), SPOOL_DUPLICATE, &id, JOB_DELIVERED);
    assert_int_equal(spooled_stats(s).keys, 4);
}

static void one_job(struct spool_options *o)
{
    o->max_jobs = 1;
    o->history_max_jobs = 0;
}

static void a_full_spool_knows_its_duplicates(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, one_job);
    struct id id = spooled_put(&s, keyed(&s, "app", "k", 1));
    assert_int_equal(spooled_accept(&s, keyed(&s, "app", "j", 1)).answer,
                     SPOOL_FULL);
    assert_int_equal(spooled_stats(&s).keys, 1); /* the refused left none */
    answers(&s, keyed(&s, "app", "k", 1), SPOOL_DUPLICATE, &id, JOB_QUEUED);
    spooled_deliver(&s, LANE_NORMAL);
    /* The key remembers what the history does not. */
    assert_int_equal(spooled_state(&s, &id), JOB_STATE_COUNT);
    answers(&s, keyed(&s, "app", "k", 1), SPOOL_DUPLICATE, &id, JOB_DELIVERED);
    spooled_close(&s);
}

static void a_key_ends_with_its_window(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put(s, keyed(s, "app", "k", 1));
    spooled_deliver(s, LANE_NORMAL);
    spooled_tick(s, DAY_MS - 1);
    answers(s, keyed(s, "app", "k", 1), SPOOL_DUPLICATE, &id, JOB_DELIVERED);
    spooled_tick(s, 1);
    struct id again = spooled_put(s, keyed(s, "app", "k", 2));
    assert_int_equal(spooled_stats(s).keys, 1);
    /* This one still waits when its window is over. */
    spooled_tick(s, 2 * DAY_MS);
    answers(s, keyed(s, "app", "k", 2), SPOOL_DUPLICATE, &again, JOB_QUEUED);
    spooled_deliver(s, LANE_NORMAL);
    (void)spooled_put(s, keyed(s, "app", "k", 3));
}

static void three_keys(struct spool_options *o)
{
    o->key_max = 3;
}

static void the_oldest_key_of_a_settled_job_gives_way(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, three_keys);
    struct id waits = spooled_put(&s, keyed(&s, "app", "waits", 1));
    struct claim *claim = spooled_claim(&s, LANE_NORMAL);
    spooled_tick(&s, 1);
    (void)spooled_put(&s, keyed(&s, "app", "old", 1));
    spooled_tick(&s, 1);
    struct id young = spooled_put(&s, keyed(&s, "app", "young", 1));
    struct claim *old = spooled_claim(&s, LANE_NORMAL);
    spooled_deliver(&s, LANE_NORMAL); /* young is settled before old */
    (void)spooled_settle(&s, old, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    spooled_tick(&s, 1);
    (void)spooled_put(&s, keyed(&s, "app", "new", 1));
    assert_int_equal(spooled_stats(&s).keys, 3);
    answers(&s, keyed(&s, "app", "young", 1), SPOOL_DUPLICATE, &young,
            JOB_DELIVERED);
    answers(&s, keyed(&s, "app", "waits", 1), SPOOL_DUPLICATE, &waits,
            JOB_QUEUED);
    (void)spooled_put(&s, keyed(&s, "app", "old", 1)); /* instead of young */
    /* All wait now: keys of waiting jobs are never dropped. */
    (void)spooled_put(&s, keyed(&s, "app", "more", 1));
    assert_int_equal(spooled_stats(&s).keys, 4);
    answers(&s, keyed(&s, "app", "waits", 1), SPOOL_DUPLICATE, &waits,
            JOB_QUEUED);
    spool_release(s.spool, claim, 0, STR(""), STR(""));
    spooled_rest(&s);
    spooled_close(&s);
}

/* ---- watch ---- */

struct told {
    unsigned calls;
    enum job_state state;
};

static void tell(void *ctx, struct spool_status *status, bool cancelled,
                 const struct err *err)
{
    struct told *told = ctx;
    (void)err;
    assert_false(cancelled);
    told->calls++;
    told->state = status == NULL ? JOB_STATE_COUNT : status->state;
    spool_status_destroy(status);
}

static void watchers_are_told_once_when_it_is_settled(void **state)
{
    struct spooled *s = *state;
    struct spool_watch watches[3];
    struct told told[3] = {{0}};
    struct id id = spooled_put_one(s);
    for (unsigned i = 0; i < 3; i++)
        spool_watch(s->spool, &id, "app", &watches[i], tell, &told[i]);
    spooled_rest(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    (void)spooled_settle(s, claim, RECIPIENT_DEFERRED, SETTLE_REST_RETRY, 0);
    assert_int_equal(told[0].calls, 0);
    assert_true(spool_unwatch(s->spool, &watches[1]));
    assert_false(spool_unwatch(s->spool, &watches[1]));
    spooled_deliver(s, LANE_NORMAL);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(told[i].calls, i == 1 ? 0 : 1);
    assert_int_equal(told[2].state, JOB_DELIVERED);
    assert_false(spool_unwatch(s->spool, &watches[0]));
}

static void a_watch_ends_with_every_end_and_when_held(void **state)
{
    static const enum job_state ends[] = {JOB_DELIVERED, JOB_FAILED,
                                          JOB_EXPIRED, JOB_CANCELLED, JOB_HELD};
    struct spooled *s = *state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct spool_watch watch;
        struct told told = {0};
        struct job *job = a_job(s, 1);
        job->expires_at_ms = atomic_load(&s->fake.now_ms) + 10;
        struct id id = spooled_put(s, job);
        spool_watch(s->spool, &id, NULL, &watch, tell, &told);
        spooled_rest(s);
        struct claim *claim = NULL;
        if (ends[i] == JOB_CANCELLED) {
            assert_true(spooled_cancel(s, &id, NULL, NULL));
        } else if (ends[i] == JOB_EXPIRED) {
            spooled_tick(s, 10);
            assert_int_equal(spooled_expire(s, 1).count, 1);
        } else {
            claim = spooled_claim(s, LANE_NORMAL);
            (void)spooled_settle(s, claim,
                                 ends[i] == JOB_DELIVERED ? RECIPIENT_DELIVERED
                                 : ends[i] == JOB_FAILED  ? RECIPIENT_FAILED
                                                          : RECIPIENT_UNKNOWN,
                                 SETTLE_REST_HOLD, 0);
        }
        assert_int_equal(told.calls, 1);
        assert_int_equal(told.state, ends[i]);
        /* And at once for who comes later. */
        spool_watch(s->spool, &id, "app", &watch, tell, &told);
        spooled_rest(s);
        assert_int_equal(told.calls, 2);
        assert_int_equal(told.state, ends[i]);
        assert_false(spool_unwatch(s->spool, &watch));
    }
}

static void watching_what_is_not_there_is_answered_at_once(void **state)
{
    struct spooled *s = *state;
    struct spool_watch watch;
    struct told told = {0};
    struct id id = spooled_put_one(s);
    spool_watch(s->spool, &id, "another", &watch, tell, &told);
    spooled_rest(s);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.state, JOB_STATE_COUNT);
    assert_false(spool_unwatch(s->spool, &watch));
}

static void a_watcher_hears_of_a_job_that_is_forgotten_at_once(void **state)
{
    struct spooled s;
    struct spool_watch watch;
    struct told told = {0};
    (void)state;
    spooled_open(&s, none_remembered);
    struct id id = spooled_put_one(&s);
    spool_watch(s.spool, &id, NULL, &watch, tell, &told);
    spooled_rest(&s);
    spooled_deliver(&s, LANE_NORMAL);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.state, JOB_DELIVERED);
    assert_int_equal(spooled_state(&s, &id), JOB_STATE_COUNT);
    spooled_close(&s);
}

#define SPOOL_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, open_spool, close_spool)

int main(int argc, char **argv)
{
    spools_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(jobs_expire_and_are_given_up),
        SPOOL_TEST(expire_says_when_to_come_again),
        SPOOL_TEST(many_expire_at_once),
        SPOOL_TEST(what_is_past_its_time_is_not_claimed),
        SPOOL_TEST(a_claimed_job_is_left_to_its_settlement),
        cmocka_unit_test(the_oldest_settled_job_is_forgotten_first),
        SPOOL_TEST(settled_jobs_are_forgotten_in_time),
        cmocka_unit_test(a_claim_outlives_its_forgotten_job),
        SPOOL_TEST(the_same_key_gives_the_first_jobs_id),
        cmocka_unit_test(a_full_spool_knows_its_duplicates),
        SPOOL_TEST(a_key_ends_with_its_window),
        cmocka_unit_test(the_oldest_key_of_a_settled_job_gives_way),
        SPOOL_TEST(watchers_are_told_once_when_it_is_settled),
        SPOOL_TEST(a_watch_ends_with_every_end_and_when_held),
        SPOOL_TEST(watching_what_is_not_there_is_answered_at_once),
        cmocka_unit_test(a_watcher_hears_of_a_job_that_is_forgotten_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
