#include "app/cli/cli_json.h"

#include "core/base64.h"

static void separate(struct cli_json *j)
{
    if (j->comma)
        buf_add_char(j->out, ',');
    j->comma = true;
}

static void add_escape(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"':
        buf_add_text(out, "\\\"");
        return;
    case '\\':
        buf_add_text(out, "\\\\");
        return;
    case '\n':
        buf_add_text(out, "\\n");
        return;
    case '\r':
        buf_add_text(out, "\\r");
        return;
    case '\t':
        buf_add_text(out, "\\t");
        return;
    default:
        buf_add_format(out, "\\u%04x", c);
        return;
    }
}

static bool needs_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
}

/* Runs of plain bytes are copied whole. */
static void add_quoted(struct buf *out, struct str text)
{
    size_t from = 0;
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (!needs_escape(c))
            continue;
        buf_add(out, text.data + from, i - from);
        add_escape(out, c);
        from = i + 1;
    }
    if (from < text.len)
        buf_add(out, text.data + from, text.len - from);
    buf_add_char(out, '"');
}

void cli_json_open(struct cli_json *j, char bracket)
{
    separate(j);
    buf_add_char(j->out, bracket);
    j->comma = false;
}

void cli_json_close(struct cli_json *j, char bracket)
{
    buf_add_char(j->out, bracket);
    j->comma = true;
}

void cli_json_name(struct cli_json *j, struct str name)
{
    separate(j);
    add_quoted(j->out, name);
    buf_add_char(j->out, ':');
    j->comma = false;
}

void cli_json_text(struct cli_json *j, struct str text)
{
    separate(j);
    add_quoted(j->out, text);
}

void cli_json_int(struct cli_json *j, int64_t number)
{
    separate(j);
    buf_add_i64(j->out, number);
}

void cli_json_base64(struct cli_json *j, struct str data)
{
    separate(j);
    buf_add_char(j->out, '"');
    base64_encode(data, j->out);
    buf_add_char(j->out, '"');
}

void cli_json_pair(struct cli_json *j, const char *name, const char *text)
{
    if (text == NULL)
        return;
    cli_json_name(j, str_from(name));
    cli_json_text(j, str_from(text));
}
