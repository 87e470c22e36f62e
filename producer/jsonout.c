#include "producer/jsonout.h"

#include "core/timetext.h"
#include "core/utf8.h"

/* Framing may stand before: a newline or a length that is still zero. */
static void separate(struct buf *out)
{
    if (out->len == 0)
        return;
    char before = out->data[out->len - 1];
    if (before != '{' && before != '[' && before != ':' && before != '\n' &&
        before != '\0')
        buf_add_char(out, ',');
}

void jsonout_open(struct buf *out, char bracket)
{
    separate(out);
    buf_add_char(out, bracket);
}

void jsonout_close(struct buf *out, char bracket)
{
    buf_add_char(out, bracket);
}

void jsonout_name(struct buf *out, const char *name)
{
    separate(out);
    buf_add_char(out, '"');
    buf_add_text(out, name);
    buf_add(out, "\":", 2);
}

/* The length of what can be copied as it is. */
static size_t plain_run(struct str s, size_t at)
{
    size_t end = at;
    while (end < s.len) {
        unsigned char c = (unsigned char)s.data[end];
        if (c < 0x20 || c == '"' || c == '\\' || c >= 0x7f)
            break;
        end++;
    }
    return end - at;
}

static void add_escape(struct buf *out, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    const char *named = NULL;
    if (c == '"')
        named = "\\\"";
    else if (c == '\\')
        named = "\\\\";
    else if (c == '\n')
        named = "\\n";
    else if (c == '\r')
        named = "\\r";
    else if (c == '\t')
        named = "\\t";
    if (named != NULL)
        buf_add(out, named, 2);
    else
        buf_add(out, escape, sizeof(escape));
}

void jsonout_string(struct buf *out, struct str text)
{
    separate(out);
    buf_add_char(out, '"');
    size_t at = 0;
    while (at < text.len) {
        size_t run = plain_run(text, at);
        buf_add(out, text.data + at, run);
        at += run;
        if (at == text.len)
            break;
        unsigned char c = (unsigned char)text.data[at];
        size_t len = c < 0x80 ? 1 : utf8_next(text, at, NULL);
        if (c < 0x80)
            add_escape(out, c);
        else if (len == 0)
            buf_add_text(out, "\xef\xbf\xbd");
        else
            buf_add(out, text.data + at, len);
        at += len > 0 ? len : 1;
    }
    buf_add_char(out, '"');
}

void jsonout_integer(struct buf *out, int64_t number)
{
    separate(out);
    buf_add_i64(out, number);
}

void jsonout_boolean(struct buf *out, bool value)
{
    separate(out);
    buf_add_text(out, value ? "true" : "false");
}

void jsonout_member(struct buf *out, const char *name, struct str text)
{
    jsonout_name(out, name);
    jsonout_string(out, text);
}

void jsonout_member_integer(struct buf *out, const char *name, int64_t number)
{
    jsonout_name(out, name);
    jsonout_integer(out, number);
}

void jsonout_member_boolean(struct buf *out, const char *name, bool value)
{
    jsonout_name(out, name);
    jsonout_boolean(out, value);
}

void jsonout_member_number(struct buf *out, const char *name, double number)
{
    jsonout_name(out, name);
    buf_add_format(out, "%.9g", number);
}

void jsonout_member_time(struct buf *out, const char *name, int64_t real_ms)
{
    char text[TIMETEXT_RFC3339_MAX];
    timetext_rfc3339(real_ms, text);
    jsonout_member(out, name, str_from(text));
}
