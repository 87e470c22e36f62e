#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/queue/disks.h"

/* What a durable spool finds when it is opened again, and its large bodies. */

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
    spool_mark(s->spool, claim, STR("main"), keep_code, &marking);
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
    spool_release(s->spool, claim, 0, STR(""), STR(""));
    assert_int_equal(spooled_stats(s).commits, commits);
    disk_reopen(s);
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
        disk_create(s);
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
    disk_create(s);
    for (unsigned i = 0; i < 2; i++) {
        struct spool_status *status = spooled_find(s, &ids[i], NULL);
        assert_int_equal(status->state, JOB_HELD);
        assert_non_null(status->note);
        assert_int_equal(status->attempts, 1);
        assert_int_equal(status->events[1].kind, SPOOL_EVENT_INTERRUPTED);
        assert_string_equal(status->events[1].relay, "main");
        assert_string_equal(status->recipients[0].relay, "main");
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
    disk_reopen(s); /* held ones stay so */
    assert_int_equal(spooled_state(s, &ids[0]), JOB_HELD);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_string_equal(claim->job->id.text, ids[1].text);
    assert_int_equal(claim->attempt, 2);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
}

static void keep_state(void *ctx, struct spool_status *status, bool changed,
                       const struct err *err)
{
    atomic_uint *state = ctx;
    (void)changed;
    if (status != NULL && err->code == ERR_NONE)
        atomic_store(state, status->state);
    spool_status_destroy(status);
}

/* Nothing is asked meanwhile; what is done now and then comes later. */
static void wait_held(struct spooled *s, int64_t count)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + 4000;
    struct spool_stats n;
    for (;;) {
        spool_stats(s->spool, &n);
        if (n.held == count)
            return;
        assert_true(clock_mono_ms(clock_system()) < until_ms);
        (void)poll(NULL, 0, 5);
    }
}

/* What must not happen before the disk has taken what was left. */
static void check_waits(struct spooled *s, const struct id *marked)
{
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.waiting, 4);
    assert_int_equal(n.held, 0);
    assert_int_equal(n.unrecorded, 0);
    assert_string_equal(n.disk_error, "the disk does not take it");
    assert_int_equal(spooled_state(s, marked), JOB_QUEUED);
    assert_int_equal(spooled_accept(s, a_job(s, 1)).answer, SPOOL_ERROR);
    assert_int_equal(spooled_accept(s, large_job(s)).answer, SPOOL_ERROR);
    assert_false(spooled_cancel(s, marked, NULL, NULL));
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_int_equal(spooled_next_due(s, LANE_NORMAL), SPOOL_NEVER);
    spooled_tick(s, 400 * DAY_MS);
    assert_int_equal(spooled_expire(s, 10).count, 0);
    spooled_tick(s, -400 * DAY_MS);
}

static void a_disk_that_fails_at_the_start_is_waited_for(void **state)
{
    struct spooled *s = *state;
    struct id ids[4];
    struct spool_watch watch;
    atomic_uint watched = JOB_STATE_COUNT;
    for (unsigned i = 0; i < 4; i++)
        ids[i] = spooled_put_one(s);
    spool_destroy(s->spool);
    claim_and_die(s, 3, 2);
    s->due_count = 0;
    fail_commits(UINT32_MAX);
    disk_create(s);
    spool_watch(s->spool, &ids[0], NULL, &watch, keep_state, &watched);
    check_waits(s, &ids[0]);
    assert_true(spool_unwatch(s->spool, &watch));
    disk_reopen(s); /* and it is no better after another */
    spool_watch(s->spool, &ids[0], NULL, &watch, keep_state, &watched);
    check_waits(s, &ids[0]);
    assert_int_equal(atomic_load(&watched), JOB_STATE_COUNT);
    assert_int_equal(s->due_count, 0);
    fail_commits(0);
    wait_held(s, 2); /* by itself */
    spooled_rest(s);
    assert_int_equal(atomic_load(&watched), JOB_HELD);
    assert_true(s->due_count > 0); /* come and get them */
    assert_string_equal(spooled_stats(s).disk_error, "");
    for (unsigned i = 2; i < 4; i++) {
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        assert_string_equal(claim->job->id.text, ids[i].text);
        (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                             0);
    }
    assert_null(spooled_claim(s, LANE_NORMAL));
    (void)spooled_put_one(s);
    disk_reopen(s);
    struct spool_stats n = spooled_stats(s);
    assert_int_equal(n.held, 2);
    assert_int_equal(n.delivered, 2);
    assert_int_equal(n.waiting, 1);
}

