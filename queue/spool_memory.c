#include "queue/spool_memory.h"

#include <string.h>

#include "core/mem.h"
#include "core/panic.h"

/* How many may go in one step: more than come, few enough to be quick. */
#define FORGET_MAX 4

/* ---- after the lock ---- */

void spool_effects_init(struct spool_effects *effects)
{
    *effects = (struct spool_effects){.due = false};
    TAILQ_INIT(&effects->watches);
    STAILQ_INIT(&effects->lives);
    STAILQ_INIT(&effects->entries);
}

void spool_effects_run(struct spool_memory *m, struct spool_effects *effects)
{
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
        watch->fn(watch->ctx, watch->status, false);
    }
    while ((live = STAILQ_FIRST(&effects->lives)) != NULL) {
        STAILQ_REMOVE_HEAD(&effects->lives, next);
        spool_live_free(live);
    }
    while ((entry = STAILQ_FIRST(&effects->entries)) != NULL) {
        STAILQ_REMOVE_HEAD(&effects->entries, next);
        spool_entry_free(entry);
    }
    effects->due = false;
    effects->room = false;
}

/* ---- with the lock held ---- */

static bool is_forgotten(const struct spool_memory *m,
                         const struct spool_entry *entry, int64_t now_ms)
{
    return job_state_is_settled(entry->state) &&
           now_ms - entry->settled_ms >= m->history_keep_ms;
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
        return is_forgotten(m, entry, now_ms) ? NULL : entry;
    }
    return NULL;
}

