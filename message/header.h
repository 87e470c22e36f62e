#ifndef MESSAGE_HEADER_H
#define MESSAGE_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * Writes one header field and folds it (RFC 5322 section 2.2.3): lines of at
 * most 76 bytes (what RFC 2047 section 2 wants where there are encoded
 * words), unless a single token is longer. Nothing is checked here: callers
 * pass no CR and no LF, and no token over HEADER_TOKEN_MAX.
 *
 * Threads: none.
 */
#define HEADER_FOLD      76
#define HEADER_TOKEN_MAX 900 /* with a name of 77 before it: below 998 */

struct header {
    struct buf *out;
    size_t column; /* bytes in the line so far */
};

/* Writes "Name:". */
void header_begin(struct header *h, struct buf *out, struct str name);

/* A blank, or a fold when token does not fit in the line, then token. */
void header_token(struct header *h, struct str token);

/* The same, and room in the line for a "," or ";" behind it. */
void header_item(struct header *h, struct str token);

/* Text without a blank before it: "," and ";". */
void header_glue(struct header *h, struct str text);

/* Begins another line; the next token puts the blank into it. */
void header_fold(struct header *h);

/*
 * Text with blanks, folded in front of a run of blanks only; unfolding gives
 * the same bytes back. It begins and ends with no blank, and
 * header_can_fold() is true for it.
 */
void header_verbatim(struct header *h, struct str text);

/* Whether every word with the blanks before it is short enough for a line. */
bool header_can_fold(struct str text);

void header_end(struct header *h);

#endif
