#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/spool_sqlite.h"
#include "tests/unit/queue/spools.h"

/*
 * The durable spool when the disk fails, and what it finds when it is opened
 * again. The tests of what both backends do run with "sqlite" as well.
 */
#define PATIENCE_MS 20000
#define LARGE       (SPOOL_BODY_FILE_MIN + 1000)

/* ---- a disk that fails when told to ---- */

static atomic_uint commits_to_fail;
static atomic_uint bodies_to_fail;
static atomic_int failure; /* enum err_code */

static bool takes_one(atomic_uint *left)
{
    unsigned n = atomic_load(left);
    return n > 0 && atomic_compare_exchange_strong(left, &n, n - 1);
}

static enum err_code commit(struct store *store, struct err *err)
{
    if (!takes_one(&commits_to_fail))
        return store_commit(store, err);
    store_rollback(store);
    return err_set(err, (enum err_code)atomic_load(&failure),
                   "the disk does not take it");
}

static enum err_code write_body(struct bodies *bodies, const struct id *id,
                                const struct body *body, struct err *err)
{
    if (!takes_one(&bodies_to_fail))
        return bodies_write(bodies, id, body, err);
    return err_set(err, ERR_FULL, "no room for the body");
}

static const struct spool_sqlite_disk failing = {commit, write_body};

static void fail_commits(unsigned count)
{
    atomic_store(&failure, ERR_FULL);
    atomic_store(&commits_to_fail, count);
}

static void create(struct spooled *s)
{
    struct err err;
    assert_int_equal(
        spool_sqlite_create(&s->spool, &s->options, s->path, &failing, &err),
        ERR_NONE);
}

static int open_spool(void **state)
{
    static struct spooled s;
    spooled_open(&s, NULL);
    spool_destroy(s.spool);
    create(&s);
    *state = &s;
    return 0;
}

static int close_spool(void **state)
{
    fail_commits(0);
    atomic_store(&bodies_to_fail, 0);
    spooled_close(*state);
    return 0;
}

static void reopen(struct spooled *s)
{
    spool_destroy(s->spool);
    create(s);
}

/* Until the spool has written down all that it kept. */
static void wait_recorded(struct spooled *s)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + PATIENCE_MS;
    struct spool_stats n;
    for (;;) {
        spool_stats(s->spool, &n);
        if (n.unrecorded == 0)
            return;
        assert_true(clock_mono_ms(clock_system()) < until_ms);
        (void)poll(NULL, 0, 5);
    }
}

static struct job *large_job(struct spooled *s)
{
    struct job *job = a_job(s, 1);
    body_unref(job->body);
    char *bytes = mem_alloc(LARGE);
    memset(bytes, 'x', LARGE);
    job->body = body_from_memory(bytes, LARGE);
    job->size_bytes = LARGE;
    return job;
}

static bool has_file(const struct spooled *s, const struct id *id)
{
    struct stat st;
    char name[160];
    (void)snprintf(name, sizeof(name), "%s.bodies/%s", s->path, id->text);
    return stat(name, &st) == 0;
}

static void file_goes(const struct spooled *s, const struct id *id)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + PATIENCE_MS;
    while (has_file(s, id)) {
        assert_true(clock_mono_ms(clock_system()) < until_ms);
        (void)poll(NULL, 0, 2);
    }
}

/* ---- commits that fail ---- */

