#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "queue/spool_memory.h"

/* How many may go in one step: more than come, few enough to be quick. */
#define FORGET_MAX 4

/* ---- after the lock ---- */

void spool_effects_init(struct spool_effects *effects)
{
    TAILQ_INIT(&effects->watches);
    STAILQ_INIT(&effects->lives);
    TAILQ_INIT(&effects->entries);
    effects->body_count = 0;
    effects->due = false;
    effects->room = false;
}

void spool_effects_run(struct spool_memory *m, struct spool_effects *effects)
{
    const struct err none = {.code = ERR_NONE};
    struct spool_watch *watch;
    struct spool_live *live;
    struct spool_entry *entry;
    if (effects->due && m->base.on_due != NULL)
        m->base.on_due(m->base.on_due_ctx, effects->due_lane, effects->due_ms);
    if (effects->room && m->base.on_room != NULL)
        m->base.on_room(m->base.on_room_ctx);
    while ((watch = TAILQ_FIRST(&effects->watches)) != NULL) {
        /* Once called, the watch is its owner's again. */
        TAILQ_REMOVE(&effects->watches, watch, next);
        watch->fn(watch->ctx, watch->status, false, &none);
    }
    while ((live = STAILQ_FIRST(&effects->lives)) != NULL) {
        STAILQ_REMOVE_HEAD(&effects->lives, next);
        spool_live_free(live);
    }
    while ((entry = TAILQ_FIRST(&effects->entries)) != NULL) {
        TAILQ_REMOVE(&effects->entries, entry, next);
        spool_entry_free(entry);
    }
    while (effects->body_count > 0)
        body_unref(effects->bodies[--effects->body_count]);
    effects->due = false;
    effects->room = false;
}

/* ---- finding ---- */

bool spool_memory_is_over(const struct spool_memory *m,
                          const struct spool_entry *entry, int64_t now_ms)
{
    const struct progress *p = &entry->progress;
    int64_t keep_ms =
        progress_keeps_body(p) ? m->history_keep_failed_ms : m->history_keep_ms;
    return job_state_is_settled(p->state) && now_ms - p->settled_ms >= keep_ms;
}

struct spool_entry *spool_memory_find(struct spool_memory *m,
                                      const struct id *id, const char *client,
                                      int64_t now_ms)
{
    uint64_t hash = map_hash(&m->by_id, id->text, ID_LEN);
    struct map_item *item = map_first(&m->by_id, hash);
    for (; item != NULL; item = map_next(item)) {
        struct spool_entry *entry =
            CONTAINER_OF(item, struct spool_entry, by_id);
        if (memcmp(entry->job->id.text, id->text, ID_LEN) != 0)
            continue;
        if (client != NULL && strcmp(entry->job->client, client) != 0)
            return NULL;
        return spool_memory_is_over(m, entry, now_ms) ? NULL : entry;
    }
    return NULL;
}

/* ---- room ---- */

/* Whether a job of so many bytes may come, if kept bodies give way. */
static bool fits(const struct spool_memory *m, int64_t cost_bytes)
{
    const struct spool_stats *n = &m->numbers;
    return n->waiting + n->active + n->held < m->max_jobs &&
           n->bytes - m->kept_bytes <= m->max_bytes - cost_bytes;
}

bool spool_memory_has_room(struct spool_memory *m, int64_t cost_bytes)
{
    if (fits(m, cost_bytes))
        return true;
    if (!m->room_wanted || cost_bytes < m->room_bytes)
        m->room_bytes = cost_bytes;
    m->room_wanted = true;
    return false;
}

static void tell_of_room(struct spool_memory *m, struct spool_effects *effects)
{
    if (!m->room_wanted || !fits(m, m->room_bytes))
        return;
    m->room_wanted = false;
    effects->room = true;
}

