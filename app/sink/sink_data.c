#include "app/sink/sink_data.h"

#include <stdbool.h>

void sink_data_start(struct sink_data *d)
{
    d->state = SINK_DATA_STATE_LINE;
}

/* Takes the first len bytes off *in. */
static struct str take(struct str *in, size_t len)
{
    struct str taken = str_of(in->data, len);
    *in = str_of(in->data + len, in->len - len);
    return taken;
}

/*
 * From within a line: whole lines, up to one that begins with a dot or to the
 * end of the bytes. Sets the state behind them.
 */
static struct str take_lines(struct sink_data *d, struct str *in)
{
    const char *end = in->data + in->len;
    const char *from = in->data;
    bool after_cr = d->state == SINK_DATA_STATE_CR;
    for (;;) {
        const char *lf = memchr(from, '\n', (size_t)(end - from));
        if (lf == NULL)
            break;
        if (lf > in->data)
            after_cr = lf[-1] == '\r';
        from = lf + 1;
        if (!after_cr) {
            if (from < end)
                continue;
            break;
        }
        if (from == end || *from == '.') {
            d->state = SINK_DATA_STATE_LINE;
            return take(in, (size_t)(from - in->data));
        }
    }
    d->state = end[-1] == '\r' ? SINK_DATA_STATE_CR : SINK_DATA_STATE_TEXT;
    return take(in, in->len);
}

enum sink_data_step sink_data_next(struct sink_data *d, struct str *in,
                                   struct str *piece)
{
    while (in->len > 0) {
        char c = in->data[0];
        switch (d->state) {
        case SINK_DATA_STATE_LINE:
            d->state = SINK_DATA_STATE_TEXT;
            if (c == '.') {
                d->state = SINK_DATA_STATE_DOT;
                (void)take(in, 1);
            }
            break;
        case SINK_DATA_STATE_DOT:
            d->state = SINK_DATA_STATE_TEXT;
            if (c == '\r') {
                d->state = SINK_DATA_STATE_DOT_CR;
                (void)take(in, 1);
            }
            break;
        case SINK_DATA_STATE_DOT_CR:
            if (c == '\n') {
                (void)take(in, 1);
                return SINK_DATA_END;
            }
            d->state = SINK_DATA_STATE_CR;
            *piece = STR("\r");
            return SINK_DATA_PIECE;
        case SINK_DATA_STATE_TEXT:
        case SINK_DATA_STATE_CR:
        default:
            *piece = take_lines(d, in);
            return SINK_DATA_PIECE;
        }
    }
    return SINK_DATA_MORE;
}
