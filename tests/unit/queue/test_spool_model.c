#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/random.h"
#include "queue/spool_sqlite.h"
#include "tests/unit/queue/spools.h"

/*
 * Random requests to the spool and to a model so simple that it is plainly
 * right: an array of jobs, searched from end to end. After each step the
 * ledger is compared, and one job at random in full.
 */
#define STEPS          8000
#define SEEDS          5
#define KEYS           6
#define MAX_WAIT       40
#define REMEMBER       30
#define KEEP_MS        4000
#define KEEP_FAILED_MS 5000
#define GIVE_UP_MS     1500
#define WINDOW_MS      3000

struct modelled {
    struct id id;
    enum job_state state;
    bool claimed;
    bool started;
    struct claim *claim;
    struct spool_lane lane;
    int64_t due_ms;
    int64_t place;      /* order among equal times */
    int64_t expires_ms; /* SPOOL_NEVER: does not */
    int64_t give_up_ms; /* likewise */
    int64_t settled_ms;
    int64_t settled_order;
    bool forgotten;
    unsigned attempts;
    int key; /* -1: none */
    int64_t key_ms;
    struct spool_watch watch;
    bool watching;
    unsigned told;     /* times the watch was called */
    unsigned expected; /* times it should have been */
};

struct model {
    struct spooled s;
    struct random random;
    struct modelled *jobs;
    size_t count;
    int64_t places;
    int64_t settled;
    bool narrow;
};

static int64_t now(struct model *m)
{
    return atomic_load(&m->s.fake.now_ms);
}

static uint64_t below(struct model *m, uint64_t bound)
{
    return random_below(&m->random, bound);
}

static void limits(struct spool_options *o)
{
    o->max_jobs = MAX_WAIT;
    o->history_max_jobs = REMEMBER;
    o->history_keep_ms = KEEP_MS;
    o->history_keep_failed_ms = KEEP_FAILED_MS;
    o->give_up_ms = GIVE_UP_MS;
    o->key_window_ms = WINDOW_MS;
}

static bool is_open(const struct modelled *j)
{
    return !job_state_is_settled(j->state);
}

static size_t open_jobs(const struct model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        n += is_open(&m->jobs[i]);
    return n;
}

/* ---- what the spool must know ---- */

static bool can_be_retried(const struct modelled *j)
{
    return j->state == JOB_FAILED || j->state == JOB_EXPIRED;
}

static bool is_remembered(struct model *m, const struct modelled *j)
{
    int64_t keep_ms = can_be_retried(j) ? KEEP_FAILED_MS : KEEP_MS;
    return is_open(j) || (!j->forgotten && now(m) - j->settled_ms < keep_ms);
}

/* Equal times: in memory as they came, in rows as they were accepted. */
static bool settled_before(const struct modelled *j,
                           const struct modelled *other)
{
    return spools_are_durable() ? j->settled_ms < other->settled_ms
                                : j->settled_order < other->settled_order;
}

static void goes_behind(struct model *m, struct modelled *j)
{
    if (!spools_are_durable())
        j->place = ++m->places;
}

/* The first settled of those that cannot be retried, else of all. */
static struct modelled *first_to_go(struct model *m)
{
    struct modelled *first = NULL;
    for (size_t i = 0; i < m->count; i++) {
        struct modelled *j = &m->jobs[i];
        if (is_open(j) || !is_remembered(m, j))
            continue;
        if (first == NULL || (can_be_retried(first) && !can_be_retried(j)) ||
            (can_be_retried(first) == can_be_retried(j) &&
             settled_before(j, first)))
            first = j;
    }
    return first;
}

static size_t remembered_jobs(struct model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        n += !is_open(&m->jobs[i]) && is_remembered(m, &m->jobs[i]);
    return n;
}

static struct modelled *holder_of(struct model *m, int key)
{
    for (size_t i = m->count; i-- > 0;) {
        struct modelled *j = &m->jobs[i];
        if (j->key == key)
            return is_open(j) || now(m) - j->key_ms < WINDOW_MS ? j : NULL;
    }
    return NULL;
}

