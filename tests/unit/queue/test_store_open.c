#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "core/buf.h"
#include "core/file.h"
#include "core/mem.h"
#include "queue/bodies.h"
#include "queue/store_inner.h"
#include "tests/unit/queue/stores.h"

static int setup(void **state)
{
    struct stored *s;
    MEM_NEW(s);
    stored_init(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stored *s = *state;
    stored_fini(s);
    mem_free(s);
    return 0;
}

/* ---- new files ---- */

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void new_files_are_private_whatever_the_umask(void **state)
{
    struct stored *s = *state;
    const mode_t masks[] = {0, 0777, 022};
    for (size_t i = 0; i < 3; i++) {
        mode_t before = umask(masks[i]);
        stored_open(s);
        (void)stored_add(s, 1, 1, 100);
        (void)umask(before);
        assert_int_equal(mode_of(s->path), 0600);
        assert_int_equal(mode_of(stored_file(s, "-wal")), 0600);
        assert_false(file_is_there(stored_file(s, "-shm")));
        stored_close(s);
        assert_int_equal(unlink(s->path), 0);
    }
}

static void a_symbolic_link_is_followed(void **state)
{
    struct stored *s = *state;
    struct id id;
    char real[256];
    (void)snprintf(real, sizeof(real), "%s", s->path);
    stored_open(s);
    id = stored_add(s, 1, 1, 10);
    stored_close(s);
    (void)snprintf(s->path, sizeof(s->path), "%s", stored_file(s, ".link"));
    assert_int_equal(symlink(real, s->path), 0);
    stored_open(s);
    assert_true(stored_has(s, &id));
    assert_true(file_is_there(stored_file(s, "-wal")));
}

/* ---- refusals ---- */

static void a_missing_directory_is_named(void **state)
{
    struct stored *s = *state;
    (void)snprintf(s->path, sizeof(s->path), "%s",
                   scratch_path(&s->scratch, "not/there.db"));
    stored_refused(s, ERR_NOT_FOUND, "install -d -m 700");
}

static void a_directory_is_no_spool(void **state)
{
    struct stored *s = *state;
    (void)snprintf(s->path, sizeof(s->path), "%s", s->scratch.folder);
    assert_int_not_equal(stored_try(s), ERR_NONE);
    assert_null(s->store);
}

static void a_file_that_others_may_use_is_refused(void **state)
{
    struct stored *s = *state;
    const mode_t modes[] = {0640, 0620, 0604, 0602, 0666};
    stored_open(s);
    stored_close(s);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(chmod(s->path, modes[i]), 0);
        stored_refused(s, ERR_DENIED, "chmod 600");
    }
    assert_int_equal(chmod(s->path, 0600), 0);
    stored_open(s);
}

static void refuse_while_open(void *ctx)
{
    struct stored *s = ctx;
    s->store = NULL; /* the parent's */
    if (stored_try(s) != ERR_EXISTS ||
        strstr(s->err.text, "stop the other daemon") == NULL)
        _exit(1);
}

static void a_second_daemon_is_refused_and_harms_nothing(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    struct id id = stored_add(s, 1, 1, 100);
    assert_int_equal(in_child(refuse_while_open, s), 0);
    assert_true(stored_has(s, &id));
    (void)stored_add(s, 2, 2, 100);
}

static void another_program_that_reads_it_is_named(void **state)
{
    struct stored *s = *state;
    sqlite3 *db = NULL;
    stored_open(s);
    stored_close(s);
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "BEGIN; SELECT * FROM number", NULL, NULL, NULL),
        SQLITE_OK);
    stored_refused(s, ERR_EXISTS, "sqlite3");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    stored_open(s);
}

static void another_program_is_kept_out(void **state)
{
    struct stored *s = *state;
    sqlite3 *db = NULL;
    stored_open(s);
    (void)stored_add(s, 1, 1, 10);
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT * FROM number", NULL, NULL, NULL),
                     SQLITE_BUSY);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void what_is_no_database_is_refused_and_left_alone(void **state)
{
    struct stored *s = *state;
    char noise[9000];
    char after[sizeof(noise)];
    memset(noise, 'n', sizeof(noise));
    (void)scratch_write(&s->scratch, "spool.db", noise, sizeof(noise), 0600);
    stored_refused(s, ERR_INVALID, "is not a spool");
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, after, sizeof(after)), sizeof(after));
    assert_int_equal(close(fd), 0);
    assert_memory_equal(noise, after, sizeof(noise));
    (void)scratch_write(&s->scratch, "spool.db", "x", 1, 0600);
    stored_refused(s, ERR_INVALID, "is not a spool");
}

