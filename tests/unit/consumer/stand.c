#include "tests/unit/consumer/stand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"
#include "core/log.h"
#include "core/mem.h"

/* ---- the clock ---- */

static int64_t now_of(const struct clock *clock)
{
    return ((const struct stand_clock *)(const void *)clock)->now_ms;
}

static int64_t mono_ms(const struct clock *clock)
{
    return now_of(clock);
}

static int64_t real_ms(const struct clock *clock)
{
    return STAND_REAL_MS + now_of(clock);
}

/* ---- the spool ---- */

static struct stand *stand_of(struct spool *spool)
{
    return CONTAINER_OF(spool, struct stand, spool);
}

static void settle(struct spool *spool, struct claim *claim,
                   const struct settlement *settlement, spool_settle_fn fn,
                   void *ctx)
{
    struct stand *stand = stand_of(spool);
    struct stand_job *job = CONTAINER_OF(claim, struct stand_job, claim);
    assert_int_equal(job->end, STAND_OPEN);
    job->end = STAND_SETTLED;
    job->settlement = *settlement;
    job->settlement.recipients = NULL;
    for (size_t i = 0; i < settlement->count; i++)
        job->states[settlement->recipients[i].index] =
            settlement->recipients[i].state;
    stand->settles[stand->settle_count++] = (struct stand_answer){fn, ctx};
    if (!stand->late_settles) {
        struct spool_settled settled = {.state = JOB_DELIVERED};
        stand->settle_count--;
        fn(ctx, &settled);
    }
}

static void release(struct spool *spool, struct claim *claim, int64_t due_ms,
                    struct str relay, struct str note)
{
    (void)relay;
    struct stand_job *job = CONTAINER_OF(claim, struct stand_job, claim);
    (void)spool;
    assert_int_equal(job->end, STAND_OPEN);
    job->end = STAND_RELEASED;
    job->due_ms = due_ms - STAND_REAL_MS;
    (void)snprintf(job->note, sizeof(job->note), "%.*s", (int)note.len,
                   note.len == 0 ? "" : note.data);
}

static void mark(struct spool *spool, struct claim *claim, struct str relay,
                 spool_mark_fn fn, void *ctx)
{
    (void)relay;
    struct stand *stand = stand_of(spool);
    CONTAINER_OF(claim, struct stand_job, claim)->marks++;
    stand->marks[stand->mark_count++] = (struct stand_mark){fn, ctx};
}

static const struct spool_ops ops = {
    .settle = settle,
    .release = release,
    .mark = mark,
};

/* ---- making ---- */

struct stand *stand_new(void)
{
    struct stand *stand;
    log_setup(2, LOG_LEVEL_ERROR);
    fake_forget(); /* those of a test that failed */
    MEM_NEW(stand);
    stand->spool.ops = &ops;
    stand->clock.clock = (struct clock){.mono_ms = mono_ms, .real_ms = real_ms};
    stand->clock.now_ms = 1000000;
    stand->retry = (struct retry_policy){
        .first_ms = 30000, .factor = 2.0, .longest_ms = 60000};
    stand->share = 1;
    stand->relay = (struct pool_relay){
        .smtp = {.name = "relay", .unconfirmed = 1},
        .connections = 1,
        .recipients_per_message = 100,
        .jobs_per_connection = 1000,
        .idle_timeout_ms = 60000,
        .backoff_first_ms = 1000,
        .backoff_longest_ms = 1000,
    };
    stand->jobs = mem_calloc(STAND_JOBS_MAX, sizeof(*stand->jobs));
    return stand;
}

void stand_open(struct stand *stand)
{
    struct err err;
    struct relay_limits limits = {
        .name = "relay",
        .backoff_first_ms = stand->relay.backoff_first_ms,
        .backoff_longest_ms = stand->relay.backoff_longest_ms,
    };
    struct relay_states_options options = {
        .relays = &limits, .count = 1, .metrics = &stand->metrics, .seed = 1};
    struct relay_rate_limits rate = {
        .name = "relay",
        .per_s = stand->relay.rate_per_s,
        .burst = stand->relay.burst > 0 ? stand->relay.burst : 1,
    };
    metrics_init(&stand->metrics);
    stand->env.spool = &stand->spool;
    stand->env.metrics = &stand->metrics;
    stand->env.clock = &stand->clock.clock;
    stand->env.retry = &stand->retry;
    random_init(&stand->env.random, 1);
    relay_states_create(&stand->env.states, &options);
    relay_rates_create(&stand->env.rates, &rate, 1);
    assert_int_equal(mailbox_init(&stand->env.answers, &err), ERR_NONE);
    errand_env_init(&stand->env);
    outlet_init(&stand->outlet, &stand->env, &stand->relay, 0, stand->share);
}