static void settle(struct model *m, struct modelled *j, enum job_state state)
{
    j->state = state;
    j->settled_ms = now(m);
    j->settled_order = ++m->settled;
    struct modelled *first = first_to_go(m);
    if (first != NULL && remembered_jobs(m) > REMEMBER)
        first->forgotten = true;
}

static int64_t limit_of(const struct modelled *j)
{
    return j->expires_ms < j->give_up_ms ? j->expires_ms : j->give_up_ms;
}

static void watch_ends(struct modelled *j)
{
    if (j->watching)
        j->expected++;
    j->watching = false;
}

/* ---- steps ---- */

static void accept_one(struct model *m)
{
    struct modelled *j = &m->jobs[m->count];
    struct job *job = a_job(&m->s, 1);
    *j = (struct modelled){.id = job->id, .state = JOB_QUEUED, .key = -1};
    job->priority = (enum job_priority)below(m, JOB_PRIORITY_COUNT);
    j->lane.priority = job->priority;
    j->due_ms = now(m);
    if (below(m, 4) == 0)
        j->due_ms = job->send_at_ms = now(m) + (int64_t)below(m, 500);
    j->expires_ms = j->give_up_ms = SPOOL_NEVER;
    int64_t limit_ms = now(m) + 1 + (int64_t)below(m, 2000);
    if (below(m, 6) == 0)
        j->expires_ms = job->expires_at_ms = limit_ms;
    else if (below(m, 6) == 0)
        j->give_up_ms = job->give_up_at_ms = limit_ms;
    if (below(m, 3) == 0) {
        j->key = (int)below(m, KEYS);
        j->key_ms = now(m);
        job->key = mem_strdup(str_of(&"0123456789"[j->key], 1));
    }
    const struct modelled *first = j->key >= 0 ? holder_of(m, j->key) : NULL;
    bool full = open_jobs(m) >= MAX_WAIT;
    struct spool_accepted accepted = spooled_accept(&m->s, job);
    if (first != NULL) {
        assert_int_equal(accepted.answer, SPOOL_DUPLICATE);
        assert_string_equal(accepted.id.text, first->id.text);
    } else if (full) {
        assert_int_equal(accepted.answer, SPOOL_FULL);
    } else {
        assert_int_equal(accepted.answer, SPOOL_ACCEPTED);
        j->place = ++m->places;
        m->count++;
    }
}

static bool is_claimable(struct model *m, const struct modelled *j,
                         enum job_priority priority)
{
    return (j->state == JOB_QUEUED || j->state == JOB_DEFERRED) &&
           !j->claimed && j->lane.priority == priority && j->due_ms <= now(m) &&
           limit_of(j) > now(m);
}

static void claim_one(struct model *m)
{
    enum job_priority priority = (enum job_priority)below(m, 3);
    struct modelled *best = NULL;
    for (size_t i = 0; i < m->count; i++) {
        struct modelled *j = &m->jobs[i];
        if (is_claimable(m, j, priority) &&
            (best == NULL || j->due_ms < best->due_ms ||
             (j->due_ms == best->due_ms && j->place < best->place)))
            best = j;
    }
    struct claim *claim =
        spooled_claim(&m->s, (struct spool_lane){0, priority});
    assert_int_equal(claim != NULL, best != NULL);
    if (best == NULL)
        return;
    assert_string_equal(claim->job->id.text, best->id.text);
    assert_int_equal(claim->attempt, best->attempts + 1);
    best->claim = claim;
    best->claimed = true;
    best->started = false;
}

static struct modelled *any(struct model *m)
{
    return m->count == 0 ? NULL : &m->jobs[below(m, m->count)];
}

static struct modelled *any_claimed(struct model *m)
{
    size_t skip = m->count == 0 ? 0 : below(m, m->count);
    for (size_t i = 0; i < m->count; i++) {
        struct modelled *j = &m->jobs[(i + skip) % m->count];
        if (j->claim != NULL)
            return j;
    }
    return NULL;
}

static void start_one(struct model *m)
{
    struct modelled *j = any_claimed(m);
    if (j == NULL || j->started)
        return;
    assert_int_equal(claim_start(j->claim), is_open(j));
    j->started = is_open(j);
}

