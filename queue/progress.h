#ifndef QUEUE_PROGRESS_H
#define QUEUE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"
#include "queue/claim.h"
#include "queue/job.h"
#include "queue/spool.h"

/*
 * What became of a job so far, and the rules by which it goes on: the part
 * that all spools share. Pure bookkeeping: no clock, no lock, no storage.
 *
 * Ownership: a progress owns its texts. Threads: guarded by who embeds it.
 */
struct progress_recipient {
    enum recipient_state state;
    unsigned attempts;
    char *reply; /* NULL: none yet */
    char *relay; /* NULL: none yet */
};

struct progress_event {
    int64_t at_ms;
    enum spool_event_kind kind;
    unsigned attempt;
    char *relay; /* NULL: none */
    char *text;  /* NULL: none */
};

struct progress {
    enum job_state state; /* never JOB_ACTIVE: that is the claim's */
    unsigned attempts;
    int64_t due_ms;        /* while waiting */
    int64_t settled_ms;    /* 0: not yet */
    int64_t expires_at_ms; /* the job's, until a person retries it */
    int64_t give_up_at_ms; /* likewise */
    bool marked;           /* its message may have left: see spool_mark() */
    char *note;            /* NULL: none */
    char *relay;           /* was to take it since the last attempt; NULL */
    struct progress_recipient *recipients;
    size_t recipient_count;
    struct progress_event *events;
    size_t event_count; /* at most SPOOL_EVENTS_MAX */
};

/* As accepted: queued, due at send_at or now; the trail says so. */
void progress_init(struct progress *p, const struct job *job, int64_t now_ms);
void progress_fini(struct progress *p);

/* Queued or deferred: the states that spool_claim() takes from. */
bool progress_is_waiting(const struct progress *p);

/* When spool_expire() has it: the earlier of the two, or SPOOL_NEVER. */
int64_t progress_limit_ms(const struct progress *p);

/*
 * Whether the body is still wanted: while the job is open, failed or expired
 * (for spool_retry()). A delivered or cancelled one's goes at once.
 */
bool progress_keeps_body(const struct progress *p);

/* Whether spool_list() shows it. state: p->state, or JOB_ACTIVE. */
bool progress_passes(const struct progress *p, const struct job *job,
                     enum job_state state, const struct spool_filter *filter);

/* What it takes in memory besides itself. */
size_t progress_size_bytes(const struct progress *p);

/* Fills claim->attempt and pending (room for every recipient). */
void progress_claim(const struct progress *p, struct claim *claim);

/*
 * One attempt: spool_settle()'s rules. Like all that end or begin a wait, it
 * takes the mark away.
 */
void progress_settle(struct progress *p, const struct settlement *settlement);

/*
 * Back without an attempt, due at due_ms or, if that is not after now, as
 * before: spool_release()'s rules. The trail has a note about a relay once,
 * however often it comes again between two attempts.
 */
void progress_release(struct progress *p, int64_t due_ms, struct str relay,
                      struct str note, int64_t now_ms);

/* Its message may leave, to this relay (may be empty). */
void progress_mark(struct progress *p, struct str relay);

void progress_cancel(struct progress *p, int64_t now_ms);
void progress_drop(struct progress *p, int64_t now_ms);

/* Expired, or failed when it is give_up_at that has passed. */
void progress_expire(struct progress *p, int64_t now_ms);

/* False, and nothing changed: settled as delivered, or waiting as queued. */
bool progress_retry(struct progress *p, int64_t now_ms, int64_t give_up_ms);

/*
 * A process died while it was marked: the attempt counts, what was still to be
 * sent to is unknown, and the job is held. The relay is the mark's.
 */
void progress_interrupt(struct progress *p, int64_t now_ms);

/* A snapshot of both, in one block. state: p->state, or JOB_ACTIVE. */
struct spool_status *progress_status(const struct progress *p, struct job *job,
                                     enum job_state state, bool has_body);

#endif
