#include "smtp/content.h"

#include <string.h>

#include "core/panic.h"
#include "core/str.h"

static const char line_end[2] = {'\r', '\n'};

void smtp_content_begin(struct smtp_content *c, const struct body *body)
{
    *c = (struct smtp_content){.body = body};
    dotstuff_init(&c->dots);
}

enum err_code smtp_content_begin_raw(struct smtp_content *c,
                                     const struct body *body)
{
    uint64_t size = body_size(body);
    uint64_t tail = size < sizeof(line_end) ? size : sizeof(line_end);
    char last[sizeof(line_end)] = {0};
    size_t got = 0;
    enum err_code rc = body_read(body, size - tail, last, (size_t)tail, &got);
    smtp_content_begin(c, body);
    c->raw = true;
    c->lacks_end = size > 0 && memcmp(last, line_end, sizeof(line_end)) != 0;
    return rc == ERR_NONE && got == tail ? ERR_NONE : ERR_SYSTEM;
}

uint64_t smtp_content_raw_size(const struct smtp_content *c)
{
    return body_size(c->body) + (c->lacks_end ? sizeof(line_end) : 0);
}

/*
 * Room for the end is kept free in every slice. A body a little over one
 * slice goes in two halves rather than in a whole one and a crumb.
 */
static size_t want_of(const struct smtp_content *c, size_t room)
{
    uint64_t left = body_size(c->body) - c->offset;
    if (left <= room)
        return (size_t)left;
    if (left / 2 < room)
        return (size_t)(left / 2 + 1);
    return room;
}

static enum err_code fill_raw(struct smtp_content *c, struct buf *out)
{
    size_t room = SMTP_CONTENT_SLICE - sizeof(line_end) - out->len;
    size_t want = want_of(c, room);
    size_t got = 0;
    char *to = buf_reserve(out, room);
    PANIC_IF(to == NULL);
    enum err_code rc = body_read(c->body, c->offset, to, want, &got);
    if (rc != ERR_NONE || got < want)
        return ERR_SYSTEM;
    out->len += got;
    c->offset += got;
    c->done = c->offset == body_size(c->body);
    if (c->done && c->lacks_end)
        buf_add(out, line_end, sizeof(line_end));
    return ERR_NONE;
}

static enum err_code fill_dotted(struct smtp_content *c, struct buf *out,
                                 char *scratch)
{
    const size_t limit = SMTP_CONTENT_SLICE - DOTSTUFF_END_MAX;
    size_t want = want_of(c, limit - out->len);
    size_t got = 0;
    enum err_code rc = body_read(c->body, c->offset, scratch, want, &got);
    if (rc != ERR_NONE || got < want)
        return ERR_SYSTEM;
    struct str input = str_of(scratch, got);
    dotstuff_add(&c->dots, &input, out, limit);
    c->offset += got - input.len;
    if (c->offset == body_size(c->body)) {
        dotstuff_end(&c->dots, out);
        c->done = true;
    }
    return ERR_NONE;
}

enum err_code smtp_content_fill(struct smtp_content *c, struct buf *out,
                                char *scratch)
{
    PANIC_IF(c->done || out->len + SMTP_CONTENT_ROOM_MIN > SMTP_CONTENT_SLICE);
    return c->raw ? fill_raw(c, out) : fill_dotted(c, out, scratch);
}
