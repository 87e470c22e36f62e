#ifndef QUEUE_SPOOL_ENTRY_H
#define QUEUE_SPOOL_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/heap.h"
#include "core/map.h"
#include "core/mem.h"
#include "queue/claim.h"
#include "queue/job.h"
#include "queue/progress.h"
#include "queue/spool.h"

/*
 * One job of the memory spool, in two parts: the entry, which is kept as long
 * as the job is remembered, and the live part, which goes when the job is
 * settled and no claim is out. Inside of the memory spool only; all of it is
 * guarded by the spool's lock but where it says otherwise.
 */
struct spool_key;
struct spool_entry;

TAILQ_HEAD(spool_watch_list, spool_watch);

struct spool_live {
    struct heap_item due;      /* in its lane's heap while it waits */
    struct heap_item limit;    /* key: when it expires or is given up */
    struct spool_entry *entry; /* NULL: forgotten, but a claim is out */
    struct claim claim;        /* its reference to the job lives as long */
    atomic_uint gate;
    bool claimed; /* the claim is out */
    struct spool_watch_list watches;
    struct body *body; /* the job's, once it was let go of */
    STAILQ_ENTRY(spool_live) next;
    uint32_t pending[]; /* one for each recipient */
};

STAILQ_HEAD(spool_live_list, spool_live);

struct spool_entry {
    struct map_item by_id;
    TAILQ_ENTRY(spool_entry) order; /* of acceptance */
    TAILQ_ENTRY(spool_entry) next;  /* in a history */
    struct job *job;
    struct spool_live *live; /* NULL: settled and no claim out */
    struct spool_key *key;   /* NULL: none, or it was dropped */
    unsigned lane;           /* index into the spool's */
    bool kept;               /* settled, and its body is still there */
    int64_t cost_bytes;
    size_t progress_bytes; /* that part of it */
    struct progress progress;
};

TAILQ_HEAD(spool_entry_list, spool_entry);

/* With its live part. Takes references. No lock. */
struct spool_entry *spool_entry_new(struct job *job, unsigned lane,
                                    int64_t now_ms);

/* The entry only. No lock. */
void spool_entry_free(struct spool_entry *entry);

/* What the entry costs after a change of its progress; returns the change. */
int64_t spool_entry_weigh(struct spool_entry *entry);

/* A live part for an entry that has none. */
void spool_live_new(struct spool_entry *entry);

/* With the body it holds. No lock. */
void spool_live_free(struct spool_live *live);

/* Takes the body away from the job, for spool_live_free() to let go of. */
void spool_live_take_body(struct spool_live *live);

/* Fills the claim for the next attempt. */
struct claim *spool_live_claim(struct spool_live *live);

static inline struct spool_live *spool_live_of(struct claim *claim)
{
    return CONTAINER_OF(claim, struct spool_live, claim);
}

/* What the world is told. */
enum job_state spool_entry_state(const struct spool_entry *entry);
struct spool_status *spool_entry_status(const struct spool_entry *entry);

#endif
