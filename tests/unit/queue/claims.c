#include "tests/unit/queue/claims.h"

#include "core/body.h"
#include "core/mem.h"

struct claim *numbered_new(unsigned lane, uint64_t number, size_t body_bytes)
{
    struct numbered *n;
    MEM_NEW(n);
    n->lane = lane;
    n->number = number;
    n->claim.job = job_new();
    if (body_bytes > 0)
        n->claim.job->body =
            body_from_memory(mem_calloc(1, body_bytes), body_bytes);
    return &n->claim;
}

struct numbered *numbered_of(struct claim *claim)
{
    return CONTAINER_OF(claim, struct numbered, claim);
}

void numbered_free(struct claim *claim)
{
    job_unref(claim->job);
    mem_free(numbered_of(claim));
}
