#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/queue/disks.h"

/*
 * The durable spool on a disk that fails: nothing that was told is untrue, and
 * what has happened is recorded once the disk works again.
 */

/* ---- commits that fail ---- */

static void an_accept_that_is_not_on_the_disk_is_an_error(void **state)
{
    static const enum err_code codes[] = {ERR_FULL, ERR_SYSTEM};
    struct spooled *s = *state;
    for (unsigned i = 0; i < 2; i++) {
        struct job *job = a_job(s, 1);
        struct id id = job->id;
        fail_commits(UINT32_MAX);
        disk_fails_with(codes[i]);
        struct spool_accepted accepted = spooled_accept(s, job);
        assert_int_equal(accepted.answer, SPOOL_ERROR);
        assert_int_equal(accepted.err.code, codes[i]);
        assert_string_equal(accepted.err.text, "the disk does not take it");
        assert_int_equal(spooled_state(s, &id), JOB_STATE_COUNT);
        struct spool_stats n = spooled_stats(s);
        assert_int_equal(n.accepted, 2 * i);
        assert_string_equal(n.disk_error, "the disk does not take it");
        fail_commits(0);
        (void)spooled_put_one(s);
        (void)spooled_put_one(s);
        assert_string_equal(spooled_stats(s).disk_error, "");
    }
}

static void a_refused_accept_leaves_no_key(void **state)
{
    struct spooled *s = *state;
    struct job *job = a_job(s, 1);
    job->key = mem_strdup(STR("k"));
    struct job *again = a_job(s, 1);
    again->key = mem_strdup(STR("k"));
    fail_commits(1);
    assert_int_equal(spooled_accept(s, job).answer, SPOOL_ERROR);
    (void)spooled_put(s, again);
    assert_int_equal(spooled_stats(s).keys, 1);
}

static void a_settlement_is_kept_until_the_disk_takes_it(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim));
    fail_commits(UINT32_MAX);
    struct spool_settled settled =
        spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    assert_int_equal(settled.state, JOB_DELIVERED);
    assert_int_equal(settled.err.code, ERR_FULL);
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.unrecorded, 1);
    assert_int_equal(n.active, 1);
    assert_int_equal(n.delivered, 0);
    assert_int_equal(spooled_state(s, &id), JOB_ACTIVE);
    assert_false(spooled_cancel(s, &id, NULL, NULL));
    assert_null(spooled_claim(s, LANE_NORMAL));
    fail_commits(0);
    wait_recorded(s); /* by itself */
    n = spooled_stats(s);
    assert_int_equal(n.active, 0);
    assert_int_equal(n.delivered, 1);
    assert_string_equal(n.disk_error, "");
    assert_int_equal(spooled_state(s, &id), JOB_DELIVERED);
    disk_reopen(s);
    assert_int_equal(spooled_state(s, &id), JOB_DELIVERED);
    assert_null(spooled_claim(s, LANE_NORMAL));
}

static bool soon(atomic_uint *number, unsigned is)
{
    for (unsigned i = 0; i < 2000 && atomic_load(number) != is; i++)
        (void)poll(NULL, 0, 10);
    return atomic_load(number) == is;
}

static void on_marked(void *ctx, const struct err *err)
{
    assert_int_equal(err->code, ERR_FULL);
    waiter_done(ctx);
}

static void an_outage_is_told_once_and_so_is_its_end(void **state)
{
    struct spooled *s = *state;
    (void)spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim));
    fail_commits(4); /* the settlement, and when it is tried again */
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    assert_true(soon(&s->outages, 1));
    wait_recorded(s);
    assert_true(soon(&s->ends, 1)); /* though nobody asks for anything */
    assert_int_equal(atomic_load(&s->outages), 1);
    /* One that fails now and then has one outage, or few on a slow machine. */
    for (unsigned i = 0; i < 50; i++) {
        fail_commits(1);
        assert_int_equal(spooled_accept(s, a_job(s, 1)).answer, SPOOL_ERROR);
        (void)spooled_put_one(s);
        (void)spooled_put_one(s);
    }
    assert_in_range(atomic_load(&s->outages), 2, 10);
}

