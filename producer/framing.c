#include "producer/framing.h"

#include <stdbool.h>
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

/* The length that begins with these bytes and goes on with others like fill. */
static size_t length_of(struct str bytes, unsigned char fill)
{
    size_t len = 0;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        len = len << 8 | (i < bytes.len ? (unsigned char)bytes.data[i] : fill);
    return len;
}

static enum framing_result next_length(const struct framing *f,
                                       struct str input, struct str *frame,
                                       size_t *used)
{
    if (input.len < LENGTH_BYTES)
        return FRAMING_MORE;
    size_t len = length_of(input, 0);
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

static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.data[i] < ' ' || s.data[i] > '~') && s.data[i] != '\t' &&
            s.data[i] != '\r' && s.data[i] != '\n')
            return false;
    return true;
}

/* What the first bytes are, if that is certain: FRAMING_MORE when not. */
static enum framing_result decide(struct framing *f, struct str start)
{
    bool all = start.len == LENGTH_BYTES;
    if (start.data[0] == '{') {
        f->kind = FRAMING_NEWLINE;
        return FRAMING_FRAME;
    }
    if (length_of(start, 0) > f->max_bytes && is_text(start) &&
        (all || start.data[start.len - 1] == '\n')) {
        f->kind = FRAMING_NEWLINE;
        return FRAMING_TEXT;
    }
    if (all || !is_text(start) || length_of(start, 0xff) <= f->max_bytes) {
        f->kind = FRAMING_LENGTH;
        return FRAMING_FRAME;
    }
    return FRAMING_MORE;
}

/* Byte by byte, so that it does not matter in what pieces they come. */
static bool is_wrong_start(struct framing *f, struct str input)
{
    enum framing_result result = FRAMING_MORE;
    for (size_t n = 1; n <= LENGTH_BYTES && n <= input.len; n++) {
        result = decide(f, str_of(input.data, n));
        if (result != FRAMING_MORE)
            break;
    }
    return result == FRAMING_TEXT;
}

enum framing_result framing_next(struct framing *f, struct str input,
                                 struct str *frame, size_t *used)
{
    *used = 0;
    if (f->kind == FRAMING_UNDECIDED && input.len > 0 &&
        is_wrong_start(f, input))
        return FRAMING_TEXT;
    switch (f->kind) {
    case FRAMING_UNDECIDED:
        break;
    case FRAMING_NEWLINE:
        return next_line(f, input, frame, used);
    case FRAMING_LENGTH:
        return next_length(f, input, frame, used);
    }
    return FRAMING_MORE;
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