/* Writes the id of each job it was told to be accepted, until it is killed. */
static void accept_until_killed(struct spooled *s, int fd)
{
    disk_create(s);
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
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
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
    disk_create(s);
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
    disk_reopen(s);
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
    disk_create(s);
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
    disk_reopen(s);
    for (unsigned i = 0; i < 2; i++) {
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        assert_non_null(claim);
        assert_int_equal(body_size(claim->job->body), LARGE);
        assert_int_equal(body_read(claim->job->body, LARGE - 1, &byte, 1, &got),
                         ERR_NONE);
        assert_int_equal(byte, 'x');
        if (i == 0)
            spool_release(s->spool, claim, 0, STR(""), STR(""));
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

static void a_file_stays_until_its_row_is_gone(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put(s, large_job(s));
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    (void)spooled_settle(s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);
    spooled_tick(s, DAY_MS);
    fail_commits(UINT32_MAX);
    assert_int_equal(spooled_accept(s, a_job(s, 1)).answer, SPOOL_ERROR);
    spool_destroy(s->spool); /* all files that are to go have gone then */
    assert_true(has_file(s, &id));
    fail_commits(0);
    disk_create(s);
    (void)spooled_put_one(s);
    file_goes(s, &id);
}

static void what_is_refused_leaves_no_file(void **state)
{
    struct spooled *s = *state;
    struct job *job = large_job(s);
    struct id id = job->id;
    fail_bodies(1);
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
    disk_create(s);
    file_goes(s, &orphan);
    assert_true(has_file(s, &wanted));
    spooled_deliver(s, LANE_NORMAL);
}

static void cut(const char *name)
{
    assert_int_equal(truncate(name, 5000), 0);
}

static void gone(const char *name)
{
    assert_int_equal(unlink(name), 0);
}

static void linked(const char *name)
{
    gone(name);
    assert_int_equal(symlink("/dev/null", name), 0);
}

static void is_directory(const char *name)
{
    gone(name);
    assert_int_equal(mkdir(name, 0700), 0);
}

static void is_pipe(const char *name)
{
    gone(name);
    assert_int_equal(mkfifo(name, 0600), 0);
}

static void a_job_whose_file_is_lost_is_held(void **state)
{
    void (*const harms[])(const char *name) = {gone, cut, linked, is_directory,
                                               is_pipe};
    struct spooled *s = *state;
    char name[160];
    for (size_t i = 0; i < 2 * sizeof(harms) / sizeof(harms[0]); i++) {
        struct id id = spooled_put(s, large_job(s));
        struct id next = spooled_put_one(s);
        (void)snprintf(name, sizeof(name), "%s.bodies/%s", s->path, id.text);
        harms[i / 2](name);
        if (i % 2 == 1)
            disk_reopen(s);
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        assert_non_null(claim);
        assert_string_equal(claim->job->id.text, next.text);
        (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                             0);
        struct spool_status *status = spooled_find(s, &id, NULL);
        assert_int_equal(status->state, JOB_HELD);
        assert_non_null(strstr(status->note, "cannot be read"));
        assert_non_null(strstr(status->note, name));
        spool_status_destroy(status);
        assert_true(spooled_cancel(s, &id, NULL, NULL));
        (void)rmdir(name);
    }
}

static void limit_files(rlim_t count)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void a_file_that_cannot_be_opened_now_is_read_later(void **state)
{
    struct spooled *s = *state;
    struct id id = spooled_put(s, large_job(s));
    struct id next = spooled_put_one(s);
    limit_files(3);
    struct claim *claim = spooled_claim(s, LANE_NORMAL);
    assert_non_null(claim);
    assert_string_equal(claim->job->id.text, next.text);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
    assert_null(spooled_claim(s, LANE_NORMAL));
    assert_int_equal(spooled_next_due(s, LANE_NORMAL), START_MS + 60000);
    limit_files(256);
    assert_int_equal(spooled_state(s, &id), JOB_QUEUED);
    spooled_tick(s, 60000);
    claim = spooled_claim(s, LANE_NORMAL);
    assert_non_null(claim);
    assert_string_equal(claim->job->id.text, id.text);
    (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0);
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
    disk_create(s);
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
    spool_release(s->spool, claim, START_MS + 5, STR(""), STR("later"));
    assert_true(spooled_cancel(s, &id, NULL, NULL));
    claim = spooled_claim(s, LANE_NORMAL);
    (void)spooled_settle(s, claim, RECIPIENT_FAILED, SETTLE_REST_RETRY, 0);
    assert_true(spooled_retry(s, &failed));
    assert_true(spooled_drop(s, &id));
    spool_destroy(s->spool);
    assert_int_equal(spool_verify_sqlite(s->path, stderr, &err), ERR_NONE);
    disk_create(s);
    spooled_tick(s, 5);
    while ((claim = spooled_claim(s, LANE_NORMAL)) != NULL)
        (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                             0);
}

#define DISK_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)

int main(void)
{
    char *arguments[] = {NULL, (char[]){"sqlite"}};
    const struct CMUnitTest tests[] = {
        DISK_TEST(a_mark_that_fails_leaves_none),
        DISK_TEST(claimed_jobs_come_back_by_their_marks),
        DISK_TEST(a_disk_that_fails_at_the_start_is_waited_for),
        DISK_TEST(what_was_accepted_is_there_after_a_kill),
        DISK_TEST(the_spool_is_the_same_when_opened_again),
        DISK_TEST(what_could_not_be_recorded_goes_again),
        DISK_TEST(a_large_body_is_a_file_as_long_as_it_is_wanted),
        DISK_TEST(every_end_takes_the_file_away),
        DISK_TEST(a_file_stays_until_its_row_is_gone),
        DISK_TEST(what_is_refused_leaves_no_file),
        DISK_TEST(orphans_are_swept_at_the_start),
        DISK_TEST(a_job_whose_file_is_lost_is_held),
        DISK_TEST(a_file_that_cannot_be_opened_now_is_read_later),
        DISK_TEST(a_thread_that_cannot_start_is_an_error),
        DISK_TEST(one_process_has_it),
        DISK_TEST(all_that_was_done_verifies),
    };
    spools_choose(2, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
