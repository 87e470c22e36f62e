#include "queue/spool_entry.h"

#include "core/mem.h"

static size_t live_bytes(const struct job *job)
{
    return sizeof(struct spool_live) + job->recipient_count * sizeof(uint32_t);
}

void spool_live_new(struct spool_entry *entry)
{
    struct spool_live *live = mem_calloc(1, live_bytes(entry->job));
    entry->live = live;
    live->entry = entry;
    heap_item_init(&live->due);
    heap_item_init(&live->limit);
    live->due.key = SPOOL_NEVER;
    live->limit.key = progress_limit_ms(&entry->progress);
    TAILQ_INIT(&live->watches);
    atomic_init(&live->gate, CLAIM_GATE_OPEN);
    live->claim.job = job_ref(entry->job);
    live->claim.gate = &live->gate;
    live->claim.pending = live->pending;
}

struct spool_entry *spool_entry_new(struct job *job, unsigned lane,
                                    int64_t now_ms)
{
    struct spool_entry *entry;
    MEM_NEW(entry);
    entry->job = job_ref(job);
    entry->lane = lane;
    progress_init(&entry->progress, job, now_ms);
    spool_live_new(entry);
    entry->cost_bytes =
        (int64_t)(job_cost_bytes(job) + mem_block_bytes(sizeof(*entry)) +
                  mem_block_bytes(live_bytes(job)));
    (void)spool_entry_weigh(entry);
    return entry;
}

void spool_entry_free(struct spool_entry *entry)
{
    progress_fini(&entry->progress);
    job_unref(entry->job);
    mem_free(entry);
}

int64_t spool_entry_weigh(struct spool_entry *entry)
{
    size_t bytes = progress_size_bytes(&entry->progress);
    int64_t change = (int64_t)bytes - (int64_t)entry->progress_bytes;
    entry->progress_bytes = bytes;
    entry->cost_bytes += change;
    return change;
}

void spool_live_free(struct spool_live *live)
{
    body_unref(live->body);
    job_unref(live->claim.job);
    mem_free(live);
}

void spool_live_take_body(struct spool_live *live)
{
    live->body = live->claim.job->body;
    live->claim.job->body = NULL;
}

struct claim *spool_live_claim(struct spool_live *live)
{
    struct claim *claim = &live->claim;
    claim->relay = 0;
    progress_claim(&live->entry->progress, claim);
    atomic_store(&live->gate, CLAIM_GATE_OPEN);
    return claim;
}

/* ---- what the world is told ---- */

enum job_state spool_entry_state(const struct spool_entry *entry)
{
    const struct spool_live *live = entry->live;
    enum job_state state = entry->progress.state;
    if (live != NULL && live->claimed && !job_state_is_settled(state) &&
        atomic_load(&live->gate) == CLAIM_GATE_STARTED)
        return JOB_ACTIVE;
    return state;
}

struct spool_status *spool_entry_status(const struct spool_entry *entry)
{
    bool has_body =
        entry->job->body != NULL && progress_keeps_body(&entry->progress);
    return progress_status(&entry->progress, entry->job,
                           spool_entry_state(entry), has_body);
}