static void another_programs_database_is_refused(void **state)
{
    struct stored *s = *state;
    stored_sql(s, "CREATE TABLE mine(a)");
    assert_int_equal(chmod(s->path, 0600), 0);
    stored_refused(s, ERR_INVALID, "of another program");
    assert_int_equal(stored_sql_int(s, "SELECT count(*) FROM mine"), 0);
}

static void a_newer_layout_is_refused(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    stored_close(s);
    stored_sql(s, "PRAGMA user_version = 3");
    stored_refused(s, ERR_INVALID, "has layout 3");
    stored_sql(s, "PRAGMA user_version = 2");
    stored_open(s);
}

/* As a user whom the modes mean something to. */
static void as_nobody(void (*fn)(void *ctx), struct stored *s)
{
    assert_int_equal(in_child(fn, s), 0);
}

static void become_nobody(void)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        _exit(2);
}

static void refuse_denied(void *ctx)
{
    struct stored *s = ctx;
    become_nobody();
    if (stored_try(s) != ERR_DENIED ||
        strstr(s->err.text, "to the user that runs the daemon") == NULL) {
        (void)fprintf(stderr, "%s\n", s->err.text);
        _exit(1);
    }
}

static void give_to_nobody(const char *path)
{
    if (geteuid() == 0)
        assert_int_equal(chown(path, 65534, 65534), 0);
}

static void what_cannot_be_written_is_refused(void **state)
{
    struct stored *s = *state;
    give_to_nobody(s->scratch.folder);
    assert_int_equal(chmod(s->scratch.folder, 0500), 0);
    as_nobody(refuse_denied, s); /* cannot be made */
    assert_int_equal(chmod(s->scratch.folder, 0700), 0);
    stored_open(s);
    stored_close(s);
    give_to_nobody(s->path);
    assert_int_equal(chmod(s->path, 0400), 0);
    as_nobody(refuse_denied, s); /* cannot be written */
    assert_int_equal(chmod(s->path, 0600), 0);
    assert_int_equal(chmod(s->scratch.folder, 0500), 0);
    as_nobody(refuse_denied, s); /* can have no log */
    assert_int_equal(chmod(s->scratch.folder, 0700), 0);
    stored_open(s);
}

/* ---- crashes ---- */

static void add_and_die(void *ctx)
{
    struct stored *s = ctx;
    stored_open(s);
    stored_begin(s);
    stored_put_numbers(s, 3, 0);
    stored_commit(s);
    for (unsigned i = 0; i < 3; i++) {
        struct sample m;
        sample_init(&m, 0, i, 100);
        (void)snprintf(m.row.id.text, sizeof(m.row.id.text),
                       "01hf7yat0%u0000000000000000", i);
        m.job->id = m.row.id;
        sample_update(&m);
        stored_begin(s);
        sample_insert(&m, s);
        stored_commit(s);
        sample_fini(&m);
    }
    _exit(0);
}

static bool has_crashed_job(struct stored *s, unsigned n)
{
    struct id id;
    (void)snprintf(id.text, sizeof(id.text), "01hf7yat0%u0000000000000000", n);
    return stored_has(s, &id);
}

static void what_was_committed_survives_the_process(void **state)
{
    struct stored *s = *state;
    assert_int_equal(in_child(add_and_die, s), 0);
    stored_verify_clean(s);
    stored_open(s);
    for (unsigned i = 0; i < 3; i++)
        assert_true(has_crashed_job(s, i));
    stored_close(s);
    stored_verify_clean(s);
}

