#ifndef MESSAGE_LINES_H
#define MESSAGE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/body.h"
#include "core/err.h"
#include "core/str.h"

/*
 * The lines of a body one after another, with little memory however long they
 * are: a line that does not fit into a slice comes in several pieces. Lines
 * end with LF, mostly behind a CR; a CR alone ends none. The CR and LF of a
 * line end are never in two pieces.
 *
 * Threads: none.
 */
#define LINES_SLICE 16384 /* bytes */

struct lines {
    const struct body *body; /* borrowed */
    uint64_t offset;         /* of the slice's end in the body */
    size_t at;               /* what of the slice was given out */
    size_t len;
    bool is_inside; /* of a line whose beginning was given out */
    char slice[LINES_SLICE];
};

struct line {
    struct str bytes; /* with the line end; valid until the next call */
    uint64_t at;      /* where it is in the body */
    bool starts;      /* the line begins here */
    bool ends;        /* the line ends here, be it only by the body's end */
    size_t end_len;   /* of its CRLF or LF; 0: it has none here */
};

void lines_begin(struct lines *l, const struct body *body);

/*
 * The next piece; bytes is empty behind the last one. Blocking: as
 * body_read(). ERR_SYSTEM, with err, when the body cannot be read.
 */
MUST_CHECK enum err_code lines_next(struct lines *l, struct line *out,
                                    struct err *err);

#endif