static void an_accept_that_is_not_on_the_disk_is_an_error(void **state)
{
    static const enum err_code codes[] = {ERR_FULL, ERR_SYSTEM};
    struct spooled *s = *state;
    for (unsigned i = 0; i < 2; i++) {
        struct job *job = a_job(s, 1);
        struct id id = job->id;
        fail_commits(1);
        atomic_store(&failure, (int)codes[i]);
        struct spool_accepted accepted = spooled_accept(s, job);
        assert_int_equal(accepted.answer, SPOOL_ERROR);
        assert_int_equal(accepted.err.code, codes[i]);
        assert_string_equal(accepted.err.text, "the disk does not take it");
        assert_int_equal(spooled_state(s, &id), JOB_STATE_COUNT);
        struct spool_stats n = spooled_stats(s);
        assert_int_equal(n.accepted, 2 * i);
        assert_string_equal(n.disk_error, "the disk does not take it");
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
    reopen(s);
    assert_int_equal(spooled_state(s, &id), JOB_DELIVERED);
    assert_null(spooled_claim(s, LANE_NORMAL));
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
    spool_release(s->spool, claims[1], START_MS, STR("why it is back"));
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
        spool_release(s->spool, claim, 0, STR(""));
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
    assert_int_equal(spooled_stats(s).active, 1);
    assert_true(claim_start(claim)); /* the gate is open again */
    (void)spooled_settle(s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);

    fail_commits(1);
    struct spool_status *status = spooled_ask(s, spool_retry, &waits, &changed);
    assert_false(changed);
    assert_int_equal(status->state, JOB_FAILED);
    spool_status_destroy(status);
    assert_null(spooled_claim(s, LANE_NORMAL));

    fail_commits(1);
    status = spooled_ask(s, spool_drop, &waits, &changed);
    assert_false(changed);
    assert_int_equal(status->state, JOB_FAILED);
    spool_status_destroy(status);
    assert_int_equal(spooled_stats(s).remembered, 1);
    assert_true(spooled_retry(s, &waits));
    spooled_deliver(s, LANE_NORMAL);
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

enum { MANY = 1100 };

static void many(struct spool_options *o)
{
    o->max_jobs = MANY + 1;
}

static void nothing_is_given_out_while_too_much_is_unrecorded(void **state)
{
    struct spooled s;
    (void)state;
    spooled_open(&s, many);
    spool_destroy(s.spool);
    create(&s);
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

/* ---- marks, and what a restart finds ---- */

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

static enum err_code mark(struct spooled *s, struct claim *claim)
{
    struct marking marking;
    waiter_init(&marking.waiter);
    spool_mark(s->spool, claim, keep_code, &marking);
    waiter_wait(&marking.waiter);
    waiter_fini(&marking.waiter);
    return marking.code;
}

static void a_mark_that_fails_leaves_none(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim));
    fail_commits(1);
    assert_int_equal(mark(s, claim), ERR_FULL);
    int64_t commits = spooled_stats(s).commits;
    spool_release(s->spool, claim, 0, STR(""));
    assert_int_equal(spooled_stats(s).commits, commits);
    reopen(s);
    assert_int_equal(spooled_state(s, &id), JOB_QUEUED);
    spooled_deliver(s, LANE_NORMAL);
}

/* In a process that is killed: what it had claimed, and marked, is out. */
static void claim_and_die(struct spooled *s, unsigned claims, unsigned marks)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        create(s);
        for (unsigned i = 0; i < claims; i++) {
            struct claim *claim = spooled_claim(s, LANE_NORMAL);
            if (claim == NULL || !claim_start(claim) ||
                (i < marks && mark(s, claim) != ERR_NONE))
                _exit(1);
        }
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void claimed_jobs_come_back_by_their_marks(void **state)
{
    struct spooled *s = *state;
    struct id ids[4];
    for (unsigned i = 0; i < 4; i++)
        ids[i] = spooled_put_one(s);
    spool_destroy(s->spool);
    claim_and_die(s, 3, 2);
    create(s);
    for (unsigned i = 0; i < 2; i++) {
        struct spool_status *status = spooled_find(s, &ids[i], NULL);
        assert_int_equal(status->state, JOB_HELD);
        assert_non_null(status->note);
        assert_int_equal(status->attempts, 1);
        assert_int_equal(status->events[1].kind, SPOOL_EVENT_INTERRUPTED);
        assert_int_equal(status->events[2].kind, SPOOL_EVENT_HELD);
        assert_true(status->has_body);
        spool_status_destroy(status);
    }
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.held, 2);
    assert_int_equal(n.waiting, 2);
    assert_int_equal(n.active, 0);
    for (unsigned i = 2; i < 4; i++) {
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        assert_string_equal(claim->job->id.text, ids[i].text);
        assert_int_equal(claim->attempt, 1);
        (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                             0);
    }
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_true(spooled_retry(s, &ids[1]));
    reopen(s); /* held ones stay so */
    assert_int_equal(spooled_state(s, &ids[0]), JOB_HELD);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_string_equal(claim->job->id.text, ids[1].text);
    assert_int_equal(claim->attempt, 2);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
}

