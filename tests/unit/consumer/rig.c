#include "tests/unit/consumer/rig.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#define DEADLINE_MS 10000
#define DAY_MS      INT64_C(86400000)

static const size_t order[RIG_RELAYS] = {0, 1};

static void init_relay(struct pool_relay *relay, const char *name,
                       unsigned port)
{
    *relay = (struct pool_relay){
        .smtp = {.name = name,
                 .host = "127.0.0.1",
                 .port = port,
                 .tls = SMTP_TLS_NONE,
                 .hostname = "client.test",
                 .connect_timeout_ms = 5000,
                 .mail_timeout_ms = 5000,
                 .rcpt_timeout_ms = 5000,
                 .data_timeout_ms = 5000,
                 .body_timeout_ms = 5000,
                 .final_timeout_ms = 8000},
        .connections = 4,
        .recipients_per_message = 100,
        .jobs_per_connection = 1000,
        .idle_timeout_ms = 60000,
        .backoff_first_ms = 50,
        .backoff_longest_ms = 200,
    };
}

void rig_init(struct rig *rig, size_t relays)
{
    static const char *const names[RIG_RELAYS] = {"first", "second"};
    *rig = (struct rig){0};
    metrics_init(&rig->metrics);
    for (size_t i = 0; i < relays; i++) {
        rig->mini[i] = mini_relay_start(0);
        assert_non_null(rig->mini[i]);
        init_relay(&rig->relays[i], names[i], mini_relay_port(rig->mini[i]));
    }
    rig->route.relays = order;
    rig->route.relay_count = relays;
    rig->queue_options.capacity = 64;
    rig->queue_options.max_bytes = 1 << 20;
    rig->queue_options.lanes = (unsigned)relays;
    rig->options = (struct pool_options){
        .relays = rig->relays,
        .relay_count = relays,
        .routes = &rig->route,
        .route_count = 1,
        .consumers = 1,
        .retry = {.first_ms = 100,
                  .factor = 2.0,
                  .longest_ms = 1000,
                  .jitter = 0.1},
        .metrics = &rig->metrics,
        .clock = clock_system(),
        .seed = 1,
    };
}

void rig_open(struct rig *rig)
{
    static const char *const routes[] = {"default"};
    struct err err;
    struct spool_options spool_options = {
        .routes = routes,
        .route_count = 1,
        .max_jobs = 100000,
        .max_bytes = 1 << 28,
        .history_keep_ms = DAY_MS,
        .history_keep_failed_ms = DAY_MS,
        .history_max_jobs = 100000,
        .key_window_ms = DAY_MS,
        .key_max = 100,
        .clock = clock_system(),
    };
    assert_int_equal(queue_create(&rig->queue, &rig->queue_options, &err),
                     ERR_NONE);
    assert_int_equal(spool_create_memory(&rig->spool, &spool_options, &err),
                     ERR_NONE);
    rig->options.queue = rig->queue;
    rig->options.spool = rig->spool;
    if (pool_create(&rig->pool, &rig->options, &err) != ERR_NONE)
        fail_msg("%s", err.text);
}

void rig_start(struct rig *rig)
{
    struct err err;
    if (pool_start(rig->pool, &err) != ERR_NONE)
        fail_msg("%s", err.text);
    rig->running = true;
}

void rig_stop(struct rig *rig, int64_t ms)
{
    if (rig->running)
        pool_stop(rig->pool, clock_mono_ms(clock_system()) + ms);
    rig->running = false;
}

struct spool_stats rig_stats(struct rig *rig)
{
    struct spool_stats stats;
    spool_stats(rig->spool, &stats);
    return stats;
}

void rig_close(struct rig *rig)
{
    rig_stop(rig, 5000);
    struct spool_stats n = rig_stats(rig);
    assert_int_equal(n.active, 0);
    assert_int_equal(n.accepted, n.delivered + n.failed + n.expired +
                                     n.cancelled + n.waiting + n.held);
    assert_true(queue_is_empty(rig->queue));
    assert_int_equal(metrics_get(&rig->metrics, METRIC_SESSIONS_OPEN), 0);
    pool_destroy(rig->pool);
    spool_destroy(rig->spool);
    queue_destroy(rig->queue);
    for (size_t i = 0; i < RIG_RELAYS; i++)
        mini_relay_free(rig->mini[i]);
}

/* ---- jobs ---- */

static char *address(const char *local, size_t len)
{
    char text[80];
    (void)snprintf(text, sizeof(text), "%.*s@example.org", (int)len, local);
    return mem_strdup(str_from(text));
}

static void add_recipients(struct job *job, const char *locals)
{
    job->recipients = mem_calloc(strlen(locals) + 1, sizeof(char *));
    while (*locals != '\0') {
        size_t len = strcspn(locals, " ");
        job->recipients[job->recipient_count++] = address(locals, len);
        locals += len + (locals[len] == ' ');
    }
}

static void on_accepted(void *ctx, const struct spool_accepted *accepted)
{
    *(struct spool_accepted *)ctx = *accepted;
}