static void a_mark_that_fails_is_an_outage(void **state)
{
    struct spooled *s = *state;
    (void)spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    struct waiter marked;
    assert_true(claim_start(claim));
    fail_commits(1);
    waiter_init(&marked);
    spool_mark(s->spool, claim, STR("main"), on_marked, &marked);
    waiter_wait(&marked);
    waiter_fini(&marked);
    assert_int_equal(atomic_load(&s->outages), 1);
    spool_release(s->spool, claim, 0, STR(""), STR(""));
}

static void unrecorded_settlements_keep_their_order(void **state)
{
    struct spooled *s = *state;
    struct id ids[3];
    struct claim *claims[3];
    for (unsigned i = 0; i < 3; i++)
        ids[i] = spooled_put_one(s);
    for (unsigned i = 0; i < 3; i++)
        claims[i] = spooled_claim(s, LANE_NORMAL);
    fail_commits(UINT32_MAX);
    (void)spooled_settle(s, claims[0], RECIPIENT_DEFERRED, SETTLE_REST_RETRY,
                         START_MS);
    spool_release(s->spool, claims[1], START_MS, STR(""),
                  STR("why it is back"));
    (void)spooled_settle(s, claims[2], RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);
    assert_int_equal(spooled_stats(s).unrecorded, 3);
    assert_int_equal(spooled_accept(s, a_job(s, 1)).answer, SPOOL_ERROR);
    /* Not back yet, as far as anybody may rely on. */
    assert_null(spooled_claim(s, LANE_NORMAL));
    fail_commits(0);
    wait_recorded(s);
    assert_int_equal(spooled_state(s, &ids[0]), JOB_DEFERRED);
    assert_int_equal(spooled_state(s, &ids[2]), JOB_FAILED);
    struct spool_status *status = spooled_find(s, &ids[1], NULL);
    assert_string_equal(status->note, "why it is back");
    spool_status_destroy(status);
    for (unsigned i = 0; i < 2; i++) {
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        assert_string_equal(claim->job->id.text, ids[i].text);
        assert_int_equal(claim->attempt, 2 - i);
        (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                             0);
    }
}

static void a_release_that_changes_nothing_needs_no_disk(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    int64_t commits = spooled_stats(s).commits;
    for (unsigned i = 0; i < 5; i++) {
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        fail_commits(1);
        assert_true(claim_start(claim));
        spool_release(s->spool, claim, 0, STR(""), STR(""));
        assert_int_equal(spooled_stats(s).unrecorded, 0);
        assert_int_equal(spooled_state(s, &id), JOB_QUEUED);
        fail_commits(0);
    }
    assert_int_equal(spooled_stats(s).commits, commits);
}

static void what_a_person_asks_is_done_or_it_is_as_it_was(void **state)
{
    struct spooled *s = *state;
    bool changed;
    struct id waits = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    fail_commits(1);
    enum job_state shown = JOB_STATE_COUNT;
    assert_false(spooled_cancel(s, &waits, NULL, &shown));
    assert_int_equal(shown, JOB_QUEUED);
    assert_int_equal(s->err.code, ERR_FULL);
    assert_string_equal(s->err.text, "the disk does not take it");
    assert_int_equal(spooled_stats(s).active, 1);
    assert_true(claim_start(claim)); /* the gate is open again */
    (void)spooled_settle(s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);

    fail_commits(1);
    struct spool_status *status = spooled_ask(s, spool_retry, &waits, &changed);
    assert_false(changed);
    assert_int_equal(s->err.code, ERR_FULL);
    assert_int_equal(status->state, JOB_FAILED);
    spool_status_destroy(status);
    assert_null(spooled_claim(s, LANE_NORMAL));

    fail_commits(1);
    status = spooled_ask(s, spool_drop, &waits, &changed);
    assert_false(changed);
    assert_int_equal(s->err.code, ERR_FULL);
    assert_int_equal(status->state, JOB_FAILED);
    spool_status_destroy(status);
    assert_int_equal(spooled_stats(s).remembered, 1);
    assert_true(spooled_retry(s, &waits));
    assert_int_equal(s->err.code, ERR_NONE);
    spooled_deliver(s, LANE_NORMAL);
}

