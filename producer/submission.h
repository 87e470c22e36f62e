#ifndef PRODUCER_SUBMISSION_H
#define PRODUCER_SUBMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message/draft.h"
#include "producer/fields.h"
#include "queue/job.h"

/*
 * What a submit asks for, in structs: the mail as a draft, and how it is to be
 * treated. Everything is a view of the JSON values or of the arena.
 */
#define SUBMISSION_WORD_MAX           256  /* bytes of tag, idempotency_key */
#define SUBMISSION_METADATA_MAX       64   /* pairs */
#define SUBMISSION_METADATA_NAME_MAX  128  /* bytes */
#define SUBMISSION_METADATA_BYTES_MAX 8192 /* names and values in all */

struct submission_pair {
    struct str name;
    struct str value;
};

struct submission {
    struct draft draft;
    enum job_priority priority;
    enum job_on_unknown on_unknown;
    int64_t send_at_ms;    /* 0: at once */
    int64_t expires_at_ms; /* 0: never */
    bool has_expires_at;
    struct str route;
    struct str tag;
    bool has_tag;
    const struct submission_pair *metadata;
    size_t metadata_count;
    struct str key;
    bool has_key;
};

struct submission_options {
    const char *const *routes;
    size_t route_count;
    int64_t now_ms; /* real time */
};

/*
 * object is the whole request. False: refusal says why. What only composing
 * can tell (addresses, headers, types of content) is not looked at.
 */
bool submission_decode(const struct json_value *object,
                       const struct submission_options *options,
                       struct arena *arena, struct submission *out,
                       struct refusal *refusal);

#endif
