#ifndef MESSAGE_ATTACHMENT_H
#define MESSAGE_ATTACHMENT_H

#include "core/buf.h"
#include "message/draft.h"
#include "message/problem.h"

/*
 * Attachments and inline parts (RFC 2183, 2392), always base64.
 *
 * Threads: pure, any.
 */
#define ATTACHMENT_MAX            500  /* in a draft */
#define ATTACHMENT_FILENAME_MAX   1024 /* bytes */
#define ATTACHMENT_CONTENT_ID_MAX 200  /* bytes */

/*
 * Checks all of the draft's: file names without control characters and path
 * separators, media types, content ids (atoms with dots and "@", each once).
 */
MUST_CHECK enum problem_kind attachment_check(const struct draft *draft,
                                              struct problem *problem);

/*
 * Writes header fields, the blank line and the content of a checked one;
 * nothing behind the content's last line.
 */
void attachment_write(struct buf *out, const struct draft_attachment *a);

#endif