bool spool_memory_make_room(struct spool_memory *m, int64_t bytes,
                            struct spool_effects *effects)
{
    while (m->numbers.bytes > m->max_bytes - bytes) {
        struct spool_entry *entry = m->first_kept;
        PANIC_IF(entry == NULL);
        if (effects->body_count == SPOOL_BATCH)
            return false;
        m->first_kept = TAILQ_NEXT(entry, next);
        m->kept_bytes -= entry->cost_bytes;
        m->numbers.bytes -= entry->cost_bytes;
        entry->kept = false;
        effects->bodies[effects->body_count++] = entry->job->body;
        entry->job->body = NULL;
    }
    return true;
}

/* ---- the ledger ---- */

/* Which of its numbers the job is counted in. */
static int64_t *place(struct spool_memory *m, const struct spool_entry *entry)
{
    switch (entry->progress.state) {
    case JOB_DELIVERED:
        return &m->numbers.delivered;
    case JOB_FAILED:
        return &m->numbers.failed;
    case JOB_EXPIRED:
        return &m->numbers.expired;
    case JOB_CANCELLED:
        return &m->numbers.cancelled;
    case JOB_HELD:
        return &m->numbers.held;
    case JOB_QUEUED:
    case JOB_DEFERRED:
        return entry->live->claimed ? &m->numbers.active : &m->numbers.waiting;
    case JOB_ACTIVE:
    case JOB_STATE_COUNT:
        break;
    }
    PANIC("no job of the spool is in state %u",
          (unsigned)entry->progress.state);
}

void spool_memory_drop_live(struct spool_live *live,
                            struct spool_effects *effects)
{
    struct spool_entry *entry = live->entry;
    if (entry == NULL || !entry->kept)
        spool_live_take_body(live);
    if (entry != NULL)
        entry->live = NULL;
    STAILQ_INSERT_TAIL(&effects->lives, live, next);
}

static void tell_watches(struct spool_entry *entry,
                         struct spool_effects *effects)
{
    struct spool_watch *watch;
    TAILQ_FOREACH (watch, &entry->live->watches, next) {
        watch->waiting = false;
        watch->status = spool_entry_status(entry);
    }
    TAILQ_CONCAT(&effects->watches, &entry->live->watches, next);
}

static void enter_history(struct spool_memory *m, struct spool_entry *entry)
{
    m->numbers.remembered++;
    entry->kept = progress_keeps_body(&entry->progress);
    if (!entry->kept) {
        m->numbers.bytes -= entry->cost_bytes;
        TAILQ_INSERT_TAIL(&m->history, entry, next);
        return;
    }
    m->numbers.bytes += spool_entry_weigh(entry);
    m->kept_bytes += entry->cost_bytes;
    TAILQ_INSERT_TAIL(&m->failed, entry, next);
    if (m->first_kept == NULL)
        m->first_kept = entry;
}

static void leave_history(struct spool_memory *m, struct spool_entry *entry)
{
    m->numbers.remembered--;
    if (!progress_keeps_body(&entry->progress)) {
        TAILQ_REMOVE(&m->history, entry, next);
        return;
    }
    if (entry == m->first_kept)
        m->first_kept = TAILQ_NEXT(entry, next);
    TAILQ_REMOVE(&m->failed, entry, next);
    if (entry->kept)
        m->kept_bytes -= entry->cost_bytes;
}

static void settled(struct spool_memory *m, struct spool_entry *entry,
                    struct spool_effects *effects)
{
    struct spool_live *live = entry->live;
    heap_remove(&m->lanes[entry->lane].due, &live->due);
    heap_remove(&m->limits, &live->limit);
    tell_watches(entry, effects);
    enter_history(m, entry);
    tell_of_room(m, effects);
    if (entry->key != NULL)
        spool_keys_settled(&m->keys, entry->key, entry->progress.state);
    /* The holder of a claim still looks at the body. */
    if (!live->claimed)
        spool_memory_drop_live(live, effects);
}

void spool_memory_lift(struct spool_memory *m, struct spool_entry *entry)
{
    PANIC_IF(entry->live == NULL ||
             job_state_is_settled(entry->progress.state));
    (*place(m, entry))--;
}