static void what_cannot_be_read_is_not_said_to_be_missing(void **state)
{
    struct spooled *s = *state;
    struct spool_filter filter = {.limit = 10};
    struct id nobody;
    bool changed;
    id_new(&nobody, 1);
    struct id id; /* of one in the middle */
    for (unsigned i = 0; i < 300; i++) {
        struct id one = spooled_put_one(s);
        if (i == 150)
            id = one;
    }
    assert_null(spooled_find(s, &nobody, NULL));
    assert_int_equal(s->err.code, ERR_NONE);
    disk_reopen(s); /* nothing is in memory but what comes first */
    assert_int_equal(spooled_list(s, &filter).count, 10);
    assert_int_equal(truncate(s->path, 8192), 0);
    assert_null(spooled_find(s, &id, NULL));
    assert_int_not_equal(s->err.code, ERR_NONE);
    assert_true(strlen(s->err.text) > 0);
    assert_null(spooled_ask(s, spool_drop, &id, &changed));
    assert_int_not_equal(s->err.code, ERR_NONE);
    /* What was read is told, and that there is more. */
    filter.limit = 1000;
    struct listed l = spooled_list(s, &filter);
    assert_int_equal(s->err.code, ERR_NONE);
    assert_in_range(l.count, 10, 299);
    assert_true(l.more);
    filter.after = l.last;
    filter.has_after = true;
    assert_int_equal(spooled_list(s, &filter).count, 0);
    assert_int_not_equal(s->err.code, ERR_NONE);
}

static void jobs_expire_when_the_disk_works_again(void **state)
{
    struct spooled *s = *state;
    struct job *job = a_job(s, 1);
    job->expires_at_ms = START_MS + 5;
    struct id id = spooled_put(s, job);
    spooled_tick(s, 5);
    fail_commits(1);
    struct expired expired = spooled_expire(s, 10);
    assert_int_equal(expired.count, 0);
    assert_true(expired.next_ms > START_MS + 5); /* nobody spins */
    assert_int_equal(spooled_state(s, &id), JOB_QUEUED);
    assert_int_equal(spooled_expire(s, 10).count, 1);
    assert_int_equal(spooled_state(s, &id), JOB_EXPIRED);
}

/* ---- requests of one group ---- */

static void keep_accepted(void *ctx, const struct spool_accepted *accepted)
{
    struct spool_accepted *to = ctx;
    *to = *accepted;
}

static void keep_changed(void *ctx, struct spool_status *status, bool changed,
                         const struct err *err)
{
    (void)err;
    spool_status_destroy(status);
    *(bool *)ctx = changed;
}

static void a_claim_comes_back_in_the_group_that_cancels_it(void **state)
{
    struct spooled *s = *state;
    for (unsigned i = 0; i < 8; i++) {
        bool cancel_first = (i & 1) != 0;
        bool fails = (i & 2) != 0;
        bool has_note = (i & 4) != 0;
        struct gate gate;
        bool cancelled = false;
        struct id id = spooled_put_one(s);
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        hold_writer(s, &gate);
        fail_commits(fails ? 1 : 0);
        if (cancel_first)
            spool_cancel(s->spool, &id, NULL, keep_changed, &cancelled);
        spool_release(s->spool, claim, 0, STR(""),
                      has_note ? STR("note") : STR(""));
        if (!cancel_first)
            spool_cancel(s->spool, &id, NULL, keep_changed, &cancelled);
        let_writer_go(s, &gate);
        wait_recorded(s);
        assert_int_equal(cancelled, !fails);
        assert_int_equal(spooled_state(s, &id),
                         fails ? JOB_QUEUED : JOB_CANCELLED);
        assert_int_equal(spooled_stats(s).active, 0);
        if (fails) /* not lost, and not twice */
            spooled_deliver(s, LANE_NORMAL);
        assert_null(spooled_claim(s, LANE_NORMAL));
    }
}

