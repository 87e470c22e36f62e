#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "core/log.h"
#include "core/mem.h"
#include "tests/unit/queue/disks.h"

/*
 * A durable spool in which a row is damaged: it is left alone and told of, and
 * all the others go on.
 */
enum { JOBS = 5, DAMAGED = 1 /* which of them; its row is 2 */ };

struct damage {
    const char *sql;
    bool is_found;   /* status has it all the same */
    bool has_no_id;  /* not even its id */
    bool can_expire; /* and be settled so */
};

static const struct damage damages[] = {
    {.sql = "UPDATE job SET state = 99 WHERE seq = 2"},
    {.sql = "UPDATE job SET state = 1 WHERE seq = 2"}, /* active */
    {.sql = "UPDATE job SET state = 4 WHERE seq = 2"},
    {.sql = "UPDATE job SET body = 9 WHERE seq = 2"},
    {.sql = "UPDATE job SET record = x'01' WHERE seq = 2"},
    {.sql = "UPDATE job SET record = (SELECT record FROM job WHERE seq = 3)"
            " WHERE seq = 2"},
    {.sql = "UPDATE job SET id = 'x' WHERE seq = 2", .has_no_id = true},
    {.sql = "UPDATE job SET body = 0 WHERE seq = 2",
     .is_found = true,
     .can_expire = true},
    {.sql = "DELETE FROM body WHERE seq = 2",
     .is_found = true,
     .can_expire = true},
    {.sql = "UPDATE body SET bytes = x'00' WHERE seq = 2",
     .is_found = true,
     .can_expire = true},
};

#define DAMAGES (sizeof(damages) / sizeof(damages[0]))

static void sql(const struct spooled *s, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- what the log says ---- */

struct logged {
    FILE *file;
};

static struct logged log_begin(void)
{
    struct logged l = {tmpfile()};
    assert_non_null(l.file);
    log_setup(fileno(l.file), LOG_LEVEL_WARNING);
    return l;
}

static size_t log_lines(struct logged *l, const char *wanted)
{
    char line[4096];
    size_t count = 0;
    rewind(l->file);
    while (fgets(line, sizeof(line), l->file) != NULL)
        if (strstr(line, wanted) != NULL)
            count++;
    return count;
}

static void log_end(struct logged *l)
{
    log_setup(STDERR_FILENO, LOG_LEVEL_WARNING);
    assert_int_equal(fclose(l->file), 0);
}

/* ---- the rows around it ---- */

static void open_damaged(struct spooled *s, const struct damage *damage,
                         struct id *ids)
{
    spooled_open(s, NULL);
    for (unsigned i = 0; i < JOBS; i++) {
        struct job *job = a_job(s, 1);
        job->expires_at_ms = START_MS + DAY_MS;
        if (i == DAMAGED)
            job->key = mem_strdup(STR("k"));
        ids[i] = spooled_put(s, job);
    }
    spool_destroy(s->spool);
    sql(s, damage->sql);
    disk_create(s);
}

static void check_asked(struct spooled *s, const struct damage *damage,
                        const struct id *ids)
{
    const struct spool_filter filter = {.limit = 100};
    bool changed = true;
    struct spool_status *status = spooled_find(s, &ids[DAMAGED], NULL);
    assert_int_equal(status != NULL, damage->is_found);
    spool_status_destroy(status);
    if (!damage->is_found && !damage->has_no_id) {
        assert_int_equal(s->err.code, ERR_INVALID);
        assert_non_null(strstr(s->err.text, "damaged"));
        assert_non_null(strstr(s->err.text, "--verify"));
        assert_null(spooled_ask(s, spool_drop, &ids[DAMAGED], &changed));
        assert_false(changed);
        assert_int_equal(s->err.code, ERR_INVALID);
    }
    struct listed l = spooled_list(s, &filter);
    assert_int_equal(s->err.code, ERR_NONE);
    assert_int_equal(l.count, damage->is_found ? JOBS : JOBS - 1);
    assert_false(l.more);
}

static void check_claims(struct spooled *s, const struct id *ids)
{
    for (unsigned i = 0; i < JOBS; i++) {
        if (i == DAMAGED)
            continue;
        struct claim *claim = spooled_claim(s, LANE_NORMAL);
        assert_non_null(claim);
        assert_string_equal(claim->job->id.text, ids[i].text);
        assert_true(claim_start(claim));
        (void)spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY,
                             0);
    }
    assert_null(spooled_claim(s, LANE_NORMAL));
    /* Nobody comes again for it. */
    assert_int_equal(spooled_next_due(s, LANE_NORMAL), SPOOL_NEVER);
}

