#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "queue/spool_memory.h"

/* Jobs looked at in one go under the lock. */
#define CLAIM_BATCH 64

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

static bool has_room(struct spool_memory *m, int64_t cost_bytes)
{
    const struct spool_stats *n = &m->numbers;
    if (n->waiting + n->active + n->held < m->max_jobs &&
        n->bytes <= m->max_bytes - cost_bytes)
        return true;
    if (!m->room_wanted || cost_bytes < m->room_bytes)
        m->room_bytes = cost_bytes;
    m->room_wanted = true;
    return false;
}

static enum spool_answer accept_locked(struct spool_memory *m,
                                       struct spool_entry *entry,
                                       struct spool_key *key, int64_t now_ms,
                                       struct spool_accepted *accepted,
                                       struct spool_effects *effects)
{
    struct spool_live *live = entry->live;
    const struct job *job = entry->job;
    if (key != NULL) {
        struct spool_key *first = spool_keys_find(&m->keys, key, now_ms);
        if (first != NULL)
            return known(first, key, accepted);
    }
    if (!has_room(m, live->cost_bytes))
        return SPOOL_FULL;
    map_add(&m->by_id, &entry->by_id, entry->by_id.hash);
    if (key != NULL)
        spool_keys_add(&m->keys, key, entry, now_ms);
    m->numbers.accepted++;
    m->numbers.waiting++;
    m->numbers.bytes += live->cost_bytes;
    live->due.key = SPOOL_NEVER;
    spool_memory_wait(m, live, job->send_at_ms != 0 ? job->send_at_ms : now_ms,
                      effects);
    return SPOOL_ACCEPTED;
}

