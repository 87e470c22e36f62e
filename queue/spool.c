#include "queue/spool.h"

#include "core/mem.h"
#include "core/panic.h"
#include "queue/spool_backend.h"

#define LIST_MAX 1000

void spool_init(struct spool *spool, const struct spool_ops *ops,
                const struct spool_options *options)
{
    *spool = (struct spool){.ops = ops,
                            .on_due = options->on_due,
                            .on_due_ctx = options->ctx,
                            .on_room = options->on_room,
                            .on_room_ctx = options->ctx,
                            .on_disk = options->on_disk,
                            .on_disk_ctx = options->ctx};
    mailbox_round_init(&spool->round);
}

enum err_code spool_options_check(const struct spool_options *options,
                                  struct err *err)
{
    if (options->route_count == 0)
        return err_set(err, ERR_INVALID, "a spool needs a route");
    if (options->max_jobs < 1 || options->max_bytes < 1)
        return err_set(err, ERR_INVALID,
                       "a spool's max_jobs and max_bytes are at least 1");
    if (options->history_keep_ms < 0 || options->history_keep_failed_ms < 0 ||
        options->history_max_jobs < 0)
        return err_set(err, ERR_INVALID,
                       "a spool's history cannot be negative");
    if (options->give_up_ms < 0)
        return err_set(err, ERR_INVALID,
                       "a spool's give_up cannot be negative");
    if (options->key_window_ms < 0 || options->key_max < 0)
        return err_set(err, ERR_INVALID,
                       "a spool's key window and number cannot be negative");
    if (options->clock == NULL)
        return err_set(err, ERR_INVALID, "a spool needs a clock");
    return ERR_NONE;
}

void spool_destroy(struct spool *spool)
{
    if (spool != NULL)
        spool->ops->destroy(spool);
}

void spool_on_due(struct spool *spool,
                  void (*fn)(void *ctx, struct spool_lane lane, int64_t due_ms),
                  void *ctx)
{
    spool->on_due = fn;
    spool->on_due_ctx = ctx;
}

void spool_on_room(struct spool *spool, void (*fn)(void *ctx), void *ctx)
{
    spool->on_room = fn;
    spool->on_room_ctx = ctx;
}

struct mailbox_round *spool_round(struct spool *spool)
{
    return &spool->round;
}

const char *spool_durability(const struct spool *spool)
{
    return spool->ops->durability;
}

bool spool_may_send(const struct spool *spool)
{
    return !atomic_load_explicit(&spool->disk_fails, memory_order_relaxed);
}

void spool_accept(struct spool *spool, struct job *job, spool_accept_fn fn,
                  void *ctx)
{
    spool->ops->accept(spool, job, fn, ctx);
}

void spool_claim(struct spool *spool, struct spool_lane lane, size_t limit,
                 int64_t now_ms, spool_claim_fn fn, void *ctx)
{
    PANIC_IF((unsigned)lane.priority >= JOB_PRIORITY_COUNT);
    spool->ops->claim(spool, lane, limit, now_ms, fn, ctx);
}

void spool_settle(struct spool *spool, struct claim *claim,
                  const struct settlement *settlement, spool_settle_fn fn,
                  void *ctx)
{
    spool->ops->settle(spool, claim, settlement, fn, ctx);
}

void spool_release(struct spool *spool, struct claim *claim, int64_t due_ms,
                   struct str relay, struct str note)
{
    spool->ops->release(spool, claim, due_ms, relay, note);
}

void spool_mark(struct spool *spool, struct claim *claim, struct str relay,
                spool_mark_fn fn, void *ctx)
{
    spool->ops->mark(spool, claim, relay, fn, ctx);
}

const char *spool_event_name(enum spool_event_kind kind)
{
    static const char *const names[SPOOL_EVENT_COUNT] = {
        [SPOOL_EVENT_ACCEPTED] = "accepted",
        [SPOOL_EVENT_ATTEMPT] = "attempt",
        [SPOOL_EVENT_RELEASED] = "released",
        [SPOOL_EVENT_INTERRUPTED] = "interrupted",
        [SPOOL_EVENT_HELD] = "held",
        [SPOOL_EVENT_RETRIED] = "retried",
        [SPOOL_EVENT_CANCELLED] = "cancelled",
        [SPOOL_EVENT_DROPPED] = "dropped",
        [SPOOL_EVENT_EXPIRED] = "expired",
        [SPOOL_EVENT_GIVEN_UP] = "given_up",
    };
    PANIC_IF((unsigned)kind >= SPOOL_EVENT_COUNT);
    return names[kind];
}

void spool_status_destroy(struct spool_status *status)
{
    if (status == NULL)
        return;
    job_unref(status->job);
    mem_free(status);
}

void spool_find(struct spool *spool, const struct id *id, const char *client,
                spool_status_fn fn, void *ctx)
{
    spool->ops->find(spool, id, client, fn, ctx);
}

void spool_cancel(struct spool *spool, const struct id *id, const char *client,
                  spool_status_fn fn, void *ctx)
{
    spool->ops->cancel(spool, id, client, fn, ctx);
}

void spool_retry(struct spool *spool, const struct id *id, spool_status_fn fn,
                 void *ctx)
{
    spool->ops->retry(spool, id, fn, ctx);
}

void spool_drop(struct spool *spool, const struct id *id, spool_status_fn fn,
                void *ctx)
{
    spool->ops->drop(spool, id, fn, ctx);
}

void spool_list(struct spool *spool, const struct spool_filter *filter,
                spool_list_fn fn, void *ctx)
{
    struct spool_filter own = *filter;
    if (own.limit < 1)
        own.limit = 1;
    if (own.limit > LIST_MAX)
        own.limit = LIST_MAX;
    spool->ops->list(spool, &own, fn, ctx);
}

void spool_watch(struct spool *spool, const struct id *id, const char *client,
                 struct spool_watch *watch, spool_status_fn fn, void *ctx)
{
    *watch = (struct spool_watch){.fn = fn, .ctx = ctx, .id = *id};
    spool->ops->watch(spool, client, watch);
}

bool spool_unwatch(struct spool *spool, struct spool_watch *watch)
{
    return spool->ops->unwatch(spool, watch);
}

void spool_expire(struct spool *spool, int64_t now_ms, size_t limit,
                  spool_expire_fn fn, void *ctx)
{
    spool->ops->expire(spool, now_ms, limit, fn, ctx);
}

void spool_stats(struct spool *spool, struct spool_stats *stats)
{
    spool->ops->stats(spool, stats);
}
