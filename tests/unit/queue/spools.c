#include "tests/unit/queue/spools.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"

#define PATIENCE_MS 60000

/* Set by main() before anything else. */
static bool durable;

void spools_choose(int argc, char **argv)
{
    durable = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    log_setup(STDERR_FILENO, LOG_LEVEL_WARNING);
}

bool spools_are_durable(void)
{
    return durable;
}

void waiter_init(struct waiter *w)
{
    mutex_init(&w->lock);
    cond_init(&w->cond);
    w->done = false;
}

void waiter_fini(struct waiter *w)
{
    cond_fini(&w->cond);
    mutex_fini(&w->lock);
}

void waiter_wait(struct waiter *w)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + PATIENCE_MS;
    bool in_time = true;
    mutex_lock(&w->lock);
    while (!w->done && in_time)
        in_time = cond_wait_until(&w->cond, &w->lock, until_ms);
    in_time = w->done;
    w->done = false;
    mutex_unlock(&w->lock);
    assert_true(in_time);
}

void waiter_done(struct waiter *w)
{
    mutex_lock(&w->lock);
    w->done = true;
    cond_signal(&w->cond);
    mutex_unlock(&w->lock);
}

static int64_t fake_now(const struct clock *clock)
{
    const struct fake_clock *fake =
        (const struct fake_clock *)(const void *)clock;
    return atomic_load(&fake->now_ms);
}

void fake_clock_init(struct fake_clock *fake)
{
    fake->clock = (struct clock){fake_now, fake_now};
    atomic_init(&fake->now_ms, START_MS);
}

static void on_due(void *ctx, struct spool_lane lane, int64_t due_ms)
{
    struct spooled *s = ctx;
    if (s->due_count < 64)
        s->due[s->due_count] = (struct due_call){lane, due_ms};
    s->due_count++;
}

static void on_disk(void *ctx, const struct err *err)
{
    struct spooled *s = ctx;
    atomic_fetch_add(err->code == ERR_NONE ? &s->ends : &s->outages, 1);
}

static void on_room(void *ctx)
{
    struct spooled *s = ctx;
    s->room_count++;
}

enum err_code spooled_create(struct spooled *s, struct spool **out,
                             const struct spool_options *options,
                             struct err *err)
{
    return durable ? spool_create_sqlite(out, options, s->path, err)
                   : spool_create_memory(out, options, err);
}

void spooled_make_directory(struct spooled *s)
{
    if (!durable)
        return;
    (void)snprintf(s->directory, sizeof(s->directory), "/tmp/spools.XXXXXX");
    assert_non_null(mkdtemp(s->directory));
    (void)snprintf(s->path, sizeof(s->path), "%s/spool.db", s->directory);
}

void spooled_remove_directory(const struct spooled *s)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[128];
    if (!durable)
        return;
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof(name), "%s%s", s->path, ends[i]);
        (void)unlink(name);
    }
    (void)snprintf(name, sizeof(name), "%s.bodies", s->path);
    assert_int_equal(rmdir(name), 0); /* no file is left in it */
    assert_int_equal(rmdir(s->directory), 0);
}

void spooled_open(struct spooled *s, void (*change)(struct spool_options *o))
{
    static const char *const routes[] = {"default", "other"};
    struct err err = {.code = ERR_NONE};
    *s = (struct spooled){.spool = NULL};
    fake_clock_init(&s->fake);
    s->options = (struct spool_options){
        .routes = routes,
        .route_count = 2,
        .max_jobs = 1000,
        .max_bytes = 10000000,
        .history_keep_ms = DAY_MS,
        .history_keep_failed_ms = DAY_MS,
        .history_max_jobs = 1000,
        .give_up_ms = DAY_MS,
        .key_window_ms = DAY_MS,
        .key_max = 1000,
        .clock = &s->fake.clock,
        .on_due = on_due,
        .on_room = on_room,
        .on_disk = on_disk,
        .ctx = s,
    };
    if (change != NULL)
        change(&s->options);
    spooled_make_directory(s);
    assert_int_equal(spooled_create(s, &s->spool, &s->options, &err), ERR_NONE);
}

void spooled_close(struct spooled *s)
{
    (void)spooled_stats(s);
    spool_destroy(s->spool);
    spooled_remove_directory(s);
}

void spooled_reopen(struct spooled *s)
{
    struct err err = {.code = ERR_NONE};
    assert_true(durable);
    spool_destroy(s->spool);
    assert_int_equal(spooled_create(s, &s->spool, &s->options, &err), ERR_NONE);
}

static void let_status_go(void *ctx, struct spool_status *status, bool changed,
                          const struct err *err)
{
    (void)err;
    (void)changed;
    spool_status_destroy(status);
    waiter_done(ctx);
}

void spooled_rest(struct spooled *s)
{
    struct waiter waiter;
    struct id nobody = {.text = "00000000000000000000000000"};
    if (!durable)
        return;
    waiter_init(&waiter);
    /* The first comes with the group of what was asked before, the second
     * when that is over. */
    for (unsigned i = 0; i < 2; i++) {
        spool_find(s->spool, &nobody, NULL, let_status_go, &waiter);
        waiter_wait(&waiter);
    }
    waiter_fini(&waiter);
}