void spool_memory_accept(struct spool *spool, struct job *job,
                         spool_accept_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_accepted accepted = {.id = job->id, .state = JOB_QUEUED};
    struct spool_effects effects;
    spool_effects_init(&effects);
    struct spool_entry *entry = spool_entry_new(job, lane_of(m, job));
    struct spool_key *key = NULL;
    if (job->key != NULL)
        key = spool_key_new(&m->keys, job);
    entry->by_id.hash = map_hash(&m->by_id, job->id.text, ID_LEN);
    entry->live->cost_bytes += (int64_t)spool_key_bytes(key);
    if (entry->live->cost_bytes > m->max_bytes) {
        accepted.answer = SPOOL_ERROR;
        (void)err_set(&accepted.err, ERR_TOO_LARGE,
                      "the job takes %lld bytes, more than the whole spool may "
                      "hold",
                      (long long)entry->live->cost_bytes);
    } else {
        int64_t now_ms = clock_real_ms(m->clock);
        mutex_lock(&m->lock);
        accepted.answer =
            accept_locked(m, entry, key, now_ms, &accepted, &effects);
        mutex_unlock(&m->lock);
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
    for (size_t seen = 0; seen<CLAIM_BATCH && * limit> 0; seen++) {
        struct heap_item *item = heap_peek(&lane->due);
        more = item != NULL && item->key <= now_ms;
        if (!more)
            break;
        heap_remove(&lane->due, item);
        struct spool_live *live = CONTAINER_OF(item, struct spool_live, due);
        if (live->limit.key <= now_ms)
            continue;
        spool_memory_move(m, live->entry, live->entry->state, true, now_ms,
                          NULL);
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

static char *note_new(struct str note)
{
    if (note.len == 0)
        return NULL;
    if (note.len > SPOOL_TEXT_MAX)
        note.len = SPOOL_TEXT_MAX;
    char *copy = mem_alloc(note.len + 1);
    memcpy(copy, note.data, note.len);
    copy[note.len] = '\0';
    return copy;
}

static enum job_state state_of(const struct spool_entry *entry,
                               enum settle_rest rest)
{
    size_t n = entry->job->recipient_count;
    size_t delivered = 0;
    size_t final = 0;
    for (size_t i = 0; i < n; i++) {
        enum recipient_state state = entry->records[i].state;
        delivered += state == RECIPIENT_DELIVERED;
        final += state == RECIPIENT_DELIVERED || state == RECIPIENT_FAILED;
    }
    if (delivered == n)
        return JOB_DELIVERED;
    if (final == n)
        return JOB_FAILED;
    switch (rest) {
    case SETTLE_REST_RETRY:
        return JOB_DEFERRED;
    case SETTLE_REST_HOLD:
        return JOB_HELD;
    case SETTLE_REST_FAIL:
        return JOB_FAILED;
    case SETTLE_REST_EXPIRE:
        return JOB_EXPIRED;
    }
    PANIC("no such rest: %u", (unsigned)rest);
}

/* words go in, and those they replace come out. */
static void record(struct spool_entry *entry,
                   const struct settlement *settlement,
                   struct spool_words **words)
{
    entry->attempts++;
    for (size_t i = 0; i < settlement->count; i++) {
        const struct settle_recipient *said = &settlement->recipients[i];
        PANIC_IF(said->index >= entry->job->recipient_count);
        struct spool_record *kept = &entry->records[said->index];
        struct spool_words *old = kept->words;
        kept->state = said->state;
        kept->attempts++;
        kept->words = words[i];
        words[i] = old;
    }
}

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
    return live->entry == NULL || job_state_is_settled(live->entry->state);
}

static void settle_locked(struct spool_memory *m, struct spool_live *live,
                          const struct settlement *settlement,
                          struct spool_settled *settled,
                          struct spool_effects *effects)
{
    struct spool_entry *entry = live->entry;
    settled->state = state_of(entry, settlement->rest);
    spool_memory_move(m, entry, settled->state, false, settlement->at_ms,
                      effects);
    if (settled->state != JOB_DEFERRED)
        return;
    settled->next_attempt_ms = settlement->next_attempt_ms;
    spool_memory_wait(m, live, settlement->next_attempt_ms, effects);
}

static void free_words(struct spool_words **words, size_t count,
                       struct spool_words **few)
{
    for (size_t i = 0; i < count; i++)
        mem_free(words[i]);
    if (words != few)
        mem_free(words);
}

void spool_memory_settle(struct spool *spool, struct claim *claim,
                         const struct settlement *settlement,
                         spool_settle_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_live *live = spool_live_of(claim);
    struct spool_settled settled = {.state = JOB_CANCELLED};
    struct spool_words *few[4];
    struct spool_words **words = few;
    struct spool_effects effects;
    spool_effects_init(&effects);
    if (settlement->count > sizeof(few) / sizeof(few[0]))
        words = mem_calloc(settlement->count, sizeof(struct spool_words *));
    for (size_t i = 0; i < settlement->count; i++)
        words[i] =
            spool_words_new(settlement->recipients[i].reply, settlement->relay);
    char *note = note_new(settlement->note);
    int64_t now_ms = clock_real_ms(m->clock);

    mutex_lock(&m->lock);
    if (was_cancelled(live)) {
        come_back_cancelled(m, live, &effects);
    } else {
        char *old = live->entry->note;
        live->entry->note = note;
        note = old;
        record(live->entry, settlement, words);
        settle_locked(m, live, settlement, &settled, &effects);
    }
    spool_memory_forget(m, now_ms, &effects);
    mutex_unlock(&m->lock);

    free_words(words, settlement->count, few);
    mem_free(note);
    if (fn != NULL)
        fn(ctx, &settled);
    spool_effects_run(m, &effects);
}

void spool_memory_release(struct spool *spool, struct claim *claim,
                          int64_t due_ms, struct str note)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct spool_live *live = spool_live_of(claim);
    struct spool_effects effects;
    spool_effects_init(&effects);
    char *text = note_new(note);
    int64_t now_ms = clock_real_ms(m->clock);

    mutex_lock(&m->lock);
    if (was_cancelled(live)) {
        come_back_cancelled(m, live, &effects);
    } else {
        struct spool_entry *entry = live->entry;
        if (text != NULL) {
            char *old = entry->note;
            entry->note = text;
            text = old;
        }
        spool_memory_move(m, entry, entry->state, false, now_ms, &effects);
        spool_memory_wait(m, live, due_ms <= now_ms ? live->due.key : due_ms,
                          &effects);
    }
    mutex_unlock(&m->lock);

    mem_free(text);
    spool_effects_run(m, &effects);
}

void spool_memory_mark(struct spool *spool, struct claim *claim,
                       spool_mark_fn fn, void *ctx)
{
    const struct err none = {.code = ERR_NONE};
    (void)spool;
    PANIC_IF(!spool_live_of(claim)->claimed);
    fn(ctx, &none);
}