static void verify_changes_nothing(void **state)
{
    struct stored *s = *state;
    assert_int_equal(in_child(add_and_die, s), 0);
    int64_t size = file_size(s->path);
    int64_t log_size = file_size(stored_file(s, "-wal"));
    stored_verify_clean(s);
    assert_int_equal(file_size(s->path), size);
    assert_int_equal(file_size(stored_file(s, "-wal")), log_size);
}

static void a_missing_log_of_an_open_spool_is_refused(void **state)
{
    struct stored *s = *state;
    char kept[256];
    (void)snprintf(kept, sizeof(kept), "%s", stored_file(s, ".kept"));
    assert_int_equal(in_child(add_and_die, s), 0);
    assert_int_equal(rename(stored_file(s, "-wal"), kept), 0);
    stored_refused(s, ERR_INVALID, "is missing: put it back");
    stored_refused(s, ERR_INVALID, "is missing: put it back");
    assert_int_equal(store_verify(s->path, stdout, &s->err), ERR_INVALID);
    /* An empty one is none either. */
    (void)scratch_write(&s->scratch, "spool.db-wal", "", 0, 0600);
    stored_refused(s, ERR_INVALID, "is missing: put it back");
    assert_int_equal(rename(kept, stored_file(s, "-wal")), 0);
    stored_open(s);
    assert_true(has_crashed_job(s, 2));
}

static void the_loss_of_a_log_can_be_accepted(void **state)
{
    struct stored *s = *state;
    assert_int_equal(in_child(add_and_die, s), 0);
    assert_int_equal(unlink(stored_file(s, "-wal")), 0);
    stored_refused(s, ERR_INVALID, "UPDATE number SET closed = 1");
    stored_sql(s, "UPDATE number SET closed = 1");
    stored_open(s);
    assert_false(has_crashed_job(s, 2));
}

static void a_log_with_a_broken_start_is_refused_and_kept(void **state)
{
    struct stored *s = *state;
    assert_int_equal(in_child(add_and_die, s), 0);
    int64_t size = file_size(stored_file(s, "-wal"));
    file_garble(stored_file(s, "-wal"), 8, 8);
    stored_refused(s, ERR_INVALID, "is damaged: put it back");
    assert_int_equal(file_size(stored_file(s, "-wal")), size);
    assert_int_equal(truncate(stored_file(s, "-wal"), 20), 0);
    stored_refused(s, ERR_INVALID, "is damaged: put it back");
}

static void a_copy_of_a_closed_spool_needs_no_log(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    struct id id = stored_add(s, 1, 1, 100);
    stored_close(s);
    assert_false(file_is_there(stored_file(s, "-wal")));
    file_copy(s->path, stored_file(s, ".copy"));
    (void)snprintf(s->path, sizeof(s->path), "%s", stored_file(s, ".copy"));
    stored_open(s);
    assert_true(stored_has(s, &id));
}

/* The end of the log is what a power loss takes. */
static void a_torn_log_gives_the_last_whole_commit(void **state)
{
    const int64_t cut[] = {1, 24, 4096, 8192 + 24 - 1};
    struct stored *s = *state;
    assert_int_equal(in_child(add_and_die, s), 0);
    char db[256];
    char log[256];
    (void)snprintf(db, sizeof(db), "%s", stored_file(s, ".db0"));
    (void)snprintf(log, sizeof(log), "%s", stored_file(s, ".log0"));
    file_copy(s->path, db);
    file_copy(stored_file(s, "-wal"), log);
    int64_t size = file_size(log);
    for (size_t i = 0; i < 8; i++) {
        file_copy(db, s->path);
        file_copy(log, stored_file(s, "-wal"));
        if (i < 4)
            assert_int_equal(truncate(stored_file(s, "-wal"), size - cut[i]),
                             0);
        else
            file_garble(stored_file(s, "-wal"), size - cut[i - 4], 1);
        stored_open(s);
        assert_true(has_crashed_job(s, 0));
        assert_true(has_crashed_job(s, 1));
        assert_false(has_crashed_job(s, 2));
        (void)stored_add(s, 0, 9, 100);
        stored_close(s);
        stored_verify_clean(s); /* three jobs again */
    }
}

struct killed {
    struct stored *s;
    int ids; /* pipe: each id after its commit */
};

