#include "tests/unit/queue/spools.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

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

static void on_room(void *ctx)
{
    struct spooled *s = ctx;
    s->room_count++;
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
        .ctx = s,
    };
    if (change != NULL)
        change(&s->options);
    assert_int_equal(spool_create_memory(&s->spool, &s->options, &err),
                     ERR_NONE);
}

void spooled_close(struct spooled *s)
{
    (void)spooled_stats(s);
    spool_destroy(s->spool);
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
    return job;
}

static void keep_accepted(void *ctx, const struct spool_accepted *accepted)
{
    struct spool_accepted *to = ctx;
    *to = *accepted;
}

struct spool_accepted spooled_accept(struct spooled *s, struct job *job)
{
    struct spool_accepted accepted = {.answer = SPOOL_ERROR};
    spool_accept(s->spool, job, keep_accepted, &accepted);
    job_unref(job);
    return accepted;
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
}

struct claim *spooled_claim(struct spooled *s, struct spool_lane lane)
{
    struct claimed claimed;
    spool_claim(s->spool, lane, 1, atomic_load(&s->fake.now_ms), keep_claims,
                &claimed);
    return claimed.claim;
}

int64_t spooled_next_due(struct spooled *s, struct spool_lane lane)
{
    struct claimed claimed;
    spool_claim(s->spool, lane, 0, atomic_load(&s->fake.now_ms), keep_claims,
                &claimed);
    assert_null(claimed.claim);
    return claimed.next_ms;
}

static void keep_settled(void *ctx, const struct spool_settled *settled)
{
    struct spool_settled *to = ctx;
    *to = *settled;
}

struct spool_settled spooled_settle(struct spooled *s, struct claim *claim,
                                    enum recipient_state state,
                                    enum settle_rest rest,
                                    int64_t next_attempt_ms)
{
    struct spool_settled settled = {.state = JOB_STATE_COUNT};
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
    spool_settle(s->spool, claim, &settlement, keep_settled, &settled);
    mem_free(recipients);
    return settled;
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
    struct spool_status *status;
    bool changed;
    unsigned calls;
};

static void keep_status(void *ctx, struct spool_status *status, bool changed)
{
    struct answer *to = ctx;
    to->status = status;
    to->changed = changed;
    to->calls++;
}

struct spool_status *spooled_find(struct spooled *s, const struct id *id,
                                  const char *client)
{
    struct answer answer = {.calls = 0};
    spool_find(s->spool, id, client, keep_status, &answer);
    assert_int_equal(answer.calls, 1);
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
    spool_cancel(s->spool, id, client, keep_status, &answer);
    assert_int_equal(answer.calls, 1);
    if (state != NULL)
        *state = answer.status == NULL ? JOB_STATE_COUNT : answer.status->state;
    spool_status_destroy(answer.status);
    return answer.changed;
}

struct spool_status *spooled_ask(struct spooled *s, spooled_person_fn ask,
                                 const struct id *id, bool *changed)
{
    struct answer answer = {.calls = 0};
    ask(s->spool, id, keep_status, &answer);
    assert_int_equal(answer.calls, 1);
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

static void keep_listed(void *ctx, struct spool_status **jobs, size_t count,
                        bool more, const struct id *last)
{
    struct listed *to = ctx;
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
}

struct listed spooled_list(struct spooled *s, const struct spool_filter *filter)
{
    struct listed listed = {.count = 0};
    spool_list(s->spool, filter, keep_listed, &listed);
    return listed;
}

static void keep_expired(void *ctx, const struct spool_expired *expired,
                         size_t count, int64_t next_ms)
{
    struct expired *to = ctx;
    assert_in_range(count, 0, 256);
    if (count > 0)
        memcpy(to->jobs, expired, count * sizeof(*expired));
    to->count = count;
    to->next_ms = next_ms;
}

struct expired spooled_expire(struct spooled *s, size_t limit)
{
    struct expired expired = {.count = 0};
    spool_expire(s->spool, atomic_load(&s->fake.now_ms), limit, keep_expired,
                 &expired);
    return expired;
}

struct spool_stats spooled_stats(struct spooled *s)
{
    struct spool_stats n;
    spool_stats(s->spool, &n);
    assert_int_equal(n.accepted, n.delivered + n.failed + n.expired +
                                     n.cancelled + n.waiting + n.active +
                                     n.held);
    if (n.waiting + n.active + n.held + n.failed + n.expired == 0)
        assert_int_equal(n.bytes, 0);
    return n;
}