static void settle_one(struct model *m)
{
    static const struct {
        enum recipient_state state;
        enum settle_rest rest;
        enum job_state expected;
    } table[] = {
        {RECIPIENT_DELIVERED, SETTLE_REST_RETRY, JOB_DELIVERED},
        {RECIPIENT_FAILED, SETTLE_REST_RETRY, JOB_FAILED},
        {RECIPIENT_DEFERRED, SETTLE_REST_RETRY, JOB_DEFERRED},
        {RECIPIENT_UNKNOWN, SETTLE_REST_HOLD, JOB_HELD},
        {RECIPIENT_DEFERRED, SETTLE_REST_FAIL, JOB_FAILED},
        {RECIPIENT_DEFERRED, SETTLE_REST_EXPIRE, JOB_EXPIRED},
    };
    size_t what = below(m, sizeof(table) / sizeof(table[0]));
    struct modelled *j = any_claimed(m);
    if (j == NULL)
        return;
    int64_t next_ms = now(m) + (int64_t)below(m, 300);
    struct spool_settled settled = spooled_settle(
        &m->s, j->claim, table[what].state, table[what].rest, next_ms);
    j->claim = NULL;
    j->claimed = false;
    if (!is_open(j)) {
        assert_int_equal(settled.state, JOB_CANCELLED);
        return;
    }
    assert_int_equal(settled.state, table[what].expected);
    j->attempts++;
    if (table[what].expected == JOB_DEFERRED) {
        j->state = JOB_DEFERRED;
        if (j->due_ms != next_ms)
            goes_behind(m, j);
        j->due_ms = next_ms;
        return;
    }
    if (table[what].expected == JOB_HELD)
        j->state = JOB_HELD;
    else
        settle(m, j, table[what].expected);
    watch_ends(j);
}

static void release_one(struct model *m)
{
    struct modelled *j = any_claimed(m);
    if (j == NULL)
        return;
    int64_t due_ms = now(m) - 50 + (int64_t)below(m, 200);
    spool_release(m->s.spool, j->claim, due_ms, STR(""), STR("released"));
    spooled_rest(&m->s);
    j->claim = NULL;
    j->claimed = false;
    if (is_open(j) && due_ms > now(m)) {
        j->due_ms = due_ms;
        goes_behind(m, j);
    }
}

static void cancel_one(struct model *m)
{
    struct modelled *j = any(m);
    if (j == NULL)
        return;
    bool can = is_open(j) && !(j->claimed && j->started);
    assert_int_equal(spooled_cancel(&m->s, &j->id, "app", NULL), can);
    if (!can)
        return;
    settle(m, j, JOB_CANCELLED);
    watch_ends(j);
}

static void retry_one(struct model *m)
{
    struct modelled *j = any(m);
    if (j == NULL)
        return;
    bool was_open = is_open(j);
    bool can = was_open ? j->state != JOB_QUEUED && !j->claimed
                        : can_be_retried(j) && is_remembered(m, j);
    assert_int_equal(spooled_retry(&m->s, &j->id), can);
    if (!can)
        return;
    if (!was_open || j->due_ms != now(m))
        goes_behind(m, j);
    if (!was_open && now(m) - j->key_ms >= WINDOW_MS)
        j->key = -1;
    j->state = j->attempts == 0 ? JOB_QUEUED : JOB_DEFERRED;
    j->due_ms = now(m);
    j->settled_ms = 0;
    j->give_up_ms = now(m) + GIVE_UP_MS;
    if (j->expires_ms <= now(m))
        j->expires_ms = SPOOL_NEVER;
}

static void drop_one(struct model *m)
{
    struct modelled *j = any(m);
    if (j == NULL || below(m, 3) > 0)
        return;
    bool can = is_open(j) ? !(j->claimed && j->started) : is_remembered(m, j);
    assert_int_equal(spooled_drop(&m->s, &j->id), can);
    if (!can)
        return;
    if (is_open(j)) {
        settle(m, j, JOB_CANCELLED);
        watch_ends(j);
    } else {
        j->forgotten = true;
    }
}

