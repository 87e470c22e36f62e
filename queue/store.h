#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/err.h"
#include "core/id.h"
#include "core/str.h"
#include "queue/job.h"
#include "queue/spool.h"

/*
 * The rows of the durable spool in SQLite: what is stored and found, no policy
 * and no threads. WAL, synchronous FULL, one connection with the exclusive
 * lock, so that there is no shared memory file.
 *
 * Threads: one at a time. Blocking: as long as the disk takes.
 * Errors: ERR_FULL when the disk is (SQLITE_FULL, ENOSPC, EDQUOT, EFBIG),
 * ERR_INVALID for damage, ERR_SYSTEM for other I/O errors; err has the words.
 */
struct store;

struct store_options {
    const char *path;
    /* Rows of other routes count as the first's. They live as the store. */
    const char *const *routes;
    size_t route_count;
};

/*
 * Creates, migrates, or opens; see spool_create_sqlite() for refusals. A spool
 * that was there is opened also when the disk takes no commit: see
 * store_take().
 */
MUST_CHECK enum err_code store_open(struct store **out,
                                    const struct store_options *options,
                                    struct err *err);

/*
 * Writes into the file itself that it is in use, so that the loss of its log
 * will be found out, and the options' routes. store_open() has tried it, and
 * store_begin() does it first: until it has succeeded once nothing can be
 * changed. In no transaction.
 */
MUST_CHECK enum err_code store_take(struct store *s, struct err *err);

/* There was none, or nothing in it. */
bool store_is_new(const struct store *s);

/* Checkpoints and marks the spool as closed in order. NULL is allowed. */
void store_close(struct store *s);

/* ---- transactions ---- */

MUST_CHECK enum err_code store_begin(struct store *s, struct err *err);

/* Durable when it returns ERR_NONE; else rolled back. */
MUST_CHECK enum err_code store_commit(struct store *s, struct err *err);
void store_rollback(struct store *s);

/* database_...() of these names. In no transaction. */
int64_t store_unused_bytes(struct store *s);
int64_t store_uncopied_bytes(const struct store *s);
void store_keep_log_short(struct store *s, bool is_short);

/* ---- jobs ---- */

/* What the indexes need, and the packed rest. */
struct store_row {
    int64_t seq; /* order of acceptance; set by store_insert() */
    struct id id;
    enum job_state state;
    struct spool_lane lane;
    int64_t due_ms;     /* SPOOL_NEVER unless it waits */
    int64_t limit_ms;   /* SPOOL_NEVER unless it waits */
    int64_t settled_ms; /* 0 unless settled */
    int64_t cost_bytes;
    bool marked;
    struct str record; /* codec.h; a view */
    uint64_t body_bytes;
    bool has_body;
    bool body_in_file;
};

/*
 * body: the bytes for the row; empty when it is in a file or there is none.
 * ERR_EXISTS when there is such an id: nothing else is harmed. After any other
 * failure of a change the transaction cannot be committed any more.
 */
MUST_CHECK enum err_code store_insert(struct store *s, struct store_row *row,
                                      struct str body, struct err *err);

/*
 * Everything of the row but seq, id, lane and body: a job's lane never
 * changes. The body goes if !has_body.
 */
MUST_CHECK enum err_code
store_update(struct store *s, const struct store_row *row, struct err *err);
MUST_CHECK enum err_code store_delete(struct store *s, int64_t seq,
                                      struct err *err);

/* Of a settled row: nothing else of it changes. A file is the caller's. */
MUST_CHECK enum err_code store_drop_body(struct store *s, int64_t seq,
                                         struct err *err);

/*
 * Called for each row found; views are valid during the call. False: stop. It
 * must not change rows, nor look for others in the same way.
 */
typedef bool (*store_visit_fn)(void *ctx, const struct store_row *row,
                               struct str body);

/*
 * Told of each row that cannot be what was written: it is passed over, as often
 * as somebody looks where it is. id is what its column has, whatever that is.
 */
typedef void (*store_damaged_fn)(void *ctx, int64_t seq, struct str id);
void store_on_damaged(struct store *s, store_damaged_fn fn, void *ctx);

