#ifndef QUEUE_CLAIM_H
#define QUEUE_CLAIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/err.h"
#include "queue/job.h"

/*
 * A job taken out of the spool to be attempted: what travels through the
 * queue. The spool makes it (spool_claim) and gets it back exactly once
 * (spool_settle or spool_release); in between it has one owner at a time.
 *
 * Between claim and start the job can still be cancelled: the gate decides
 * who was first.
 */
enum claim_gate {
    CLAIM_GATE_OPEN,
    CLAIM_GATE_STARTED,
    CLAIM_GATE_CANCELLED,
};

struct claim {
    STAILQ_ENTRY(claim) next; /* the owner's, for lists */
    struct job *job;          /* a reference */
    unsigned attempt;         /* its number, from 1 */
    unsigned relay;           /* index; the scheduler's choice */
    uint32_t *pending;        /* indexes of recipients still to be sent to */
    size_t pending_count;
    int64_t expires_at_ms; /* 0: never; not the job's if it was retried */
    int64_t give_up_at_ms; /* likewise */
    atomic_uint *gate;     /* lives as long as the claim */
    uint64_t queued_bytes; /* the queue's, while the claim is in it */
};

STAILQ_HEAD(claim_list, claim);

/*
 * The consumer's first step. False: the job was cancelled meanwhile; give the
 * claim back with spool_release() and do nothing else. From true on, status
 * says that the job is active, and cancelling it is refused.
 */
MUST_CHECK bool claim_start(struct claim *claim);

/*
 * What it counts in the queue's bytes: itself, its addresses and a body below
 * CLAIM_BODY_INLINE_MAX; larger bodies travel as descriptors.
 */
#define CLAIM_BODY_INLINE_MAX (1U << 20)
uint64_t claim_size_bytes(const struct claim *claim);

#endif
