#ifndef MESSAGE_DRAFT_H
#define MESSAGE_DRAFT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"

/*
 * A mail as a client describes it (DESIGN section 4), before anything was
 * checked but that all text is UTF-8. Everything is a view: the bytes belong
 * to whoever filled the draft and must outlive it. A list of mailboxes keeps
 * the strings as the client wrote them, one element a string of the request;
 * each may hold several mailboxes with commas.
 */
struct draft_list {
    const struct str *items;
    size_t count;
    bool is_array; /* the client wrote an array: errors say "to[1]" */
};

struct draft_header {
    struct str name;
    struct str value;
};

struct draft_attachment {
    struct str filename;
    struct str content;      /* decoded bytes */
    struct str content_type; /* absent: application/octet-stream */
    struct str content_id;   /* without <>; present: inline */
    bool has_content_id;
};

struct draft {
    struct str from;
    struct draft_list to;
    struct draft_list cc;
    struct draft_list bcc;
    struct draft_list reply_to;
    struct str subject;
    struct str text;
    struct str html;
    bool has_from;
    bool has_subject;
    bool has_text;
    bool has_html;
    const struct draft_header *headers;
    size_t header_count;
    const struct draft_attachment *attachments;
    size_t attachment_count;
};

#define DRAFT_DIGEST_LEN 32

/*
 * SHA-256 over every field of the draft, unambiguous in order and lengths:
 * two drafts with one digest are the same mail. For idempotency keys.
 */
void draft_digest(const struct draft *d,
                  unsigned char digest[DRAFT_DIGEST_LEN]);

#endif