void stand_free(struct stand *stand)
{
    outlet_drain(&stand->outlet);
    stand_answer_marks(stand, ERR_NONE);
    stand_answer_settles(stand);
    outlet_abort(&stand->outlet);
    fake_obey();
    stand_answer_settles(stand);
    assert_int_equal(stand->outlet.sessions, 0);
    assert_int_equal(stand->outlet.waiting_count, 0);
    assert_int_equal(stand->env.asked, 0);
    assert_int_equal(fake_alive(), 0);
    for (size_t i = 0; i < stand->job_count; i++)
        if (stand->jobs[i].is_taken)
            assert_int_not_equal(stand->jobs[i].end, STAND_OPEN);
    fake_forget();
    errand_env_fini(&stand->env);
    mailbox_fini(&stand->env.answers);
    relay_rates_destroy(stand->env.rates);
    relay_states_destroy(stand->env.states);
    for (size_t i = 0; i < stand->job_count; i++)
        body_unref(stand->jobs[i].job.body);
    mem_free(stand->jobs);
    mem_free(stand);
}

/* ---- jobs ---- */

void stand_recipients(struct stand_job *job, size_t count)
{
    assert_true(count <= STAND_RECIPIENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(job->names[i], sizeof(job->names[i]), "r%u", i);
        job->recipients[i] = job->names[i];
        job->pending[i] = i;
        job->states[i] = RECIPIENT_PENDING;
    }
    job->job.recipients = job->recipients;
    job->job.recipient_count = count;
    job->claim.pending = job->pending;
    job->claim.pending_count = count;
}

struct stand_job *stand_job(struct stand *stand)
{
    assert_true(stand->job_count < STAND_JOBS_MAX);
    struct stand_job *job = &stand->jobs[stand->job_count];
    (void)snprintf(job->job.id.text, sizeof(job->job.id.text), "%zu",
                   stand->job_count);
    stand->job_count++;
    (void)snprintf(job->sender, sizeof(job->sender), "s%zu", stand->job_count);
    job->job.sender = job->sender;
    stand_recipients(job, 1);
    job->claim.job = &job->job;
    job->claim.attempt = 1;
    job->claim.gate = &job->gate;
    atomic_init(&job->gate, CLAIM_GATE_OPEN);
    return job;
}

bool stand_wants(struct stand *stand)
{
    return outlet_wants(&stand->outlet, stand->clock.now_ms);
}

void stand_give(struct stand *stand, struct stand_job *job)
{
    assert_true(stand_wants(stand));
    job->is_taken = true;
    outlet_take(&stand->outlet, &job->claim, stand->clock.now_ms);
}

size_t stand_fill(struct stand *stand, size_t at_most)
{
    size_t given = 0;
    for (; given < at_most && stand_wants(stand); given++)
        stand_give(stand, stand_job(stand));
    return given;
}

/* ---- what happens ---- */

int64_t stand_turn(struct stand *stand, int64_t ms)
{
    stand->clock.now_ms += ms;
    sender_take_answers(&stand->env);
    int64_t next_ms = outlet_tick(&stand->outlet, stand->clock.now_ms);
    (void)stand_wants(stand);
    if (stand->outlet.look_ms < next_ms)
        next_ms = stand->outlet.look_ms;
    return next_ms - stand->clock.now_ms;
}

void stand_answer_settles(struct stand *stand)
{
    struct spool_settled settled = {.state = JOB_DELIVERED};
    while (stand->settle_count > 0) {
        struct stand_answer a = stand->settles[--stand->settle_count];
        a.fn(a.ctx, &settled);
    }
    sender_take_answers(&stand->env);
}

void stand_answer_marks(struct stand *stand, enum err_code code)
{
    struct err err = {0};
    if (code != ERR_NONE)
        (void)err_set(&err, code, "the disk is full");
    while (stand->mark_count > 0) {
        struct stand_mark m = stand->marks[--stand->mark_count];
        m.fn(m.ctx, &err);
    }
    sender_take_answers(&stand->env);
}

void stand_ready(size_t n, size_t window)
{
    fake_ready(fake_session(n), window);
}

struct stand_job *stand_job_at(struct stand *stand, size_t session,
                               size_t place)
{
    const struct smtp_session *s = fake_session(session);
    assert_true(place < s->count);
    for (size_t i = 0; i < stand->job_count; i++)
        if (s->mails[place]->sender == stand->jobs[i].sender)
            return &stand->jobs[i];
    fail_msg("a mail of no job");
    return NULL;
}

void stand_shut(struct stand *stand)
{
    struct relay_pass pass;
    assert_true(
        relay_state_ask(stand->env.states, 0, stand->clock.now_ms, &pass));
    /* One that never came about would mean that it has too many. */
    relay_state_established(stand->env.states, 0, &pass);
    relay_state_failed(stand->env.states, 0, stand->clock.now_ms, &pass,
                       STR("it is down"));
    (void)stand_turn(stand, 0);
}
