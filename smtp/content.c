#include "smtp/content.h"

#include "core/panic.h"
#include "core/str.h"

void smtp_content_begin(struct smtp_content *c, const struct body *body)
{
    c->body = body;
    c->offset = 0;
    c->done = false;
    dotstuff_init(&c->dots);
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

enum err_code smtp_content_fill(struct smtp_content *c, struct buf *out,
                                char *scratch)
{
    const size_t limit = SMTP_CONTENT_SLICE - DOTSTUFF_END_MAX;
    PANIC_IF(out->len > 0 || c->done);
    size_t want = want_of(c, limit);
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
