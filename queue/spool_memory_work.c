#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "queue/spool_memory.h"

/* ---- accept ---- */

static unsigned lane_of(const struct spool_memory *m, const struct job *job)
{
    unsigned route = 0;
    for (unsigned i = 0; i < m->route_count && job->route != NULL; i++) {
        if (strcmp(m->routes[i], job->route) == 0) {
            route = i;
            break;
        }
    }
    return route * JOB_PRIORITY_COUNT + (unsigned)job->priority;
}

static enum spool_answer known(const struct spool_key *known_key,
                               const struct spool_key *key,
                               struct spool_accepted *accepted)
{
    accepted->id = known_key->id;
    accepted->state = known_key->entry == NULL
                          ? known_key->state
                          : spool_entry_state(known_key->entry);
    return memcmp(known_key->digest, key->digest, JOB_DIGEST_LEN) == 0
               ? SPOOL_DUPLICATE
               : SPOOL_KEY_CONFLICT;
}

enum admittance {
    ADMITTANCE_ANSWERED,
    ADMITTANCE_AGAIN, /* room is being made */
};

static enum admittance accept_locked(struct spool_memory *m,
                                     struct spool_entry *entry,
                                     struct spool_key *key, int64_t now_ms,
                                     struct spool_accepted *accepted,
                                     struct spool_effects *effects)
{
    if (key != NULL) {
        struct spool_key *first = spool_keys_find(&m->keys, key, now_ms);
        if (first != NULL) {
            accepted->answer = known(first, key, accepted);
            return ADMITTANCE_ANSWERED;
        }
    }
    if (!spool_memory_has_room(m, entry->cost_bytes)) {
        accepted->answer = SPOOL_FULL;
        return ADMITTANCE_ANSWERED;
    }
    if (!spool_memory_make_room(m, entry->cost_bytes, effects))
        return ADMITTANCE_AGAIN;
    map_add(&m->by_id, &entry->by_id, entry->by_id.hash);
    TAILQ_INSERT_TAIL(&m->order, entry, order);
    if (key != NULL)
        spool_keys_add(&m->keys, key, entry, now_ms);
    m->numbers.accepted++;
    m->numbers.waiting++;
    m->numbers.bytes += entry->cost_bytes;
    spool_memory_wait(m, entry->live, effects);
    accepted->answer = SPOOL_ACCEPTED;
    return ADMITTANCE_ANSWERED;
}

static void admit(struct spool_memory *m, struct spool_entry *entry,
                  struct spool_key *key, int64_t now_ms,
                  struct spool_accepted *accepted,
                  struct spool_effects *effects)
{
    enum admittance admittance;
    do {
        spool_effects_run(m, effects);
        mutex_lock(&m->lock);
        admittance = accept_locked(m, entry, key, now_ms, accepted, effects);
        mutex_unlock(&m->lock);
    } while (admittance == ADMITTANCE_AGAIN);
}

void spool_memory_accept(struct spool *spool, struct job *job,
                         spool_accept_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_accepted accepted = {.id = job->id, .state = JOB_QUEUED};
    struct spool_effects effects;
    spool_effects_init(&effects);
    int64_t now_ms = clock_real_ms(m->clock);
    struct spool_entry *entry = spool_entry_new(job, lane_of(m, job), now_ms);
    struct spool_key *key = NULL;
    if (job->key != NULL)
        key = spool_key_new(&m->keys, job);
    entry->by_id.hash = map_hash(&m->by_id, job->id.text, ID_LEN);
    entry->cost_bytes += (int64_t)spool_key_bytes(key);
    if (entry->cost_bytes > m->max_bytes) {
        accepted.answer = SPOOL_ERROR;
        (void)err_set(&accepted.err, ERR_TOO_LARGE,
                      "the job takes %lld bytes, more than the whole spool may "
                      "hold",
                      (long long)entry->cost_bytes);
    } else {
        admit(m, entry, key, now_ms, &accepted, &effects);
    }
    if (accepted.answer != SPOOL_ACCEPTED) {
        spool_live_free(entry->live);
        spool_entry_free(entry);
        spool_key_free(key);
    }
    fn(ctx, &accepted);
    spool_effects_run(m, &effects);
}

/* ---- claim ---- */

