#ifndef QUEUE_JOB_H
#define QUEUE_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/body.h"
#include "core/id.h"

/*
 * One mail as it was accepted: nothing in it changes afterwards but the
 * number of references (and the body, which the spool lets go of once the job
 * is settled). What becomes of it is the spool's to know (spool.h).
 *
 * Ownership: counted references; the last job_unref() frees all of it. All
 * strings are the job's own, from mem_alloc(). Threads: any may read and
 * count.
 */
enum job_priority {
    JOB_PRIORITY_HIGH,
    JOB_PRIORITY_NORMAL,
    JOB_PRIORITY_LOW,
    JOB_PRIORITY_COUNT
};

enum job_state {
    JOB_QUEUED,    /* waits for its first attempt */
    JOB_ACTIVE,    /* an attempt is running */
    JOB_DEFERRED,  /* waits for another attempt */
    JOB_DELIVERED, /* to all recipients */
    JOB_FAILED,    /* settled, not all recipients have it */
    JOB_EXPIRED,   /* expires_at passed before all had it */
    JOB_CANCELLED, /* by its client */
    JOB_HELD,      /* waits for a person: see on_unknown */
    JOB_STATE_COUNT
};

enum job_on_unknown {
    JOB_ON_UNKNOWN_RETRY,
    JOB_ON_UNKNOWN_HOLD,
};

enum recipient_state {
    RECIPIENT_PENDING, /* not tried yet */
    RECIPIENT_DELIVERED,
    RECIPIENT_DEFERRED, /* refused for now, or not reached */
    RECIPIENT_FAILED,   /* refused for good, or given up */
    RECIPIENT_UNKNOWN,  /* sent in full, the relay's answer was lost */
    RECIPIENT_STATE_COUNT
};

struct job_pair {
    char *name;
    char *value;
};

#define JOB_DIGEST_LEN 32

struct job {
    atomic_uint references;
    struct id id;
    char *client; /* who handed it in: "uid:1000", "anonymous" */
    char *route;
    enum job_priority priority;
    enum job_on_unknown on_unknown;
    int64_t created_ms;    /* real time, as all times here */
    int64_t send_at_ms;    /* not before; 0: at once */
    int64_t expires_at_ms; /* 0: never */
    int64_t give_up_at_ms; /* failed when not delivered by then */
    char *tag;             /* NULL: none */
    struct job_pair *metadata;
    size_t metadata_count;
    char *key;                            /* idempotency key; NULL: none */
    unsigned char digest[JOB_DIGEST_LEN]; /* of the mail, if there is a key */
    char *sender;                         /* "" is the null reverse-path */
    char **recipients;
    size_t recipient_count;
    struct body *body; /* NULL once the spool dropped it */
    uint64_t size_bytes;
};

/* All zero, one reference for the caller, who then fills it. */
struct job *job_new(void);

struct job *job_ref(struct job *job);
void job_unref(struct job *job); /* NULL is allowed */

/* What it takes in memory, body included: the unit of spool.max_bytes. */
uint64_t job_cost_bytes(const struct job *job);

/* Words of the protocol: "queued", "high", "pending". Static. */
const char *job_state_name(enum job_state state);
const char *job_priority_name(enum job_priority priority);
const char *recipient_state_name(enum recipient_state state);

/* Delivered, failed, expired, cancelled: nothing more will happen. */
bool job_state_is_settled(enum job_state state);

#endif