static void the_same_key_twice_in_a_group_is_one_job(void **state)
{
    struct spooled *s = *state;
    struct gate gate;
    struct spool_accepted answers[2];
    hold_writer(s, &gate);
    for (unsigned i = 0; i < 2; i++) {
        struct job *job = a_job(s, 1);
        job->key = mem_strdup(STR("k"));
        spool_accept(s->spool, job, keep_accepted, &answers[i]);
        job_unref(job);
    }
    let_writer_go(s, &gate);
    assert_int_equal(answers[0].answer, SPOOL_ACCEPTED);
    assert_int_equal(answers[1].answer, SPOOL_DUPLICATE);
    assert_string_equal(answers[0].id.text, answers[1].id.text);
    spooled_deliver(s, LANE_NORMAL);
    assert_null(spooled_claim(s, LANE_NORMAL));
}

static void a_group_is_one_commit(void **state)
{
    struct spooled *s = *state;
    struct gate gate;
    struct spool_accepted answers[100];
    int64_t commits = spooled_stats(s).commits;
    hold_writer(s, &gate);
    for (unsigned i = 0; i < 100; i++) {
        struct job *job = a_job(s, 1);
        spool_accept(s->spool, job, keep_accepted, &answers[i]);
        job_unref(job);
    }
    let_writer_go(s, &gate);
    assert_int_equal(spooled_stats(s).commits, commits + 1);
    assert_int_equal(spooled_stats(s).waiting, 100);
}

/* ---- what is read from the disk again ---- */

static void claims_that_are_out_are_not_given_out_again(void **state)
{
    struct spooled *s = *state;
    struct id ids[6];
    struct claim *claims[6];
    spool_sqlite_of(s->spool)->window_jobs_max = 1;
    for (unsigned i = 0; i < 6; i++)
        ids[i] = spooled_put_one(s);
    for (unsigned i = 0; i < 6; i++)
        claims[i] = spooled_claim(s, LANE_NORMAL);
    /* The window is then shorter than what is out. */
    for (unsigned i = 0; i < 3; i++)
        spool_release(s->spool, claims[i], 0, STR(""), STR(""));
    for (unsigned i = 0; i < 3; i++) {
        claims[i] = spooled_claim(s, LANE_NORMAL);
        assert_string_equal(claims[i]->job->id.text, ids[i].text);
    }
    assert_null(spooled_claim(s, LANE_NORMAL));
    for (unsigned i = 0; i < 6; i++)
        (void)spooled_settle(s, claims[i], RECIPIENT_DELIVERED,
                             SETTLE_REST_RETRY, 0);
}

/* ---- a disk that is nearly full ---- */

static void a_part_of_the_disk_is_not_for_what_is_accepted(void **state)
{
    static const struct {
        int64_t free_bytes;
        bool large;
        enum spool_answer answer;
    } cases[] = {
        {100, false, SPOOL_ERROR},
        {1 << 20, false, SPOOL_ERROR},
        {(1 << 20) + LARGE / 2, false, SPOOL_ACCEPTED},
        {(1 << 20) + LARGE / 2, true, SPOOL_ERROR},
        {(1 << 20) + LARGE * 2, true, SPOOL_ACCEPTED},
    };
    struct spooled *s = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct id id = spooled_put_one(s);
        disk_has_free(cases[i].free_bytes);
        spool_sqlite_of(s->spool)->looks = true;
        struct job *job = cases[i].large ? large_job(s) : a_job(s, 1);
        struct id other = job->id;
        struct spool_accepted accepted = spooled_accept(s, job);
        bool is_in = cases[i].answer == SPOOL_ACCEPTED;
        assert_int_equal(accepted.answer, cases[i].answer);
        assert_int_equal(accepted.err.code, is_in ? ERR_NONE : ERR_FULL);
        assert_int_equal(spooled_state(s, &other),
                         is_in ? JOB_QUEUED : JOB_STATE_COUNT);
        /* All else goes on. */
        assert_true(spooled_cancel(s, &id, NULL, NULL));
        if (is_in)
            spooled_deliver(s, LANE_NORMAL);
        assert_string_equal(spooled_stats(s).disk_error, "");
        disk_has_free(INT64_MAX / 2);
        spool_sqlite_of(s->spool)->looks = true;
    }
}

