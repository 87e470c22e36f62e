#ifndef CORE_HEAP_H
#define CORE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The item with the least key first; equal keys leave in the order they came.
 * Items embed a heap_item, know their place and can be removed from anywhere.
 *
 * Ownership: items are the caller's. Threads: none of its own.
 */
#define HEAP_NOWHERE SIZE_MAX

struct heap_item {
    int64_t key;
    uint64_t order; /* set by heap_push */
    size_t at;      /* HEAP_NOWHERE when in no heap */
};

struct heap {
    struct heap_item **items;
    size_t count;
    size_t capacity;
    uint64_t pushed;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);

static inline void heap_item_init(struct heap_item *item)
{
    item->at = HEAP_NOWHERE;
}

static inline bool heap_has(const struct heap_item *item)
{
    return item->at != HEAP_NOWHERE;
}

/* item must be in no heap. */
void heap_push(struct heap *h, struct heap_item *item, int64_t key);

/*
 * Puts an item back that was taken out of this heap and not changed since: it
 * keeps its key, and its place among equal ones.
 */
void heap_restore(struct heap *h, struct heap_item *item);

/* The least, or NULL. It stays in. */
struct heap_item *heap_peek(const struct heap *h);

/* Takes the least out, or NULL. */
struct heap_item *heap_pop(struct heap *h);

/* Nothing when item is in no heap. */
void heap_remove(struct heap *h, struct heap_item *item);

#endif