static void a_damaged_row_stops_no_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < DAMAGES; i++) {
        struct spooled s;
        struct id ids[JOBS];
        struct logged logged = log_begin();
        open_damaged(&s, &damages[i], ids);
        check_asked(&s, &damages[i], ids);
        check_claims(&s, ids);
        for (unsigned n = 0; n < 3; n++) {
            (void)spooled_put_one(&s);
            spooled_deliver(&s, LANE_NORMAL);
        }
        struct spool_stats n = spooled_stats(&s);
        assert_int_equal(n.delivered, JOBS - 1 + 3);
        assert_int_equal(n.waiting, 1);
        assert_string_equal(n.disk_error, "");
        assert_int_equal(log_lines(&logged, "event=spool.damaged_job "), 1);
        assert_int_equal(log_lines(&logged, "row=2 "), 1);
        assert_int_equal(log_lines(&logged, ids[DAMAGED].text),
                         damages[i].has_no_id ? 0 : 1);
        spooled_close(&s);
        log_end(&logged);
    }
}

static void nobody_comes_again_and_again_to_expire_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < DAMAGES; i++) {
        struct spooled s;
        struct id ids[JOBS];
        struct logged logged = log_begin();
        open_damaged(&s, &damages[i], ids);
        spooled_tick(&s, 300 * DAY_MS);
        struct expired expired = spooled_expire(&s, 100);
        assert_int_equal(expired.count,
                         damages[i].can_expire ? JOBS : JOBS - 1);
        assert_int_equal(expired.next_ms, SPOOL_NEVER);
        expired = spooled_expire(&s, 100);
        assert_int_equal(expired.count, 0);
        assert_int_equal(expired.next_ms, SPOOL_NEVER);
        assert_true(log_lines(&logged, "event=spool.damaged_job ") <= 1);
        spooled_close(&s);
        log_end(&logged);
    }
}

/* ---- keys, marks, history ---- */

static void keep_accepted(void *ctx, const struct spool_accepted *accepted)
{
    *(struct spool_accepted *)ctx = *accepted;
}

static void keep_nothing(void *ctx, struct spool_status *status, bool changed,
                         const struct err *err)
{
    (void)ctx;
    (void)changed;
    (void)err;
    spool_status_destroy(status);
}

/* All in one group. */
static void only_what_asks_for_it_is_refused(void **state)
{
    static const struct damage table[] = {
        {.sql = "UPDATE job SET state = 99 WHERE seq = 2"},
        {.sql = "UPDATE key SET digest = x'00'"},
        {.sql = "UPDATE key SET id = 'x'"},
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct spooled s;
        struct id ids[JOBS];
        struct gate gate;
        struct spool_accepted answers[3];
        struct logged logged = log_begin();
        open_damaged(&s, &table[i], ids);
        hold_writer(&s, &gate);
        spool_cancel(s.spool, &ids[DAMAGED], NULL, keep_nothing, NULL);
        for (unsigned n = 0; n < 3; n++) {
            struct job *job = a_job(&s, 1);
            if (n == 1)
                job->key = mem_strdup(STR("k"));
            spool_accept(s.spool, job, keep_accepted, &answers[n]);
            job_unref(job);
        }
        let_writer_go(&s, &gate);
        assert_int_equal(answers[0].answer, SPOOL_ACCEPTED);
        assert_int_equal(answers[1].answer, SPOOL_ERROR);
        assert_int_equal(answers[1].err.code, ERR_INVALID);
        assert_int_equal(answers[2].answer, SPOOL_ACCEPTED);
        spooled_close(&s);
        log_end(&logged);
    }
}

static void a_damaged_row_is_in_the_way_of_no_start(void **state)
{
    struct logged logged = log_begin();
    struct spooled s;
    struct id ids[JOBS];
    const struct damage marked = {
        .sql = "UPDATE job SET marked = 1 WHERE seq IN (1, 2);"
               "UPDATE job SET record = x'01' WHERE seq = 2"};
    (void)state;
    open_damaged(&s, &marked, ids);
    assert_int_equal(spooled_state(&s, &ids[0]), JOB_HELD);
    for (unsigned i = 2; i < JOBS; i++)
        spooled_deliver(&s, LANE_NORMAL);
    assert_null(spooled_claim(&s, LANE_NORMAL));
    spooled_close(&s);
    log_end(&logged);
}

static void settled_rows_behind_it_are_forgotten(void **state)
{
    struct logged logged = log_begin();
    struct spooled s;
    struct id ids[JOBS];
    const struct damage none = {.sql = ""};
    (void)state;
    open_damaged(&s, &none, ids);
    for (unsigned i = 0; i < JOBS; i++) {
        spooled_tick(&s, 1);
        spooled_deliver(&s, LANE_NORMAL);
    }
    spool_destroy(s.spool);
    sql(&s, "UPDATE job SET body_bytes = -1 WHERE seq = 2");
    disk_create(&s);
    spooled_tick(&s, 300 * DAY_MS);
    (void)spooled_put_one(&s);
    (void)spooled_put_one(&s);
    assert_int_equal(spooled_stats(&s).remembered, 1);
    spooled_close(&s);
    log_end(&logged);
}

/* ---- pages ---- */

enum { PAGE_BYTES = 8192, MANY = 1500 };