void spool_memory_land(struct spool_memory *m, struct spool_entry *entry,
                       bool claimed, struct spool_effects *effects)
{
    struct spool_live *live = entry->live;
    if (claimed && !live->claimed)
        m->claims_out++;
    if (!claimed && live->claimed)
        m->claims_out--;
    live->claimed = claimed;
    (*place(m, entry))++;
    if (job_state_is_settled(entry->progress.state)) {
        settled(m, entry, effects);
        return;
    }
    if (claimed)
        return;
    m->numbers.bytes += spool_entry_weigh(entry);
    if (entry->progress.state == JOB_HELD) {
        heap_remove(&m->limits, &live->limit);
        tell_watches(entry, effects);
    } else {
        spool_memory_wait(m, live, effects);
    }
}

void spool_memory_wait(struct spool_memory *m, struct spool_live *live,
                       struct spool_effects *effects)
{
    const struct spool_entry *entry = live->entry;
    struct spool_lane_heap *lane = &m->lanes[entry->lane];
    int64_t due_ms = entry->progress.due_ms;
    if (due_ms == live->due.key)
        heap_restore(&lane->due, &live->due);
    else
        heap_push(&lane->due, &live->due, due_ms);
    if (!heap_has(&live->limit) && live->limit.key != SPOOL_NEVER)
        heap_push(&m->limits, &live->limit, live->limit.key);
    if (due_ms >= lane->known_ms)
        return;
    lane->known_ms = due_ms;
    effects->due = true;
    effects->due_ms = due_ms;
    effects->due_lane.route = entry->lane / JOB_PRIORITY_COUNT;
    effects->due_lane.priority =
        (enum job_priority)(entry->lane % JOB_PRIORITY_COUNT);
}

/* ---- the history ---- */

void spool_memory_forget_one(struct spool_memory *m, struct spool_entry *entry,
                             struct spool_effects *effects)
{
    struct spool_walk *walk;
    leave_history(m, entry);
    if (entry->kept)
        m->numbers.bytes -= entry->cost_bytes;
    TAILQ_FOREACH (walk, &m->walks, link)
        if (walk->next == entry)
            walk->next = TAILQ_NEXT(entry, order);
    TAILQ_REMOVE(&m->order, entry, order);
    map_remove(&m->by_id, &entry->by_id);
    if (entry->key != NULL)
        entry->key->entry = NULL;
    if (entry->live != NULL)
        entry->live->entry = NULL;
    TAILQ_INSERT_TAIL(&effects->entries, entry, next);
}

/* The next to be forgotten, or NULL. Who failed stays longest. */
static struct spool_entry *forgettable(const struct spool_memory *m,
                                       int64_t now_ms)
{
    struct spool_entry *oldest = TAILQ_FIRST(&m->history);
    struct spool_entry *failed = TAILQ_FIRST(&m->failed);
    if (oldest != NULL && spool_memory_is_over(m, oldest, now_ms))
        return oldest;
    if (failed != NULL && spool_memory_is_over(m, failed, now_ms))
        return failed;
    if (m->numbers.remembered > m->history_max_jobs)
        return oldest != NULL ? oldest : failed;
    return NULL;
}

void spool_memory_forget(struct spool_memory *m, int64_t now_ms,
                         struct spool_effects *effects)
{
    for (unsigned i = 0; i < FORGET_MAX; i++) {
        struct spool_entry *entry = forgettable(m, now_ms);
        if (entry == NULL)
            return;
        spool_memory_forget_one(m, entry, effects);
    }
}

void spool_memory_reopen(struct spool_memory *m, struct spool_entry *entry,
                         int64_t now_ms)
{
    PANIC_IF(entry->live != NULL || !entry->kept);
    spool_live_new(entry);
    (*place(m, entry))--;
    leave_history(m, entry);
    entry->kept = false;
    if (entry->key != NULL)
        spool_keys_reopened(&m->keys, entry->key, now_ms);
}
