#ifndef TESTS_UNIT_QUEUE_STORES_H
#define TESTS_UNIT_QUEUE_STORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "queue/progress.h"
#include "queue/store.h"
#include "tests/support/scratch.h"

/*
 * What the tests of the store share: a spool file in a folder of its own, jobs
 * with records that codec.h reads back, and rows that were visited. A call
 * that fails fails the test.
 */
#define STORED_MS 1700000000000

struct stored {
    struct scratch scratch;
    char path[256];
    struct store *store; /* NULL: closed */
    struct err err;
};

void stored_init(struct stored *s); /* the folder only */
void stored_open(struct stored *s); /* with the routes "default", "other" */
void stored_open_with(struct stored *s, const char *const *routes,
                      size_t count);
void stored_close(struct stored *s); /* the store only */
void stored_fini(struct stored *s);

/* store_open() as the code says; the text is in s->err. */
enum err_code stored_try(struct stored *s);
void stored_refused(struct stored *s, enum err_code code, const char *words);

void stored_begin(struct stored *s);
void stored_commit(struct stored *s);

/* A job, how far it is, and the row that says so. */
struct sample {
    struct job *job;
    struct progress progress;
    struct buf record;
    struct store_row row;
    char *body;
    size_t body_len;
};

/* Queued, due at STORED_MS + due; its body is "body N" and body_bytes long. */
void sample_init(struct sample *m, unsigned n, int64_t due, size_t body_bytes);
void sample_fini(struct sample *m);

/* After a change of progress: the row's columns and record. */
void sample_update(struct sample *m);
void sample_deliver(struct sample *m, int64_t at);
void sample_fail(struct sample *m, int64_t at);

/* In a transaction. */
void sample_insert(struct sample *m, struct stored *s);

/* A transaction with one job that is insert'd and let go of. */
struct id stored_add(struct stored *s, unsigned n, int64_t due,
                     size_t body_bytes);

/* Numbers as they must be for count waiting samples and nothing else. */
void stored_put_numbers(struct stored *s, int64_t waiting, int64_t delivered);

/* What visits found. */
struct visited {
    size_t count;
    size_t limit; /* 0: all */
    int64_t seqs[64];
    struct store_row last; /* record is gone */
    char last_record[1024];
    char last_body[64]; /* its start */
    size_t last_body_len;
};

bool visited_add(void *ctx, const struct store_row *row, struct str body);
void visited_check(const struct visited *v, size_t count, ...);

/* Finds the job or fails. */
struct visited stored_find(struct stored *s, const struct id *id);
bool stored_has(struct stored *s, const struct id *id);

/* store_verify(): its findings as one text, "" for none. Freed by mem_free. */
char *stored_verify(struct stored *s);
void stored_verify_clean(struct stored *s);

/* SQL on the closed file by SQLite itself, as a stranger would. */
void stored_sql(struct stored *s, const char *text);
int64_t stored_sql_int(struct stored *s, const char *text);

/* "path" and ending; valid until the next call. */
const char *stored_file(struct stored *s, const char *ending);
bool file_is_there(const char *path);
int64_t file_size(const char *path);
void file_copy(const char *from, const char *to);
void file_garble(const char *path, int64_t at, size_t len);

/* Runs fn in a child; its status as waitpid(2) gives it. */
int in_child(void (*fn)(void *ctx), void *ctx);

#endif
