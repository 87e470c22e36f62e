#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/store_inner.h"
#include "tests/unit/queue/stores.h"

/* Files of a spool that are damaged, cut, missing or emptied. */

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

static void damage_is_refused(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    for (unsigned i = 0; i < 40; i++)
        (void)stored_add(s, i, i, 4000);
    stored_close(s);
    int64_t size = file_size(s->path);
    char copy[256];
    (void)snprintf(copy, sizeof(copy), "%s", stored_file(s, ".copy"));
    file_copy(s->path, copy);
    assert_int_equal(truncate(s->path, size - 8192), 0);
    stored_refused(s, ERR_INVALID, "damaged");
    file_copy(copy, s->path);
    file_garble(s->path, 100, 200); /* the root page of the schema */
    stored_refused(s, ERR_INVALID, "damaged");
    file_copy(copy, s->path);
    stored_open(s);
}

static void fill_and_keep(struct stored *s, char *copy, size_t size)
{
    stored_open(s);
    for (unsigned i = 0; i < 40; i++)
        (void)stored_add(s, i, i, 4000);
    stored_close(s);
    (void)snprintf(copy, size, "%s", stored_file(s, ".copy"));
    file_copy(s->path, copy);
}

static void a_file_that_was_cut_is_refused(void **state)
{
    static const int64_t cuts[] = {1, 2, 100, 4096, 8191, 8192, 8193, 20000};
    struct stored *s = *state;
    char copy[256];
    fill_and_keep(s, copy, sizeof(copy));
    int64_t size = file_size(s->path);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        assert_int_equal(truncate(s->path, size - cuts[i]), 0);
        stored_refused(s, ERR_INVALID, "put a copy back");
        assert_int_equal(file_size(s->path), size - cuts[i]);
        assert_int_equal(store_verify(s->path, stdout, &s->err), ERR_INVALID);
        assert_non_null(strstr(s->err.text, "damaged"));
        file_copy(copy, s->path);
    }
    stored_open(s);
}

static void a_file_that_is_longer_is_good(void **state)
{
    struct stored *s = *state;
    char copy[256];
    fill_and_keep(s, copy, sizeof(copy));
    assert_int_equal(truncate(s->path, file_size(s->path) + 10000), 0);
    stored_open(s);
}

static void grow_and_die(void *ctx)
{
    struct stored *s = ctx;
    stored_open(s);
    for (unsigned i = 40; i < 60; i++)
        (void)stored_add(s, i, i, 4000);
    _exit(0);
}

/* Copying the log was interrupted, or somebody cut the file. */
static void with_a_log_only_what_it_has_may_be_missing(void **state)
{
    static const int64_t added[] = {0, 1, 3 * 8192 + 1, 10 * 8192};
    struct stored *s = *state;
    char copy[256];
    char log[256];
    fill_and_keep(s, copy, sizeof(copy));
    assert_int_equal(in_child(grow_and_die, s), 0);
    int64_t size = file_size(s->path);
    (void)snprintf(log, sizeof(log), "%s", stored_file(s, ".log"));
    file_copy(s->path, copy);
    file_copy(stored_file(s, "-wal"), log);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(truncate(s->path, size + added[i]), 0);
        stored_open(s);
        for (unsigned n = 0; n < 3; n++)
            (void)stored_add(s, n, n, 4000);
        stored_close(s);
        assert_int_equal(
            stored_sql_int(s, "SELECT count(*) FROM pragma_integrity_check"
                              " WHERE integrity_check = 'ok'"),
            1);
        file_copy(copy, s->path);
        file_copy(log, stored_file(s, "-wal"));
    }
    for (int64_t i = 0; i < 2; i++) {
        assert_int_equal(truncate(s->path, size - 10 * 8192 - i), 0);
        stored_refused(s, ERR_INVALID, "its file ends at byte ");
    }
}

static void a_spool_is_not_begun_anew_over_mails(void **state)
{
    struct stored *s = *state;
    char kept[256];
    char name[300];
    stored_open(s);
    stored_close(s);
    (void)snprintf(kept, sizeof(kept), "%s", stored_file(s, ".kept"));
    assert_int_equal(rename(s->path, kept), 0);
    const char *directory = stored_file(s, ".bodies");
    assert_int_equal(mkdir(directory, 0700), 0);
    (void)snprintf(name, sizeof(name), "%s/01hf7yat00d0d0d0d0d0d0d0d0",
                   directory);
    file_copy(kept, name);
    stored_refused(s, ERR_INVALID, "is missing, but there are mails of it in");
    assert_false(file_is_there(s->path));
    (void)scratch_write(&s->scratch, "spool.db", "", 0, 0600);
    stored_refused(s, ERR_INVALID, "is empty, but there are mails of it in");
    assert_true(file_is_there(s->path));
    assert_true(file_is_there(name));
    /* A database without anything in it is no better. */
    stored_sql(s, "PRAGMA journal_mode = WAL");
    assert_int_equal(chmod(s->path, 0600), 0);
    stored_refused(s, ERR_INVALID, "there are mails of it in");
    assert_int_equal(rename(kept, s->path), 0);
    stored_open(s);
    assert_false(store_is_new(s->store));
    stored_close(s);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(unlink(s->path), 0);
    stored_open(s);
    assert_true(store_is_new(s->store));
    assert_int_equal(rmdir(stored_file(s, ".bodies")), 0);
}

static void a_log_without_its_file_is_refused(void **state)
{
    struct stored *s = *state;
    (void)scratch_write(&s->scratch, "spool.db-wal", "log", 3, 0600);
    stored_refused(s, ERR_INVALID, "is missing but its log");
    assert_false(file_is_there(s->path));
    assert_int_equal(file_size(stored_file(s, "-wal")), 3);
}

static void an_emptied_file_with_a_log_is_refused(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    stored_close(s);
    assert_int_equal(truncate(s->path, 0), 0);
    (void)scratch_write(&s->scratch, "spool.db-wal", "log", 3, 0600);
    stored_refused(s, ERR_INVALID, "is empty but its log");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(damage_is_refused),
        CASE(a_file_that_was_cut_is_refused),
        CASE(a_file_that_is_longer_is_good),
        CASE(with_a_log_only_what_it_has_may_be_missing),
        CASE(a_spool_is_not_begun_anew_over_mails),
        CASE(a_log_without_its_file_is_refused),
        CASE(an_emptied_file_with_a_log_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
