#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "queue/spool_memory.h"

/* Jobs expired in one go under the lock. */
#define EXPIRE_BATCH 64

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
    fn(ctx, status, false);
}

static bool cancel_locked(struct spool_memory *m, struct spool_entry *entry,
                          int64_t now_ms, struct spool_effects *effects)
{
    struct spool_live *live = entry->live;
    if (job_state_is_settled(entry->state))
        return false;
    unsigned open = CLAIM_GATE_OPEN;
    if (live->claimed && !atomic_compare_exchange_strong(&live->gate, &open,
                                                         CLAIM_GATE_CANCELLED))
        return false;
    spool_memory_move(m, entry, JOB_CANCELLED, live->claimed, now_ms, effects);
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
        cancelled = cancel_locked(m, entry, now_ms, &effects);
        status = spool_entry_status(entry);
        spool_memory_forget(m, now_ms, &effects);
    }
    mutex_unlock(&m->lock);
    fn(ctx, status, cancelled);
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
    bool waiting = entry != NULL && entry->state != JOB_HELD &&
                   !job_state_is_settled(entry->state);
    watch->waiting = waiting;
    if (waiting)
        TAILQ_INSERT_TAIL(&entry->live->watches, watch, next);
    else if (entry != NULL)
        status = spool_entry_status(entry);
    mutex_unlock(&m->lock);
    /* A waiting one may be called, and gone, as soon as the lock is free. */
    if (!waiting)
        watch->fn(watch->ctx, status, false);
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

static enum job_state overdue(const struct job *job, int64_t now_ms)
{
    bool expired = job->expires_at_ms != 0 && job->expires_at_ms <= now_ms;
    bool given_up_first =
        job->give_up_at_ms != 0 && job->give_up_at_ms < job->expires_at_ms;
    return expired && !given_up_first ? JOB_EXPIRED : JOB_FAILED;
}

static char *overdue_note(enum job_state state)
{
    return mem_strdup(state == JOB_EXPIRED
                          ? STR("expired before it was delivered")
                          : STR("given up: not delivered in time"));
}

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
        enum job_state state = overdue(entry->job, now_ms);
        mem_free(entry->note);
        entry->note = overdue_note(state);
        struct spool_expired *expired = &expiry->expired[expiry->count++];
        expired->id = entry->job->id;
        expired->state = state;
        spool_memory_move(m, entry, state, false, now_ms, effects);
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
        if (max > EXPIRE_BATCH)
            max = EXPIRE_BATCH;
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
    mutex_unlock(&m->lock);
    spool_effects_run(m, &effects);
}