static void add_until_killed(void *ctx)
{
    struct killed *k = ctx;
    unsigned n = 0;
    stored_open(k->s);
    for (;; n++) {
        struct spool_stats numbers;
        struct sample m[4];
        struct id ids[4];
        if (store_numbers_get(k->s->store, &numbers, NULL) != ERR_NONE)
            _exit(1);
        stored_begin(k->s);
        for (size_t i = 0; i < 4; i++) {
            sample_init(&m[i], 0, n, 300 + n % 5000);
            sample_insert(&m[i], k->s);
            ids[i] = m[i].row.id;
        }
        stored_put_numbers(k->s, numbers.waiting + 4, 0);
        stored_commit(k->s);
        if (write(k->ids, ids, sizeof(ids)) != sizeof(ids))
            _exit(1);
        for (size_t i = 0; i < 4; i++)
            sample_fini(&m[i]);
    }
}

/* Kills it when it has told of a number of commits; counts what it told. */
static size_t kill_after(struct stored *s, size_t commits, struct id *told,
                         size_t max)
{
    int ends[2];
    size_t count = 0;
    int status = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct killed k = {s, ends[1]};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        add_until_killed(&k);
        _exit(0);
    }
    assert_int_equal(close(ends[1]), 0);
    while (count < max) {
        ssize_t n = read(ends[0], told + count, 4 * sizeof(*told));
        if (n <= 0)
            break;
        assert_int_equal(n, 4 * sizeof(*told));
        count += 4;
        if (count == commits * 4)
            assert_int_equal(kill(pid, SIGKILL), 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(close(ends[0]), 0);
    return count;
}

static void killed_at_any_moment_nothing_told_is_lost(void **state)
{
    enum { MAX = 40000 };
    struct stored *s = *state;
    struct id *told = mem_calloc(MAX, sizeof(*told));
    size_t count = 0;
    for (size_t round = 0; round < 12; round++) {
        count += kill_after(s, 1 + round * 7, told + count, MAX - count);
        stored_verify_clean(s);
        stored_open(s);
        for (size_t i = 0; i < count; i++)
            assert_true(stored_has(s, &told[i]));
        if (round % 2 == 1)
            stored_close(s);
        else
            store_close_unchanged(s->store);
        s->store = NULL;
    }
    assert_true(count >= 12 * 4);
    mem_free(told);
}

static void making_a_spool_can_be_interrupted(void **state)
{
    struct stored *s = *state;
    /* As far as the file, with nothing in it. */
    (void)scratch_write(&s->scratch, "spool.db", "", 0, 0600);
    stored_open(s);
    (void)stored_add(s, 1, 1, 100);
    stored_close(s);
    /* As far as a database without tables. */
    assert_int_equal(unlink(s->path), 0);
    stored_sql(s, "PRAGMA journal_mode = WAL; PRAGMA user_version = 0");
    assert_int_equal(chmod(s->path, 0600), 0);
    stored_open(s);
    (void)stored_add(s, 1, 1, 100);
}

/* ---- layouts ---- */

static void make_v0(struct stored *s)
{
    struct buf text;
    struct bodies *b = NULL;
    struct id id;
    char *data = mem_calloc(1, 1U << 20);
    struct body *body = body_from_memory(data, 1U << 20);
    buf_init(&text, 1U << 20);
    assert_int_equal(file_read(SPOOL_V0, &text, NULL), ERR_NONE);
    buf_add_char(&text, '\0');
    stored_sql(s, text.data);
    buf_fini(&text);
    assert_int_equal(chmod(s->path, 0600), 0);
    assert_int_equal(bodies_open(&b, stored_file(s, ".bodies"), NULL),
                     ERR_NONE);
    assert_true(id_parse(STR("01hf7yat00d0d0d0d0d0d0d0d0"), &id));
    assert_int_equal(bodies_write(b, &id, body, NULL), ERR_NONE);
    bodies_close(b);
    body_unref(body);
}

static void remove_bodies(struct stored *s)
{
    struct bodies *b = NULL;
    struct id id;
    assert_true(id_parse(STR("01hf7yat00d0d0d0d0d0d0d0d0"), &id));
    assert_int_equal(bodies_open(&b, stored_file(s, ".bodies"), NULL),
                     ERR_NONE);
    bodies_remove(b, &id);
    bodies_close(b);
    assert_int_equal(rmdir(stored_file(s, ".bodies")), 0);
}

static void an_old_layout_is_brought_up(void **state)
{
    static const char *const routes[] = {"default", "bulk"};
    struct stored *s = *state;
    struct spool_stats n = {.active = 1};
    struct store_key key = {.client = "uid:1000", .key = "order-7"};
    struct visited v = {.count = 0};
    make_v0(s);
    assert_int_equal(store_verify(s->path, stdout, &s->err), ERR_INVALID);
    assert_non_null(strstr(s->err.text, "an older layout"));
    stored_open_with(s, routes, 2);
    assert_int_equal(store_each(s->store, 0, visited_add, &v, NULL), ERR_NONE);
    visited_check(&v, 4, 2, 3, 5, 8);
    assert_true(v.last.body_in_file);
    v.count = 0;
    assert_int_equal(store_due(s->store,
                               (struct spool_lane){0, JOB_PRIORITY_NORMAL},
                               NULL, SPOOL_NEVER - 1, visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 1, 2);
    assert_string_equal(v.last_body, "first body");
    v.count = 0;
    assert_int_equal(store_due(s->store,
                               (struct spool_lane){1, JOB_PRIORITY_LOW}, NULL,
                               SPOOL_NEVER - 1, visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 1, 8);
    v.count = 0;
    assert_int_equal(
        store_settled(s->store, true, SPOOL_NEVER - 1, visited_add, &v, NULL),
        ERR_NONE);
    visited_check(&v, 1, 5);
    assert_true(v.last.has_body);
    assert_int_equal(store_numbers_get(s->store, &n, NULL), ERR_NONE);
    assert_int_equal(n.accepted, 11);
    assert_int_equal(n.kept_bytes, 1005);
    assert_int_equal(n.bytes, 2010 + 1005);
    assert_int_equal(store_key_find(s->store, &key, NULL), ERR_NONE);
    assert_string_equal(key.id.text, "01hf7yat00a0a0a0a0a0a0a0a0");
    stored_close(s);
    stored_verify_clean(s);
    assert_int_equal(stored_sql_int(s, "PRAGMA user_version"), 2);
    remove_bodies(s);
}

static void a_step_that_fails_leaves_the_old_layout(void **state)
{
    struct stored *s = *state;
    make_v0(s);
    stored_sql(s, "DROP TABLE key");
    assert_int_not_equal(stored_try(s), ERR_NONE);
    assert_null(s->store);
    assert_int_equal(stored_sql_int(s, "PRAGMA user_version"), 0);
    assert_int_equal(stored_sql_int(s, "SELECT count(*) FROM job"), 4);
    assert_int_equal(
        stored_sql_int(s, "SELECT value FROM number WHERE name = 'accepted'"),
        11);
    remove_bodies(s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(new_files_are_private_whatever_the_umask),
        CASE(a_symbolic_link_is_followed),
        CASE(a_missing_directory_is_named),
        CASE(a_directory_is_no_spool),
        CASE(a_file_that_others_may_use_is_refused),
        CASE(a_second_daemon_is_refused_and_harms_nothing),
        CASE(another_program_that_reads_it_is_named),
        CASE(another_program_is_kept_out),
        CASE(what_is_no_database_is_refused_and_left_alone),
        CASE(another_programs_database_is_refused),
        CASE(a_newer_layout_is_refused),
        CASE(what_cannot_be_written_is_refused),
        CASE(what_was_committed_survives_the_process),
        CASE(verify_changes_nothing),
        CASE(a_missing_log_of_an_open_spool_is_refused),
        CASE(the_loss_of_a_log_can_be_accepted),
        CASE(a_log_with_a_broken_start_is_refused_and_kept),
        CASE(a_copy_of_a_closed_spool_needs_no_log),
        CASE(a_torn_log_gives_the_last_whole_commit),
        CASE(killed_at_any_moment_nothing_told_is_lost),
        CASE(making_a_spool_can_be_interrupted),
        CASE(an_old_layout_is_brought_up),
        CASE(a_step_that_fails_leaves_the_old_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
