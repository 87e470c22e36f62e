#include "message/lines.h"

void lines_begin(struct lines *l, const struct body *body)
{
    l->body = body;
    l->offset = 0;
    l->at = 0;
    l->len = 0;
    l->is_inside = false;
}

/* Moves what was not given out to the front and fills the rest. */
static enum err_code refill(struct lines *l, struct err *err)
{
    size_t kept = l->len - l->at;
    size_t got = 0;
    memmove(l->slice, l->slice + l->at, kept);
    l->at = 0;
    l->len = kept;
    if (body_read(l->body, l->offset, l->slice + kept, sizeof(l->slice) - kept,
                  &got) != ERR_NONE)
        return err_set(err, ERR_SYSTEM, "the message cannot be read");
    l->len += got;
    l->offset += got;
    return ERR_NONE;
}

static struct str rest_of(const struct lines *l)
{
    return str_of(l->slice + l->at, l->len - l->at);
}

static bool is_all_read(const struct lines *l)
{
    return l->offset >= body_size(l->body);
}

enum err_code lines_next(struct lines *l, struct line *out, struct err *err)
{
    struct str rest = rest_of(l);
    size_t end = str_find(rest, '\n');
    if (end == rest.len && !is_all_read(l)) {
        enum err_code rc = refill(l, err);
        if (rc != ERR_NONE)
            return rc;
        rest = rest_of(l);
        end = str_find(rest, '\n');
    }
    bool has_end = end < rest.len;
    size_t len = has_end ? end + 1 : rest.len;
    if (!has_end && !is_all_read(l) && rest.data[len - 1] == '\r')
        len--; /* its LF may come with the next slice */
    out->bytes = str_of(rest.data, len);
    out->at = l->offset - rest.len;
    out->starts = !l->is_inside;
    out->ends = has_end || is_all_read(l);
    out->end_len = has_end ? 1 : 0;
    if (has_end && end > 0 && rest.data[end - 1] == '\r')
        out->end_len = 2;
    l->is_inside = !out->ends;
    l->at += len;
    return ERR_NONE;
}
