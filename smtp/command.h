#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/str.h"

/* Builds the lines that we send, RFC 5321 section 4.1. Pure. */

#define SMTP_ADDRESS_MAX 512 /* bytes; RFC 5321 section 4.5.3.1 allows 320 */

/*
 * Whether an address can stand in a command: not empty, UTF-8, without
 * controls (so no CR, LF, NUL), and blanks, < and > in a quoted local part
 * only, which must be closed (RFC 5321 section 4.1.2). It says nothing more
 * on syntax.
 */
bool smtp_command_address_ok(struct str address);

/* No command here is longer, with its CRLF. */
#define SMTP_COMMAND_MAX (SMTP_ADDRESS_MAX + 128)

/* A MAIL command; sender must be "" or an address that is ok. */
struct smtp_command_mail {
    struct str sender;
    bool with_size;
    uint64_t size_bytes;
    bool body_8bit; /* BODY=8BITMIME */
    bool utf8;      /* SMTPUTF8 */
};

/* Each adds one line with its CRLF; buf_ok(out) tells whether it fitted. */
void smtp_command_mail(struct buf *out, const struct smtp_command_mail *mail);
void smtp_command_rcpt(struct buf *out, struct str address);
void smtp_command_data(struct buf *out);
void smtp_command_bdat(struct buf *out, uint64_t size_bytes); /* ... LAST */
void smtp_command_rset(struct buf *out);
void smtp_command_quit(struct buf *out);

#endif
