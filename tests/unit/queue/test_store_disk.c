#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/store_inner.h"
#include "tests/unit/queue/stores.h"

/*
 * The program's own fsync() and fdatasync() stand before the C library's, for
 * SQLite too: the next fail_syncs of the file fail_inode fail (0: of any).
 */
static unsigned fail_syncs;
static ino_t fail_inode;
static unsigned syncs;

static bool sync_fails(int fd)
{
    struct stat st;
    syncs++;
    if (fail_syncs == 0 || fstat(fd, &st) != 0 ||
        (fail_inode != 0 && st.st_ino != fail_inode))
        return false;
    fail_syncs--;
    errno = EIO;
    return true;
}

int fsync(int fd)
{
    return sync_fails(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* While it is full no file grows. */
static bool disk_is_full;

static bool grows(int fd, size_t len, off_t at)
{
    struct stat st;
    return disk_is_full && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           at + (off_t)len > st.st_size;
}

static ssize_t plain_pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (!grows(fd, len, at))
        return syscall(SYS_pwrite64, fd, data, len, at);
    errno = ENOSPC;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return plain_pwrite(fd, data, len, at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    return plain_pwrite(fd, data, len, at);
}

static void fail_next(unsigned count, const char *path)
{
    struct stat st;
    fail_inode = 0;
    if (path != NULL) {
        assert_int_equal(stat(path, &st), 0);
        fail_inode = st.st_ino;
    }
    fail_syncs = count;
}

static const char *const three_routes[] = {"default", "other", "new"};

static int setup(void **state)
{
    struct stored *s;
    MEM_NEW(s);
    stored_init(s);
    fail_syncs = 0;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stored *s = *state;
    fail_syncs = 0;
    disk_is_full = false;
    stored_close(s);
    (void)umount(s->scratch.folder); /* where a test put it */
    stored_fini(s);
    mem_free(s);
    return 0;
}

/* A job with a known id. */
static struct id id_of(unsigned n)
{
    struct id id;
    (void)snprintf(id.text, sizeof(id.text), "01hf7yat0%02u000000000000000",
                   n % 100U);
    return id;
}

static enum err_code try_add(struct stored *s, unsigned n, size_t body_bytes,
                             int64_t waiting)
{
    struct sample m;
    sample_init(&m, 0, 1, body_bytes);
    m.row.id = m.job->id = id_of(n);
    sample_update(&m);
    stored_begin(s);
    enum err_code code =
        store_insert(s->store, &m.row, str_of(m.body, body_bytes), &s->err);
    if (code == ERR_NONE)
        stored_put_numbers(s, waiting, 0);
    /* A failure before decides the commit, with its words. */
    enum err_code end = store_commit(s->store, &s->err);
    assert_true(code == ERR_NONE || code == end);
    sample_fini(&m);
    return end;
}

static void add(struct stored *s, unsigned n, int64_t waiting)
{
    if (try_add(s, n, 300, waiting) != ERR_NONE)
        fail_msg("%s", s->err.text);
}

static bool has(struct stored *s, unsigned n)
{
    struct id id = id_of(n);
    return stored_has(s, &id);
}

/* ---- a sync that fails ---- */

struct scene {
    struct stored *s;
    unsigned fails; /* syncs that fail */
    bool copied;    /* the log begins again with the commit that fails */
    bool goes_on;   /* another commit before the end */
    size_t body_bytes;
};

static void fail_then_die(void *ctx)
{
    struct scene *c = ctx;
    struct stored *s = c->s;
    stored_open(s);
    add(s, 1, 1);
    add(s, 2, 2);
    if (c->copied && database_checkpoint(s->store->db, &s->err) != ERR_NONE)
        _exit(2);
    fail_next(c->fails, stored_file(s, "-wal"));
    if (try_add(s, 3, c->body_bytes, 3) != ERR_SYSTEM ||
        strstr(s->err.text, "Input/output error") == NULL)
        _exit(3);
    if (has(s, 3) || !has(s, 2))
        _exit(4);
    if (c->fails > 1) {
        stored_begin(s); /* tries again to forget it */
        store_rollback(s->store);
    }
    if (fail_syncs != 0)
        _exit(5);
    if (c->goes_on)
        add(s, 4, 3);
    _exit(0);
}

static void a_commit_whose_sync_failed_never_comes_back(void **state)
{
    struct stored *s = *state;
    for (unsigned i = 0; i < 16; i++) {
        struct scene c = {s, 1 + (i & 1), (i & 2) != 0, (i & 4) != 0,
                          (i & 8) != 0 ? 90000 : 100};
        assert_int_equal(in_child(fail_then_die, &c), 0);
        stored_verify_clean(s);
        stored_open(s);
        assert_true(has(s, 1));
        assert_true(has(s, 2));
        assert_false(has(s, 3));
        assert_int_equal(has(s, 4), c.goes_on);
        add(s, 5, c.goes_on ? 4 : 3);
        stored_close(s);
        stored_verify_clean(s);
        assert_int_equal(unlink(s->path), 0);
    }
}

static void commits_go_on_after_syncs_failed(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    for (unsigned n = 0; n < 30; n += 3) {
        add(s, n, n / 3 * 2 + 1);
        fail_next(1 + n % 2, NULL);
        assert_int_equal(try_add(s, n + 1, 5000, 99), ERR_SYSTEM);
        add(s, n + 2, n / 3 * 2 + 2);
    }
    for (unsigned n = 0; n < 30; n++)
        assert_int_equal(has(s, n), n % 3 != 1);
    stored_close(s);
    stored_verify_clean(s);
}

static void every_commit_is_synced(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    for (unsigned n = 0; n < 5; n++) {
        unsigned before = syncs;
        add(s, n, n + 1);
        assert_true(syncs > before);
    }
}

static void a_disk_that_syncs_nothing_takes_nothing(void **state)
{
    struct stored *s = *state;
    fail_next(1000, NULL);
    stored_refused(s, ERR_SYSTEM, "Input/output error");
    fail_syncs = 0;
    stored_open(s);
    add(s, 1, 1);
    stored_close(s);
    fail_next(1000, NULL);
    stored_open(s); /* it may be read */
    assert_true(has(s, 1));
    assert_int_equal(store_begin(s->store, &s->err), ERR_SYSTEM);
    assert_non_null(strstr(s->err.text, "Input/output error"));
    fail_syncs = 0;
    add(s, 2, 2);
}

static void an_end_that_cannot_be_written_is_no_order(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    add(s, 1, 1);
    fail_next(1000, NULL);
    stored_close(s);
    fail_syncs = 0;
    assert_true(file_is_there(stored_file(s, "-wal")));
    stored_open(s);
    assert_false(s->store->was_closed);
    assert_true(has(s, 1));
}

/* ---- the log ---- */

static void fill(struct stored *s, unsigned from, unsigned count)
{
    for (unsigned n = from; n < from + count; n++)
        if (try_add(s, n, 1000000, n + 1) != ERR_NONE)
            fail_msg("%s", s->err.text);
}

static void the_log_does_not_grow_without_end(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    for (unsigned n = 0; n < 80; n++) {
        fill(s, n, 1);
        assert_true(file_size(stored_file(s, "-wal")) <= INT64_C(34) << 20);
    }
    stored_close(s);
    stored_verify_clean(s);
}

static void a_copy_that_fails_is_tried_again_and_limits_the_log(void **state)
{
    struct stored *s = *state;
    unsigned n = 0;
    stored_open(s);
    fail_next(1000000, s->path);
    for (; n < 99; n++) {
        struct err err;
        if (store_begin(s->store, &err) != ERR_NONE)
            break;
        store_rollback(s->store);
        assert_int_equal(try_add(s, n, 1000000, n + 1), ERR_NONE);
    }
    assert_true(n > 40 && n < 80);
    assert_true(file_size(stored_file(s, "-wal")) <= INT64_C(66) << 20);
    fail_syncs = 0;
    fill(s, n, 3);
    for (unsigned i = 0; i < n + 3; i++)
        assert_true(has(s, i));
    stored_close(s);
    stored_verify_clean(s);
}

/* ---- no room ---- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void meet_the_limit(void *ctx)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct stored *s = ctx;
    if (sigaction(SIGXFSZ, &ignore, NULL) != 0)
        _exit(2);
    stored_open(s);
    add(s, 1, 1);
    rlim_t size = (rlim_t)file_size(stored_file(s, "-wal"));
    for (unsigned i = 0; i < 40; i++) {
        limit_files(size + 1000 * i);
        if (try_add(s, 2, 100000 + i * 1000, 99) != ERR_FULL ||
            strstr(s->err.text, "make room") == NULL)
            _exit(3);
        if (!has(s, 1) || has(s, 2))
            _exit(4);
    }
    limit_files(0);
    add(s, 3, 2);
    /* More than the cache holds: it is written before the commit. */
    limit_files((rlim_t)file_size(stored_file(s, "-wal")) + 5000000);
    stored_begin(s);
    enum err_code code = ERR_NONE;
    for (unsigned n = 10; n < 40; n++) {
        struct sample m;
        sample_init(&m, 0, 1, 900000);
        enum err_code now =
            store_insert(s->store, &m.row, str_of(m.body, m.body_len), &s->err);
        if (code == ERR_NONE)
            code = now;
        sample_fini(&m);
    }
    if (code != ERR_FULL || store_commit(s->store, &s->err) != ERR_FULL)
        _exit(5);
    limit_files(0);
    add(s, 4, 3);
    _exit(0);
}

static void a_file_size_limit_is_a_full_disk(void **state)
{
    struct stored *s = *state;
    assert_int_equal(in_child(meet_the_limit, s), 0);
    stored_verify_clean(s);
    stored_open(s);
    assert_true(has(s, 1));
    assert_false(has(s, 2));
    assert_true(has(s, 3));
    assert_true(has(s, 4));
}

static void a_full_disk_is_survived(void **state)
{
    struct stored *s = *state;
    char ballast[1] = {0};
    if (mount("tmpfs", s->scratch.folder, "tmpfs", 0, "size=4m,mode=0700") !=
        0) {
        print_message("skipped: no tmpfs can be mounted (%s)\n",
                      strerror(errno));
        skip();
    }
    const char *path = scratch_write(&s->scratch, "ballast", ballast, 1, 0600);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(fallocate(fd, 0, 0, 1 << 20), 0);
    assert_int_equal(close(fd), 0);
    stored_open(s);
    unsigned n = 0;
    while (n < 99 && try_add(s, n, 100000, n + 1) == ERR_NONE)
        n++;
    assert_true(n > 5 && n < 99);
    assert_non_null(strstr(s->err.text, "make room"));
    assert_int_equal(try_add(s, n, 100000, n + 1), ERR_FULL);
    assert_false(has(s, n));
    assert_int_equal(unlink(scratch_path(&s->scratch, "ballast")), 0);
    assert_int_equal(try_add(s, n, 100000, n + 1), ERR_NONE);
    for (unsigned i = 0; i <= n; i++)
        assert_true(has(s, i));
    stored_close(s);
    stored_verify_clean(s);
}

static void crash_with_jobs(void *ctx)
{
    struct stored *s = ctx;
    stored_open(s);
    for (unsigned n = 0; n < 5; n++)
        add(s, n, n + 1);
    _exit(0);
}

static void has_jobs(struct stored *s, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        assert_true(has(s, n));
}

/* A crash, then a start with a route that is new: a commit behind the log. */
static void a_full_disk_at_the_start_takes_nothing_away(void **state)
{
    struct stored *s = *state;
    const struct store_options options = {s->path, three_routes, 3};
    assert_int_equal(in_child(crash_with_jobs, s), 0);
    disk_is_full = true;
    (void)!store_open(&s->store, &options, &s->err);
    store_close_unchanged(s->store);
    s->store = NULL;
    disk_is_full = false;
    stored_open_with(s, three_routes, 3);
    has_jobs(s, 5);
    stored_close(s);
    stored_verify_clean(s);
}

static void wait_for_room(void *ctx)
{
    struct stored *s = ctx;
    struct sample m;
    stored_open_with(s, three_routes, 3);
    if (store_take(s->store, &s->err) != ERR_FULL)
        _exit(2);
    disk_is_full = false;
    sample_init(&m, 0, 1, 100);
    m.row.id = m.job->id = id_of(1);
    sample_update(&m);
    m.row.lane.route = 2;
    stored_begin(s);
    sample_insert(&m, s);
    stored_put_numbers(s, 1, 0);
    stored_commit(s);
    _exit(0);
}

static void a_start_on_a_full_disk_waits_for_room(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    stored_close(s);
    disk_is_full = true;
    for (unsigned i = 0; i < 3; i++) {
        stored_open(s);
        assert_int_equal(store_take(s->store, &s->err), ERR_FULL);
        assert_int_equal(store_begin(s->store, &s->err), ERR_FULL);
        assert_non_null(strstr(s->err.text, "make room"));
        if (i > 0)
            stored_close(s);
        else
            store_close_unchanged(s->store);
        s->store = NULL;
        /* Nothing is lost with the log of one that took nothing. */
        if (i == 1)
            (void)unlink(stored_file(s, "-wal"));
    }
    assert_int_equal(in_child(wait_for_room, s), 0);
    disk_is_full = false;
    stored_open(s);
    assert_false(s->store->was_closed);
    assert_true(has(s, 1));
    stored_close(s);
    assert_int_equal(stored_sql_int(s, "SELECT count(*) FROM route"), 3);
    stored_verify_clean(s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_commit_whose_sync_failed_never_comes_back),
        CASE(commits_go_on_after_syncs_failed),
        CASE(every_commit_is_synced),
        CASE(a_disk_that_syncs_nothing_takes_nothing),
        CASE(an_end_that_cannot_be_written_is_no_order),
        CASE(the_log_does_not_grow_without_end),
        CASE(a_copy_that_fails_is_tried_again_and_limits_the_log),
        CASE(a_file_size_limit_is_a_full_disk),
        CASE(a_full_disk_is_survived),
        CASE(a_full_disk_at_the_start_takes_nothing_away),
        CASE(a_start_on_a_full_disk_waits_for_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
