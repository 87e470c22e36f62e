#ifndef QUEUE_STORE_INNER_H
#define QUEUE_STORE_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "queue/database.h"
#include "queue/store.h"
#include "queue/store_file.h"
#include "queue/store_schema.h"

/* What is due of one route: STORE_JOB_DUE_THEN, then STORE_JOB_DUE_AFTER. */
struct store_due {
    struct statement *then;
    struct statement *after;
};

/* A store, for its own files, its tests and its benchmark. */
struct store {
    struct store_file file;
    struct database *db;
    struct statement *statements[STORE_STATEMENT_COUNT];
    const char *const *route_names; /* the options' */
    int64_t *routes;                /* their numbers */
    size_t route_count;
    int64_t *strangers; /* numbers of routes that are not in the options */
    size_t stranger_count;
    struct store_due *due; /* for a lane's own route, then strangers */
    int64_t next_seq;
    bool was_closed;       /* in order, when it was opened */
    bool is_taken;         /* see store_take() */
    int64_t damaged_count; /* rows that were passed over */
    struct err page_damage;
    store_damaged_fn on_damaged;
    void *on_damaged_ctx;
};

/* As store_open(), but nothing is made, migrated or marked: for reading. */
MUST_CHECK enum err_code store_open_stopped(struct store **out,
                                            const char *path, struct err *err);
void store_close_unchanged(struct store *s); /* NULL is allowed */

#endif