static unsigned number_at(const unsigned char *bytes, size_t count)
{
    unsigned number = 0;
    for (size_t i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return number;
}

static unsigned root_of(const struct spooled *s, const char *name)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
                           -1, &st, NULL),
        SQLITE_OK);
    (void)sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    unsigned root = (unsigned)sqlite3_column_int(st, 0);
    (void)sqlite3_finalize(st);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return root;
}

/* Empties the second leaf of a table or an index of two levels. */
static void lose_page(const struct spooled *s, const char *name)
{
    static const unsigned char zeros[PAGE_BYTES];
    unsigned char page[PAGE_BYTES];
    unsigned root = root_of(s, name);
    FILE *file = fopen(s->path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)(root - 1) * PAGE_BYTES, SEEK_SET), 0);
    assert_int_equal(fread(page, 1, PAGE_BYTES, file), PAGE_BYTES);
    assert_true(page[0] == 5 || page[0] == 2); /* not a leaf */
    assert_true(number_at(page + 3, 2) > 1);
    unsigned child = number_at(page + number_at(page + 14, 2), 4);
    assert_int_equal(fseek(file, (long)(child - 1) * PAGE_BYTES, SEEK_SET), 0);
    assert_int_equal(fwrite(zeros, 1, PAGE_BYTES, file), PAGE_BYTES);
    assert_int_equal(fclose(file), 0);
}

static void many(struct spool_options *o)
{
    o->max_jobs = (uint64_t)2 * MANY;
}

static void open_without_page(struct spooled *s, const char *name)
{
    spooled_open(s, many);
    for (unsigned i = 0; i < MANY; i++)
        (void)spooled_put_one(s);
    spool_destroy(s->spool);
    lose_page(s, name);
    disk_create(s);
}

/* So many are given out; they are given back as they were. */
static unsigned claim_all(struct spooled *s)
{
    static struct claim *claims[MANY];
    unsigned count = 0;
    struct claim *claim;
    while (count < MANY && (claim = spooled_claim(s, LANE_NORMAL)) != NULL)
        claims[count++] = claim;
    for (unsigned i = 0; i < count; i++)
        spool_release(s->spool, claims[i], START_MS, STR(""), STR(""));
    spooled_rest(s);
    return count;
}

static void rows_on_a_lost_page_stop_no_others(void **state)
{
    static const char *const tables[] = {"job", "body"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct spooled s;
        struct logged logged = log_begin();
        open_without_page(&s, tables[i]);
        unsigned count = claim_all(&s);
        assert_in_range(count, MANY / 2, MANY - 1);
        assert_int_equal(claim_all(&s), count);
        assert_true(log_lines(&logged, "event=spool.damaged_job ") > 0);
        assert_int_equal(log_lines(&logged, "event=spool.read_fails "), 1);
        assert_int_equal(log_lines(&logged, "--verify, then put"), 1);
        assert_non_null(strstr(spooled_stats(&s).disk_error, "damaged"));
        (void)spooled_put_one(&s);
        assert_int_equal(claim_all(&s), count + 1);
        spooled_close(&s);
        log_end(&logged);
    }
}

static void nothing_is_accepted_into_a_lane_that_cannot_be_read(void **state)
{
    struct spooled s;
    struct logged logged = log_begin();
    (void)state;
    open_without_page(&s, "job_due");
    unsigned count = claim_all(&s);
    assert_in_range(count, 1, MANY - 1);
    for (unsigned i = 0; i < 3; i++) {
        struct spool_accepted accepted = spooled_accept(&s, a_job(&s, 1));
        assert_int_equal(accepted.answer, SPOOL_ERROR);
        assert_int_equal(accepted.err.code, ERR_INVALID);
        assert_non_null(strstr(accepted.err.text, "damaged"));
        if (i == 1)
            assert_int_equal(claim_all(&s), count);
    }
    assert_non_null(strstr(spooled_stats(&s).disk_error, "damaged"));
    assert_int_equal(log_lines(&logged, "event=spool.read_fails "), 1);
    struct job *job = a_job(&s, 1);
    mem_free(job->route);
    job->route = mem_strdup(STR("other"));
    (void)spooled_put(&s, job);
    spooled_deliver(&s, LANE_OTHER);
    spooled_close(&s);
    log_end(&logged);
}

int main(void)
{
    char *arguments[] = {NULL, (char[]){"sqlite"}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_row_stops_no_other),
        cmocka_unit_test(nobody_comes_again_and_again_to_expire_it),
        cmocka_unit_test(only_what_asks_for_it_is_refused),
        cmocka_unit_test(a_damaged_row_is_in_the_way_of_no_start),
        cmocka_unit_test(settled_rows_behind_it_are_forgotten),
        cmocka_unit_test(rows_on_a_lost_page_stop_no_others),
        cmocka_unit_test(nothing_is_accepted_into_a_lane_that_cannot_be_read),
    };
    spools_choose(2, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
