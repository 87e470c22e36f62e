#ifndef APP_SINK_SINK_STORE_H
#define APP_SINK_SINK_STORE_H

#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

/*
 * The maildir of --dir: a message is written to DIR/tmp and moved to DIR/new
 * in one step, so that a reader never sees a part. Nothing is synced: a sink
 * keeps no promises over a power loss.
 *
 * Blocking: as long as the disk takes.
 */
#define SINK_STORE_NAME_MAX 128

struct sink_store {
    int tmp_fd; /* directories; -1: no store */
    int new_fd;
    uint64_t started_ms; /* in each name */
    uint64_t files;
};

/* A message on its way. fd is -1 when there is none. */
struct sink_file {
    int fd;
    struct buf pending; /* at most 64 KiB of it not written yet */
    char name[SINK_STORE_NAME_MAX];
};

/* Makes DIR, DIR/tmp, DIR/new and DIR/cur where missing. dir NULL: no store. */
MUST_CHECK enum err_code sink_store_init(struct sink_store *s, const char *dir,
                                         struct err *err);
void sink_store_fini(struct sink_store *s);

void sink_file_init(struct sink_file *f);
void sink_file_fini(struct sink_file *f);

MUST_CHECK enum err_code sink_file_open(struct sink_file *f,
                                        struct sink_store *s);
MUST_CHECK enum err_code sink_file_add(struct sink_file *f, struct str bytes);

/* Moves it to DIR/new. In both cases f holds no message afterwards. */
MUST_CHECK enum err_code sink_file_commit(struct sink_file *f,
                                          const struct sink_store *s);

/* Removes what was written. Nothing when f holds no message. */
void sink_file_abandon(struct sink_file *f, const struct sink_store *s);

#endif
