#ifndef SMTP_CONTENT_H
#define SMTP_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/body.h"
#include "core/buf.h"
#include "core/err.h"
#include "smtp/dotstuff.h"

/*
 * A body on its way to a relay, in slices of what DATA carries. Only the
 * place in the body is kept, no bytes of it.
 */
struct smtp_content {
    const struct body *body; /* borrowed */
    uint64_t offset;         /* bytes of the body that are in a slice */
    struct dotstuff dots;
    bool done; /* the final dot is in a slice */
};

/* A slice fits into one TLS record: libcurl then writes all or nothing. */
#define SMTP_CONTENT_SLICE 16384

void smtp_content_begin(struct smtp_content *c, const struct body *body);

/*
 * Adds the next slice to out, which must be empty and have room for
 * SMTP_CONTENT_SLICE bytes. The final dot is never a slice of its own.
 * scratch: SMTP_CONTENT_SLICE bytes that anyone may use between calls.
 * Blocking: as long as body_read() does; ERR_SYSTEM when it cannot.
 */
MUST_CHECK enum err_code smtp_content_fill(struct smtp_content *c,
                                           struct buf *out, char *scratch);

#endif
