#ifndef PRODUCER_ARENA_H
#define PRODUCER_ARENA_H

#include <stddef.h>

#include "core/str.h"

/*
 * Memory for one request: given out piece by piece, freed all at once. The
 * first block is kept from request to request.
 *
 * What it gives out in all is bounded by what its users ask for; they check
 * limits first. Threads: none of its own.
 */
struct arena_block;

struct arena {
    struct arena_block *blocks; /* the one in use first */
    size_t used;                /* bytes of the first block */
    size_t total;               /* bytes of all blocks */
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a);

/* All pieces are gone; one block of the usual size is kept. */
void arena_reset(struct arena *a);

/* Aligned for any type, not zeroed. NULL when there is no memory. */
void *arena_alloc(struct arena *a, size_t size_bytes);

/* count zeroed objects. NULL also when count * size_bytes overflows. */
void *arena_calloc(struct arena *a, size_t count, size_t size_bytes);

/* A copy of s; its data is NULL when there is no memory for it. */
struct str arena_copy(struct arena *a, struct str s);

#endif
