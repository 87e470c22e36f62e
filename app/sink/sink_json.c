#include "app/sink/sink_json.h"

#include "core/utf8.h"

void sink_json_begin(struct buf *out)
{
    buf_add_char(out, '{');
}

void sink_json_end(struct buf *out)
{
    buf_add_text(out, "}\n");
}

/* A comma, unless this is the first of an object or array. */
static void separate(struct buf *out)
{
    char last = '{';
    if (out->len > 0)
        last = out->data[out->len - 1];
    if (last != '{' && last != '[')
        buf_add_char(out, ',');
}

static void add_escaped(struct buf *out, unsigned char c)
{
    if (c == '"' || c == '\\') {
        buf_add_char(out, '\\');
        buf_add_char(out, (char)c);
    } else {
        buf_add_format(out, "\\u%04x", c);
    }
}

static void add_text(struct buf *out, struct str s)
{
    size_t at = 0;
    buf_add_char(out, '"');
    while (at < s.len) {
        unsigned char c = (unsigned char)s.data[at];
        size_t len = utf8_next(s, at, NULL);
        if (len == 0) {
            buf_add_text(out, "\xef\xbf\xbd");
            len = 1;
        } else if (c < ' ' || c == '"' || c == '\\' || c == 0x7f) {
            add_escaped(out, c);
        } else {
            buf_add(out, s.data + at, len);
        }
        at += len;
    }
    buf_add_char(out, '"');
}

static void add_name(struct buf *out, const char *name)
{
    separate(out);
    buf_add_char(out, '"');
    buf_add_text(out, name);
    buf_add_text(out, "\":");
}

void sink_json_text(struct buf *out, const char *name, struct str value)
{
    add_name(out, name);
    add_text(out, value);
}

void sink_json_number(struct buf *out, const char *name, uint64_t value)
{
    add_name(out, name);
    buf_add_u64(out, value);
}

void sink_json_bool(struct buf *out, const char *name, bool value)
{
    add_name(out, name);
    buf_add_text(out, value ? "true" : "false");
}

void sink_json_null(struct buf *out, const char *name)
{
    add_name(out, name);
    buf_add_text(out, "null");
}

void sink_json_text_or_null(struct buf *out, const char *name, struct str value)
{
    if (value.data == NULL)
        sink_json_null(out, name);
    else
        sink_json_text(out, name, value);
}

void sink_json_array(struct buf *out, const char *name)
{
    add_name(out, name);
    buf_add_char(out, '[');
}

void sink_json_element(struct buf *out, struct str value)
{
    separate(out);
    add_text(out, value);
}

void sink_json_array_end(struct buf *out)
{
    buf_add_char(out, ']');
}

void sink_json_object(struct buf *out, const char *name)
{
    add_name(out, name);
    buf_add_char(out, '{');
}

void sink_json_object_end(struct buf *out)
{
    buf_add_char(out, '}');
}