/* Or nothing but held jobs would be left. */
static void cancel_held(struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct modelled *j = &m->jobs[i];
        if (j->state != JOB_HELD)
            continue;
        assert_true(spooled_cancel(&m->s, &j->id, "app", NULL));
        settle(m, j, JOB_CANCELLED);
    }
}

static bool is_overdue(struct model *m, const struct modelled *j)
{
    return (j->state == JOB_QUEUED || j->state == JOB_DEFERRED) &&
           !j->claimed && limit_of(j) <= now(m);
}

static struct modelled *by_id(struct model *m, const struct id *id)
{
    size_t i = 0;
    while (i < m->count && strcmp(m->jobs[i].id.text, id->text) != 0)
        i++;
    assert_true(i < m->count);
    return &m->jobs[i];
}

static void expire_some(struct model *m)
{
    size_t limit = 1 + below(m, 5);
    size_t overdue = 0;
    for (size_t i = 0; i < m->count; i++)
        overdue += is_overdue(m, &m->jobs[i]);
    struct expired expired = spooled_expire(&m->s, limit);
    assert_int_equal(expired.count, overdue < limit ? overdue : limit);
    for (size_t e = 0; e < expired.count; e++) {
        struct modelled *j = by_id(m, &expired.jobs[e].id);
        assert_true(is_overdue(m, j));
        assert_int_equal(expired.jobs[e].state, j->expires_ms <= j->give_up_ms
                                                    ? JOB_EXPIRED
                                                    : JOB_FAILED);
        settle(m, j, expired.jobs[e].state);
        watch_ends(j);
    }
}

static void told(void *ctx, struct spool_status *status, bool cancelled,
                 const struct err *err)
{
    struct modelled *j = ctx;
    (void)err;
    assert_false(cancelled);
    j->told++;
    spool_status_destroy(status);
}

static void watch_one(struct model *m)
{
    struct modelled *j = any(m);
    if (j == NULL)
        return;
    if (j->watching) {
        assert_true(spool_unwatch(m->s.spool, &j->watch));
        j->watching = false;
        return;
    }
    j->watching = true;
    if (!is_open(j) || j->state == JOB_HELD)
        watch_ends(j);
    spool_watch(m->s.spool, &j->id, "app", &j->watch, told, j);
    spooled_rest(&m->s);
}

static enum job_state shown_state(const struct modelled *j)
{
    return is_open(j) && j->claimed && j->started ? JOB_ACTIVE : j->state;
}

/* All pages of a list. */
static void list_all(struct model *m)
{
    struct spool_filter filter = {.limit = 1 + below(m, 20)};
    struct listed page;
    size_t at = 0;
    if (below(m, 10) > 0)
        return;
    filter.states = (unsigned)below(m, 1U << JOB_STATE_COUNT);
    do {
        page = spooled_list(&m->s, &filter);
        for (size_t i = 0; i < page.count; i++, at++) {
            const struct modelled *j;
            do {
                assert_true(at < m->count);
                j = &m->jobs[at];
            } while ((!is_remembered(m, j) ||
                      (filter.states != 0 &&
                       (filter.states & (1U << shown_state(j))) == 0)) &&
                     ++at < m->count);
            assert_string_equal(page.ids[i].text, j->id.text);
        }
        filter.after = page.last;
        filter.has_after = true;
    } while (page.more);
    for (; at < m->count; at++)
        assert_false(is_remembered(m, &m->jobs[at]) &&
                     (filter.states == 0 ||
                      (filter.states & (1U << shown_state(&m->jobs[at])))));
}

/* Most of what waits is to be read from the disk, every other time. */
static void narrow(struct model *m)
{
    if (spools_are_durable() && m->narrow)
        spool_sqlite_of(m->s.spool)->window_jobs_max = 2;
}

