#ifndef CORE_BASE64_H
#define CORE_BASE64_H

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

/* RFC 4648 section 4: the standard alphabet, with padding, no line breaks. */
void base64_encode(struct str data, struct buf *out);

/*
 * Strict: ERR_INVALID for any other character (blanks and line breaks too),
 * missing or wrong padding, or bits set that no byte needs. ERR_TOO_LARGE when
 * out's cap is passed. out may hold a part on failure.
 */
MUST_CHECK enum err_code base64_decode(struct str text, struct buf *out);

#endif
