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
 * The spool in memory, inside: spool_memory.c makes it, spool_memory_move.c has
 * what all parts use, spool_memory_work.c is accept, claim, settle and release,
 * spool_memory_ask.c find, cancel, retry, drop, watch, expire and the numbers,
 * spool_memory_list.c list.
 *
 * Failed and expired jobs keep their body, to be retried. What they cost counts
 * in the bytes, but they give way to jobs that are to be accepted: their bodies
 * go, those settled first before others.
 *
 * One lock. What must not be done under it (callbacks, freeing) is collected
 * in struct spool_effects and done by spool_effects_run() afterwards.
 */
struct spool_lane_heap {
    struct heap due;
    int64_t known_ms; /* what the scheduler was told to be next */
};

/*
 * A walk along all entries that lets go of the lock in between: next, if it is
 * taken out meanwhile, becomes the one behind it.
 */
struct spool_walk {
    TAILQ_ENTRY(spool_walk) link;
    struct spool_entry *next; /* NULL: the end */
};

TAILQ_HEAD(spool_walk_list, spool_walk);

struct spool_memory {
    struct spool base;
    const struct clock *clock;
    int64_t max_jobs;
    int64_t max_bytes;
    int64_t history_keep_ms;
    int64_t history_keep_failed_ms;
    int64_t history_max_jobs;
    int64_t give_up_ms;
    char **routes;
    unsigned route_count;

    struct mutex lock; /* guards all below */
    struct map by_id;
    struct spool_entry_list order;
    struct spool_walk_list walks;
    struct spool_lane_heap *lanes; /* route * JOB_PRIORITY_COUNT + priority */
    struct heap limits;
    /* Settled first, leaves first. */
    struct spool_entry_list history;
    struct spool_entry_list failed; /* and expired */
    struct spool_entry *first_kept; /* in failed; those behind it are too */
    int64_t kept_bytes;
    struct spool_keys keys;
    struct spool_stats numbers;
    size_t claims_out;
    bool room_wanted;
    int64_t room_bytes; /* what the least of those refused needs */
};

/* Jobs that are looked at in one go under the lock. */
#define SPOOL_BATCH 64

struct spool_effects {
    struct spool_watch_list watches;  /* to be called */
    struct spool_live_list lives;     /* to be freed */
    struct spool_entry_list entries;  /* to be freed */
    struct body *bodies[SPOOL_BATCH]; /* to be freed */
    size_t body_count;
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

/* Settled for longer than it is to be remembered. */
bool spool_memory_is_over(const struct spool_memory *m,
                          const struct spool_entry *entry, int64_t now_ms);

/* The job of this client (NULL: anybody's), or NULL. */
struct spool_entry *spool_memory_find(struct spool_memory *m,
                                      const struct id *id, const char *client,
                                      int64_t now_ms);

/*
 * Around every change of an entry's progress: lift takes the job out of the
 * ledger, and land puts it back where it now belongs and does all that follows
 * from being due, held or settled. claimed: a claim of it is out from now on.
 */
void spool_memory_lift(struct spool_memory *m, struct spool_entry *entry);
void spool_memory_land(struct spool_memory *m, struct spool_entry *entry,
                       bool claimed, struct spool_effects *effects);

/* Puts it where spool_claim() and spool_expire() find it. */
void spool_memory_wait(struct spool_memory *m, struct spool_live *live,
                       struct spool_effects *effects);

/* The live part is over: takes it away, and the body unless it is kept. */
void spool_memory_drop_live(struct spool_live *live,
                            struct spool_effects *effects);

/* Makes a settled job that keeps its body one that is not settled. */
void spool_memory_reopen(struct spool_memory *m, struct spool_entry *entry,
                         int64_t now_ms);

/*
 * Whether a job of so many bytes may come in, if kept bodies give way; else it
 * is remembered that room is wanted.
 */
bool spool_memory_has_room(struct spool_memory *m, int64_t cost_bytes);

/* Takes kept bodies until so many bytes fit in. False: more must go. */
bool spool_memory_make_room(struct spool_memory *m, int64_t bytes,
                            struct spool_effects *effects);

/* A settled one. */
void spool_memory_forget_one(struct spool_memory *m, struct spool_entry *entry,
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
                          int64_t due_ms, struct str relay, struct str note);
void spool_memory_mark(struct spool *spool, struct claim *claim,
                       struct str relay, spool_mark_fn fn, void *ctx);
void spool_memory_show(struct spool *spool, const struct id *id,
                       const char *client, spool_status_fn fn, void *ctx);
void spool_memory_cancel(struct spool *spool, const struct id *id,
                         const char *client, spool_status_fn fn, void *ctx);
void spool_memory_retry(struct spool *spool, const struct id *id,
                        spool_status_fn fn, void *ctx);
void spool_memory_drop(struct spool *spool, const struct id *id,
                       spool_status_fn fn, void *ctx);
void spool_memory_list(struct spool *spool, const struct spool_filter *filter,
                       spool_list_fn fn, void *ctx);
void spool_memory_watch(struct spool *spool, const char *client,
                        struct spool_watch *watch);
bool spool_memory_unwatch(struct spool *spool, struct spool_watch *watch);
void spool_memory_expire(struct spool *spool, int64_t now_ms, size_t limit,
                         spool_expire_fn fn, void *ctx);
void spool_memory_stats(struct spool *spool, struct spool_stats *stats);

#endif
