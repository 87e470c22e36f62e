#include "producer/arena.h"

#include <stdalign.h>
#include <stdint.h>

#include "core/mem.h"

#define BLOCK_BYTES ((size_t)32 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t size;
    alignas(max_align_t) char data[];
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

static void free_blocks(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
}

void arena_fini(struct arena *a)
{
    free_blocks(a->blocks);
    arena_init(a);
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->blocks;
    while (keep != NULL && keep->size != BLOCK_BYTES) {
        struct arena_block *next = keep->next;
        mem_free(keep);
        keep = next;
    }
    if (keep != NULL) {
        free_blocks(keep->next);
        keep->next = NULL;
    }
    *a = (struct arena){.blocks = keep, .total = keep == NULL ? 0 : keep->size};
}

/* A block of its own for what is large, behind the one in use. */
static bool add_block(struct arena *a, size_t size, bool in_use)
{
    if (size > SIZE_MAX - sizeof(struct arena_block))
        return false;
    struct arena_block *block =
        mem_try_alloc(sizeof(struct arena_block) + size);
    if (block == NULL)
        return false;
    block->size = size;
    a->total += size;
    if (in_use || a->blocks == NULL) {
        block->next = a->blocks;
        a->blocks = block;
        a->used = 0;
    } else {
        block->next = a->blocks->next;
        a->blocks->next = block;
    }
    return true;
}

static void *alloc_large(struct arena *a, size_t size)
{
    if (a->blocks == NULL && !add_block(a, BLOCK_BYTES, true))
        return NULL;
    if (!add_block(a, size, false))
        return NULL;
    return a->blocks->next->data;
}

void *arena_alloc(struct arena *a, size_t size_bytes)
{
    const size_t unit = alignof(max_align_t);
    if (size_bytes > SIZE_MAX - unit)
        return NULL;
    size_t size = (size_bytes + unit - 1) / unit * unit;
    if (size > BLOCK_BYTES / 4)
        return alloc_large(a, size);
    if ((a->blocks == NULL || BLOCK_BYTES - a->used < size) &&
        !add_block(a, BLOCK_BYTES, true))
        return NULL;
    char *piece = a->blocks->data + a->used;
    a->used += size;
    return piece;
}

void *arena_calloc(struct arena *a, size_t count, size_t size_bytes)
{
    size_t size;
    if (__builtin_mul_overflow(count, size_bytes, &size))
        return NULL;
    void *piece = arena_alloc(a, size);
    if (piece != NULL)
        memset(piece, 0, size);
    return piece;
}

struct str arena_copy(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.len);
    if (copy == NULL)
        return (struct str){NULL, 0};
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return str_of(copy, s.len);
}
