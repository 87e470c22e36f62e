#ifndef MESSAGE_SPILL_H
#define MESSAGE_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "core/body.h"
#include "core/buf.h"
#include "core/err.h"

/*
 * Bytes written one after another that become a body: in memory up to
 * SPILL_MEMORY_BYTES, from then on in a file without a name in $TMPDIR, or
 * /var/tmp, on which the memory it takes does not depend.
 *
 * Add to `bytes`, at most SPILL_STEP_BYTES at a time, and call spill_step()
 * in between.
 *
 * Blocking: as long as the disk takes. Threads: none.
 */
#define SPILL_MEMORY_BYTES ((size_t)1 << 20)
#define SPILL_STEP_BYTES   ((size_t)1 << 17)

struct spill {
    struct buf bytes;
    int fd;           /* -1: no file yet */
    uint64_t written; /* bytes in the file */
};

void spill_init(struct spill *s);

/* Drops what there is. */
void spill_fini(struct spill *s);

/* Moves bytes to the file when it is time. ERR_SYSTEM, with err. */
MUST_CHECK enum err_code spill_step(struct spill *s, struct err *err);

/*
 * *out: all that was written, one reference for the caller; s is empty then.
 * ERR_SYSTEM, with err, *out untouched.
 */
MUST_CHECK enum err_code spill_finish(struct spill *s, struct body **out,
                                      struct err *err);

#endif
