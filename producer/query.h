#ifndef PRODUCER_QUERY_H
#define PRODUCER_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "producer/fields.h"
#include "producer/request.h"

/*
 * Fields of the operations that are no submit. Where a function here returns
 * false, r was refused and may be gone.
 */

/* Rows that every table begins with. */
#define QUERY_ANY                                                              \
    {"op", NULL, 0, 0},                                                        \
    {                                                                          \
        "ref", NULL, 0, 0                                                      \
    }

/* What an operation about one job says. */
struct query {
    struct str id;
    bool has_id;
    int64_t timeout_ms;
};

#define QUERY_JOB                                                              \
    {                                                                          \
        "id", fields_text, offsetof(struct query, id),                         \
            offsetof(struct query, has_id)                                     \
    }

/* The members of object by table into out. */
bool query_take(struct request *r, const struct field *table,
                const struct json_value *object, void *out);

/* As query_take(); r->id is the job's then. A table with QUERY_JOB. */
bool query_take_job(struct request *r, const struct field *table,
                    const struct json_value *object, struct query *query);

/* The same for an operation that takes an id and nothing else. */
bool query_take_id(struct request *r, const struct json_value *object);

#endif
