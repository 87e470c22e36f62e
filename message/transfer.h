#ifndef MESSAGE_TRANSFER_H
#define MESSAGE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * Content-Transfer-Encodings (RFC 2045 section 6). Line ends of text are LF,
 * CRLF or CR, in any mixture, and go out as CRLF; all written lines are at
 * most 998 bytes long, encoded ones 76. Nothing is added behind the last
 * line: a text's last line end is written if it has one.
 *
 * Threads: pure, any.
 */
enum transfer {
    TRANSFER_7BIT,
    TRANSFER_QUOTED_PRINTABLE,
    TRANSFER_BASE64,
};

/* What one pass over a text says about it. */
struct transfer_facts {
    size_t unsafe;      /* bytes over 126 or control characters, save TAB */
    size_t high;        /* those of them over 127 */
    size_t returns;     /* CR, alone or not */
    size_t bare_breaks; /* LF or CR that are not one half of CRLF */
    size_t longest;     /* line, without its end */
};

void transfer_look(struct str text, struct transfer_facts *facts);

/*
 * The encoding for a text: 7bit if it can be, else the shorter one.
 * forbidden: what a 7bit text must not contain (a boundary), or empty. The
 * other encodings never write "=_", so a boundary with that is safe in them.
 */
enum transfer transfer_choose(struct str text,
                              const struct transfer_facts *facts,
                              struct str forbidden);

/*
 * The shorter one of quoted-printable and base64, about, for a text of len
 * bytes with CRLF line ends, of which quoted-printable writes three for each
 * of `escaped`.
 */
enum transfer transfer_shorter(size_t len, size_t escaped);

/* "7bit", "quoted-printable", "base64". */
struct str transfer_name(enum transfer transfer);

/* Writes the text in the encoding that transfer_choose() gave. */
void transfer_text(struct buf *out, struct str text,
                   const struct transfer_facts *facts, enum transfer transfer);

/*
 * Quoted-printable in pieces, a CRLF never cut between two of them: what
 * transfer_text() writes, but a blank at the end of a piece may be encoded
 * where it need not be. No line begins with "-" but where one of the text
 * does, so that no boundary can come about.
 */
#define TRANSFER_QP_LINE 76

struct transfer_qp {
    struct buf *out;
    char line[TRANSFER_QP_LINE + 2];
    size_t len; /* of the line so far */
};

void transfer_qp_begin(struct transfer_qp *w, struct buf *out);
void transfer_qp_add(struct transfer_qp *w, struct str piece);
void transfer_qp_end(struct transfer_qp *w);

/* Writes bytes as they are, in lines of 76; no CRLF behind the last one. */
void transfer_base64(struct buf *out, struct str bytes);

/* The bytes of a whole line of base64. */
#define TRANSFER_BASE64_BYTES 57

/* The length of what transfer_base64() writes for len bytes. */
size_t transfer_base64_len(size_t len);

/* One line of base64 into out, which has room for it. Returns its length. */
size_t transfer_base64_raw(char *out, struct str bytes);

#endif
