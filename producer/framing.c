#include "producer/framing.h"

#include <stdint.h>

#define LENGTH_BYTES 4

void framing_init(struct framing *f, size_t max_bytes)
{
    *f = (struct framing){.kind = FRAMING_UNDECIDED, .max_bytes = max_bytes};
}

static struct str without_cr(struct str line)
{
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

static enum framing_result next_line(struct framing *f, struct str input,
                                     struct str *frame, size_t *used)
{
    for (;;) {
        struct str rest = str_after(input, *used);
        size_t end =
            f->looked_at + str_find(str_after(rest, f->looked_at), '\n');
        struct str line = without_cr(str_of(rest.data, end));
        if (line.len > f->max_bytes)
            return FRAMING_TOO_LARGE;
        if (end == rest.len) {
            f->looked_at = rest.len;
            return FRAMING_MORE;
        }
        f->looked_at = 0;
        *used += end + 1;
        if (line.len > 0) {
            *frame = line;
            return FRAMING_FRAME;
        }
    }
}

static size_t length_of(const char *data)
{
    const unsigned char *bytes = (const unsigned char *)data;
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 |
           (size_t)bytes[2] << 8 | (size_t)bytes[3];
}

static enum framing_result next_length(const struct framing *f,
                                       struct str input, struct str *frame,
                                       size_t *used)
{
    if (input.len < LENGTH_BYTES)
        return FRAMING_MORE;
    size_t len = length_of(input.data);
    if (len > f->max_bytes)
        return FRAMING_TOO_LARGE;
    if (len == 0)
        return FRAMING_EMPTY;
    if (input.len - LENGTH_BYTES < len)
        return FRAMING_MORE;
    *frame = str_of(input.data + LENGTH_BYTES, len);
    *used = LENGTH_BYTES + len;
    return FRAMING_FRAME;
}

enum framing_result framing_next(struct framing *f, struct str input,
                                 struct str *frame, size_t *used)
{
    *used = 0;
    if (f->kind == FRAMING_UNDECIDED) {
        if (input.len == 0)
            return FRAMING_MORE;
        f->kind = input.data[0] == '{' ? FRAMING_NEWLINE : FRAMING_LENGTH;
    }
    if (f->kind == FRAMING_NEWLINE)
        return next_line(f, input, frame, used);
    return next_length(f, input, frame, used);
}

void framing_begin(const struct framing *f, struct buf *out)
{
    if (f->kind == FRAMING_LENGTH)
        buf_add(out, "\0\0\0\0", LENGTH_BYTES);
}

void framing_end(const struct framing *f, struct buf *out, size_t json_at)
{
    if (f->kind != FRAMING_LENGTH) {
        buf_add_char(out, '\n');
        return;
    }
    size_t len = out->len - json_at;
    char *at = out->data + json_at - LENGTH_BYTES;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        at[i] = (char)(len >> (24 - 8 * i) & 0xff);
}
