#ifndef MESSAGE_MIME_HEAD_H
#define MESSAGE_MIME_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "message/lines.h"
#include "message/mime.h"

/*
 * The header of a message or of a part of one, read line by line: what it
 * says about the content, and where. All other fields are passed over.
 *
 * Threads: none.
 */
#define MIME_FIELD_MAX 8192 /* bytes of a Content-Type that are understood */

enum mime_field {
    MIME_FIELD_OTHER,
    MIME_FIELD_TYPE,
    MIME_FIELD_ENCODING,
    MIME_FIELD_VERSION,
    MIME_FIELD_COUNT,
};

struct mime_head {
    unsigned count[MIME_FIELD_COUNT];
    bool has_field;
    bool is_malformed; /* a line that is no field; one of the fields twice */
    bool has_type;     /* a Content-Type that is understood */
    struct mime_type type;
    enum mime_encoding encoding;
    uint64_t encoding_at; /* the whole field, with its last line end */
    uint64_t encoding_len;

    /* The field that is being read. */
    enum mime_field field;
    uint64_t field_at;
    struct buf value;
    struct buf type_value; /* what type has views of */
};

void mime_head_init(struct mime_head *h);
void mime_head_fini(struct mime_head *h);

/* Forgets all; for the next header. */
void mime_head_begin(struct mime_head *h);

/* One piece of a line, not the empty line behind the last field. */
void mime_head_line(struct mime_head *h, const struct line *line);

/* The header ends at that offset in the body. */
void mime_head_end(struct mime_head *h, uint64_t at);

#endif
