#include "smtp/reply.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

void smtp_reply_parser_init(struct smtp_reply_parser *p)
{
    /* Not all of it: the line buffer is most of it and needs no clearing. */
    p->consumed = 0;
    p->lines = 0;
    p->text_len = 0;
    p->text_full = false;
    p->line_len = 0;
    p->reply.code = 0;
    p->reply.enhanced[0] = '\0';
    p->reply.text[0] = '\0';
}

static size_t count_digits(struct str s, size_t from, size_t max)
{
    size_t n = 0;
    while (n < max && from + n < s.len && ascii_is_digit(s.data[from + n]))
        n++;
    return n;
}

/*
 * Length of the enhanced status code that text starts with, or 0. Its class
 * must be the one of the code (RFC 2034 section 4).
 */
static size_t enhanced_len(int code, struct str text)
{
    if (text.len < 5 || text.data[0] != (char)('0' + code / 100) ||
        text.data[1] != '.' || code / 100 == 3)
        return 0;
    size_t subject = count_digits(text, 2, 3);
    size_t dot = 2 + subject;
    if (subject == 0 || dot >= text.len || text.data[dot] != '.')
        return 0;
    size_t detail = count_digits(text, dot + 1, 3);
    size_t end = dot + 1 + detail;
    if (detail == 0 || (end < text.len && text.data[end] != ' '))
        return 0;
    return end;
}

/* Whole characters only, so that a cut text is still UTF-8. */
static void add_text(struct smtp_reply_parser *p, struct str text)
{
    char *out = p->reply.text;
    for (size_t at = 0; at < text.len && !p->text_full;) {
        uint32_t code_point = 0;
        size_t len = utf8_next(text, at, &code_point);
        bool shown = len > 0 && code_point >= ' ' &&
                     (code_point < 0x7f || code_point > 0x9f);
        size_t taken = len > 0 ? len : 1;
        size_t added = shown ? len : 1;
        if (p->text_len + added > SMTP_REPLY_TEXT_MAX) {
            p->text_full = true;
            break;
        }
        if (shown)
            memcpy(out + p->text_len, text.data + at, added);
        else
            out[p->text_len] = '?';
        p->text_len += added;
        at += taken;
    }
    out[p->text_len] = '\0';
}

static void keep_text(struct smtp_reply_parser *p, struct str text)
{
    struct smtp_reply *reply = &p->reply;
    size_t len = enhanced_len(reply->code, text);
    if (len > 0 && p->lines == 0) {
        for (size_t i = 0; i < len; i++)
            reply->enhanced[i] = text.data[i];
        reply->enhanced[len] = '\0';
    }
    if (len > 0 && str_equal(str_of(text.data, len), str_from(reply->enhanced)))
        text = str_after(text, len + 1);
    if (p->text_len > 0)
        add_text(p, STR(" / "));
    add_text(p, text);
}

/* A line's start is enough to see that somebody speaks another protocol. */
static bool can_be_reply(struct str start)
{
    for (size_t i = 0; i < 3 && i < start.len; i++)
        if (!ascii_is_digit(start.data[i]))
            return false;
    if (start.len > 0 && (start.data[0] < '2' || start.data[0] > '5'))
        return false;
    return start.len <= 3 || start.data[3] == ' ' || start.data[3] == '-';
}

/* ERR_AGAIN: the reply has more lines. line is without its LF. */
static enum err_code take_line(struct smtp_reply_parser *p, struct str line)
{
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    if (line.len < 3 || !can_be_reply(line))
        return ERR_INVALID;
    int code = (line.data[0] - '0') * 100 + (line.data[1] - '0') * 10 +
               (line.data[2] - '0');
    if (p->lines > 0 && code != p->reply.code)
        return ERR_INVALID;
    p->reply.code = code;
    keep_text(p, str_after(line, 4));
    p->lines++;
    return line.len > 3 && line.data[3] == '-' ? ERR_AGAIN : ERR_NONE;
}

/* The start of a line whose end has not come; CR may be its last byte. */
static enum err_code check_part(const struct smtp_reply_parser *p)
{
    struct str start = str_of(p->line, p->line_len);
    if (start.len > 0 && start.data[start.len - 1] == '\r')
        start.len--;
    return can_be_reply(start) ? ERR_AGAIN : ERR_INVALID;
}

/* Adds to the line that came in parts what there is room for. */
static void keep_part(struct smtp_reply_parser *p, struct str part)
{
    size_t room = SMTP_REPLY_LINE_MAX - p->line_len;
    if (part.len > room)
        part.len = room;
    if (part.len > 0)
        memcpy(p->line + p->line_len, part.data, part.len);
    p->line_len += part.len;
}

enum err_code smtp_reply_parse(struct smtp_reply_parser *p, struct str *input,
                               struct smtp_reply *reply)
{
    while (input->len > 0) {
        const char *end = memchr(input->data, '\n', input->len);
        size_t taken =
            end == NULL ? input->len : (size_t)(end - input->data) + 1;
        struct str line = str_of(input->data, end == NULL ? taken : taken - 1);
        if (taken > SMTP_REPLY_MAX - p->consumed)
            return ERR_INVALID;
        p->consumed += taken;
        *input = str_after(*input, taken);
        if (end == NULL || p->line_len > 0) {
            keep_part(p, line);
            line = str_of(p->line, p->line_len);
        }
        if (end == NULL)
            return check_part(p);
        p->line_len = 0;
        enum err_code rc = take_line(p, line);
        if (rc == ERR_NONE) {
            *reply = p->reply;
            smtp_reply_parser_init(p);
        }
        if (rc != ERR_AGAIN)
            return rc;
    }
    return ERR_AGAIN;
}

void smtp_reply_set_own(struct smtp_reply *reply, const char *enhanced,
                        const char *text)
{
    reply->code = 0;
    (void)snprintf(reply->enhanced, sizeof(reply->enhanced), "%s", enhanced);
    (void)snprintf(reply->text, sizeof(reply->text), "%s", text);
}

void smtp_reply_format(const struct smtp_reply *reply, char *out,
                       size_t out_size)
{
    char code[16] = "";
    if (reply->code > 0)
        (void)snprintf(code, sizeof(code), "%d", reply->code);
    const char *parts[] = {code, reply->enhanced, reply->text};
    size_t len = 0;
    if (out_size == 0)
        return;
    out[0] = '\0';
    for (size_t i = 0; i < 3; i++) {
        if (parts[i][0] == '\0' || len + 1 >= out_size)
            continue;
        int n = snprintf(out + len, out_size - len, "%s%s", len > 0 ? " " : "",
                         parts[i]);
        if (n > 0)
            len += (size_t)n;
    }
}