/* ---- a disk that stays broken ---- */

enum { MANY = 200 }; /* more than is tried in one go */

static void many(struct spool_options *o)
{
    o->max_jobs = MANY + 1;
}

static void nothing_is_given_out_until_a_commit_works(void **state)
{
    struct spooled *s = *state;
    (void)spooled_put_one(s);
    (void)spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(spool_may_send(s->spool));
    fail_commits(UINT32_MAX);
    assert_int_equal(spooled_accept(s, a_job(s, 1)).answer, SPOOL_ERROR);
    assert_false(spool_may_send(s->spool));
    assert_null(spooled_claim(s, LANE_NORMAL));
    /* What was in the queue goes back, and stays. */
    spool_release(s->spool, claim, 0, STR(""), STR(""));
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_int_equal(spooled_next_due(s, LANE_NORMAL), SPOOL_NEVER);
    assert_int_equal(spooled_stats(s).unrecorded, 0);
    unsigned told = s->due_count;
    fail_commits(0);
    wait_recorded(s); /* though there is nothing to be written */
    spooled_rest(s);
    assert_int_equal(s->due_count, told + 1);
    assert_true(spool_may_send(s->spool));
    spooled_deliver(s, LANE_NORMAL);
    spooled_deliver(s, LANE_NORMAL);
}

static void all_that_is_unrecorded_is_written_in_the_end(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, many);
    spool_destroy(s.spool);
    disk_create(&s);
    struct claim **claims = mem_calloc(MANY, sizeof(struct claim *));
    for (unsigned i = 0; i <= MANY; i++)
        (void)spooled_put_one(&s);
    for (unsigned i = 0; i < MANY; i++)
        claims[i] = spooled_claim(&s, LANE_NORMAL);
    fail_commits(UINT32_MAX);
    for (unsigned i = 0; i < MANY; i++)
        (void)spooled_settle(&s, claims[i], RECIPIENT_DELIVERED,
                             SETTLE_REST_RETRY, 0);
    assert_int_equal(spooled_stats(&s).unrecorded, MANY);
    assert_null(spooled_claim(&s, LANE_NORMAL));
    assert_int_equal(spooled_next_due(&s, LANE_NORMAL), SPOOL_NEVER);
    unsigned told = s.due_count;
    fail_commits(0);
    wait_recorded(&s);
    spooled_rest(&s);
    assert_int_equal(s.due_count, told + 1); /* come and get them */
    assert_int_equal(spooled_stats(&s).delivered, MANY);
    spooled_deliver(&s, LANE_NORMAL);
    mem_free(claims);
    spooled_close(&s);
}

#define DISK_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)

int main(void)
{
    char *arguments[] = {NULL, (char[]){"sqlite"}};
    const struct CMUnitTest tests[] = {
        DISK_TEST(an_accept_that_is_not_on_the_disk_is_an_error),
        DISK_TEST(a_refused_accept_leaves_no_key),
        DISK_TEST(a_settlement_is_kept_until_the_disk_takes_it),
        DISK_TEST(unrecorded_settlements_keep_their_order),
        DISK_TEST(a_release_that_changes_nothing_needs_no_disk),
        DISK_TEST(an_outage_is_told_once_and_so_is_its_end),
        DISK_TEST(a_mark_that_fails_is_an_outage),
        DISK_TEST(what_a_person_asks_is_done_or_it_is_as_it_was),
        DISK_TEST(what_cannot_be_read_is_not_said_to_be_missing),
        DISK_TEST(jobs_expire_when_the_disk_works_again),
        DISK_TEST(a_claim_comes_back_in_the_group_that_cancels_it),
        DISK_TEST(the_same_key_twice_in_a_group_is_one_job),
        DISK_TEST(a_group_is_one_commit),
        DISK_TEST(claims_that_are_out_are_not_given_out_again),
        DISK_TEST(a_part_of_the_disk_is_not_for_what_is_accepted),
        DISK_TEST(nothing_is_given_out_until_a_commit_works),
        cmocka_unit_test(all_that_is_unrecorded_is_written_in_the_end),
    };
    spools_choose(2, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
