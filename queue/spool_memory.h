#ifndef QUEUE_SPOOL_MEMORY_H
#define QUEUE_SPOOL_MEMORY_H

#include "core/heap.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/thread.h"
#include "queue/spool_backend.h"
#include "queue/spool_entry.h"
#include "queue/spool_keys.h"

/*
 * The spool in memory, inside: spool_memory.c makes it and has what all parts
 * use, spool_memory_work.c is accept, claim, settle and release,
 * spool_memory_ask.c find, cancel, watch, expire and the numbers.
 *
 * One lock. What must not be done under it (callbacks, freeing) is collected
 * in struct spool_effects and done by spool_effects_run() afterwards.
 */
struct spool_lane_heap {
    struct heap due;
    int64_t known_ms; /* what the scheduler was told to be next */
};

struct spool_memory {
    struct spool base;
    const struct clock *clock;
    int64_t max_jobs;
    int64_t max_bytes;
    int64_t history_keep_ms;
    int64_t history_max_jobs;
    char **routes;
    unsigned route_count;

    struct mutex lock; /* guards all below */
    struct map by_id;
    struct spool_lane_heap *lanes; /* route * JOB_PRIORITY_COUNT + priority */
    struct heap limits;
    struct spool_entry_list history; /* settled first, leaves first */
    struct spool_keys keys;
    struct spool_stats numbers;
    size_t claims_out;
    bool room_wanted;
    int64_t room_bytes; /* what the least of those refused needs */
};

struct spool_effects {
    struct spool_watch_list watches; /* to be called */
    struct spool_live_list lives;    /* to be freed */
    struct spool_entry_list entries; /* to be freed */
    bool due;
    struct spool_lane due_lane;
    int64_t due_ms;
    bool room;
};

static inline struct spool_memory *spool_memory_of(struct spool *spool)
{
    return CONTAINER_OF(spool, struct spool_memory, base);
}

void spool_effects_init(struct spool_effects *effects);

/* Without the lock. Effects are then empty again. */
void spool_effects_run(struct spool_memory *m, struct spool_effects *effects);

/* ---- with the lock held ---- */

/* The job of this client (NULL: anybody's), or NULL. */
struct spool_entry *spool_memory_find(struct spool_memory *m,
                                      const struct id *id, const char *client,
                                      int64_t now_ms);

/*
 * The one place where a job changes its state, or goes out and comes back as
 * a claim: keeps the numbers, and does all that follows from being settled or
 * held. at_ms is when.
 */
void spool_memory_move(struct spool_memory *m, struct spool_entry *entry,
                       enum job_state state, bool claimed, int64_t at_ms,
                       struct spool_effects *effects);

/* Puts it where spool_claim() and spool_expire() find it. */
void spool_memory_wait(struct spool_memory *m, struct spool_live *live,
                       int64_t due_ms, struct spool_effects *effects);

/* The live part is over: takes it and the body away. */
void spool_memory_drop_live(struct spool_live *live,
                            struct spool_effects *effects);

/* A few of those that are remembered for too long, or are too many. */
void spool_memory_forget(struct spool_memory *m, int64_t now_ms,
                         struct spool_effects *effects);

/* ---- the operations ---- */

void spool_memory_accept(struct spool *spool, struct job *job,
                         spool_accept_fn fn, void *ctx);
void spool_memory_claim(struct spool *spool, struct spool_lane lane,
                        size_t limit, int64_t now_ms, spool_claim_fn fn,
                        void *ctx);
void spool_memory_settle(struct spool *spool, struct claim *claim,
                         const struct settlement *settlement,
                         spool_settle_fn fn, void *ctx);
void spool_memory_release(struct spool *spool, struct claim *claim,
                          int64_t due_ms, struct str note);
void spool_memory_mark(struct spool *spool, struct claim *claim,
                       spool_mark_fn fn, void *ctx);
void spool_memory_show(struct spool *spool, const struct id *id,
                       const char *client, spool_status_fn fn, void *ctx);
void spool_memory_cancel(struct spool *spool, const struct id *id,
                         const char *client, spool_status_fn fn, void *ctx);
void spool_memory_watch(struct spool *spool, const char *client,
                        struct spool_watch *watch);
bool spool_memory_unwatch(struct spool *spool, struct spool_watch *watch);
void spool_memory_expire(struct spool *spool, int64_t now_ms, size_t limit,
                         spool_expire_fn fn, void *ctx);
void spool_memory_stats(struct spool *spool, struct spool_stats *stats);

#endif