/* Part of them; *limit goes down. False when no more is due. */
static bool claim_locked(struct spool_memory *m, struct spool_lane_heap *lane,
                         size_t *limit, int64_t now_ms,
                         struct claim_list *claims)
{
    bool more = true;
    for (size_t seen = 0; seen<SPOOL_BATCH && * limit> 0; seen++) {
        struct heap_item *item = heap_peek(&lane->due);
        more = item != NULL && item->key <= now_ms;
        if (!more)
            break;
        heap_remove(&lane->due, item);
        struct spool_live *live = CONTAINER_OF(item, struct spool_live, due);
        if (live->limit.key <= now_ms)
            continue;
        spool_memory_lift(m, live->entry);
        spool_memory_land(m, live->entry, true, NULL);
        struct claim *claim = spool_live_claim(live);
        STAILQ_INSERT_TAIL(claims, claim, next);
        (*limit)--;
    }
    const struct heap_item *next = heap_peek(&lane->due);
    lane->known_ms = next == NULL ? SPOOL_NEVER : next->key;
    return more;
}

void spool_memory_claim(struct spool *spool, struct spool_lane lane,
                        size_t limit, int64_t now_ms, spool_claim_fn fn,
                        void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    PANIC_IF(lane.route >= m->route_count);
    struct spool_lane_heap *heap =
        &m->lanes[lane.route * JOB_PRIORITY_COUNT + (unsigned)lane.priority];
    struct claim_list claims = STAILQ_HEAD_INITIALIZER(claims);
    int64_t next_ms;
    bool more;
    do {
        mutex_lock(&m->lock);
        more = claim_locked(m, heap, &limit, now_ms, &claims);
        next_ms = heap->known_ms;
        mutex_unlock(&m->lock);
    } while (limit > 0 && more);
    fn(ctx, lane, &claims, next_ms);
}

/* ---- settle, release ---- */

/* The claim of a job that was cancelled while it was out. */
static void come_back_cancelled(struct spool_memory *m, struct spool_live *live,
                                struct spool_effects *effects)
{
    live->claimed = false;
    m->claims_out--;
    spool_memory_drop_live(live, effects);
}

static bool was_cancelled(const struct spool_live *live)
{
    PANIC_IF(!live->claimed);
    return live->entry == NULL ||
           job_state_is_settled(live->entry->progress.state);
}

static void settle_locked(struct spool_memory *m, struct spool_entry *entry,
                          const struct settlement *settlement,
                          struct spool_settled *settled,
                          struct spool_effects *effects)
{
    spool_memory_lift(m, entry);
    progress_settle(&entry->progress, settlement);
    settled->state = entry->progress.state;
    if (settled->state == JOB_DEFERRED)
        settled->next_attempt_ms = entry->progress.due_ms;
    spool_memory_land(m, entry, false, effects);
}

void spool_memory_settle(struct spool *spool, struct claim *claim,
                         const struct settlement *settlement,
                         spool_settle_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_live *live = spool_live_of(claim);
    struct spool_settled settled = {.state = JOB_CANCELLED};
    struct spool_effects effects;
    spool_effects_init(&effects);
    int64_t now_ms = clock_real_ms(m->clock);

    mutex_lock(&m->lock);
    if (was_cancelled(live))
        come_back_cancelled(m, live, &effects);
    else
        settle_locked(m, live->entry, settlement, &settled, &effects);
    spool_memory_forget(m, now_ms, &effects);
    mutex_unlock(&m->lock);

    if (fn != NULL)
        fn(ctx, &settled);
    spool_effects_run(m, &effects);
}

void spool_memory_release(struct spool *spool, struct claim *claim,
                          int64_t due_ms, struct str relay, struct str note)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_live *live = spool_live_of(claim);
    struct spool_effects effects;
    spool_effects_init(&effects);
    int64_t now_ms = clock_real_ms(m->clock);

    mutex_lock(&m->lock);
    if (was_cancelled(live)) {
        come_back_cancelled(m, live, &effects);
    } else {
        spool_memory_lift(m, live->entry);
        progress_release(&live->entry->progress, due_ms, relay, note, now_ms);
        spool_memory_land(m, live->entry, false, &effects);
    }
    mutex_unlock(&m->lock);
    spool_effects_run(m, &effects);
}

/* Nothing is left of it when the process dies. */
void spool_memory_mark(struct spool *spool, struct claim *claim,
                       struct str relay, spool_mark_fn fn, void *ctx)
{
    const struct err none = {.code = ERR_NONE};
    (void)spool;
    (void)relay;
    PANIC_IF(!spool_live_of(claim)->claimed);
    fn(ctx, &none);
}
