#ifndef TESTS_UNIT_QUEUE_CLAIMS_H
#define TESTS_UNIT_QUEUE_CLAIMS_H

#include <stdint.h>

#include "queue/claim.h"
#include "queue/queue.h"

/*
 * Claims without a spool, for tests of the queue: number says which it is.
 */
struct numbered {
    struct claim claim;
    unsigned lane;
    uint64_t number;
};

/* A claim whose size is about body_bytes. Freed with numbered_free(). */
struct claim *numbered_new(unsigned lane, uint64_t number, size_t body_bytes);
void numbered_free(struct claim *claim);
struct numbered *numbered_of(struct claim *claim);

#endif
