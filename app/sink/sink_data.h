#ifndef APP_SINK_SINK_DATA_H
#define APP_SINK_SINK_DATA_H

#include "core/str.h"

/*
 * The content that follows DATA, RFC 5321 sections 4.1.1.4 and 4.5.2: ends at
 * CRLF "." CRLF (or "." CRLF when it is empty), and a dot that begins a line
 * is taken off. Only CRLF ends a line: a bare CR or LF is content, so no
 * message can hide in another.
 *
 * Works on whatever pieces the bytes come in. Pure; nothing to free.
 */
enum sink_data_state {
    SINK_DATA_STATE_LINE,   /* at the start of a line */
    SINK_DATA_STATE_TEXT,   /* in a line */
    SINK_DATA_STATE_CR,     /* behind a CR in a line */
    SINK_DATA_STATE_DOT,    /* behind a dot that began a line */
    SINK_DATA_STATE_DOT_CR, /* behind such a dot and a CR */
};

struct sink_data {
    enum sink_data_state state;
};

enum sink_data_step {
    SINK_DATA_MORE,  /* all of *in is used up */
    SINK_DATA_PIECE, /* *piece is content, in order */
    SINK_DATA_END,   /* the final dot; *in is what follows */
};

/* Before each message. */
void sink_data_start(struct sink_data *d);

/*
 * The next step of reading *in, which moves on. *piece is a view of the
 * bytes of *in or of a constant.
 */
enum sink_data_step sink_data_next(struct sink_data *d, struct str *in,
                                   struct str *piece);

#endif
