#include "message/header.h"

void header_begin(struct header *h, struct buf *out, struct str name)
{
    h->out = out;
    h->column = name.len + 1;
    buf_add_str(out, name);
    buf_add_char(out, ':');
}

void header_fold(struct header *h)
{
    buf_add_str(h->out, STR("\r\n"));
    h->column = 0;
}

static void place(struct header *h, struct str token, size_t behind)
{
    if (h->column > 0 && h->column + 1 + token.len + behind > HEADER_FOLD)
        header_fold(h);
    buf_add_char(h->out, ' ');
    buf_add_str(h->out, token);
    h->column += 1 + token.len;
}

void header_token(struct header *h, struct str token)
{
    place(h, token, 0);
}

void header_item(struct header *h, struct str token)
{
    place(h, token, 1);
}

void header_glue(struct header *h, struct str text)
{
    buf_add_str(h->out, text);
    h->column += text.len;
}

/* Length of the blanks at `at` and the word behind them. */
static size_t segment(struct str text, size_t at)
{
    size_t end = at;
    while (end < text.len && text.data[end] == ' ')
        end++;
    while (end < text.len && text.data[end] != ' ')
        end++;
    return end - at;
}

void header_verbatim(struct header *h, struct str text)
{
    if (h->column + 1 + text.len <= HEADER_FOLD) {
        header_token(h, text);
        return;
    }
    size_t at = segment(text, 0);
    header_token(h, str_of(text.data, at));
    while (at < text.len) {
        size_t len = segment(text, at);
        if (h->column + len > HEADER_FOLD)
            header_fold(h);
        header_glue(h, str_of(text.data + at, len));
        at += len;
    }
}

bool header_can_fold(struct str text)
{
    for (size_t at = 0; at < text.len;) {
        size_t len = segment(text, at);
        if (len > HEADER_TOKEN_MAX)
            return false;
        at += len;
    }
    return true;
}

void header_end(struct header *h)
{
    header_fold(h);
}
