#ifndef PRODUCER_ADMISSION_H
#define PRODUCER_ADMISSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "producer/request.h"
#include "producer/submission.h"

/*
 * The one place that says yes: composes the mail, makes the job, gives it to
 * the spool and answers once the spool has it.
 *
 * Full. A submit that finds limits.pending_submits under way, or the spool
 * full, is refused at once when it came as a datagram. On a stream it waits
 * in line, first in first out, for at most limits.full_wait_ms, and its
 * connection is not read meanwhile; so the line is no longer than there are
 * connections times requests in flight. After that time it is refused with
 * queue_full or spool_full. The bytes of all messages that wait or are being
 * stored are bounded too: ADMISSION_FRAMES frames of the largest size, or
 * ADMISSION_HELD_BYTES; beyond them it is queue_full at once. From a third of
 * that on, streams keep large requests back (admission_is_loaded()), so that
 * those wait and small ones are not refused for them.
 *
 * A job that the spool took stays accepted when its client is gone.
 */
#define ADMISSION_FRAMES     3
#define ADMISSION_HELD_BYTES ((uint64_t)32 << 20)

struct service;

struct admission {
    struct service *service;
    struct request_line line;
    size_t committing; /* given to the spool, not answered yet */
    uint64_t held_bytes;
    uint64_t held_bytes_max;
    uint64_t next_order;
    atomic_uint rooms;   /* how often the spool said that there is room */
    unsigned full_rooms; /* rooms when it said that it is full */
    bool full;
    size_t window; /* after full: so many try at a time; 0: no bound */
    bool pumping;
    bool failing;          /* the spool's last answer was an error */
    int64_t failed_log_ms; /* mono time of the last line about that */
};

void admission_init(struct admission *a, struct service *service);

/* Takes r until it is answered. The views in s are not used afterwards. */
void admission_submit(struct request *r, const struct submission *s);

/*
 * Whether no large request should be taken now. It ends with an answer of the
 * spool, or of us.
 */
bool admission_is_loaded(const struct admission *a);

/* On any thread, never blocks: the spool has room; admission_pump() next. */
void admission_note_room(struct admission *a);

/* Tries those in line that may be tried. */
void admission_pump(struct admission *a);

/* The client of one in line is gone: it leaves nothing behind. */
void admission_forget(struct request *r);

/* Refuses all in line with shutting_down. */
void admission_drain(struct admission *a);

#endif
