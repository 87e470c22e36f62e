#ifndef MESSAGE_COMPOSE_H
#define MESSAGE_COMPOSE_H

#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "message/draft.h"
#include "message/envelope.h"
#include "message/problem.h"

/*
 * From a draft to what is sent: the envelope (RFC 5321) and the message
 * (RFC 5322, MIME RFC 2045-2049, 2047, 2183, 2231, 2387).
 *
 * The message has CRLF line ends only, no line over 998 bytes (aim: 76 where
 * it can be folded or encoded), no Bcc, 7-bit bytes only, and begins with
 * Date, From, To, ...; it ends with CRLF. Structure:
 *   body    = text | page | alternative(text, page)
 *   page    = html | related(html, inline...)
 *   message = body | mixed(body, attachments...) | mixed(attachments...)
 * Inline parts without html stand among the attachments. Without to and cc
 * there is "To: undisclosed-recipients:;". An empty subject is left out.
 *
 * Text is UTF-8 and goes out as 7bit if it can, else as quoted-printable or
 * base64, whichever is shorter; a text that is the whole message gets a line
 * end if it has none. Attachments are base64.
 *
 * At least one of text, html and an attachment must be there. Other limits:
 * message/extra.h, message/attachment.h, message/media.h.
 *
 * Threads: pure, any.
 */
struct compose_options {
    int64_t date_ms;      /* real time of the Date header */
    const char *id;       /* unique word for Message-ID and boundaries:
                             1 to 60 letters, digits, "-" and "." */
    const char *hostname; /* right side of Message-ID: a dot-atom of at most
                             255 bytes */
    size_t max_recipients;
};

/*
 * Checks the draft wholly, then fills *envelope (init'd by the caller; owns
 * its strings) and adds the message to out. out's cap is the limit of the
 * message's size: PROBLEM_TOO_LARGE when it is passed.
 *
 * Recipients are those of to, cc and bcc in that order, each address once:
 * domains compare without case, local parts exactly.
 *
 * Bytes that out holds already stay and do count to its cap.
 *
 * Returns PROBLEM_NONE, or the kind of the first problem with *problem set;
 * envelope and out then hold nothing useful. Problems are looked for in the
 * order from, to, cc, bcc, reply_to, subject, headers, text, attachments.
 */
MUST_CHECK enum problem_kind compose(const struct draft *draft,
                                     const struct compose_options *options,
                                     struct envelope *envelope, struct buf *out,
                                     struct problem *problem);

#endif
