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

void answer_status(struct buf *out, const struct answer_ref *ref,
                   const struct spool_status *status);

void answer_pong(struct buf *out, const struct answer_ref *ref,
                 const char *version);

#endif
