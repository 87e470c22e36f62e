#ifndef QUEUE_BODIES_H
#define QUEUE_BODIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/body.h"
#include "core/err.h"
#include "core/id.h"

/*
 * Bodies of SPOOL_BODY_FILE_MIN bytes and more: one file each, named by the
 * job's id, in one directory of mode 0700.
 *
 * Threads: any, but not for the same id. Blocking: as long as the disk takes.
 */
struct bodies;

/* Of the spool with this path; the caller's, to be freed by mem_free(). */
char *bodies_directory(const char *spool_path);

/*
 * Whether there is a file of ours in the directory, which need not be there.
 * Changes nothing.
 */
MUST_CHECK enum err_code bodies_any(const char *directory, bool *any,
                                    struct err *err);

/* Makes the directory when it is not there, synced with its parent. */
MUST_CHECK enum err_code bodies_open(struct bodies **out, const char *directory,
                                     struct err *err);
void bodies_close(struct bodies *b); /* NULL is allowed */

/*
 * Written under another name, synced, renamed, and the directory synced: when
 * it returns ERR_NONE the file survives a power loss. ERR_FULL when the disk
 * is. Nothing is left behind on failure.
 */
MUST_CHECK enum err_code bodies_write(struct bodies *b, const struct id *id,
                                      const struct body *body, struct err *err);

/*
 * A body that reads from the file, also after it was removed. ERR_NOT_FOUND;
 * ERR_INVALID when it has another size or is no file; ERR_DENIED; ERR_SYSTEM
 * for what may pass.
 */
MUST_CHECK enum err_code bodies_read(struct bodies *b, const struct id *id,
                                     uint64_t size_bytes, struct body **out,
                                     struct err *err);

/* Nothing when it is not there. */
void bodies_remove(struct bodies *b, const struct id *id);

/* part: an interrupted write left it. */
typedef void (*bodies_visit_fn)(void *ctx, const struct id *id, bool part);

/* Files whose names are not ours: they are let be. */
struct bodies_strangers {
    size_t count;
    char example[256]; /* the name of one */
};

/*
 * The files there are, in no order. visit may remove the one it was told.
 * strangers is filled, and may be NULL.
 */
MUST_CHECK enum err_code bodies_each(struct bodies *b, bodies_visit_fn visit,
                                     void *ctx,
                                     struct bodies_strangers *strangers,
                                     struct err *err);

struct bodies_swept {
    size_t removed;
    struct bodies_strangers strangers;
};

/*
 * Removes every file of ours for which known(ctx, id) is false, and what an
 * interrupted write left.
 */
MUST_CHECK enum err_code
bodies_sweep(struct bodies *b, bool (*known)(void *ctx, const struct id *id),
             void *ctx, struct bodies_swept *swept, struct err *err);

#endif
