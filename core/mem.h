#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <stddef.h>

#include "core/str.h"

/*
 * Small allocations: they succeed or the process panics. What a client or a
 * peer chooses the size of goes through mem_try_alloc() after the limit that
 * holds for it was checked. All are freed with mem_free().
 */
void *mem_alloc(size_t size_bytes) __attribute__((malloc, returns_nonnull));

/* Zeroed; panics when count * size overflows. */
void *mem_calloc(size_t count, size_t size_bytes)
    __attribute__((malloc, returns_nonnull));

void *mem_realloc(void *memory, size_t size_bytes)
    __attribute__((returns_nonnull));

/* A NUL-terminated copy. A view with a NUL inside is a bug: panics. */
char *mem_strdup(struct str s) __attribute__((malloc, returns_nonnull));

/* NULL when there is no memory. */
void *mem_try_alloc(size_t size_bytes) __attribute__((malloc));

void mem_free(void *memory);

/* What an allocation takes in all: a word of its own, in steps of 16 bytes. */
static inline size_t mem_block_bytes(size_t size_bytes)
{
    size_t taken = (size_bytes + 8 + 15) & ~(size_t)15;
    return taken < 32 ? 32 : taken;
}

/* The object of that type whose member (embedded in it) pointer points to. */
#define CONTAINER_OF(pointer, type, member)                                    \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* One zeroed object of the type that pointer points to. */
#define MEM_NEW(pointer) ((pointer) = mem_calloc(1, sizeof(*(pointer))))

#endif