/*
 * ERR_NOT_FOUND; ERR_INVALID also when the row is damaged. The body is not read
 * (visit gets an empty one).
 */
MUST_CHECK enum err_code store_find(struct store *s, const struct id *id,
                                    store_visit_fn visit, void *ctx,
                                    struct err *err);

/* A place in a lane: rows are in the order of due_ms, then seq. */
struct store_cursor {
    int64_t due_ms;
    int64_t seq;
};

/*
 * Rows of the lane behind the cursor (NULL: all), with their bodies if in the
 * row. One on a damaged page is passed over as a damaged one, without its id,
 * if the index still says where it is.
 */
MUST_CHECK enum err_code store_due(struct store *s, struct spool_lane lane,
                                   const struct store_cursor *after,
                                   int64_t until_ms, store_visit_fn visit,
                                   void *ctx, struct err *err);

/* What was wrong with the first such page; ERR_NONE: there was none. */
const struct err *store_page_damage(const struct store *s);

/* due_ms of the first row of the lane behind the cursor, or SPOOL_NEVER. */
MUST_CHECK enum err_code store_next_due(struct store *s, struct spool_lane lane,
                                        const struct store_cursor *after,
                                        int64_t *due_ms, struct err *err);

/* Waiting rows with limit_ms <= until_ms, earliest first. No bodies. */
MUST_CHECK enum err_code store_over(struct store *s, int64_t until_ms,
                                    store_visit_fn visit, void *ctx,
                                    struct err *err);
MUST_CHECK enum err_code store_next_limit(struct store *s, int64_t *limit_ms,
                                          struct err *err);

/* Marked rows (after a crash), any order. No bodies. */
MUST_CHECK enum err_code store_marked(struct store *s, store_visit_fn visit,
                                      void *ctx, struct err *err);

/* Settled rows, the first settled first: failed and expired, or the others. */
MUST_CHECK enum err_code store_settled(struct store *s, bool failed,
                                       int64_t until_ms, store_visit_fn visit,
                                       void *ctx, struct err *err);

/* Failed and expired rows that have a body, the first settled first. */
MUST_CHECK enum err_code store_kept(struct store *s, store_visit_fn visit,
                                    void *ctx, struct err *err);

/* All rows behind seq (0: from the first) in order. No bodies. */
MUST_CHECK enum err_code store_each(struct store *s, int64_t seq,
                                    store_visit_fn visit, void *ctx,
                                    struct err *err);

/* ---- idempotency keys ---- */

struct store_key {
    const char *client;
    const char *key;
    struct id id;
    unsigned char digest[JOB_DIGEST_LEN];
    int64_t at_ms;
    enum job_state state; /* settled: the job's last, its row is not there */
};

/* ERR_NOT_FOUND. Fills id, digest, at_ms and state. */
MUST_CHECK enum err_code store_key_find(struct store *s, struct store_key *key,
                                        struct err *err);
MUST_CHECK enum err_code
store_key_put(struct store *s, const struct store_key *key, struct err *err);

MUST_CHECK enum err_code
store_key_delete(struct store *s, const struct store_key *key, struct err *err);

/*
 * Looks at up to limit keys older than before_ms, the oldest first, and
 * removes them; *removed says how many. Those of jobs that are not settled
 * stay, and are looked at again an hour later.
 */
MUST_CHECK enum err_code store_keys_forget(struct store *s, int64_t before_ms,
                                           size_t limit, size_t *removed,
                                           struct err *err);

/* ---- numbers ---- */

/* Kept in the same transactions as the rows. active is always 0 here. */
MUST_CHECK enum err_code store_numbers_get(struct store *s,
                                           struct spool_stats *numbers,
                                           struct err *err);
MUST_CHECK enum err_code store_numbers_put(struct store *s,
                                           const struct spool_stats *numbers,
                                           struct err *err);

/* spool_verify_sqlite(). */
MUST_CHECK enum err_code store_verify(const char *path, FILE *out,
                                      struct err *err);

#endif