struct id rig_put(struct rig *rig, const struct rig_job *wanted)
{
    static const char text[] = "Subject: x\r\n\r\nhello\r\n";
    const char *sender = wanted->sender == NULL ? "s" : wanted->sender;
    int64_t now_ms = clock_real_ms(clock_system());
    struct job *job = job_new();
    id_new(&job->id, now_ms);
    job->client = mem_strdup(STR("test"));
    job->route = mem_strdup(STR("default"));
    job->priority = wanted->priority;
    job->on_unknown = wanted->on_unknown;
    job->created_ms = now_ms;
    job->send_at_ms = wanted->send_in_ms == 0 ? 0 : now_ms + wanted->send_in_ms;
    if (wanted->expires_in_ms != 0)
        job->expires_at_ms = now_ms + wanted->expires_in_ms;
    job->give_up_at_ms =
        now_ms + (wanted->give_up_in_ms == 0 ? DAY_MS : wanted->give_up_in_ms);
    job->sender = address(sender, strlen(sender));
    add_recipients(job, wanted->recipients == NULL ? "r" : wanted->recipients);
    char *data = mem_alloc(sizeof(text) - 1);
    memcpy(data, text, sizeof(text) - 1);
    job->body = body_from_memory(data, sizeof(text) - 1);
    job->size_bytes = sizeof(text) - 1;
    struct spool_accepted accepted = {.answer = SPOOL_ERROR};
    spool_accept(rig->spool, job, on_accepted, &accepted);
    assert_int_equal(accepted.answer, SPOOL_ACCEPTED);
    struct id id = job->id;
    job_unref(job);
    return id;
}

struct found {
    struct spool_status *status;
    bool cancelled;
};

static void on_status(void *ctx, struct spool_status *status, bool cancelled,
                      const struct err *err)
{
    (void)err;
    *(struct found *)ctx = (struct found){status, cancelled};
}

struct spool_status *rig_find(struct rig *rig, const struct id *id)
{
    struct found found = {0};
    spool_find(rig->spool, id, NULL, on_status, &found);
    assert_non_null(found.status);
    return found.status;
}

bool rig_cancel(struct rig *rig, const struct id *id)
{
    struct found found = {0};
    spool_cancel(rig->spool, id, NULL, on_status, &found);
    spool_status_destroy(found.status);
    return found.cancelled;
}

struct awaited {
    struct rig *rig;
    const struct id *id;
    enum job_state state;
};

static bool has_state(void *ctx)
{
    const struct awaited *a = ctx;
    struct spool_status *status = rig_find(a->rig, a->id);
    bool yes = status->state == a->state;
    spool_status_destroy(status);
    return yes;
}

void rig_wait_state(struct rig *rig, const struct id *id, enum job_state state)
{
    struct awaited a = {rig, id, state};
    rig_wait(job_state_name(state), has_state, &a);
}

void rig_expect(struct rig *rig, const struct id *id, size_t i,
                enum recipient_state state, const char *reply_starts)
{
    struct spool_status *status = rig_find(rig, id);
    assert_true(i < status->recipient_count);
    const struct spool_recipient *r = &status->recipients[i];
    if (r->state != state ||
        !str_starts(str_from(r->reply), str_from(reply_starts)))
        fail_msg("recipient %zu is %s: %s", i, recipient_state_name(r->state),
                 r->reply == NULL ? "" : r->reply);
    spool_status_destroy(status);
}

/* ---- waiting ---- */

void rig_wait(const char *what, bool (*fn)(void *ctx), void *ctx)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + DEADLINE_MS;
    while (!fn(ctx)) {
        if (clock_mono_ms(clock_system()) > until_ms)
            fail_msg("waited in vain for: %s", what);
        (void)poll(NULL, 0, 2);
    }
}

struct awaited_number {
    struct mini_relay *relay;
    unsigned (*fn)(struct mini_relay *r);
    unsigned at_least;
};

static bool has_number(void *ctx)
{
    const struct awaited_number *a = ctx;
    return a->fn(a->relay) >= a->at_least;
}

void rig_wait_number(struct mini_relay *r, unsigned (*fn)(struct mini_relay *r),
                     unsigned at_least, const char *what)
{
    struct awaited_number a = {r, fn, at_least};
    rig_wait(what, has_number, &a);
}

struct awaited_claims {
    struct queue *queue;
    size_t at_least;
};

static bool has_claims(void *ctx)
{
    const struct awaited_claims *a = ctx;
    return queue_size(a->queue) >= a->at_least;
}

void rig_wait_queued(struct rig *rig, size_t at_least)
{
    struct awaited_claims a = {rig->queue, at_least};
    rig_wait("claims in the queue", has_claims, &a);
}

int rig_setup(void **state)
{
    struct err err;
    (void)state;
    log_setup(2, LOG_LEVEL_ERROR);
    return smtp_global_init(&err) == ERR_NONE ? 0 : -1;
}

int rig_teardown(void **state)
{
    (void)state;
    smtp_global_fini();
    return 0;
}
