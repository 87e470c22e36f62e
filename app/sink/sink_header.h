#ifndef APP_SINK_SINK_HEADER_H
#define APP_SINK_SINK_HEADER_H

#include <stddef.h>

#include "core/str.h"

/*
 * Finds the Message-ID of a message whose bytes come in pieces: the first such
 * header's value, without blanks and line breaks around it, cut to
 * SINK_HEADER_ID_MAX bytes. Pure; nothing to free.
 */
#define SINK_HEADER_ID_MAX 512

enum sink_header_state {
    SINK_HEADER_STATE_NAME,  /* in the name of a header */
    SINK_HEADER_STATE_SKIP,  /* in a line of no interest */
    SINK_HEADER_STATE_VALUE, /* in Message-ID's value */
    SINK_HEADER_STATE_FOLD,  /* behind a line of it */
    SINK_HEADER_STATE_DONE,
};

struct sink_header {
    enum sink_header_state state;
    size_t matched; /* bytes of "message-id:" */
    size_t id_len;
    char id[SINK_HEADER_ID_MAX];
};

/* Before each message. */
void sink_header_start(struct sink_header *h);

void sink_header_feed(struct sink_header *h, struct str piece);

/* The value so far; empty when there is none. A view of h. */
struct str sink_header_id(const struct sink_header *h);

#endif
