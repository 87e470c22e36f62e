#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/bodies.h"
#include "tests/support/scratch.h"

/* Stands before the C library's: the n-th from now fails; 0: none. */
static unsigned fail_sync_at;
static char synced[8]; /* 'f' a file, 'd' a directory, in order */
static size_t sync_count;

int fsync(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    if (sync_count < sizeof(synced))
        synced[sync_count++] = S_ISDIR(st.st_mode) ? 'd' : 'f';
    if (fail_sync_at > 0 && --fail_sync_at == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

struct box {
    struct scratch scratch; /* with the directory "b" in it */
    struct scratch inner;   /* that directory */
    struct bodies *bodies;
    struct err err;
};

static int setup(void **state)
{
    struct box *x;
    MEM_NEW(x);
    scratch_open(&x->scratch);
    (void)snprintf(x->inner.folder, sizeof(x->inner.folder), "%s",
                   scratch_path(&x->scratch, "b"));
    assert_int_equal(bodies_open(&x->bodies, x->inner.folder, &x->err),
                     ERR_NONE);
    fail_sync_at = 0;
    sync_count = 0;
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct box *x = *state;
    bodies_close(x->bodies);
    scratch_close(&x->inner);
    scratch_close(&x->scratch);
    mem_free(x);
    return 0;
}

static struct body *body_of(size_t len, char fill)
{
    char *data = mem_alloc(len);
    memset(data, fill, len);
    return body_from_memory(data, len);
}

static enum err_code write_body(struct box *x, const struct id *id, size_t len,
                                char fill)
{
    struct body *body = body_of(len, fill);
    enum err_code code = bodies_write(x->bodies, id, body, &x->err);
    body_unref(body);
    return code;
}

static void check_body(struct box *x, const struct id *id, size_t len,
                       char fill)
{
    struct body *body = NULL;
    char *data = mem_alloc(len + 1);
    size_t got = 0;
    assert_int_equal(bodies_read(x->bodies, id, len, &body, &x->err), ERR_NONE);
    assert_int_equal(body_size(body), len);
    assert_int_equal(body_read(body, 0, data, len + 1, &got), ERR_NONE);
    assert_int_equal(got, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(data[i], fill);
    body_unref(body);
    mem_free(data);
}

static void count_one(void *ctx, const struct id *id, bool part)
{
    size_t *count = ctx;
    (void)id;
    (void)part;
    ++*count;
}

static size_t count_files(struct box *x)
{
    size_t count = 0;
    assert_int_equal(bodies_each(x->bodies, count_one, &count, NULL, &x->err),
                     ERR_NONE);
    return count;
}

static void what_is_written_is_read(void **state)
{
    struct box *x = *state;
    const size_t sizes[] = {0, 1, 4096, (256 << 10), (256 << 10) + 1, 3000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct id id;
        id_new(&id, 1);
        assert_int_equal(write_body(x, &id, sizes[i], 'a'), ERR_NONE);
        check_body(x, &id, sizes[i], 'a');
    }
    assert_int_equal(count_files(x), 6);
}

static void files_are_private_and_synced_before_their_directory(void **state)
{
    struct box *x = *state;
    struct stat st;
    struct id id;
    id_new(&id, 1);
    mode_t before = umask(0);
    assert_int_equal(write_body(x, &id, 10, 'a'), ERR_NONE);
    (void)umask(before);
    assert_int_equal(stat(scratch_path(&x->inner, id.text), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(x->inner.folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(sync_count, 2);
    assert_memory_equal(synced, "fd", 2);
}

static void a_body_outlives_its_file(void **state)
{
    struct box *x = *state;
    struct body *body = NULL;
    struct id id;
    char data[4];
    size_t got = 0;
    id_new(&id, 1);
    assert_int_equal(write_body(x, &id, 5000, 'z'), ERR_NONE);
    assert_int_equal(bodies_read(x->bodies, &id, 5000, &body, NULL), ERR_NONE);
    bodies_remove(x->bodies, &id);
    bodies_remove(x->bodies, &id);
    assert_int_equal(count_files(x), 0);
    assert_int_equal(body_read(body, 4998, data, 4, &got), ERR_NONE);
    assert_int_equal(got, 2);
    assert_memory_equal(data, "zz", 2);
    body_unref(body);
    assert_int_equal(bodies_read(x->bodies, &id, 5000, &body, &x->err),
                     ERR_NOT_FOUND);
}

static void another_size_is_damage(void **state)
{
    struct box *x = *state;
    struct body *body = NULL;
    struct id id;
    id_new(&id, 1);
    assert_int_equal(write_body(x, &id, 5000, 'z'), ERR_NONE);
    assert_int_equal(bodies_read(x->bodies, &id, 5001, &body, &x->err),
                     ERR_INVALID);
    assert_non_null(strstr(x->err.text, "5000 bytes, not 5001"));
    assert_null(body);
}

static void what_an_interrupted_write_left_is_written_over(void **state)
{
    struct box *x = *state;
    struct id id;
    char name[64];
    id_new(&id, 1);
    (void)snprintf(name, sizeof(name), "%s.part", id.text);
    (void)scratch_write(&x->inner, name, "a longer rest", 13, 0600);
    assert_int_equal(write_body(x, &id, 3, 'n'), ERR_NONE);
    check_body(x, &id, 3, 'n');
    assert_int_equal(count_files(x), 1);
}

static void a_sync_that_fails_leaves_nothing(void **state)
{
    struct box *x = *state;
    struct id id;
    id_new(&id, 1);
    for (unsigned at = 1; at <= 2; at++) {
        fail_sync_at = at;
        assert_int_equal(write_body(x, &id, 5000, 'a'), ERR_SYSTEM);
        assert_non_null(strstr(x->err.text, "Input/output error"));
        assert_int_equal(count_files(x), 0);
    }
    assert_int_equal(write_body(x, &id, 5000, 'a'), ERR_NONE);
}

static void a_full_disk_leaves_nothing(void **state)
{
    struct box *x = *state;
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    struct rlimit limit;
    struct id id;
    id_new(&id, 1);
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &before), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t normal = limit.rlim_cur;
    limit.rlim_cur = 300000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum err_code code = write_body(x, &id, 1000000, 'a');
    limit.rlim_cur = normal;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(sigaction(SIGXFSZ, &before, NULL), 0);
    assert_int_equal(code, ERR_FULL);
    assert_non_null(strstr(x->err.text, "make room"));
    assert_int_equal(count_files(x), 0);
    assert_int_equal(write_body(x, &id, 1000000, 'a'), ERR_NONE);
}

struct known {
    struct id ids[2];
    size_t asked;
};

static bool is_known(void *ctx, const struct id *id)
{
    struct known *k = ctx;
    k->asked++;
    return strcmp(id->text, k->ids[0].text) == 0 ||
           strcmp(id->text, k->ids[1].text) == 0;
}

static void a_sweep_removes_what_nobody_knows(void **state)
{
    struct box *x = *state;
    struct known k = {.asked = 0};
    struct bodies_swept swept = {.removed = 99};
    char name[64];
    for (size_t i = 0; i < 300; i++) {
        struct id id;
        id_new(&id, (int64_t)i);
        if (i < 2)
            k.ids[i] = id;
        (void)scratch_write(&x->inner, id.text, "x", 1, 0600);
    }
    (void)snprintf(name, sizeof(name), "%s.part", k.ids[0].text);
    (void)scratch_write(&x->inner, name, "x", 1, 0600);
    (void)scratch_write(&x->inner, "README", "not ours", 8, 0600);
    assert_int_equal(bodies_sweep(x->bodies, is_known, &k, &swept, &x->err),
                     ERR_NONE);
    assert_int_equal(swept.removed, 299);
    assert_int_equal(swept.strangers.count, 1);
    assert_string_equal(swept.strangers.example, "README");
    assert_int_equal(k.asked, 300);
    assert_int_equal(count_files(x), 2);
    check_body(x, &k.ids[0], 1, 'x');
    check_body(x, &k.ids[1], 1, 'x');
    assert_int_equal(access(scratch_path(&x->inner, "README"), F_OK), 0);
    assert_int_equal(bodies_sweep(x->bodies, is_known, &k, &swept, NULL),
                     ERR_NONE);
    assert_int_equal(swept.removed, 0);
    assert_int_equal(swept.strangers.count, 1);
}

static void files_of_ours_are_seen_without_opening(void **state)
{
    struct box *x = *state;
    struct id id;
    bool any = true;
    const char *path = scratch_path(&x->scratch, "none");
    assert_int_equal(bodies_any(path, &any, &x->err), ERR_NONE);
    assert_false(any);
    assert_int_not_equal(access(path, F_OK), 0); /* nor made */
    path = x->inner.folder;
    assert_int_equal(bodies_any(path, &any, &x->err), ERR_NONE);
    assert_false(any);
    (void)scratch_write(&x->inner, "README", "not ours", 8, 0600);
    assert_int_equal(bodies_any(path, &any, &x->err), ERR_NONE);
    assert_false(any);
    id_new(&id, 1);
    (void)scratch_write(&x->inner, id.text, "x", 1, 0600);
    assert_int_equal(bodies_any(path, &any, &x->err), ERR_NONE);
    assert_true(any);
}

static void wrong_directories_are_refused(void **state)
{
    struct box *x = *state;
    struct bodies *b = NULL;
    const char *path = scratch_path(&x->scratch, "c");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0750), 0);
    assert_int_equal(bodies_open(&b, path, &x->err), ERR_DENIED);
    assert_non_null(strstr(x->err.text, "chmod 700"));
    assert_int_equal(rmdir(path), 0);
    path = scratch_write(&x->scratch, "c", "", 0, 0600);
    assert_int_equal(bodies_open(&b, path, &x->err), ERR_INVALID);
    assert_non_null(strstr(x->err.text, "is not a directory"));
    path = scratch_path(&x->scratch, "not/there");
    assert_int_equal(bodies_open(&b, path, &x->err), ERR_NOT_FOUND);
    assert_null(b);
}

static void a_new_directory_is_synced_with_its_parent(void **state)
{
    struct box *x = *state;
    struct bodies *b = NULL;
    mode_t before = umask(0777);
    const char *path = scratch_path(&x->scratch, "new");
    enum err_code code = bodies_open(&b, path, &x->err);
    (void)umask(before);
    assert_int_equal(code, ERR_NONE);
    assert_int_equal(sync_count, 1);
    assert_int_equal(synced[0], 'd');
    bodies_close(b);
    assert_int_equal(rmdir(path), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_written_is_read),
        CASE(files_are_private_and_synced_before_their_directory),
        CASE(a_body_outlives_its_file),
        CASE(another_size_is_damage),
        CASE(what_an_interrupted_write_left_is_written_over),
        CASE(a_sync_that_fails_leaves_nothing),
        CASE(a_full_disk_leaves_nothing),
        CASE(a_sweep_removes_what_nobody_knows),
        CASE(files_of_ours_are_seen_without_opening),
        CASE(wrong_directories_are_refused),
        CASE(a_new_directory_is_synced_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
