#ifndef CORE_BODY_H
#define CORE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/*
 * The finished bytes of a message, CRLF everywhere, read at an offset: in
 * memory, later in a file or another process. Counted references; immutable
 * after creation.
 *
 * Threads: any, also at the same time.
 */
struct body;

/* Takes data (from mem_alloc() or buf_take()); one reference for the caller. */
struct body *body_from_memory(char *data, size_t size_bytes);

/*
 * Takes fd, which must allow pread(2) of size_bytes; closed with the last
 * reference.
 */
struct body *body_from_file(int fd, uint64_t size_bytes);

struct body *body_ref(struct body *body);
void body_unref(struct body *body); /* NULL is allowed */

uint64_t body_size(const struct body *body);

/*
 * Copies up to len bytes from offset; *got is less than len only at the end.
 * Blocking: as long as the disk takes. ERR_SYSTEM when it cannot be read.
 */
MUST_CHECK enum err_code body_read(const struct body *body, uint64_t offset,
                                   void *out, size_t len, size_t *got);

/*
 * Whether any byte is over 0x7f. The first call reads all of it, those after
 * it remember the answer. Blocking and errors: as body_read().
 */
MUST_CHECK enum err_code body_is_8bit(struct body *body, bool *is_8bit);

#endif
