#include "message/quote.h"

#include <stdint.h>

#include "core/utf8.h"

size_t quote_clean(char *out, size_t size, struct str s)
{
    size_t used = 0;
    size_t at = 0;
    while (at < s.len) {
        uint32_t number = 0;
        size_t len = utf8_next(s, at, &number);
        bool visible = len > 0 && number >= 0x20 &&
                       (number < 0x7f || number > 0x9f) && number != 0x2028 &&
                       number != 0x2029;
        size_t adds = visible ? len : 1;
        if (used + adds >= size)
            break;
        if (visible)
            memcpy(out + used, s.data + at, len);
        else
            out[used] = '?';
        used += adds;
        at += len == 0 ? 1 : len;
    }
    out[used] = '\0';
    return at;
}

const char *quote_text(struct quote *q, struct str s)
{
    if (quote_clean(q->text, QUOTE_MAX + 1, s) < s.len)
        memcpy(q->text + strlen(q->text), "...", sizeof("..."));
    return q->text;
}
