#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/queue/disks.h"

/*
 * Bodies of failed jobs in a durable spool: they count in its bytes, and give
 * way to new jobs. What both backends do is in test_spool_person.c.
 */
#define SIZE 20000

static struct job *sized_job(struct spooled *s)
{
    struct job *job = a_job(s, 1);
    body_unref(job->body);
    job->body = body_from_memory(mem_calloc(1, SIZE), SIZE);
    job->size_bytes = SIZE;
    return job;
}

static struct id put_failed(struct spooled *s, struct job *job)
{
    struct id id = spooled_put(s, job);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_non_null(claim);
    assert_true(claim_start(claim));
    (void)spooled_settle(s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);
    assert_int_equal(spooled_state(s, &id), JOB_FAILED);
    spooled_tick(s, 1);
    return id;
}

static bool has_body(struct spooled *s, const struct id *id)
{
    struct spool_status *status = spooled_find(s, id, NULL);
    bool has = status->has_body;
    spool_status_destroy(status);
    return has;
}

static void hold_at_most(struct spooled *s, int64_t max_bytes)
{
    s->options.max_bytes = max_bytes;
    disk_reopen(s);
}

/* Nothing is over, nothing is missing, and --verify agrees. */
static void adds_up(struct spooled *s)
{
    struct err err;
    struct spool_stats n = spooled_stats(s);
    assert_in_range(n.kept_bytes, 0, n.bytes);
    spool_destroy(s->spool);
    assert_int_equal(spool_verify_sqlite(s->path, stdout, &err), ERR_NONE);
    disk_create(s);
    assert_int_equal(spooled_stats(s).bytes, n.bytes);
    assert_int_equal(spooled_stats(s).kept_bytes, n.kept_bytes);
}

static void away(struct spooled *s, const struct id *id)
{
    assert_true(spooled_drop(s, id));
    file_goes(s, id);
}

static void kept_bodies_are_counted_until_they_go(void **state)
{
    struct spooled *s = *state;
    struct id failed[4];
    for (unsigned i = 0; i < 4; i++)
        failed[i] = put_failed(s, sized_job(s));
    int64_t bytes = spooled_stats(s).bytes;
    int64_t one = bytes / 4;
    assert_in_range(one, SIZE, SIZE + 2000);
    assert_int_equal(spooled_stats(s).kept_bytes, bytes);
    adds_up(s);
    assert_true(spooled_retry(s, &failed[0]));
    assert_int_equal(spooled_stats(s).bytes, bytes);
    assert_int_equal(spooled_stats(s).kept_bytes, 3 * one);
    adds_up(s);
    spooled_deliver(s, LANE_NORMAL);
    assert_int_equal(spooled_stats(s).bytes, 3 * one);
    assert_true(spooled_drop(s, &failed[1]));
    assert_int_equal(spooled_stats(s).bytes, 2 * one);
    adds_up(s);
    s->options.history_max_jobs = 1; /* all but the last are forgotten */
    disk_reopen(s);
    (void)put_failed(s, sized_job(s));
    spooled_rest(s);
    assert_int_equal(spooled_stats(s).kept_bytes, one);
    assert_int_equal(spooled_stats(s).bytes, one);
    adds_up(s);
}

static void files_give_way_too(void **state)
{
    struct spooled *s = *state;
    hold_at_most(s, 3 * (LARGE + 2000));
    struct id one = put_failed(s, large_job(s));
    struct id two = put_failed(s, large_job(s));
    (void)put_failed(s, a_job(s, 1));
    assert_true(has_file(s, &one));
    struct id three = spooled_put(s, large_job(s));
    assert_true(has_body(s, &one));
    struct id four = spooled_put(s, large_job(s));
    assert_false(has_body(s, &one));
    file_goes(s, &one);
    assert_true(has_body(s, &two));
    assert_true(has_file(s, &two));
    assert_true(has_file(s, &three));
    assert_true(has_file(s, &four));
    assert_int_equal(spooled_state(s, &one), JOB_FAILED);
    assert_false(spooled_retry(s, &one));
    adds_up(s);
    away(s, &two);
    away(s, &three);
    away(s, &four);
    adds_up(s);
}

static void a_group_that_fails_takes_no_body(void **state)
{
    struct spooled *s = *state;
    hold_at_most(s, 2 * (LARGE + 2000));
    struct id one = put_failed(s, large_job(s));
    (void)put_failed(s, sized_job(s));
    struct spool_stats before = spooled_stats(s);
    (void)spooled_put(s, a_job(s, 1));
    fail_commits(1);
    assert_int_equal(spooled_accept(s, large_job(s)).answer, SPOOL_ERROR);
    assert_true(has_body(s, &one));
    assert_true(has_file(s, &one));
    assert_int_equal(spooled_stats(s).kept_bytes, before.kept_bytes);
    struct id two = spooled_put(s, large_job(s));
    assert_false(has_body(s, &one));
    file_goes(s, &one);
    adds_up(s);
    away(s, &two);
}

/* Nobody waits until all of it is gone, and nobody is refused. */
static void a_spool_that_holds_too_much_shrinks(void **state)
{
    struct spooled *s = *state;
    struct id failed[20];
    for (unsigned i = 0; i < 20; i++)
        failed[i] = put_failed(s, sized_job(s));
    hold_at_most(s, 10 * (SIZE + 2000));
    for (unsigned i = 1; i < 7; i++) {
        (void)spooled_put(s, sized_job(s));
        assert_false(has_body(s, &failed[2 * i - 1]));
        assert_true(has_body(s, &failed[2 * i]));
    }
    for (unsigned i = 7; i <= 10; i++)
        (void)spooled_put(s, sized_job(s));
    assert_true(spooled_stats(s).bytes <= s->options.max_bytes);
    assert_int_equal(spooled_accept(s, sized_job(s)).answer, SPOOL_FULL);
    assert_int_equal(spooled_stats(s).waiting, 10);
    adds_up(s);
}

/* More bodies than go in one group. */
static void a_large_job_waits_for_many_small_bodies(void **state)
{
    enum { SMALL = 1200 };
    struct spooled *s = *state;
    struct id failed[SMALL];
    s->options.max_jobs = SMALL + 10;
    s->options.history_max_jobs = SMALL + 10;
    hold_at_most(s, SMALL * INT64_C(1200));
    for (unsigned i = 0; i < SMALL; i++)
        failed[i] = put_failed(s, a_job(s, 1));
    assert_true(spooled_stats(s).kept_bytes > LARGE);
    struct id large = spooled_put(s, large_job(s));
    assert_true(has_file(s, &large));
    assert_false(has_body(s, &failed[SMALL / 2]));
    assert_int_equal(spooled_stats(s).remembered, SMALL);
    assert_true(spooled_stats(s).bytes <= s->options.max_bytes);
    adds_up(s);
    away(s, &large);
}

#define DISK_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)

int main(void)
{
    char *arguments[] = {NULL, (char[]){"sqlite"}};
    spools_choose(2, arguments);
    const struct CMUnitTest tests[] = {
        DISK_TEST(kept_bodies_are_counted_until_they_go),
        DISK_TEST(files_give_way_too),
        DISK_TEST(a_group_that_fails_takes_no_body),
        DISK_TEST(a_spool_that_holds_too_much_shrinks),
        DISK_TEST(a_large_job_waits_for_many_small_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