/* As after a restart: all claims are back, and nobody watches. */
static void reopen(struct model *m)
{
    if (!spools_are_durable() || below(m, 20) > 0)
        return;
    for (size_t i = 0; i < m->count; i++) {
        struct modelled *j = &m->jobs[i];
        if (j->watching)
            assert_true(spool_unwatch(m->s.spool, &j->watch));
        if (j->claim != NULL)
            spool_release(m->s.spool, j->claim, 0, STR(""), STR(""));
        j->watching = false;
        j->claimed = false;
        j->claim = NULL;
    }
    spooled_reopen(&m->s);
    narrow(m);
}

static void tick(struct model *m)
{
    spooled_tick(&m->s, (int64_t)below(m, 40));
}

/* ---- comparing ---- */

static void compare_ledger(struct model *m)
{
    struct spool_stats n = spooled_stats(&m->s);
    int64_t states[JOB_STATE_COUNT] = {0};
    int64_t active = 0;
    for (size_t i = 0; i < m->count; i++) {
        states[m->jobs[i].state]++;
        active += is_open(&m->jobs[i]) && m->jobs[i].claimed;
    }
    assert_int_equal(n.accepted, m->count);
    assert_int_equal(n.delivered, states[JOB_DELIVERED]);
    assert_int_equal(n.failed, states[JOB_FAILED]);
    assert_int_equal(n.expired, states[JOB_EXPIRED]);
    assert_int_equal(n.cancelled, states[JOB_CANCELLED]);
    assert_int_equal(n.held, states[JOB_HELD]);
    assert_int_equal(n.active, active);
    assert_in_range(n.remembered, 0, REMEMBER);
    if (open_jobs(m) > 0)
        assert_true(n.bytes > 0);
}

static void compare_job(struct model *m)
{
    const struct modelled *j = any(m);
    if (j == NULL)
        return;
    assert_int_equal(j->told, j->expected);
    struct spool_status *status = spooled_find(&m->s, &j->id, "app");
    assert_int_equal(status != NULL, is_remembered(m, j));
    if (status == NULL)
        return;
    assert_int_equal(status->state, shown_state(j));
    assert_int_equal(status->attempts, j->attempts);
    assert_int_equal(status->settled_ms, j->settled_ms);
    if (status->state == JOB_QUEUED || status->state == JOB_DEFERRED)
        assert_int_equal(status->next_attempt_ms, j->due_ms);
    else
        assert_int_equal(status->next_attempt_ms, 0);
    assert_int_equal(status->has_body, is_open(j) || can_be_retried(j));
    if (!spools_are_durable())
        assert_int_equal(status->job->body == NULL,
                         !status->has_body && !j->claimed);
    spool_status_destroy(status);
}

typedef void (*step_fn)(struct model *m);

static void walk(uint64_t seed)
{
    static const step_fn steps[] = {
        accept_one, accept_one,  accept_one, claim_one,   claim_one,
        claim_one,  start_one,   settle_one, settle_one,  release_one,
        cancel_one, cancel_held, watch_one,  expire_some, tick,
        tick,       retry_one,   retry_one,  drop_one,    list_all,
        reopen,
    };
    struct model m = {.count = 0};
    spooled_open(&m.s, limits);
    m.narrow = seed % 2 == 0;
    narrow(&m);
    random_init(&m.random, seed);
    m.jobs = mem_calloc(STEPS, sizeof(*m.jobs));
    for (unsigned i = 0; i < STEPS; i++) {
        steps[below(&m, sizeof(steps) / sizeof(steps[0]))](&m);
        compare_ledger(&m);
        compare_job(&m);
    }
    assert_true(m.count > STEPS / 20);
    for (size_t i = 0; i < m.count; i++) {
        struct modelled *j = &m.jobs[i];
        if (j->watching)
            assert_true(spool_unwatch(m.s.spool, &j->watch));
        if (j->claim != NULL)
            spool_release(m.s.spool, j->claim, 0, STR(""), STR(""));
        spooled_rest(&m.s);
        assert_int_equal(j->told, j->expected);
    }
    spooled_close(&m.s);
    mem_free(m.jobs);
}

static void the_spool_does_what_a_simple_model_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        walk(seed);
}

int main(int argc, char **argv)
{
    spools_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_spool_does_what_a_simple_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
