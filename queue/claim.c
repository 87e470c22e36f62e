#include "queue/claim.h"

#include <string.h>

#include "core/body.h"

bool claim_start(struct claim *claim)
{
    unsigned open = CLAIM_GATE_OPEN;
    return atomic_compare_exchange_strong(claim->gate, &open,
                                          CLAIM_GATE_STARTED);
}

uint64_t claim_size_bytes(const struct claim *claim)
{
    const struct job *job = claim->job;
    uint64_t size = sizeof(*claim);
    if (job->sender != NULL)
        size += strlen(job->sender) + 1;
    for (size_t i = 0; i < claim->pending_count; i++)
        size += sizeof(*claim->pending) +
                strlen(job->recipients[claim->pending[i]]) + 1;
    if (job->body != NULL && body_size(job->body) < CLAIM_BODY_INLINE_MAX)
        size += body_size(job->body);
    return size;
}
