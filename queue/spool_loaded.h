#ifndef QUEUE_SPOOL_LOADED_H
#define QUEUE_SPOOL_LOADED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/map.h"
#include "core/mem.h"
#include "queue/claim.h"
#include "queue/job.h"
#include "queue/progress.h"
#include "queue/store.h"

/*
 * A job of the durable spool that is in memory: it waits in its lane's window,
 * or it is claimed. Its row is in the store all the same, and shows the job as
 * waiting.
 *
 * Threads: the writer's, but for job and progress of a claimed one, which are
 * the owner's of the claim until he gives it back.
 */
struct spool_loaded {
    struct map_item by_id;
    TAILQ_ENTRY(spool_loaded) next; /* in the window */
    struct job *job;                /* a reference; no body if in a file */
    struct progress progress;
    int64_t seq;
    int64_t due_ms; /* its place in the window, with seq */
    unsigned lane;  /* index into the spool's */
    int64_t cost_bytes;
    uint64_t body_bytes;
    bool body_in_file;
    bool in_window;
    bool claimed;
    bool cancelled; /* while claimed: the row says so, or is about to */
    bool inactive;  /* likewise: not counted as active any more */
    atomic_uint gate;
    struct claim claim;
    uint32_t pending[]; /* one for each recipient */
};

TAILQ_HEAD(spool_loaded_list, spool_loaded);

/* Takes the reference to job. progress is still to be filled. */
struct spool_loaded *spool_loaded_new(struct job *job);

/* drop_body: whoever still has the job has it without its body. */
void spool_loaded_free(struct spool_loaded *loaded, bool drop_body);

/* Fills the claim for the next attempt. */
struct claim *spool_loaded_claim(struct spool_loaded *loaded);

static inline struct spool_loaded *spool_loaded_of(struct claim *claim)
{
    return CONTAINER_OF(claim, struct spool_loaded, claim);
}

/* What it takes in memory while it waits. */
int64_t spool_loaded_bytes(const struct spool_loaded *loaded);

#endif
