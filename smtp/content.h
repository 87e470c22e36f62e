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
 * A body on its way to a relay, in slices: of what DATA carries, dots and
 * all, or of what BDAT does, its own bytes. Only the place in the body is
 * kept, no bytes of it.
 */
struct smtp_content {
    const struct body *body; /* borrowed */
    uint64_t offset;         /* bytes of the body that are in a slice */
    struct dotstuff dots;
    bool raw;
    bool lacks_end; /* raw: CRLF is to be added */
    bool done;      /* its last byte is in a slice */
};

/* A slice fits into one TLS record: libcurl then writes all or nothing. */
#define SMTP_CONTENT_SLICE 16384

/* What smtp_content_fill() needs at least. */
#define SMTP_CONTENT_ROOM_MIN 64

void smtp_content_begin(struct smtp_content *c, const struct body *body);

/*
 * For BDAT. A body that does not end in CRLF gets one, as with DATA; the rest
 * is as it is. ERR_SYSTEM when its end cannot be read.
 */
MUST_CHECK enum err_code smtp_content_begin_raw(struct smtp_content *c,
                                                const struct body *body);

/* After smtp_content_begin_raw(): bytes in all. */
uint64_t smtp_content_raw_size(const struct smtp_content *c);

/*
 * Adds as much as there is to come and as fits below SMTP_CONTENT_SLICE, of
 * which SMTP_CONTENT_ROOM_MIN must be left. The final dot is never a slice of
 * its own. scratch: SMTP_CONTENT_SLICE bytes that anyone may use between
 * calls. Blocking: as long as body_read() does; ERR_SYSTEM when it cannot.
 */
MUST_CHECK enum err_code smtp_content_fill(struct smtp_content *c,
                                           struct buf *out, char *scratch);

#endif
