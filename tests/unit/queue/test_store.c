#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/queue/stores.h"

static const struct spool_lane normal = {0, JOB_PRIORITY_NORMAL};

static int setup(void **state)
{
    struct stored *s;
    MEM_NEW(s);
    stored_init(s);
    stored_open(s);
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

static void keeps_all_of_a_row(void **state)
{
    struct stored *s = *state;
    struct sample m;
    sample_init(&m, 7, 5, 2048);
    m.row.lane = (struct spool_lane){1, JOB_PRIORITY_LOW};
    m.row.marked = true;
    stored_begin(s);
    sample_insert(&m, s);
    stored_commit(s);
    stored_close(s);
    stored_open(s);
    struct visited v = stored_find(s, &m.row.id);
    assert_int_equal(v.last.seq, 1);
    assert_string_equal(v.last.id.text, m.job->id.text);
    assert_int_equal(v.last.state, JOB_QUEUED);
    assert_int_equal(v.last.lane.route, 1);
    assert_int_equal(v.last.lane.priority, JOB_PRIORITY_LOW);
    assert_int_equal(v.last.due_ms, STORED_MS + 5);
    assert_int_equal(v.last.limit_ms, STORED_MS + 432000000);
    assert_int_equal(v.last.settled_ms, 0);
    assert_int_equal(v.last.cost_bytes, 1007);
    assert_true(v.last.marked);
    assert_int_equal(v.last.body_bytes, 2048);
    assert_true(v.last.has_body);
    assert_false(v.last.body_in_file);
    assert_int_equal(v.last.record.len, m.record.len);
    assert_memory_equal(v.last_record, m.record.data, m.record.len);
    assert_int_equal(v.last_body_len, 0);
    sample_fini(&m);
}

static void an_empty_body_and_one_in_a_file_are_told_apart(void **state)
{
    struct stored *s = *state;
    struct sample empty;
    struct sample large;
    struct visited v = {.count = 0};
    sample_init(&empty, 1, 1, 0);
    sample_init(&large, 2, 2, 10);
    large.row.body_in_file = true;
    stored_begin(s);
    sample_insert(&empty, s);
    sample_insert(&large, s);
    stored_commit(s);
    v = stored_find(s, &empty.row.id);
    assert_true(v.last.has_body);
    assert_false(v.last.body_in_file);
    v = stored_find(s, &large.row.id);
    assert_true(v.last.has_body);
    assert_true(v.last.body_in_file);
    assert_int_equal(v.last.body_bytes, 10);
    v.count = 0;
    assert_int_equal(store_due(s->store, normal, NULL, SPOOL_NEVER - 1,
                               visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 2, 1, 2);
    assert_int_equal(v.last_body_len, 0);
    sample_fini(&empty);
    sample_fini(&large);
}

static void due_rows_come_in_order_of_time_then_acceptance(void **state)
{
    struct stored *s = *state;
    const int64_t due[] = {50, 10, 10, 90, 10, 50, 0};
    struct visited v = {.count = 0};
    for (unsigned i = 0; i < 7; i++)
        (void)stored_add(s, i, due[i], 100);
    assert_int_equal(store_due(s->store, normal, NULL, STORED_MS + 50,
                               visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 6, 7, 2, 3, 5, 1, 6);
    assert_string_equal(v.last_body, "body 5");
    assert_int_equal(v.last_body_len, 100);
}

static void the_cursor_goes_on_where_it_was(void **state)
{
    struct stored *s = *state;
    const int64_t due[] = {10, 10, 20, 10, 30};
    const struct {
        struct store_cursor after;
        int64_t until;
        size_t count;
        int seqs[5];
        int64_t next; /* -1: none */
    } table[] = {
        {{0, 0}, 99, 5, {1, 2, 4, 3, 5}, 10},
        {{10, 0}, 99, 5, {1, 2, 4, 3, 5}, 10},
        {{10, 1}, 99, 4, {2, 4, 3, 5, 0}, 10},
        {{10, 2}, 99, 3, {4, 3, 5, 0, 0}, 10},
        {{10, 4}, 99, 2, {3, 5, 0, 0, 0}, 20},
        {{10, 4}, 20, 1, {3, 0, 0, 0, 0}, 20},
        {{10, 2}, 9, 0, {0}, 10},
        {{20, 3}, 99, 1, {5, 0, 0, 0, 0}, 30},
        {{30, 5}, 99, 0, {0}, -1},
        {{15, 99}, 99, 2, {3, 5, 0, 0, 0}, 20},
    };
    for (unsigned i = 0; i < 5; i++)
        (void)stored_add(s, i, due[i], 10);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct store_cursor after = table[i].after;
        struct visited v = {.count = 0};
        int64_t next_ms = 0;
        if (after.due_ms > 0)
            after.due_ms += STORED_MS;
        assert_int_equal(store_due(s->store, normal, &after,
                                   STORED_MS + table[i].until, visited_add, &v,
                                   NULL),
                         ERR_NONE);
        assert_int_equal(v.count, table[i].count);
        for (size_t j = 0; j < v.count; j++)
            assert_int_equal(v.seqs[j], table[i].seqs[j]);
        assert_int_equal(
            store_next_due(s->store, normal, &after, &next_ms, NULL), ERR_NONE);
        assert_int_equal(next_ms, table[i].next < 0
                                      ? SPOOL_NEVER
                                      : STORED_MS + table[i].next);
    }
}

static void a_visit_can_stop(void **state)
{
    struct stored *s = *state;
    struct visited v = {.limit = 2};
    for (unsigned i = 0; i < 5; i++)
        (void)stored_add(s, i, i, 10);
    assert_int_equal(store_due(s->store, normal, NULL, SPOOL_NEVER - 1,
                               visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 2, 1, 2);
    v = (struct visited){.limit = 3};
    assert_int_equal(store_each(s->store, 1, visited_add, &v, NULL), ERR_NONE);
    visited_check(&v, 3, 2, 3, 4);
    /* Nothing is left open: the next transaction works. */
    (void)stored_add(s, 9, 9, 10);
}

static void lanes_are_apart(void **state)
{
    struct stored *s = *state;
    for (unsigned route = 0; route < 2; route++)
        for (int priority = 0; priority < JOB_PRIORITY_COUNT; priority++) {
            struct sample m;
            sample_init(&m, 0, 1, 10);
            m.row.lane =
                (struct spool_lane){route, (enum job_priority)priority};
            stored_begin(s);
            sample_insert(&m, s);
            stored_commit(s);
            sample_fini(&m);
        }
    for (unsigned route = 0; route < 2; route++)
        for (int priority = 0; priority < JOB_PRIORITY_COUNT; priority++) {
            const struct spool_lane lane = {route, (enum job_priority)priority};
            struct visited v = {.count = 0};
            assert_int_equal(store_due(s->store, lane, NULL, SPOOL_NEVER - 1,
                                       visited_add, &v, NULL),
                             ERR_NONE);
            visited_check(&v, 1, (int)route * 3 + priority + 1);
            assert_int_equal(v.last.lane.route, route);
            assert_int_equal(v.last.lane.priority, priority);
        }
}

static void put_on(struct stored *s, unsigned route, int64_t due)
{
    struct sample m;
    sample_init(&m, 0, due, 10);
    m.row.lane.route = route;
    stored_begin(s);
    sample_insert(&m, s);
    stored_commit(s);
    sample_fini(&m);
}

static void rows_of_routes_that_are_gone_count_as_the_first_ones(void **state)
{
    static const char *const old[] = {"bulk", "default", "news"};
    static const char *const now[] = {"default"};
    static const char *const back[] = {"news", "default"};
    struct stored *s = *state;
    const struct store_cursor after = {STORED_MS + 20, 2};
    struct visited v = {.count = 0};
    int64_t next_ms = 0;
    stored_close(s);
    stored_open_with(s, old, 3);
    put_on(s, 0, 30); /* 1: bulk */
    put_on(s, 1, 20); /* 2: default */
    put_on(s, 2, 10); /* 3: news */
    put_on(s, 2, 20); /* 4: news */
    put_on(s, 1, 40); /* 5: default */
    stored_close(s);
    stored_open_with(s, now, 1);
    assert_int_equal(store_due(s->store, normal, NULL, SPOOL_NEVER - 1,
                               visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 5, 3, 2, 4, 1, 5);
    assert_int_equal(v.last.lane.route, 0);
    assert_int_equal(store_next_due(s->store, normal, NULL, &next_ms, NULL),
                     ERR_NONE);
    assert_int_equal(next_ms, STORED_MS + 10);
    v.count = 0;
    assert_int_equal(store_due(s->store, normal, &after, SPOOL_NEVER - 1,
                               visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 3, 4, 1, 5);
    stored_close(s);
    /* "other", of the setup, and "bulk" are the strangers of this one. */
    stored_open_with(s, back, 2);
    v.count = 0;
    assert_int_equal(store_due(s->store, normal, NULL, SPOOL_NEVER - 1,
                               visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 3, 3, 4, 1);
    v.count = 0;
    assert_int_equal(store_due(s->store,
                               (struct spool_lane){1, JOB_PRIORITY_NORMAL},
                               NULL, SPOOL_NEVER - 1, visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 2, 2, 5);
}

static void an_update_moves_the_row_and_drops_its_body(void **state)
{
    struct stored *s = *state;
    struct sample m;
    struct visited v = {.count = 0};
    sample_init(&m, 0, 5, 3000);
    stored_begin(s);
    sample_insert(&m, s);
    sample_deliver(&m, 9);
    assert_int_equal(store_update(s->store, &m.row, &s->err), ERR_NONE);
    stored_commit(s);
    v = stored_find(s, &m.row.id);
    assert_int_equal(v.last.state, JOB_DELIVERED);
    assert_int_equal(v.last.settled_ms, STORED_MS + 9);
    assert_int_equal(v.last.due_ms, SPOOL_NEVER);
    assert_int_equal(v.last.limit_ms, SPOOL_NEVER);
    assert_false(v.last.has_body);
    assert_memory_equal(v.last_record, m.record.data, m.record.len);
    v.count = 0;
    assert_int_equal(store_due(s->store, normal, NULL, SPOOL_NEVER - 1,
                               visited_add, &v, NULL),
                     ERR_NONE);
    assert_int_equal(v.count, 0);
    stored_close(s);
    assert_int_equal(stored_sql_int(s, "SELECT count(*) FROM body"), 0);
    sample_fini(&m);
}

static void an_update_keeps_body_and_lane(void **state)
{
    struct stored *s = *state;
    const struct spool_lane lane = {1, JOB_PRIORITY_HIGH};
    struct sample m;
    struct visited v = {.count = 0};
    sample_init(&m, 3, 5, 3000);
    m.row.lane = lane;
    stored_begin(s);
    sample_insert(&m, s);
    stored_commit(s);
    progress_release(&m.progress, STORED_MS + 70, STR(""), STR("no relay"),
                     STORED_MS);
    sample_update(&m); /* and its lane is the first route's again */
    stored_begin(s);
    assert_int_equal(store_update(s->store, &m.row, &s->err), ERR_NONE);
    stored_commit(s);
    assert_int_equal(
        store_due(s->store, lane, NULL, SPOOL_NEVER - 1, visited_add, &v, NULL),
        ERR_NONE);
    visited_check(&v, 1, 1);
    assert_int_equal(v.last.due_ms, STORED_MS + 70);
    assert_string_equal(v.last_body, "body 3");
    assert_int_equal(v.last_body_len, 3000);
    sample_fini(&m);
}

static void a_deleted_row_leaves_nothing(void **state)
{
    struct stored *s = *state;
    struct id id = stored_add(s, 1, 1, 5000);
    stored_begin(s);
    assert_int_equal(store_delete(s->store, 1, &s->err), ERR_NONE);
    stored_commit(s);
    assert_false(stored_has(s, &id));
    stored_close(s);
    assert_int_equal(stored_sql_int(s, "SELECT count(*) FROM body"), 0);
}

static void a_rollback_undoes_all_and_no_number_comes_twice(void **state)
{
    struct stored *s = *state;
    struct sample m;
    sample_init(&m, 1, 1, 100);
    stored_begin(s);
    sample_insert(&m, s);
    assert_int_equal(m.row.seq, 1);
    store_rollback(s->store);
    store_rollback(s->store);
    assert_false(stored_has(s, &m.row.id));
    stored_begin(s);
    sample_insert(&m, s);
    assert_int_equal(m.row.seq, 2);
    stored_commit(s);
    assert_true(stored_has(s, &m.row.id));
    sample_fini(&m);
}

static void an_id_that_is_there_spoils_only_itself(void **state)
{
    struct stored *s = *state;
    struct sample first;
    struct sample other;
    sample_init(&first, 1, 1, 100);
    sample_init(&other, 2, 2, 100);
    stored_begin(s);
    sample_insert(&first, s);
    assert_int_equal(store_insert(s->store, &first.row, STR("x"), &s->err),
                     ERR_EXISTS);
    sample_insert(&other, s);
    stored_commit(s);
    assert_true(stored_has(s, &first.row.id));
    assert_true(stored_has(s, &other.row.id));
    sample_fini(&first);
    sample_fini(&other);
}

static void limits_are_found_in_order(void **state)
{
    struct stored *s = *state;
    const int64_t limits[] = {300, 100, 200};
    struct visited v = {.count = 0};
    int64_t next_ms = 0;
    assert_int_equal(store_next_limit(s->store, &next_ms, NULL), ERR_NONE);
    assert_int_equal(next_ms, SPOOL_NEVER);
    for (unsigned i = 0; i < 3; i++) {
        struct sample m;
        sample_init(&m, i, 1, 10);
        m.row.limit_ms = limits[i];
        stored_begin(s);
        sample_insert(&m, s);
        stored_commit(s);
        sample_fini(&m);
    }
    assert_int_equal(store_next_limit(s->store, &next_ms, NULL), ERR_NONE);
    assert_int_equal(next_ms, 100);
    assert_int_equal(store_over(s->store, 200, visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 2, 2, 3);
    assert_int_equal(v.last_body_len, 0);
    assert_true(v.last.has_body);
}

static void settle_with(struct stored *s, enum job_state state,
                        int64_t settled_ms)
{
    struct sample m;
    sample_init(&m, 0, 1, 10);
    m.row.state = state;
    m.row.settled_ms = settled_ms;
    m.row.due_ms = SPOOL_NEVER;
    m.row.limit_ms = SPOOL_NEVER;
    stored_begin(s);
    sample_insert(&m, s);
    stored_commit(s);
    sample_fini(&m);
}

static void settled_rows_are_of_two_kinds(void **state)
{
    struct stored *s = *state;
    struct visited v = {.count = 0};
    settle_with(s, JOB_DELIVERED, 300); /* 1 */
    settle_with(s, JOB_FAILED, 200);    /* 2 */
    settle_with(s, JOB_CANCELLED, 100); /* 3 */
    settle_with(s, JOB_EXPIRED, 150);   /* 4 */
    settle_with(s, JOB_HELD, 0);        /* 5 */
    settle_with(s, JOB_DELIVERED, 301); /* 6 */
    assert_int_equal(store_settled(s->store, false, 300, visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 2, 3, 1);
    v.count = 0;
    assert_int_equal(store_settled(s->store, true, 300, visited_add, &v, NULL),
                     ERR_NONE);
    visited_check(&v, 2, 4, 2);
}

static void marked_rows_are_found(void **state)
{
    struct stored *s = *state;
    struct visited v = {.count = 0};
    struct sample m;
    (void)stored_add(s, 1, 1, 10);
    sample_init(&m, 2, 2, 10);
    m.row.marked = true;
    stored_begin(s);
    sample_insert(&m, s);
    stored_commit(s);
    (void)stored_add(s, 3, 3, 10);
    assert_int_equal(store_marked(s->store, visited_add, &v, NULL), ERR_NONE);
    visited_check(&v, 1, 2);
    m.row.marked = false;
    stored_begin(s);
    assert_int_equal(store_update(s->store, &m.row, NULL), ERR_NONE);
    stored_commit(s);
    v.count = 0;
    assert_int_equal(store_marked(s->store, visited_add, &v, NULL), ERR_NONE);
    visited_check(&v, 0);
    sample_fini(&m);
}

/* ---- keys ---- */

static void put_key(struct stored *s, const char *client, const char *text,
                    const struct id *id, int64_t at_ms)
{
    struct store_key key = {
        .client = client, .key = text, .id = *id, .at_ms = at_ms};
    memset(key.digest, (int)at_ms, sizeof(key.digest));
    stored_begin(s);
    assert_int_equal(store_key_put(s->store, &key, &s->err), ERR_NONE);
    stored_commit(s);
}

static bool has_key(struct stored *s, const char *client, const char *text,
                    const struct id *id, int64_t at_ms)
{
    unsigned char digest[JOB_DIGEST_LEN];
    struct store_key key = {.client = client, .key = text};
    if (store_key_find(s->store, &key, &s->err) == ERR_NOT_FOUND)
        return false;
    memset(digest, (int)at_ms, sizeof(digest));
    assert_string_equal(key.id.text, id->text);
    assert_int_equal(key.at_ms, at_ms);
    assert_memory_equal(key.digest, digest, sizeof(digest));
    return true;
}

static void keys_are_the_clients_own(void **state)
{
    struct stored *s = *state;
    struct id a;
    struct id b;
    id_new(&a, 1);
    id_new(&b, 2);
    put_key(s, "uid:1", "order", &a, 5);
    put_key(s, "uid:2", "order", &b, 6);
    assert_true(has_key(s, "uid:1", "order", &a, 5));
    assert_true(has_key(s, "uid:2", "order", &b, 6));
    assert_false(has_key(s, "uid:3", "order", &b, 6));
    assert_false(has_key(s, "uid:1", "ORDER", &b, 6));
    put_key(s, "uid:1", "order", &b, 7);
    assert_true(has_key(s, "uid:1", "order", &b, 7));
}

static size_t forget(struct stored *s, int64_t before_ms, size_t limit)
{
    size_t removed = 99;
    stored_begin(s);
    assert_int_equal(
        store_keys_forget(s->store, before_ms, limit, &removed, &s->err),
        ERR_NONE);
    stored_commit(s);
    return removed;
}

static void old_keys_go_but_not_those_of_live_jobs(void **state)
{
    struct stored *s = *state;
    struct sample live;
    struct id gone;
    id_new(&gone, 1);
    sample_init(&live, 1, 1, 10);
    stored_begin(s);
    sample_insert(&live, s);
    stored_commit(s);
    put_key(s, "c", "live", &live.row.id, 10);
    put_key(s, "c", "a", &gone, 11);
    put_key(s, "c", "b", &gone, 12);
    put_key(s, "c", "c", &gone, 13);
    put_key(s, "c", "young", &gone, 20);
    assert_int_equal(forget(s, 20, 2), 1); /* looks at live and a */
    assert_false(has_key(s, "c", "a", &gone, 11));
    assert_int_equal(forget(s, 20, 10), 2);
    assert_true(has_key(s, "c", "young", &gone, 20));
    assert_true(has_key(s, "c", "live", &live.row.id, 10));
    assert_int_equal(forget(s, 21, 10), 1);
    sample_deliver(&live, 50);
    stored_begin(s);
    assert_int_equal(store_update(s->store, &live.row, NULL), ERR_NONE);
    stored_commit(s);
    assert_int_equal(forget(s, SPOOL_NEVER, 10), 1);
    assert_false(has_key(s, "c", "live", &live.row.id, 10));
    sample_fini(&live);
}

/* ---- numbers ---- */

static void numbers_are_of_the_same_transaction(void **state)
{
    struct stored *s = *state;
    const struct spool_stats put = {
        .accepted = 1,
        .delivered = 2,
        .failed = 3,
        .expired = 4,
        .cancelled = 5,
        .waiting = 6,
        .active = 77,
        .held = 7,
        .bytes = INT64_C(8) << 40,
        .remembered = 9,
        .keys = 10,
        .kept_bytes = 11,
    };
    struct spool_stats got = {.active = 1};
    stored_begin(s);
    assert_int_equal(store_numbers_put(s->store, &put, NULL), ERR_NONE);
    store_rollback(s->store);
    assert_int_equal(store_numbers_get(s->store, &got, NULL), ERR_NONE);
    assert_int_equal(got.accepted, 0);
    stored_begin(s);
    assert_int_equal(store_numbers_put(s->store, &put, NULL), ERR_NONE);
    stored_commit(s);
    stored_close(s);
    stored_open(s);
    assert_int_equal(store_numbers_get(s->store, &got, NULL), ERR_NONE);
    assert_int_equal(got.accepted, 1);
    assert_int_equal(got.delivered, 2);
    assert_int_equal(got.failed, 3);
    assert_int_equal(got.expired, 4);
    assert_int_equal(got.cancelled, 5);
    assert_int_equal(got.waiting, 6);
    assert_int_equal(got.active, 0);
    assert_int_equal(got.held, 7);
    assert_int_equal(got.bytes, INT64_C(8) << 40);
    assert_int_equal(got.remembered, 9);
    assert_int_equal(got.keys, 10);
    assert_int_equal(got.kept_bytes, 11);
}

/* Of which layout 1 had no idea. */
static void layout_1_learns_what_failed_jobs_keep(void **state)
{
    static const char back[] =
        "DROP INDEX job_kept; ALTER TABLE number DROP COLUMN kept;"
        "UPDATE number SET accepted = 4, waiting = 1, failed = 2,"
        " delivered = 1, remembered = 3, bytes = 1001;"
        "PRAGMA user_version = 1";
    struct stored *s = *state;
    struct spool_stats n = {.kept_bytes = -1};
    struct visited v = {.count = 0};
    stored_begin(s);
    for (unsigned i = 1; i <= 4; i++) {
        struct sample m;
        sample_init(&m, i, 1, 100);
        sample_insert(&m, s);
        if (i == 2)
            sample_deliver(&m, 5);
        else if (i > 2)
            sample_fail(&m, 10 - i);
        assert_int_equal(store_update(s->store, &m.row, NULL), ERR_NONE);
        sample_fini(&m);
    }
    stored_commit(s);
    stored_close(s);
    stored_sql(s, back);
    stored_open(s);
    assert_int_equal(store_numbers_get(s->store, &n, NULL), ERR_NONE);
    assert_int_equal(n.kept_bytes, 1003 + 1004);
    assert_int_equal(n.bytes, 1001 + 1003 + 1004);
    assert_int_equal(store_kept(s->store, visited_add, &v, NULL), ERR_NONE);
    visited_check(&v, 2, 4, 3); /* as they were settled */
    stored_close(s);
    stored_verify_clean(s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(keeps_all_of_a_row),
        CASE(an_empty_body_and_one_in_a_file_are_told_apart),
        CASE(due_rows_come_in_order_of_time_then_acceptance),
        CASE(the_cursor_goes_on_where_it_was),
        CASE(a_visit_can_stop),
        CASE(lanes_are_apart),
        CASE(rows_of_routes_that_are_gone_count_as_the_first_ones),
        CASE(an_update_moves_the_row_and_drops_its_body),
        CASE(an_update_keeps_body_and_lane),
        CASE(a_deleted_row_leaves_nothing),
        CASE(a_rollback_undoes_all_and_no_number_comes_twice),
        CASE(an_id_that_is_there_spoils_only_itself),
        CASE(limits_are_found_in_order),
        CASE(settled_rows_are_of_two_kinds),
        CASE(marked_rows_are_found),
        CASE(keys_are_the_clients_own),
        CASE(old_keys_go_but_not_those_of_live_jobs),
        CASE(numbers_are_of_the_same_transaction),
        CASE(layout_1_learns_what_failed_jobs_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
