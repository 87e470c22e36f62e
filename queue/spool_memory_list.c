#include <string.h>

#include "core/mem.h"
#include "queue/spool_memory.h"

/* Jobs looked at for one answer, whether or not they pass. */
#define LOOKS_MAX 4096

/* The part of an id that is its time. */
#define ID_TIME_LEN 10

struct listing {
    struct spool_memory *m;
    const struct spool_filter *filter;
    int64_t now_ms;
    struct spool_walk walk;
    struct spool_status **jobs;
    size_t count;
    struct id last;
    bool has_last;
};

/* ---- where it begins; with the lock held ---- */

/* True: walk.next is the first one. */
static bool begin_exactly(struct listing *l)
{
    struct spool_memory *m = l->m;
    l->walk.next = TAILQ_FIRST(&m->order);
    TAILQ_INSERT_TAIL(&m->walks, &l->walk, link);
    if (!l->filter->has_after)
        return true;
    const struct spool_entry *after =
        spool_memory_find(m, &l->filter->after, NULL, l->now_ms);
    if (after == NULL)
        return false;
    l->walk.next = TAILQ_NEXT(after, order);
    return true;
}

/* True: walk.next is not older than the id, or the end. */
static bool skip_older(struct listing *l)
{
    for (size_t i = 0; i < SPOOL_BATCH; i++) {
        const struct spool_entry *entry = l->walk.next;
        if (entry == NULL || memcmp(entry->job->id.text, l->filter->after.text,
                                    ID_TIME_LEN) >= 0)
            return true;
        l->walk.next = TAILQ_NEXT(entry, order);
    }
    return false;
}

/* ---- the jobs ---- */

/* Looks at some; returns how many. */
static size_t look(struct listing *l)
{
    size_t looks = 0;
    while (looks < SPOOL_BATCH && l->count < l->filter->limit &&
           l->walk.next != NULL) {
        const struct spool_entry *entry = l->walk.next;
        l->walk.next = TAILQ_NEXT(entry, order);
        l->last = entry->job->id;
        l->has_last = true;
        looks++;
        if (!spool_memory_is_over(l->m, entry, l->now_ms) &&
            progress_passes(&entry->progress, entry->job,
                            spool_entry_state(entry), l->filter))
            l->jobs[l->count++] = spool_entry_status(entry);
    }
    return looks;
}

void spool_memory_list(struct spool *spool, const struct spool_filter *filter,
                       spool_list_fn fn, void *ctx)
{
    struct spool_memory *m = spool_memory_of(spool);
    struct listing l = {
        .m = m, .filter = filter, .now_ms = clock_real_ms(m->clock)};
    const struct err none = {.code = ERR_NONE};
    size_t looks = 0;
    l.jobs = mem_alloc(filter->limit * sizeof(struct spool_status *));
    mutex_lock(&m->lock);
    bool found = begin_exactly(&l);
    while (!found) {
        found = skip_older(&l);
        mutex_unlock(&m->lock);
        mutex_lock(&m->lock);
    }
    while (l.walk.next != NULL && l.count < filter->limit &&
           looks < LOOKS_MAX) {
        looks += look(&l);
        mutex_unlock(&m->lock);
        mutex_lock(&m->lock);
    }
    bool more = l.walk.next != NULL;
    TAILQ_REMOVE(&m->walks, &l.walk, link);
    mutex_unlock(&m->lock);
    if (l.count == 0) {
        mem_free(l.jobs);
        l.jobs = NULL;
    }
    fn(ctx, l.jobs, l.count, more, l.has_last ? &l.last : NULL, &none);
}
