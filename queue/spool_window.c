#include "queue/spool_window.h"

#include "core/panic.h"

void spool_window_init(struct spool_window *w)
{
    *w = (struct spool_window){.upto = {.due_ms = INT64_MIN}};
    TAILQ_INIT(&w->items);
}

static bool is_before(int64_t due_ms, int64_t seq, int64_t than_ms,
                      int64_t than_seq)
{
    return due_ms < than_ms || (due_ms == than_ms && seq < than_seq);
}

bool spool_window_covers(const struct spool_window *w, int64_t due_ms,
                         int64_t seq)
{
    return !is_before(w->upto.due_ms, w->upto.seq, due_ms, seq);
}

static bool goes_before(const struct spool_loaded *item,
                        const struct spool_loaded *other)
{
    return is_before(item->due_ms, item->seq, other->due_ms, other->seq);
}

void spool_window_insert(struct spool_window *w, struct spool_loaded *item)
{
    PANIC_IF(item->in_window ||
             !spool_window_covers(w, item->due_ms, item->seq));
    struct spool_loaded *first = TAILQ_FIRST(&w->items);
    struct spool_loaded *before = TAILQ_LAST(&w->items, spool_loaded_list);
    item->in_window = true;
    w->count++;
    /* New jobs belong at the end, those that come back at the front. */
    if (first == NULL || goes_before(item, first)) {
        TAILQ_INSERT_HEAD(&w->items, item, next);
        return;
    }
    while (goes_before(item, before))
        before = TAILQ_PREV(before, spool_loaded_list, next);
    TAILQ_INSERT_AFTER(&w->items, before, item, next);
}

struct spool_loaded *spool_window_first(const struct spool_window *w)
{
    return TAILQ_FIRST(&w->items);
}

void spool_window_remove(struct spool_window *w, struct spool_loaded *item)
{
    PANIC_IF(!item->in_window);
    TAILQ_REMOVE(&w->items, item, next);
    item->in_window = false;
    w->count--;
}

struct spool_loaded *spool_window_evict(struct spool_window *w)
{
    struct spool_loaded *last = TAILQ_LAST(&w->items, spool_loaded_list);
    if (last == NULL)
        return NULL;
    spool_window_remove(w, last);
    if (spool_window_covers(w, last->due_ms, last->seq))
        w->upto =
            (struct store_cursor){.due_ms = last->due_ms, .seq = last->seq - 1};
    spool_window_beyond(w, last->due_ms);
    return last;
}

bool spool_window_cut(struct spool_window *w, int64_t due_ms, int64_t seq)
{
    if (spool_window_covers(w, due_ms, seq))
        w->upto = (struct store_cursor){.due_ms = due_ms, .seq = seq - 1};
    spool_window_beyond(w, due_ms);
    const struct spool_loaded *last = TAILQ_LAST(&w->items, spool_loaded_list);
    return last != NULL && !spool_window_covers(w, last->due_ms, last->seq);
}

void spool_window_beyond(struct spool_window *w, int64_t due_ms)
{
    if (w->beyond_known && due_ms < w->beyond_ms)
        w->beyond_ms = due_ms;
}

void spool_window_gone(struct spool_window *w, int64_t due_ms)
{
    if (w->beyond_known && due_ms <= w->beyond_ms)
        w->beyond_known = false;
}

void spool_window_reach(struct spool_window *w, int64_t beyond_ms)
{
    int64_t upto_ms = beyond_ms == SPOOL_NEVER ? SPOOL_NEVER : beyond_ms - 1;
    w->beyond_known = true;
    w->beyond_ms = beyond_ms;
    if (upto_ms >= w->upto.due_ms)
        w->upto = (struct store_cursor){.due_ms = upto_ms, .seq = INT64_MAX};
}

void spool_window_read(struct spool_window *w, int64_t due_ms, int64_t seq)
{
    w->upto = (struct store_cursor){.due_ms = due_ms, .seq = seq};
    w->beyond_known = false;
}
