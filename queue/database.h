#ifndef QUEUE_DATABASE_H
#define QUEUE_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/str.h"

/*
 * SQLite, as the store uses it: one connection with the exclusive lock, a
 * write-ahead log, commits that are on the disk when they return. The only
 * file that sees SQLite is database.c. Inside of the store only.
 *
 * Threads: one at a time. Blocking: as long as the disk takes. Errors: see
 * store.h; ERR_EXISTS for a row that breaks a UNIQUE.
 */
struct database;
struct statement;

/*
 * path: no symbolic links, a file that is there. keep_log: closing leaves the
 * log as it is, until database_keep_log() says otherwise.
 */
MUST_CHECK enum err_code database_open(struct database **out, const char *path,
                                       bool keep_log, struct err *err);

/* All its statements must be finished. NULL is allowed. */
void database_close(struct database *db);
void database_keep_log(struct database *db, bool keep);

/* After the layout is known to be ours: the log is used from here on. */
MUST_CHECK enum err_code database_use_log(struct database *db, struct err *err);

/* For measuring only: commits do not wait for the disk any more. */
void database_make_unsafe(struct database *db);

/* The words for a file that cannot be what we wrote. ERR_INVALID. */
enum err_code database_damaged(const struct database *db, const char *what,
                               struct err *err);

/* ---- transactions ---- */

/* No transaction is open. A failure leaves none. */
MUST_CHECK enum err_code database_begin(struct database *db, struct err *err);

/*
 * On the disk, or rolled back. After a statement failed with anything but
 * ERR_EXISTS, all others and the commit fail with the same.
 */
MUST_CHECK enum err_code database_commit(struct database *db, struct err *err);
void database_rollback(struct database *db);

/*
 * What the database may grow by when the log is copied into it. 0 once that is
 * done: the log is then written again from its start.
 */
int64_t database_uncopied_bytes(const struct database *db);

/* Pages of the database that are not used. In no transaction. */
int64_t database_unused_bytes(struct database *db);

/*
 * For a disk that has little room: the log is copied now, and soon after each
 * commit, so that what is written next goes where there is a file already.
 */
void database_keep_log_short(struct database *db, bool is_short);

/* Copies all of the log into the database. */
MUST_CHECK enum err_code database_checkpoint(struct database *db,
                                             struct err *err);

/* ---- statements ---- */

/* Any number of statements, their rows ignored. */
MUST_CHECK enum err_code database_execute(struct database *db, const char *text,
                                          struct err *err);

/* The first column of the first row as a number; none: no row. */
MUST_CHECK enum err_code database_ask(struct database *db, const char *text,
                                      int64_t none, int64_t *out,
                                      struct err *err);

MUST_CHECK enum err_code database_prepare(struct database *db, const char *text,
                                          struct statement **out,
                                          struct err *err);
void statement_finish(struct statement *st); /* NULL is allowed */

/* Parameters from 1 on. Bytes must live until statement_reset(). */
void statement_bind_int(struct statement *st, int at, int64_t value);
void statement_bind_null(struct statement *st, int at);
void statement_bind_text(struct statement *st, int at, const char *text);
void statement_bind_bytes(struct statement *st, int at, struct str bytes);

/* *row: there is one. After the last, and after an error, reset. */
MUST_CHECK enum err_code database_step(struct database *db,
                                       struct statement *st, bool *row,
                                       struct err *err);
void statement_reset(struct statement *st);

/* Bind, then this: one step and a reset. */
MUST_CHECK enum err_code database_run(struct database *db, struct statement *st,
                                      struct err *err);

/* Columns from 0 on, of the row of the last step; views until the next. */
bool statement_is_null(struct statement *st, int column);
int64_t statement_int(struct statement *st, int column);
struct str statement_bytes(struct statement *st, int column);

#endif
