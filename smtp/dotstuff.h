#ifndef SMTP_DOTSTUFF_H
#define SMTP_DOTSTUFF_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * A message as DATA carries it, RFC 5321 section 4.5.2: lines end in CRLF, a
 * bare CR or LF becomes CRLF first (so that "LF . LF" cannot end the message
 * for one server and not for the next), a line's leading dot is doubled, and
 * ".CRLF" ends it. Pure; the bytes may come cut anywhere.
 */
struct dotstuff {
    bool line_start;
    bool after_cr; /* a CR was read and is not written yet */
};

#define DOTSTUFF_END_MAX 5 /* bytes that dotstuff_end() adds at most */

void dotstuff_init(struct dotstuff *d);

/*
 * Moves bytes from *input to out until input is empty or fewer than 4 bytes
 * are left below limit; out->len never passes limit.
 */
void dotstuff_add(struct dotstuff *d, struct str *input, struct buf *out,
                  size_t limit);

/* The last CRLF if it is missing, and the dot. */
void dotstuff_end(struct dotstuff *d, struct buf *out);

#endif