void spooled_tick(struct spooled *s, int64_t ms)
{
    atomic_fetch_add(&s->fake.now_ms, ms);
}

struct job *a_job(struct spooled *s, size_t recipients)
{
    struct job *job = job_new();
    id_new(&job->id, atomic_load(&s->fake.now_ms));
    job->client = mem_strdup(STR("app"));
    job->route = mem_strdup(STR("default"));
    job->priority = JOB_PRIORITY_NORMAL;
    job->created_ms = atomic_load(&s->fake.now_ms);
    job->sender = mem_strdup(STR("from@example.org"));
    job->recipients = mem_calloc(recipients, sizeof(char *));
    job->recipient_count = recipients;
    for (size_t i = 0; i < recipients; i++)
        job->recipients[i] = mem_strdup(STR("to@example.org"));
    job->body = body_from_memory(mem_calloc(1, 100), 100);
    job->size_bytes = 100;
    return job;
}

/* ---- one request at a time ---- */

/* Every callback's ctx begins with this. */
struct call {
    struct waiter waiter;
};

static void call_begin(struct call *call)
{
    waiter_init(&call->waiter);
}

static void call_end(struct spooled *s, struct call *call)
{
    waiter_wait(&call->waiter);
    waiter_fini(&call->waiter);
    spooled_rest(s);
}

struct accept_call {
    struct call call;
    struct spool_accepted accepted;
};

static void keep_accepted(void *ctx, const struct spool_accepted *accepted)
{
    struct accept_call *to = ctx;
    to->accepted = *accepted;
    waiter_done(&to->call.waiter);
}

struct spool_accepted spooled_accept(struct spooled *s, struct job *job)
{
    struct accept_call to = {.accepted = {.answer = SPOOL_ERROR}};
    call_begin(&to.call);
    spool_accept(s->spool, job, keep_accepted, &to);
    job_unref(job);
    call_end(s, &to.call);
    return to.accepted;
}

struct id spooled_put(struct spooled *s, struct job *job)
{
    struct id id = job->id;
    struct spool_accepted accepted = spooled_accept(s, job);
    assert_int_equal(accepted.answer, SPOOL_ACCEPTED);
    assert_int_equal(accepted.state, JOB_QUEUED);
    assert_string_equal(accepted.id.text, id.text);
    return id;
}

struct id spooled_put_one(struct spooled *s)
{
    return spooled_put(s, a_job(s, 1));
}

struct claimed {
    struct call call;
    struct claim *claim;
    int64_t next_ms;
};

static void keep_claims(void *ctx, struct spool_lane lane,
                        struct claim_list *claims, int64_t next_due_ms)
{
    struct claimed *to = ctx;
    (void)lane;
    to->claim = STAILQ_FIRST(claims);
    to->next_ms = next_due_ms;
    waiter_done(&to->call.waiter);
}

static struct claimed claim_up_to(struct spooled *s, struct spool_lane lane,
                                  size_t limit)
{
    struct claimed claimed;
    call_begin(&claimed.call);
    spool_claim(s->spool, lane, limit, atomic_load(&s->fake.now_ms),
                keep_claims, &claimed);
    call_end(s, &claimed.call);
    return claimed;
}

struct claim *spooled_claim(struct spooled *s, struct spool_lane lane)
{
    return claim_up_to(s, lane, 1).claim;
}

int64_t spooled_next_due(struct spooled *s, struct spool_lane lane)
{
    struct claimed claimed = claim_up_to(s, lane, 0);
    assert_null(claimed.claim);
    return claimed.next_ms;
}

struct settle_call {
    struct call call;
    struct spool_settled settled;
};

static void keep_settled(void *ctx, const struct spool_settled *settled)
{
    struct settle_call *to = ctx;
    to->settled = *settled;
    waiter_done(&to->call.waiter);
}

struct spool_settled spooled_settle(struct spooled *s, struct claim *claim,
                                    enum recipient_state state,
                                    enum settle_rest rest,
                                    int64_t next_attempt_ms)
{
    struct settle_call to = {.settled = {.state = JOB_STATE_COUNT}};
    struct settle_recipient *recipients =
        mem_calloc(claim->pending_count, sizeof(*recipients));
    for (size_t i = 0; i < claim->pending_count; i++)
        recipients[i] =
            (struct settle_recipient){.index = claim->pending[i],
                                      .state = state,
                                      .reply = STR("250 the relay's words")};
    const struct settlement settlement = {
        .recipients = recipients,
        .count = claim->pending_count,
        .relay = STR("main"),
        .at_ms = atomic_load(&s->fake.now_ms),
        .rest = rest,
        .next_attempt_ms = next_attempt_ms,
    };
    call_begin(&to.call);
    spool_settle(s->spool, claim, &settlement, keep_settled, &to);
    mem_free(recipients);
    call_end(s, &to.call);
    return to.settled;
}

