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

/* "7bit", "quoted-printable", "base64". */
struct str transfer_name(enum transfer transfer);

/* Writes the text in the encoding that transfer_choose() gave. */
void transfer_text(struct buf *out, struct str text,
                   const struct transfer_facts *facts, enum transfer transfer);

/* Writes bytes as they are, in lines of 76; no CRLF behind the last one. */
void transfer_base64(struct buf *out, struct str bytes);

/* The length of what transfer_base64() writes for len bytes. */
size_t transfer_base64_len(size_t len);

/* One line of base64 into out, which has room for it. Returns its length. */
size_t transfer_base64_raw(char *out, struct str bytes);

#endif
