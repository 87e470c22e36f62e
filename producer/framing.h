#ifndef PRODUCER_FRAMING_H
#define PRODUCER_FRAMING_H

#include <stddef.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * Where one request ends and the next begins in the bytes of a stream
 * (docs/protocol.md, "Frames"). Pure: no sockets, no memory.
 *
 * The first byte of the connection decides: "{" is newline framing, anything
 * else is a length of 4 bytes, most significant first, before each frame. But
 * if that first length is over the limit and all of it is text, somebody
 * speaks another protocol, or sends blanks first, and is answered in lines.
 */
enum framing_kind {
    FRAMING_UNDECIDED,
    FRAMING_NEWLINE,
    FRAMING_LENGTH,
};

enum framing_result {
    FRAMING_FRAME,     /* *frame is whole */
    FRAMING_MORE,      /* more bytes are needed */
    FRAMING_TOO_LARGE, /* over the limit: the stream cannot be read further */
    FRAMING_EMPTY,     /* a length of zero: likewise */
    FRAMING_TEXT,      /* neither "{" nor a length came first: likewise */
};

struct framing {
    enum framing_kind kind;
    size_t max_bytes; /* of a frame, without its LF or length */
    size_t looked_at; /* bytes known to hold no LF */
};

void framing_init(struct framing *f, size_t max_bytes);

/*
 * Looks at input, which begins where the last frame ended; the same bytes may
 * be given again with more behind them. *used is what to take off the front
 * (on FRAMING_MORE: empty lines). *frame is a view of input, without CR LF.
 */
enum framing_result framing_next(struct framing *f, struct str input,
                                 struct str *frame, size_t *used);

/*
 * A reply in the same framing: begin, add its JSON, which starts at json_at,
 * and end. FRAMING_UNDECIDED answers with lines.
 */
void framing_begin(const struct framing *f, struct buf *out);
void framing_end(const struct framing *f, struct buf *out, size_t json_at);

#endif
