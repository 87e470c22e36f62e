#include "queue/spool_loaded.h"

#include "core/body.h"

struct spool_loaded *spool_loaded_new(struct job *job)
{
    struct spool_loaded *loaded = mem_calloc(
        1, sizeof(*loaded) + job->recipient_count * sizeof(uint32_t));
    loaded->job = job;
    loaded->claim.job = job;
    loaded->claim.gate = &loaded->gate;
    loaded->claim.pending = loaded->pending;
    atomic_init(&loaded->gate, CLAIM_GATE_OPEN);
    return loaded;
}

void spool_loaded_free(struct spool_loaded *loaded, bool drop_body)
{
    if (drop_body) {
        body_unref(loaded->job->body);
        loaded->job->body = NULL;
    }
    progress_fini(&loaded->progress);
    job_unref(loaded->job);
    mem_free(loaded);
}

struct claim *spool_loaded_claim(struct spool_loaded *loaded)
{
    loaded->claim.relay = 0;
    loaded->claim.queued_bytes = 0;
    progress_claim(&loaded->progress, &loaded->claim);
    loaded->claimed = true;
    loaded->cancelled = false;
    loaded->inactive = false;
    atomic_store(&loaded->gate, CLAIM_GATE_OPEN);
    return &loaded->claim;
}

int64_t spool_loaded_bytes(const struct spool_loaded *loaded)
{
    int64_t bytes = loaded->cost_bytes + (int64_t)sizeof(*loaded);
    return loaded->body_in_file ? bytes - (int64_t)loaded->body_bytes : bytes;
}
