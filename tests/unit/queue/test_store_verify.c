#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/bodies.h"
#include "tests/unit/queue/stores.h"

static int setup(void **state)
{
    struct stored *s;
    MEM_NEW(s);
    stored_init(s);
    *state = s;
    return 0;
}

static void bodies_away(struct stored *s)
{
    struct scratch inner = s->scratch;
    (void)snprintf(inner.folder, sizeof(inner.folder), "%s",
                   stored_file(s, ".bodies"));
    if (file_is_there(inner.folder))
        scratch_close(&inner);
}

static int teardown(void **state)
{
    struct stored *s = *state;
    bodies_away(s);
    stored_fini(s);
    mem_free(s);
    return 0;
}

/* 1 waits, 2 is delivered, 3 failed and has its body, 4 waits in a file. */
static void fill(struct stored *s, struct id *ids)
{
    const struct spool_stats numbers = {.accepted = 5,
                                        .delivered = 2,
                                        .failed = 1,
                                        .waiting = 2,
                                        .bytes = 3008,
                                        .kept_bytes = 1003,
                                        .remembered = 2,
                                        .keys = 1};
    struct store_key key = {.client = "c", .key = "k", .at_ms = 1};
    struct sample m[4];
    struct bodies *b = NULL;
    stored_open(s);
    stored_begin(s);
    for (unsigned i = 0; i < 4; i++) {
        sample_init(&m[i], i + 1, 1, 5000);
        m[i].row.body_in_file = i == 3;
        sample_insert(&m[i], s);
        ids[i] = m[i].row.id;
    }
    sample_deliver(&m[1], 5);
    sample_fail(&m[2], 6);
    assert_int_equal(store_update(s->store, &m[1].row, NULL), ERR_NONE);
    assert_int_equal(store_update(s->store, &m[2].row, NULL), ERR_NONE);
    key.id = ids[0];
    assert_int_equal(store_key_put(s->store, &key, NULL), ERR_NONE);
    assert_int_equal(store_numbers_put(s->store, &numbers, NULL), ERR_NONE);
    stored_commit(s);
    stored_close(s);
    assert_int_equal(bodies_open(&b, stored_file(s, ".bodies"), NULL),
                     ERR_NONE);
    char *data = mem_calloc(1, 5000);
    struct body *body = body_from_memory(data, 5000);
    assert_int_equal(bodies_write(b, &ids[3], body, NULL), ERR_NONE);
    body_unref(body);
    bodies_close(b);
    for (unsigned i = 0; i < 4; i++)
        sample_fini(&m[i]);
}

static void a_good_spool_has_no_findings(void **state)
{
    struct stored *s = *state;
    struct id ids[4];
    fill(s, ids);
    stored_verify_clean(s);
    stored_open(s);
    stored_close(s);
    stored_verify_clean(s);
}

static void a_spool_must_be_there(void **state)
{
    struct stored *s = *state;
    assert_int_equal(store_verify(s->path, stdout, &s->err), ERR_NOT_FOUND);
    assert_false(file_is_there(s->path));
}

static void a_spool_in_use_is_refused(void **state)
{
    struct stored *s = *state;
    stored_open(s);
    assert_int_equal(store_verify(s->path, stdout, &s->err), ERR_EXISTS);
}

static void lines_of(const char *text, const char *sql, const char *finding,
                     size_t lines)
{
    size_t count = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        count++;
    if (strstr(text, finding) == NULL || count != lines)
        fail_msg("after %s: expected %zu lines with \"%s\" in\n%s", sql, lines,
                 finding, text);
}

