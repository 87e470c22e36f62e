#ifndef PRODUCER_INTAKE_H
#define PRODUCER_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * Bytes read from a stream that are not taken yet.
 *
 * All streams of a producer read into one shared block; a stream keeps only
 * what is left over. Small rests, up to INTAKE_SMALL_BYTES each, are always
 * kept, so they cost at most limits.connections times that. Larger ones (a
 * large request that is not whole yet, or waits to be taken) share a budget.
 * When it is used up they have to wait, all but the one that came in first:
 * so one always becomes whole. Whether one waits too long for that, its owner
 * decides (producer/conn_set.h).
 *
 * Many that became large at the same moment can pass the budget, by more than
 * the frame that was first may: then the first has to go at once.
 */
#define INTAKE_SMALL_BYTES  ((size_t)64 << 10)
#define INTAKE_FRAMES       2 /* the budget, in frames of the largest size */
#define INTAKE_BUDGET_BYTES ((size_t)32 << 20) /* and at least this */

TAILQ_HEAD(intake_list, intake);

struct intake_pool {
    char *block;
    struct intake_list large; /* longest first */
    size_t used_bytes;        /* of the budget */
    size_t budget_bytes;
    size_t ended; /* large ones that became whole or went */
    size_t frame_bytes;
};

struct intake {
    struct intake_pool *pool;
    struct buf rest;
    size_t charged_bytes; /* 0: not in pool->large */
    TAILQ_ENTRY(intake) in_large;
    void *owner;
    bool in_block; /* the bytes lie in the shared block now */
    size_t block_len;
};

void intake_pool_init(struct intake_pool *pool, size_t frame_bytes);
void intake_pool_fini(struct intake_pool *pool);

/* Whom to send away at once; NULL while the budget holds. */
void *intake_pool_victim(const struct intake_pool *pool);

/* Whose large rest came first; NULL: there is none. */
void *intake_pool_first(const struct intake_pool *pool);

void intake_init(struct intake *in, struct intake_pool *pool, void *owner);
void intake_fini(struct intake *in);

/* Whether it must not read before others have made room. */
bool intake_must_wait(const struct intake *in);

/*
 * Reads from fd once, without blocking: recv(2)'s result. Then
 * intake_bytes() is all that was not taken; intake_taken() must follow before
 * another stream reads.
 */
ssize_t intake_read(struct intake *in, int fd);

static inline struct str intake_bytes(const struct intake *in)
{
    if (in->in_block)
        return str_of(in->pool->block, in->block_len);
    return buf_str(&in->rest);
}

/* The first len bytes are done with; keeps the others. */
void intake_taken(struct intake *in, size_t len);

/* Reads and throws away: recv(2)'s result. */
ssize_t intake_discard(struct intake_pool *pool, int fd);

#endif