/* Writes the id of each job it was told to be accepted, until it is killed. */
static void accept_until_killed(struct spooled *s, int fd)
{
    create(s);
    for (unsigned i = 0;; i++) {
        struct job *job = i % 50 == 49 ? large_job(s) : a_job(s, 1);
        struct id id = job->id;
        if (spooled_accept(s, job).answer != SPOOL_ACCEPTED)
            _exit(1);
        if (write(fd, id.text, ID_LEN) != ID_LEN)
            _exit(1);
    }
}

static void what_was_accepted_is_there_after_a_kill(void **state)
{
    struct spooled *s = *state;
    char ids[500][ID_LEN];
    int fds[2];
    size_t got = 0;
    spool_destroy(s->spool);
    s->options.max_bytes = INT64_C(1) << 32;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        accept_until_killed(s, fds[1]);
    (void)close(fds[1]);
    while (got < sizeof(ids)) {
        ssize_t n = read(fds[0], (char *)ids + got, sizeof(ids) - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(fds[0]);
    create(s);
    for (size_t i = 0; i < 500; i++) {
        struct id id;
        assert_true(id_parse(str_of(ids[i], ID_LEN), &id));
        assert_int_equal(spooled_state(s, &id), JOB_QUEUED);
        assert_int_equal(has_file(s, &id), i % 50 == 49);
    }
    struct spool_stats n = spooled_stats(s);
    assert_in_range(n.waiting, 500, 503);
    for (int64_t i = 0; i < n.waiting; i++)
        spooled_deliver(s, LANE_NORMAL);
    assert_null(spooled_claim(s, LANE_NORMAL));
}

static void the_spool_is_the_same_when_opened_again(void **state)
{
    struct spooled *s = *state;
    struct job *keyed = a_job(s, 2);
    keyed->key = mem_strdup(STR("k"));
    keyed->send_at_ms = START_MS + 100;
    keyed->tag = mem_strdup(STR("a tag"));
    struct id later = spooled_put(s, keyed);
    struct id done = spooled_put_one(s);
    spooled_deliver(s, LANE_NORMAL);
    struct id cancelled = spooled_put_one(s);
    assert_true(spooled_cancel(s, &cancelled, NULL, NULL));
    struct spool_stats before = spooled_stats(s);
    reopen(s);
    struct spool_stats after = spooled_stats(s);
    before.commits = after.commits = 0;
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(spooled_state(s, &done), JOB_DELIVERED);
    assert_int_equal(spooled_state(s, &cancelled), JOB_CANCELLED);
    assert_int_equal(spooled_next_due(s, LANE_NORMAL), START_MS + 100);
    struct job *again = a_job(s, 2);
    again->key = mem_strdup(STR("k"));
    struct spool_accepted accepted = spooled_accept(s, again);
    assert_int_equal(accepted.answer, SPOOL_DUPLICATE);
    assert_string_equal(accepted.id.text, later.text);
    spooled_tick(s, 100);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_string_equal(claim->job->tag, "a tag");
    assert_int_equal(body_size(claim->job->body), 100);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
}

static void what_could_not_be_recorded_goes_again(void **state)
{
    struct spooled *s = *state;
    (void)spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_true(claim_start(claim));
    fail_commits(UINT32_MAX);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    spool_destroy(s->spool); /* does not wait for the disk for ever */
    fail_commits(0);
    create(s);
    assert_int_equal(spooled_stats(s).waiting, 1);
    spooled_deliver(s, LANE_NORMAL);
}

/* ---- large bodies ---- */

static void a_large_body_is_a_file_as_long_as_it_is_wanted(void **state)
{
    struct spooled *s = *state;
    char byte = 0;
    size_t got = 0;
    struct id id = spooled_put(s, large_job(s));
    assert_true(has_file(s, &id));
    reopen(s);
    for (unsigned i = 0; i < 2; i++) {
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        assert_non_null(claim);
        assert_int_equal(body_size(claim->job->body), LARGE);
        assert_int_equal(body_read(claim->job->body, LARGE - 1, &byte, 1, &got),
                         ERR_NONE);
        assert_int_equal(byte, 'x');
        if (i == 0)
            spool_release(s->spool, claim, 0, STR(""));
        else
            (void)spooled_settle(s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY,
                                 0);
    }
    assert_true(has_file(s, &id)); /* for spool_retry() */
    assert_true(spooled_retry(s, &id));
    spooled_deliver(s, LANE_NORMAL);
    file_goes(s, &id);
}

static void every_end_takes_the_file_away(void **state)
{
    struct spooled *s = *state;
    struct id cancelled = spooled_put(s, large_job(s));
    assert_true(spooled_cancel(s, &cancelled, NULL, NULL));
    file_goes(s, &cancelled);
    struct id dropped = spooled_put(s, large_job(s));
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    (void)spooled_settle(s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);
    assert_true(spooled_drop(s, &dropped));
    file_goes(s, &dropped);
    struct job *job = large_job(s);
    job->expires_at_ms = START_MS + 5;
    struct id expired = spooled_put(s, job);
    spooled_tick(s, 5);
    assert_int_equal(spooled_expire(s, 1).count, 1);
    assert_true(has_file(s, &expired));
    spooled_tick(s, DAY_MS);
    (void)spooled_put_one(s); /* the history goes with any commit */
    file_goes(s, &expired);
}

static void what_is_refused_leaves_no_file(void **state)
{
    struct spooled *s = *state;
    struct job *job = large_job(s);
    struct id id = job->id;
    atomic_store(&bodies_to_fail, 1);
    struct spool_accepted accepted = spooled_accept(s, job);
    assert_int_equal(accepted.answer, SPOOL_ERROR);
    assert_int_equal(accepted.err.code, ERR_FULL);
    assert_string_equal(accepted.err.text, "no room for the body");
    assert_false(has_file(s, &id));
    job = large_job(s);
    id = job->id;
    fail_commits(1);
    assert_int_equal(spooled_accept(s, job).answer, SPOOL_ERROR);
    file_goes(s, &id);
    job = large_job(s);
    job->key = mem_strdup(STR("k"));
    (void)spooled_put(s, job);
    job = large_job(s);
    job->key = mem_strdup(STR("k"));
    id = job->id;
    assert_int_equal(spooled_accept(s, job).answer, SPOOL_DUPLICATE);
    assert_false(has_file(s, &id));
    spooled_deliver(s, LANE_NORMAL);
}

static void orphans_are_swept_at_the_start(void **state)
{
    struct spooled *s = *state;
    struct id wanted = spooled_put(s, large_job(s));
    struct id orphan;
    struct err err;
    struct bodies *bodies;
    char directory[96];
    id_new(&orphan, START_MS);
    spool_destroy(s->spool);
    (void)snprintf(directory, sizeof(directory), "%s.bodies", s->path);
    struct body *body = body_from_memory(mem_calloc(1, 10), 10);
    assert_int_equal(bodies_open(&bodies, directory, &err), ERR_NONE);
    assert_int_equal(bodies_write(bodies, &orphan, body, &err), ERR_NONE);
    bodies_close(bodies);
    body_unref(body);
    create(s);
    file_goes(s, &orphan);
    assert_true(has_file(s, &wanted));
    spooled_deliver(s, LANE_NORMAL);
}

static void a_job_whose_file_is_gone_is_held(void **state)
{
    struct spooled *s = *state;
    char name[160];
    struct id id = spooled_put(s, large_job(s));
    struct id next = spooled_put_one(s);
    (void)snprintf(name, sizeof(name), "%s.bodies/%s", s->path, id.text);
    assert_int_equal(unlink(name), 0);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_string_equal(claim->job->id.text, next.text);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    struct spool_status *status = spooled_find(s, &id, NULL);
    assert_int_equal(status->state, JOB_HELD);
    assert_non_null(strstr(status->note, "is not there"));
    spool_status_destroy(status);
    assert_true(spooled_cancel(s, &id, NULL, NULL));
}

/* ---- opening ---- */

static void a_thread_that_cannot_start_is_an_error(void **state)
{
    struct spooled *s = *state;
    spool_destroy(s->spool);
    for (unsigned i = 0; i < 2; i++) {
        struct spool *spool = NULL;
        struct err err;
        thread_fail_starts(i, 1);
        assert_int_equal(
            spool_create_sqlite(&spool, &s->options, s->path, &err),
            ERR_SYSTEM);
        assert_null(spool);
    }
    create(s);
}

static void one_process_has_it(void **state)
{
    struct spooled *s = *state;
    struct spool *second = NULL;
    struct err err;
    assert_int_equal(spool_create_sqlite(&second, &s->options, s->path, &err),
                     ERR_EXISTS);
    assert_null(second);
    assert_int_equal(spool_verify_sqlite(s->path, stderr, &err), ERR_EXISTS);
}

static void all_that_was_done_verifies(void **state)
{
    struct spooled *s = *state;
    struct err err;
    (void)spooled_put_one(s);
    (void)spooled_put(s, large_job(s));
    spooled_deliver(s, LANE_NORMAL);
    struct job *job = a_job(s, 1);
    job->key = mem_strdup(STR("k"));
    struct id id = spooled_put(s, job);
    struct id failed = spooled_put_one(s);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    spool_release(s->spool, claim, START_MS + 5, STR("later"));
    assert_true(spooled_cancel(s, &id, NULL, NULL));
    claim = spooled_claim(s, LANE_NORMAL);
    (void)spooled_settle(s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);
    assert_true(spooled_retry(s, &failed));
    assert_true(spooled_drop(s, &id));
    spool_destroy(s->spool);
    assert_int_equal(spool_verify_sqlite(s->path, stderr, &err), ERR_NONE);
    create(s);
    spooled_tick(s, 5);
    while ((claim = spooled_claim(s, LANE_NORMAL)) != NULL)
        (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                             0);
}

#define DISK_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, open_spool, close_spool)

int main(void)
{
    char *arguments[] = {NULL, (char[]){"sqlite"}};
    const struct CMUnitTest tests[] = {
        DISK_TEST(an_accept_that_is_not_on_the_disk_is_an_error),
        DISK_TEST(a_refused_accept_leaves_no_key),
        DISK_TEST(a_settlement_is_kept_until_the_disk_takes_it),
        DISK_TEST(unrecorded_settlements_keep_their_order),
        DISK_TEST(a_release_that_changes_nothing_needs_no_disk),
        DISK_TEST(what_a_person_asks_is_done_or_it_is_as_it_was),
        DISK_TEST(jobs_expire_when_the_disk_works_again),
        cmocka_unit_test(nothing_is_given_out_while_too_much_is_unrecorded),
        DISK_TEST(a_mark_that_fails_leaves_none),
        DISK_TEST(claimed_jobs_come_back_by_their_marks),
        DISK_TEST(what_was_accepted_is_there_after_a_kill),
        DISK_TEST(the_spool_is_the_same_when_opened_again),
        DISK_TEST(what_could_not_be_recorded_goes_again),
        DISK_TEST(a_large_body_is_a_file_as_long_as_it_is_wanted),
        DISK_TEST(every_end_takes_the_file_away),
        DISK_TEST(what_is_refused_leaves_no_file),
        DISK_TEST(orphans_are_swept_at_the_start),
        DISK_TEST(a_job_whose_file_is_gone_is_held),
        DISK_TEST(a_thread_that_cannot_start_is_an_error),
        DISK_TEST(one_process_has_it),
        DISK_TEST(all_that_was_done_verifies),
    };
    spools_choose(2, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
