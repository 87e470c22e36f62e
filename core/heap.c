#include "core/heap.h"

#include "core/mem.h"
#include "core/panic.h"

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_fini(struct heap *h)
{
    mem_free(h->items);
    heap_init(h);
}

static bool before(const struct heap_item *a, const struct heap_item *b)
{
    return a->key < b->key || (a->key == b->key && a->order < b->order);
}

static void place(struct heap *h, size_t at, struct heap_item *item)
{
    h->items[at] = item;
    item->at = at;
}

static void rise(struct heap *h, size_t at, struct heap_item *item)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!before(item, h->items[parent]))
            break;
        place(h, at, h->items[parent]);
        at = parent;
    }
    place(h, at, item);
}

static void sink(struct heap *h, size_t at, struct heap_item *item)
{
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count &&
            before(h->items[child + 1], h->items[child]))
            child++;
        if (!before(h->items[child], item))
            break;
        place(h, at, h->items[child]);
        at = child;
    }
    place(h, at, item);
}

void heap_restore(struct heap *h, struct heap_item *item)
{
    PANIC_IF(heap_has(item));
    if (h->count == h->capacity) {
        h->capacity = h->capacity == 0 ? 16 : h->capacity * 2;
        h->items =
            mem_realloc(h->items, h->capacity * sizeof(struct heap_item *));
    }
    rise(h, h->count++, item);
}

void heap_push(struct heap *h, struct heap_item *item, int64_t key)
{
    PANIC_IF(heap_has(item));
    item->key = key;
    item->order = h->pushed++;
    heap_restore(h, item);
}

struct heap_item *heap_peek(const struct heap *h)
{
    return h->count == 0 ? NULL : h->items[0];
}

void heap_remove(struct heap *h, struct heap_item *item)
{
    if (!heap_has(item))
        return;
    size_t at = item->at;
    PANIC_IF(at >= h->count || h->items[at] != item);
    struct heap_item *last = h->items[--h->count];
    item->at = HEAP_NOWHERE;
    if (last == item)
        return;
    if (at > 0 && before(last, h->items[(at - 1) / 2]))
        rise(h, at, last);
    else
        sink(h, at, last);
}

struct heap_item *heap_pop(struct heap *h)
{
    struct heap_item *first = heap_peek(h);
    if (first != NULL)
        heap_remove(h, first);
    return first;
}
