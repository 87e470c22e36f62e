#include "producer/timers.h"

void timers_init(struct timers *t)
{
    heap_init(&t->heap);
}

void timers_fini(struct timers *t)
{
    heap_fini(&t->heap);
}

void timer_init(struct timer *timer, void (*fn)(void *ctx), void *ctx)
{
    heap_item_init(&timer->item);
    timer->fn = fn;
    timer->ctx = ctx;
}

void timers_set(struct timers *t, struct timer *timer, int64_t due_ms)
{
    heap_remove(&t->heap, &timer->item);
    heap_push(&t->heap, &timer->item, due_ms);
}

void timers_cancel(struct timers *t, struct timer *timer)
{
    heap_remove(&t->heap, &timer->item);
}

int64_t timers_next(const struct timers *t)
{
    const struct heap_item *first = heap_peek(&t->heap);
    return first == NULL ? TIMERS_NEVER : first->key;
}

void timers_run(struct timers *t, int64_t now_ms)
{
    /* Those set while this runs have a later order: they wait. */
    const uint64_t before = t->heap.pushed;
    for (;;) {
        struct heap_item *first = heap_peek(&t->heap);
        if (first == NULL || first->key > now_ms || first->order >= before)
            return;
        heap_remove(&t->heap, first);
        struct timer *timer = (struct timer *)first;
        timer->fn(timer->ctx);
    }
}
