#include "tests/unit/consumer/late_spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/queue.h>

#include <cmocka.h>

#include "core/mem.h"
#include "queue/spool_backend.h"

#define PENDING_MAX 64

struct pending {
    struct late_spool *late;
    bool is_expire;
    struct spool_lane lane;
    size_t limit;
    int64_t now_ms;
    spool_claim_fn claimed;
    spool_expire_fn expired;
    void *ctx;
    /* What the spool said when it was asked, to be told later. */
    struct claim_list claims;
    int64_t next_ms;
};

struct late_spool {
    struct spool base;
    struct spool *inner;
    struct mutex lock; /* guards all below */
    bool hold;
    enum job_priority only; /* JOB_PRIORITY_COUNT: all answers */
    size_t stats_calls;
    size_t count;
    struct pending *pending[PENDING_MAX];
};

static struct late_spool *late_of(struct spool *spool)
{
    return (struct late_spool *)(void *)spool;
}

/* True: p was kept for later. */
static bool keep(struct late_spool *late, struct pending *p)
{
    mutex_lock(&late->lock);
    bool hold = late->hold && late->count < PENDING_MAX;
    if (late->only != JOB_PRIORITY_COUNT)
        hold = hold && !p->is_expire && p->lane.priority == late->only;
    if (hold)
        late->pending[late->count++] = p;
    mutex_unlock(&late->lock);
    return hold;
}

static void give(struct pending *p)
{
    if (p->is_expire)
        spool_expire(p->late->inner, p->now_ms, p->limit, p->expired, p->ctx);
    else
        p->claimed(p->ctx, p->lane, &p->claims, p->next_ms);
    mem_free(p);
}

static void on_claimed(void *ctx, struct spool_lane lane,
                       struct claim_list *claims, int64_t next_due_ms)
{
    struct pending *p = ctx;
    (void)lane;
    STAILQ_CONCAT(&p->claims, claims);
    p->next_ms = next_due_ms;
}

static void claim(struct spool *spool, struct spool_lane lane, size_t limit,
                  int64_t now_ms, spool_claim_fn fn, void *ctx)
{
    struct late_spool *late = late_of(spool);
    struct pending *p;
    MEM_NEW(p);
    p->late = late;
    p->lane = lane;
    p->claimed = fn;
    p->ctx = ctx;
    STAILQ_INIT(&p->claims);
    spool_claim(late->inner, lane, limit, now_ms, on_claimed, p);
    if (!keep(late, p))
        give(p);
}

static void expire(struct spool *spool, int64_t now_ms, size_t limit,
                   spool_expire_fn fn, void *ctx)
{
    struct late_spool *late = late_of(spool);
    struct pending *p;
    MEM_NEW(p);
    p->late = late;
    p->is_expire = true;
    p->limit = limit;
    p->now_ms = now_ms;
    p->expired = fn;
    p->ctx = ctx;
    if (!keep(late, p))
        give(p);
}

static void accept_job(struct spool *spool, struct job *job, spool_accept_fn fn,
                       void *ctx)
{
    spool_accept(late_of(spool)->inner, job, fn, ctx);
}

static void release(struct spool *spool, struct claim *claim, int64_t due_ms,
                    struct str relay, struct str note)
{
    spool_release(late_of(spool)->inner, claim, due_ms, relay, note);
}

static void list(struct spool *spool, const struct spool_filter *filter,
                 spool_list_fn fn, void *ctx)
{
    spool_list(late_of(spool)->inner, filter, fn, ctx);
}

static void cancel(struct spool *spool, const struct id *id, const char *client,
                   spool_status_fn fn, void *ctx)
{
    spool_cancel(late_of(spool)->inner, id, client, fn, ctx);
}

static void stats(struct spool *spool, struct spool_stats *out)
{
    struct late_spool *late = late_of(spool);
    mutex_lock(&late->lock);
    late->stats_calls++;
    mutex_unlock(&late->lock);
    spool_stats(late->inner, out);
}

static void on_due(void *ctx, struct spool_lane lane, int64_t due_ms)
{
    struct late_spool *late = ctx;
    if (late->base.on_due != NULL)
        late->base.on_due(late->base.on_due_ctx, lane, due_ms);
}

static const struct spool_ops ops = {
    .durability = "memory",
    .accept = accept_job,
    .claim = claim,
    .release = release,
    .cancel = cancel,
    .list = list,
    .expire = expire,
    .stats = stats,
};

struct late_spool *late_spool_new(const struct clock *clock,
                                  const char *const *routes, size_t route_count)
{
    struct late_spool *late;
    struct err err;
    struct spool_options options = {
        .routes = routes,
        .route_count = route_count,
        .max_jobs = 100000,
        .max_bytes = 1 << 28,
        .history_keep_ms = 1000000,
        .history_keep_failed_ms = 1000000,
        .history_max_jobs = 100000,
        .key_window_ms = 1000,
        .key_max = 100,
        .clock = clock,
    };
    MEM_NEW(late);
    late->base.ops = &ops;
    late->only = JOB_PRIORITY_COUNT;
    mutex_init(&late->lock);
    if (spool_create_memory(&late->inner, &options, &err) != ERR_NONE)
        fail_msg("%s", err.text);
    spool_on_due(late->inner, on_due, late);
    return late;
}

void late_spool_free(struct late_spool *late)
{
    spool_destroy(late->inner);
    mutex_fini(&late->lock);
    mem_free(late);
}

struct spool *late_spool_of(struct late_spool *late)
{
    return &late->base;
}

void late_spool_hold(struct late_spool *late, bool hold)
{
    mutex_lock(&late->lock);
    late->hold = hold;
    late->only = JOB_PRIORITY_COUNT;
    mutex_unlock(&late->lock);
}

void late_spool_hold_only(struct late_spool *late, enum job_priority priority)
{
    mutex_lock(&late->lock);
    late->hold = true;
    late->only = priority;
    mutex_unlock(&late->lock);
}

size_t late_spool_pending(struct late_spool *late)
{
    mutex_lock(&late->lock);
    size_t count = late->count;
    mutex_unlock(&late->lock);
    return count;
}

void late_spool_answer(struct late_spool *late)
{
    struct pending *pending[PENDING_MAX];
    mutex_lock(&late->lock);
    size_t count = late->count;
    for (size_t i = 0; i < count; i++)
        pending[i] = late->pending[i];
    late->count = 0;
    mutex_unlock(&late->lock);
    for (size_t i = 0; i < count; i++)
        give(pending[i]);
}

size_t late_spool_stats_calls(struct late_spool *late)
{
    mutex_lock(&late->lock);
    size_t calls = late->stats_calls;
    mutex_unlock(&late->lock);
    return calls;
}
