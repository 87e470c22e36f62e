#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "queue/spool_memory.h"

static const struct err no_error = {.code = ERR_NONE};

/* ---- find, cancel ---- */

void spool_memory_show(struct spool *spool, const struct id *id,
                       const char *client, spool_status_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_status *status = NULL;
    int64_t now_ms = clock_real_ms(m->clock);
    mutex_lock(&m->lock);
    const struct spool_entry *entry = spool_memory_find(m, id, client, now_ms);
    if (entry != NULL)
        status = spool_entry_status(entry);
    mutex_unlock(&m->lock);
    fn(ctx, status, false, &no_error);
}

/* how: progress_cancel() or progress_drop(). */
static bool cancel_locked(struct spool_memory *m, struct spool_entry *entry,
                          void (*how)(struct progress *p, int64_t now_ms),
                          int64_t now_ms, struct spool_effects *effects)
{
    struct spool_live *live = entry->live;
    if (job_state_is_settled(entry->progress.state))
        return false;
    unsigned open = CLAIM_GATE_OPEN;
    if (live->claimed && !atomic_compare_exchange_strong(&live->gate, &open,
                                                         CLAIM_GATE_CANCELLED))
        return false;
    spool_memory_lift(m, entry);
    how(&entry->progress, now_ms);
    spool_memory_land(m, entry, live->claimed, effects);
    return true;
}

void spool_memory_cancel(struct spool *spool, const struct id *id,
                         const char *client, spool_status_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_status *status = NULL;
    bool cancelled = false;
    struct spool_effects effects;
    spool_effects_init(&effects);
    int64_t now_ms = clock_real_ms(m->clock);
    mutex_lock(&m->lock);
    struct spool_entry *entry = spool_memory_find(m, id, client, now_ms);
    if (entry != NULL) {
        cancelled = cancel_locked(m, entry, progress_cancel, now_ms, &effects);
        status = spool_entry_status(entry);
        spool_memory_forget(m, now_ms, &effects);
    }
    mutex_unlock(&m->lock);
    fn(ctx, status, cancelled, &no_error);
    spool_effects_run(m, &effects);
}

/* ---- retry, drop ---- */

static bool retry_locked(struct spool_memory *m, struct spool_entry *entry,
                         int64_t now_ms, struct spool_effects *effects)
{
    struct progress *p = &entry->progress;
    if (p->state == JOB_QUEUED)
        return false;
    if (entry->live == NULL) {
        if (!entry->kept || entry->job->body == NULL)
            return false;
        spool_memory_reopen(m, entry, now_ms);
    } else {
        if (entry->live->claimed)
            return false;
        spool_memory_lift(m, entry);
    }
    struct spool_live *live = entry->live;
    PANIC_IF(!progress_retry(p, now_ms, m->give_up_ms));
    heap_remove(&m->lanes[entry->lane].due, &live->due);
    heap_remove(&m->limits, &live->limit);
    live->limit.key = progress_limit_ms(p);
    spool_memory_land(m, entry, false, effects);
    return true;
}

void spool_memory_retry(struct spool *spool, const struct id *id,
                        spool_status_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_status *status = NULL;
    bool retried = false;
    struct spool_effects effects;
    spool_effects_init(&effects);
    int64_t now_ms = clock_real_ms(m->clock);
    mutex_lock(&m->lock);
    struct spool_entry *entry = spool_memory_find(m, id, NULL, now_ms);
    if (entry != NULL) {
        retried = retry_locked(m, entry, now_ms, &effects);
        status = spool_entry_status(entry);
    }
    mutex_unlock(&m->lock);
    fn(ctx, status, retried, &no_error);
    spool_effects_run(m, &effects);
}

static bool drop_locked(struct spool_memory *m, struct spool_entry *entry,
                        int64_t now_ms, struct spool_status **status,
                        struct spool_effects *effects)
{
    bool dropped = true;
    if (job_state_is_settled(entry->progress.state)) {
        *status = spool_entry_status(entry);
        (*status)->has_body = false;
        spool_memory_forget_one(m, entry, effects);
    } else {
        dropped = cancel_locked(m, entry, progress_drop, now_ms, effects);
        *status = spool_entry_status(entry);
    }
    return dropped;
}

void spool_memory_drop(struct spool *spool, const struct id *id,
                       spool_status_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_status *status = NULL;
    bool dropped = false;
    struct spool_effects effects;
    spool_effects_init(&effects);
    int64_t now_ms = clock_real_ms(m->clock);
    mutex_lock(&m->lock);
    struct spool_entry *entry = spool_memory_find(m, id, NULL, now_ms);
    if (entry != NULL) {
        dropped = drop_locked(m, entry, now_ms, &status, &effects);
        spool_memory_forget(m, now_ms, &effects);
    }
    mutex_unlock(&m->lock);
    fn(ctx, status, dropped, &no_error);
    spool_effects_run(m, &effects);
}