/* Which of the ledger's numbers the job is counted in. */
static int64_t *place(struct spool_memory *m, const struct spool_entry *entry)
{
    switch (entry->state) {
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
    PANIC("no job of the spool is in state %u", (unsigned)entry->state);
}

void spool_memory_drop_live(struct spool_live *live,
                            struct spool_effects *effects)
{
    spool_live_take_body(live);
    if (live->entry != NULL)
        live->entry->live = NULL;
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

static void make_room(struct spool_memory *m, int64_t cost_bytes,
                      struct spool_effects *effects)
{
    const struct spool_stats *n = &m->numbers;
    m->numbers.bytes -= cost_bytes;
    if (!m->room_wanted || n->waiting + n->active + n->held >= m->max_jobs ||
        n->bytes > m->max_bytes - m->room_bytes)
        return;
    m->room_wanted = false;
    effects->room = true;
}

static void fail_rest(struct spool_entry *entry)
{
    for (size_t i = 0; i < entry->job->recipient_count; i++) {
        struct spool_record *record = &entry->records[i];
        if (record->state == RECIPIENT_PENDING ||
            record->state == RECIPIENT_DEFERRED)
            record->state = RECIPIENT_FAILED;
    }
}

static void settled(struct spool_memory *m, struct spool_entry *entry,
                    int64_t at_ms, struct spool_effects *effects)
{
    struct spool_live *live = entry->live;
    entry->settled_ms = at_ms;
    if (entry->state == JOB_FAILED || entry->state == JOB_EXPIRED)
        fail_rest(entry);
    heap_remove(&m->lanes[live->lane].due, &live->due);
    heap_remove(&m->limits, &live->limit);
    tell_watches(entry, effects);
    make_room(m, live->cost_bytes, effects);
    if (entry->key != NULL)
        spool_keys_settled(&m->keys, entry->key, entry->state);
    /* The holder of a claim still looks at the body. */
    if (!live->claimed)
        spool_memory_drop_live(live, effects);
    STAILQ_INSERT_TAIL(&m->history, entry, next);
    m->numbers.remembered++;
}

void spool_memory_move(struct spool_memory *m, struct spool_entry *entry,
                       enum job_state state, bool claimed, int64_t at_ms,
                       struct spool_effects *effects)
{
    struct spool_live *live = entry->live;
    PANIC_IF(live == NULL || job_state_is_settled(entry->state));
    (*place(m, entry))--;
    if (claimed && !live->claimed)
        m->claims_out++;
    if (!claimed && live->claimed)
        m->claims_out--;
    live->claimed = claimed;
    entry->state = state;
    (*place(m, entry))++;
    if (job_state_is_settled(state)) {
        settled(m, entry, at_ms, effects);
    } else if (state == JOB_HELD) {
        heap_remove(&m->limits, &live->limit);
        tell_watches(entry, effects);
    }
}

void spool_memory_wait(struct spool_memory *m, struct spool_live *live,
                       int64_t due_ms, struct spool_effects *effects)
{
    struct spool_lane_heap *lane = &m->lanes[live->lane];
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
    effects->due_lane.route = live->lane / JOB_PRIORITY_COUNT;
    effects->due_lane.priority =
        (enum job_priority)(live->lane % JOB_PRIORITY_COUNT);
}

static void forget(struct spool_memory *m, struct spool_entry *entry,
                   struct spool_effects *effects)
{
    STAILQ_REMOVE_HEAD(&m->history, next);
    m->numbers.remembered--;
    map_remove(&m->by_id, &entry->by_id);
    if (entry->key != NULL)
        entry->key->entry = NULL;
    if (entry->live != NULL)
        entry->live->entry = NULL;
    STAILQ_INSERT_TAIL(&effects->entries, entry, next);
}

void spool_memory_forget(struct spool_memory *m, int64_t now_ms,
                         struct spool_effects *effects)
{
    for (unsigned i = 0; i < FORGET_MAX; i++) {
        struct spool_entry *oldest = STAILQ_FIRST(&m->history);
        if (oldest == NULL)
            return;
        if (m->numbers.remembered <= m->history_max_jobs &&
            !is_forgotten(m, oldest, now_ms))
            return;
        forget(m, oldest, effects);
    }
}

/* ---- making ---- */

static void free_entry(void *ctx, struct map_item *item)
{
    struct spool_entry *entry = CONTAINER_OF(item, struct spool_entry, by_id);
    (void)ctx;
    if (entry->live != NULL) {
        PANIC_IF(!TAILQ_EMPTY(&entry->live->watches));
        spool_live_free(entry->live);
    }
    spool_entry_free(entry);
}

static void destroy(struct spool *spool)
{
    struct spool_memory *m = spool_memory_of(spool);
    PANIC_IF(m->claims_out > 0);
    map_clear(&m->by_id, free_entry, NULL);
    map_fini(&m->by_id);
    spool_keys_fini(&m->keys);
    heap_fini(&m->limits);
    for (unsigned i = 0; i < m->route_count; i++)
        mem_free(m->routes[i]);
    for (unsigned i = 0; i < m->route_count * JOB_PRIORITY_COUNT; i++)
        heap_fini(&m->lanes[i].due);
    mem_free(m->routes);
    mem_free(m->lanes);
    mutex_fini(&m->lock);
    mem_free(m);
}

static const struct spool_ops ops = {
    .durability = "memory",
    .destroy = destroy,
    .accept = spool_memory_accept,
    .claim = spool_memory_claim,
    .settle = spool_memory_settle,
    .release = spool_memory_release,
    .mark = spool_memory_mark,
    .find = spool_memory_show,
    .cancel = spool_memory_cancel,
    .watch = spool_memory_watch,
    .unwatch = spool_memory_unwatch,
    .expire = spool_memory_expire,
    .stats = spool_memory_stats,
};

static void make_lanes(struct spool_memory *m,
                       const struct spool_options *options)
{
    m->route_count = (unsigned)options->route_count;
    m->routes = mem_calloc(m->route_count, sizeof(*m->routes));
    for (unsigned i = 0; i < m->route_count; i++)
        m->routes[i] = mem_strdup(str_from(options->routes[i]));
    unsigned lanes = m->route_count * JOB_PRIORITY_COUNT;
    m->lanes = mem_calloc(lanes, sizeof(*m->lanes));
    for (unsigned i = 0; i < lanes; i++) {
        heap_init(&m->lanes[i].due);
        m->lanes[i].known_ms = SPOOL_NEVER;
    }
}

enum err_code spool_create_memory(struct spool **out,
                                  const struct spool_options *options,
                                  struct err *err)
{
    enum err_code code = spool_options_check(options, err);
    if (code != ERR_NONE)
        return code;
    struct spool_memory *m;
    MEM_NEW(m);
    spool_init(&m->base, &ops, options);
    m->clock = options->clock;
    m->max_jobs = options->max_jobs;
    m->max_bytes = options->max_bytes;
    m->history_keep_ms = options->history_keep_ms;
    m->history_max_jobs = options->history_max_jobs;
    make_lanes(m, options);
    mutex_init(&m->lock);
    map_init(&m->by_id);
    heap_init(&m->limits);
    STAILQ_INIT(&m->history);
    spool_keys_init(&m->keys, options->key_window_ms, options->key_max);
    *out = &m->base;
    return ERR_NONE;
}