static void each_difference_is_a_line(void **state)
{
    static const struct {
        const char *sql;
        const char *finding;
        size_t lines;
    } table[] = {
        {"UPDATE job SET state = 2 WHERE seq = 1",
         ": state is 2 in its row, 0 in its record", 1},
        {"UPDATE job SET due_ms = due_ms + 1 WHERE seq = 1", ": due_ms is ", 1},
        {"UPDATE job SET due_ms = NULL WHERE seq = 1", ": due_ms is ", 1},
        {"UPDATE job SET limit_ms = 5 WHERE seq = 1", ": limit_ms is 5 in ", 1},
        {"UPDATE job SET settled_ms = 5 WHERE seq = 2", ": settled_ms is 5", 1},
        {"UPDATE job SET marked = 1 WHERE seq = 1", ": marked is 1 in", 1},
        {"UPDATE job SET lane = lane + 1 WHERE seq = 1", ": priority is 2", 1},
        {"UPDATE job SET body_bytes = 4 WHERE seq = 2", ": body_bytes is 4", 1},
        {"UPDATE job SET record = x'01' WHERE seq = 1",
         ": its record cannot be read", 1},
        {"UPDATE job SET record = (SELECT record FROM job WHERE seq = 4)"
         " WHERE seq = 1",
         ": its record is of job ", 1},
        {"UPDATE job SET state = 99 WHERE seq = 2", "row 2 of its jobs", 2},
        {"UPDATE job SET id = 'x' WHERE seq = 4", "row 4 of its jobs", 4},
        {"UPDATE job SET lane = 7 WHERE seq = 1", "row 1 of its jobs", 4},
        {"UPDATE job SET state = 1 WHERE seq = 1", "row 1 of its jobs", 4},
        {"UPDATE job SET lane = 801 WHERE seq = 1",
         "jobs: 1 are of routes that are not there", 1},
        {"DELETE FROM body WHERE seq = 1", "0 bytes of its body are there", 1},
        {"UPDATE body SET bytes = x'00' WHERE seq = 1",
         "1 bytes of its body are there, not 5000", 1},
        {"INSERT INTO body VALUES(2, x'00')", "that it should not have", 1},
        {"INSERT INTO body VALUES(77, x'00')",
         "bodies: 3 in the database, 2 of jobs", 1},
        {"UPDATE job SET body = 0 WHERE seq = 1; DELETE FROM body WHERE seq=1",
         ": is queued and has no body", 1},
        {"DELETE FROM job WHERE seq = 3; DELETE FROM body WHERE seq = 3",
         "numbers: remembered is 2, counted 1", 3},
        {"UPDATE job SET body = 0 WHERE seq = 3; DELETE FROM body WHERE seq=3",
         "numbers: kept is 1003, counted 0", 2},
        {"UPDATE number SET kept = 7", "numbers: kept is 7, counted 1003", 1},
        {"UPDATE number SET waiting = 1", "numbers: waiting is 1, counted 2",
         2},
        {"UPDATE number SET held = 1, accepted = 6",
         "numbers: held is 1, counted 0", 1},
        {"UPDATE number SET bytes = 7", "numbers: bytes is 7, counted 3008", 1},
        {"UPDATE number SET keys = 0", "numbers: keys is 0, counted 1", 1},
        {"UPDATE number SET accepted = 6", "numbers: accepted is 6, counted 5",
         1},
        {"UPDATE number SET delivered = 0, failed = 3",
         "numbers: delivered is 0, counted 1", 1},
        {"UPDATE number SET delivered = 3, failed = 0",
         "numbers: failed is 0, counted 1", 1},
    };
    struct stored *s = *state;
    struct id ids[4];
    char copy[256];
    fill(s, ids);
    (void)snprintf(copy, sizeof(copy), "%s", stored_file(s, ".copy"));
    file_copy(s->path, copy);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        stored_sql(s, table[i].sql);
        char *text = stored_verify(s);
        lines_of(text, table[i].sql, table[i].finding, table[i].lines);
        assert_non_null(strstr(s->err.text, "wrong"));
        mem_free(text);
        file_copy(copy, s->path);
    }
    stored_verify_clean(s);
}

static void expect(struct stored *s, const char *finding, size_t lines)
{
    char *text = stored_verify(s);
    lines_of(text, "a change of files", finding, lines);
    mem_free(text);
}

static void body_files_are_compared(void **state)
{
    struct stored *s = *state;
    struct id ids[4];
    char name[64];
    char kept[256];
    fill(s, ids);
    (void)snprintf(name, sizeof(name), ".bodies/%s", ids[3].text);
    (void)snprintf(kept, sizeof(kept), "%s", stored_file(s, ".kept"));
    file_copy(stored_file(s, name), kept);
    assert_int_equal(truncate(stored_file(s, name), 4999), 0);
    expect(s, "is damaged: 4999 bytes, not 5000", 1);
    assert_int_equal(unlink(stored_file(s, name)), 0);
    expect(s, "cannot open", 1);
    assert_int_equal(rmdir(stored_file(s, ".bodies")), 0);
    expect(s, "in a file, and there are none", 1);
    assert_int_equal(mkdir(stored_file(s, ".bodies"), 0700), 0);
    file_copy(kept, stored_file(s, name));
    stored_verify_clean(s);
    (void)snprintf(name, sizeof(name), ".bodies/%s", ids[0].text);
    file_copy(kept, stored_file(s, name));
    expect(s, "is of no job", 1);
    (void)snprintf(name, sizeof(name), ".bodies/%s.part", ids[3].text);
    file_copy(kept, stored_file(s, name));
    expect(s, ".part is of no job", 2);
}

static void files_of_others_are_a_remark(void **state)
{
    struct stored *s = *state;
    struct id ids[4];
    char *text = NULL;
    size_t len = 0;
    fill(s, ids);
    file_copy(s->path, stored_file(s, ".bodies/README"));
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    assert_int_equal(store_verify(s->path, out, &s->err), ERR_NONE);
    assert_int_equal(fclose(out), 0);
    lines_of(text, "a file of others",
             "not of the spool: 1, one of them README", 1);
    free(text);
}

static void crash(void *ctx)
{
    stored_open(ctx);
    _exit(0);
}

static void files_that_a_crash_left_are_no_finding(void **state)
{
    struct stored *s = *state;
    struct id ids[4];
    char name[64];
    fill(s, ids);
    assert_int_equal(in_child(crash, s), 0);
    (void)snprintf(name, sizeof(name), ".bodies/%s", ids[3].text);
    char kept[256];
    (void)snprintf(kept, sizeof(kept), "%s", stored_file(s, name));
    (void)snprintf(name, sizeof(name), ".bodies/%s", ids[0].text);
    file_copy(kept, stored_file(s, name));
    stored_verify_clean(s);
}

static void damaged_pages_are_found(void **state)
{
    struct stored *s = *state;
    struct id ids[4];
    fill(s, ids);
    int64_t root = stored_sql_int(s, "SELECT rootpage FROM sqlite_schema"
                                     " WHERE name = 'job_due'");
    file_garble(s->path, (root - 1) * 8192, 200);
    char *text = stored_verify(s);
    assert_non_null(strstr(text, "database: "));
    mem_free(text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_good_spool_has_no_findings),
        CASE(a_spool_must_be_there),
        CASE(a_spool_in_use_is_refused),
        CASE(each_difference_is_a_line),
        CASE(body_files_are_compared),
        CASE(files_of_others_are_a_remark),
        CASE(files_that_a_crash_left_are_no_finding),
        CASE(damaged_pages_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