/* ---- watch ---- */

void spool_memory_watch(struct spool *spool, const char *client,
                        struct spool_watch *watch)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_status *status = NULL;
    int64_t now_ms = clock_real_ms(m->clock);
    mutex_lock(&m->lock);
    struct spool_entry *entry =
        spool_memory_find(m, &watch->id, client, now_ms);
    bool waiting = entry != NULL && entry->progress.state != JOB_HELD &&
                   !job_state_is_settled(entry->progress.state);
    watch->waiting = waiting;
    if (waiting)
        TAILQ_INSERT_TAIL(&entry->live->watches, watch, next);
    else if (entry != NULL)
        status = spool_entry_status(entry);
    mutex_unlock(&m->lock);
    /* A waiting one may be called, and gone, as soon as the lock is free. */
    if (!waiting)
        watch->fn(watch->ctx, status, false, &no_error);
}

bool spool_memory_unwatch(struct spool *spool, struct spool_watch *watch)
{
    struct spool_memory *m = spool_memory_of(spool);
    int64_t now_ms = clock_real_ms(m->clock);
    mutex_lock(&m->lock);
    bool waiting = watch->waiting;
    if (waiting) {
        struct spool_entry *entry =
            spool_memory_find(m, &watch->id, NULL, now_ms);
        PANIC_IF(entry == NULL);
        TAILQ_REMOVE(&entry->live->watches, watch, next);
        watch->waiting = false;
    }
    mutex_unlock(&m->lock);
    return waiting;
}

/* ---- time ---- */

struct expiry {
    struct spool_expired *expired;
    size_t count;
    int64_t next_ms;
};

/* Settles up to max of them; returns how many it looked at. */
static size_t expire_locked(struct spool_memory *m, int64_t now_ms, size_t max,
                            struct expiry *expiry,
                            struct spool_effects *effects)
{
    size_t seen = 0;
    for (; seen < max; seen++) {
        struct heap_item *item = heap_peek(&m->limits);
        if (item == NULL || item->key > now_ms)
            break;
        heap_remove(&m->limits, item);
        struct spool_live *live = CONTAINER_OF(item, struct spool_live, limit);
        /* A claimed one is put in again when it waits again. */
        if (live->claimed)
            continue;
        struct spool_entry *entry = live->entry;
        spool_memory_lift(m, entry);
        progress_expire(&entry->progress, now_ms);
        struct spool_expired *expired = &expiry->expired[expiry->count++];
        expired->id = entry->job->id;
        expired->state = entry->progress.state;
        spool_memory_land(m, entry, false, effects);
        spool_memory_forget(m, now_ms, effects);
    }
    const struct heap_item *next = heap_peek(&m->limits);
    expiry->next_ms = next == NULL ? SPOOL_NEVER : next->key;
    return seen;
}

void spool_memory_expire(struct spool *spool, int64_t now_ms, size_t limit,
                         spool_expire_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct expiry expiry = {.expired = NULL};
    struct spool_effects effects;
    size_t max;
    size_t seen;
    spool_effects_init(&effects);
    do {
        max = limit - expiry.count;
        if (max > SPOOL_BATCH)
            max = SPOOL_BATCH;
        expiry.expired =
            mem_realloc(expiry.expired,
                        (expiry.count + max) * sizeof(struct spool_expired));
        mutex_lock(&m->lock);
        seen = expire_locked(m, now_ms, max, &expiry, &effects);
        spool_memory_forget(m, now_ms, &effects);
        mutex_unlock(&m->lock);
        spool_effects_run(m, &effects);
    } while (expiry.count < limit && seen == max);
    fn(ctx, expiry.expired, expiry.count, expiry.next_ms);
    mem_free(expiry.expired);
}

/* ---- numbers ---- */

void spool_memory_stats(struct spool *spool, struct spool_stats *stats)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_effects effects;
    spool_effects_init(&effects);
    int64_t now_ms = clock_real_ms(m->clock);
    mutex_lock(&m->lock);
    spool_memory_forget(m, now_ms, &effects);
    *stats = m->numbers;
    stats->keys = (int64_t)m->keys.map.count;
    stats->kept_bytes = m->kept_bytes;
    mutex_unlock(&m->lock);
    spool_effects_run(m, &effects);
}