void spooled_deliver(struct spooled *s, struct spool_lane lane)
{
    struct claim *claim = spooled_claim(s, lane);
    assert_non_null(claim);
    assert_true(claim_start(claim));
    assert_int_equal(
        spooled_settle(s, claim, RECIPIENT_DELIVERED, SETTLE_REST_RETRY, 0)
            .state,
        JOB_DELIVERED);
}

struct answer {
    struct call call;
    struct err err;
    struct spool_status *status;
    bool changed;
    unsigned calls;
};

static void keep_status(void *ctx, struct spool_status *status, bool changed,
                        const struct err *err)
{
    struct answer *to = ctx;
    to->err = *err;
    to->status = status;
    to->changed = changed;
    to->calls++;
    waiter_done(&to->call.waiter);
}

struct spool_status *spooled_find(struct spooled *s, const struct id *id,
                                  const char *client)
{
    struct answer answer = {.calls = 0};
    call_begin(&answer.call);
    spool_find(s->spool, id, client, keep_status, &answer);
    call_end(s, &answer.call);
    assert_int_equal(answer.calls, 1);
    s->err = answer.err;
    assert_false(answer.changed);
    return answer.status;
}

enum job_state spooled_state(struct spooled *s, const struct id *id)
{
    struct spool_status *status = spooled_find(s, id, NULL);
    enum job_state state = status == NULL ? JOB_STATE_COUNT : status->state;
    spool_status_destroy(status);
    return state;
}

bool spooled_cancel(struct spooled *s, const struct id *id, const char *client,
                    enum job_state *state)
{
    struct answer answer = {.calls = 0};
    call_begin(&answer.call);
    spool_cancel(s->spool, id, client, keep_status, &answer);
    call_end(s, &answer.call);
    assert_int_equal(answer.calls, 1);
    s->err = answer.err;
    if (state != NULL)
        *state = answer.status == NULL ? JOB_STATE_COUNT : answer.status->state;
    spool_status_destroy(answer.status);
    return answer.changed;
}

struct spool_status *spooled_ask(struct spooled *s, spooled_person_fn ask,
                                 const struct id *id, bool *changed)
{
    struct answer answer = {.calls = 0};
    call_begin(&answer.call);
    ask(s->spool, id, keep_status, &answer);
    call_end(s, &answer.call);
    assert_int_equal(answer.calls, 1);
    s->err = answer.err;
    *changed = answer.changed;
    (void)spooled_stats(s);
    return answer.status;
}

bool spooled_retry(struct spooled *s, const struct id *id)
{
    bool changed;
    spool_status_destroy(spooled_ask(s, spool_retry, id, &changed));
    return changed;
}

bool spooled_drop(struct spooled *s, const struct id *id)
{
    bool changed;
    spool_status_destroy(spooled_ask(s, spool_drop, id, &changed));
    return changed;
}

struct list_call {
    struct call call;
    struct err err;
    struct listed *listed;
};

static void keep_listed(void *ctx, struct spool_status **jobs, size_t count,
                        bool more, const struct id *last, const struct err *err)
{
    struct list_call *call = ctx;
    call->err = *err;
    struct listed *to = call->listed;
    assert_in_range(count, 0, 1000);
    assert_int_equal(jobs == NULL, count == 0);
    to->count = count;
    to->more = more;
    to->has_last = last != NULL;
    assert_true(to->has_last || !more);
    if (last != NULL)
        to->last = *last;
    for (size_t i = 0; i < count; i++) {
        to->ids[i] = jobs[i]->job->id;
        spool_status_destroy(jobs[i]);
    }
    mem_free(jobs);
    waiter_done(&call->call.waiter);
}

struct listed spooled_list(struct spooled *s, const struct spool_filter *filter)
{
    struct listed listed = {.count = 0};
    struct list_call to = {.listed = &listed};
    call_begin(&to.call);
    spool_list(s->spool, filter, keep_listed, &to);
    call_end(s, &to.call);
    s->err = to.err;
    return listed;
}

struct expire_call {
    struct call call;
    struct expired *expired;
};

static void keep_expired(void *ctx, const struct spool_expired *expired,
                         size_t count, int64_t next_ms)
{
    struct expire_call *call = ctx;
    struct expired *to = call->expired;
    assert_in_range(count, 0, 256);
    if (count > 0)
        memcpy(to->jobs, expired, count * sizeof(*expired));
    to->count = count;
    to->next_ms = next_ms;
    waiter_done(&call->call.waiter);
}

struct expired spooled_expire(struct spooled *s, size_t limit)
{
    struct expired expired = {.count = 0};
    struct expire_call to = {.expired = &expired};
    call_begin(&to.call);
    spool_expire(s->spool, atomic_load(&s->fake.now_ms), limit, keep_expired,
                 &to);
    call_end(s, &to.call);
    return expired;
}

struct spool_stats spooled_stats(struct spooled *s)
{
    struct spool_stats n;
    spooled_rest(s);
    spool_stats(s->spool, &n);
    assert_int_equal(n.accepted, n.delivered + n.failed + n.expired +
                                     n.cancelled + n.waiting + n.active +
                                     n.held);
    if (n.waiting + n.active + n.held + n.failed + n.expired == 0)
        assert_int_equal(n.bytes, 0);
    return n;
}
