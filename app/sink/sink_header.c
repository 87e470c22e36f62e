#include "app/sink/sink_header.h"

static const char wanted[] = "message-id:";

void sink_header_start(struct sink_header *h)
{
    h->state = SINK_HEADER_STATE_NAME;
    h->matched = 0;
    h->id_len = 0;
}

struct str sink_header_id(const struct sink_header *h)
{
    return str_trim(str_of(h->id, h->id_len));
}

/* One byte of a name; an empty line ends the headers. */
static void in_name(struct sink_header *h, char c)
{
    if (h->matched == 0 && (c == '\r' || c == '\n')) {
        h->state = SINK_HEADER_STATE_DONE;
        return;
    }
    if (ascii_lower(c) != wanted[h->matched]) {
        h->state = SINK_HEADER_STATE_SKIP;
        h->matched = 0;
        if (c == '\n')
            h->state = SINK_HEADER_STATE_NAME;
        return;
    }
    if (wanted[++h->matched] == '\0')
        h->state = SINK_HEADER_STATE_VALUE;
}

static void in_value(struct sink_header *h, char c)
{
    if (c == '\n') {
        h->state = SINK_HEADER_STATE_FOLD;
        return;
    }
    if (c == '\r' || h->id_len == sizeof(h->id))
        return;
    h->id[h->id_len++] = c;
}

void sink_header_feed(struct sink_header *h, struct str piece)
{
    const char *p = piece.data;
    const char *end = piece.data + piece.len;
    while (p < end && h->state != SINK_HEADER_STATE_DONE) {
        switch (h->state) {
        case SINK_HEADER_STATE_NAME:
            in_name(h, *p++);
            break;
        case SINK_HEADER_STATE_SKIP:
            p = memchr(p, '\n', (size_t)(end - p));
            if (p == NULL)
                return;
            p++;
            h->state = SINK_HEADER_STATE_NAME;
            break;
        case SINK_HEADER_STATE_VALUE:
            in_value(h, *p++);
            break;
        case SINK_HEADER_STATE_FOLD:
            h->state = *p == ' ' || *p == '\t' ? SINK_HEADER_STATE_VALUE
                                               : SINK_HEADER_STATE_DONE;
            break;
        case SINK_HEADER_STATE_DONE:
        default:
            return;
        }
    }
}
