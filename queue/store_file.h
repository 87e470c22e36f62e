#ifndef QUEUE_STORE_FILE_H
#define QUEUE_STORE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/*
 * The files of a durable spool as files, before SQLite looks at them: who may
 * read them, who has them open, whether the write-ahead log is there. Inside
 * of the store only.
 *
 * Threads: one at a time. Blocking: as long as the disk takes.
 */
enum store_log {
    STORE_LOG_MISSING, /* not there, or empty */
    STORE_LOG_BROKEN,  /* its header cannot be what SQLite wrote */
    STORE_LOG_GOOD,
};

struct store_file {
    int fd;         /* holds the lock; closed last, see store_file_close() */
    char *path;     /* without symbolic links */
    char *log_path; /* path and "-wal" */
    bool is_new;    /* there is nothing in it yet */
    bool made;      /* by store_file_open() */
    enum store_log log;
};

/*
 * Makes an empty file of mode 0600, or checks the one that is there, and locks
 * it against other processes before anything is touched. create: false when
 * there must be one. Refusals: see spool_create_sqlite().
 */
MUST_CHECK enum err_code store_file_open(struct store_file *file,
                                         const char *path, bool create,
                                         struct err *err);

/* The file goes if it was made and there is still nothing in it. */
void store_file_unmake(struct store_file *file);

/*
 * Only after SQLite has closed the file: closing any descriptor of a file
 * drops all of the process's POSIX locks on it.
 */
void store_file_close(struct store_file *file);

/*
 * Writes the log's own bytes over it and syncs. After a sync that failed, or
 * a process that ended before it, the kernel's cache may show what is not on
 * the disk and will never be: SQLite would believe it and build on it.
 */
MUST_CHECK enum err_code store_file_settle_log(const struct store_file *file,
                                               struct err *err);

MUST_CHECK enum err_code store_file_size(const struct store_file *file,
                                         int64_t *size_bytes, struct err *err);

/*
 * Whether the log may have each page from first to last: for a file that ends
 * before them. Of a commit that was torn it counts what is there of it.
 */
MUST_CHECK enum err_code store_file_log_has(const struct store_file *file,
                                            int64_t page_bytes, int64_t first,
                                            int64_t last, bool *has,
                                            struct err *err);

/* Syncs the directory that path is in. */
MUST_CHECK enum err_code store_file_sync_parent(const char *path,
                                                struct err *err);

/* The disk, the quota or the file-size limit is full. */
bool store_file_is_full(int errno_value);

#endif
