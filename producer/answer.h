#ifndef PRODUCER_ANSWER_H
#define PRODUCER_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "producer/json.h"
#include "producer/refusal.h"
#include "queue/spool.h"

/*
 * Replies as JSON objects, without framing, added to a buf. Pure.
 */

/* What a client put in "ref", to come back as it was. */
#define ANSWER_REF_MAX 128 /* bytes of a string */

struct answer_ref {
    enum json_type type; /* JSON_STRING, JSON_NUMBER; JSON_NULL: none */
    unsigned char len;
    char text[ANSWER_REF_MAX];
};

/* False, with refusal set: not a string that fits, nor an integer. */
bool answer_ref_take(struct answer_ref *ref, const struct json_value *value,
                     struct refusal *refusal);

/* {"ok":true,"ref":...  -  the caller adds members and closes with '}'. */
void answer_begin(struct buf *out, const struct answer_ref *ref);

void answer_refusal(struct buf *out, const struct answer_ref *ref,
                    const struct refusal *refusal);

/* To a submit that the spool took, or had already. */
void answer_accepted(struct buf *out, const struct answer_ref *ref,
                     const struct spool_accepted *accepted,
                     const char *durability);

void answer_cancelled(struct buf *out, const struct answer_ref *ref,
                      const struct id *id);

/* What a job is shown with, besides what it is. */
enum answer_parts {
    ANSWER_PLAIN,
    ANSWER_TRAIL, /* what happened to it */
};

void answer_status(struct buf *out, const struct answer_ref *ref,
                   const struct spool_status *status, enum answer_parts parts);

/* The same with its trail, and whether a person's wish changed the job. */
void answer_changed(struct buf *out, const struct answer_ref *ref,
                    const struct spool_status *status, bool changed);

/*
 * A page of jobs, and where it ends: at ANSWER_LIST_BYTES or behind the last
 * job. last NULL: none was looked at. A job with more than
 * ANSWER_LIST_JOB_BYTES of recipients shows the first of them only, so that
 * the whole is bounded.
 */
#define ANSWER_LIST_BYTES     ((size_t)256 << 10)
#define ANSWER_LIST_JOB_BYTES ((size_t)32 << 10)

struct answer_page {
    struct spool_status *const *jobs;
    size_t count;
    bool more;
    const struct id *last;
};

void answer_list(struct buf *out, const struct answer_ref *ref,
                 const struct answer_page *page);

void answer_pong(struct buf *out, const struct answer_ref *ref,
                 const char *version);

#endif
