#include "message/parameter.h"

#include <stdio.h>

#include "core/utf8.h"
#include "message/chars.h"

/* Bytes for a token, behind the blank and before the semicolon. */
#define TOKEN_MAX    (HEADER_FOLD - 2)
#define FALLBACK_MAX 50
#define SUFFIX_MAX   12 /* ".tar.gz" and longer */

struct token {
    char text[HEADER_FOLD];
    size_t len;
};

static void add(struct token *t, struct str s)
{
    memcpy(t->text + t->len, s.data, s.len);
    t->len += s.len;
}

static void add_quoted(struct token *t, struct str value)
{
    t->text[t->len++] = '"';
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '"' || value.data[i] == '\\')
            t->text[t->len++] = '\\';
        t->text[t->len++] = value.data[i];
    }
    t->text[t->len++] = '"';
}

static void write_token(struct header *h, const struct token *t)
{
    header_glue(h, STR(";"));
    header_item(h, str_of(t->text, t->len));
}

bool parameter_is_plain(struct str name, struct str value)
{
    size_t len = name.len + STR("=\"\"").len + value.len;
    for (size_t i = 0; i < value.len && len <= TOKEN_MAX; i++) {
        if (!chars_is_printable(value.data[i]))
            return false;
        if (value.data[i] == '"' || value.data[i] == '\\')
            len++;
    }
    return len <= TOKEN_MAX && !str_contains(value, STR("=?"));
}

/* One ASCII character for each of value's, while they fit. */
static size_t ascii_of(struct str value, char *out, size_t size)
{
    size_t len = 0;
    for (size_t at = 0; at < value.len && len < size;) {
        char c = value.data[at];
        size_t step = utf8_next(value, at, NULL);
        bool keep = chars_is_printable(c) && c != '"' && c != '\\' && c != '?';
        out[len++] = (char)(keep ? c : '_');
        at += step == 0 ? 1 : step;
    }
    return len;
}

/* The name in ASCII, long ones cut in front of their ".suffix". */
static void write_fallback(struct header *h, struct str name, struct str value)
{
    struct token t = {.len = 0};
    char text[FALLBACK_MAX];
    size_t dot = value.len;
    while (dot > 0 && value.data[dot - 1] != '.' &&
           value.len - dot < SUFFIX_MAX)
        dot--;
    bool has_suffix = dot > 1 && value.data[dot - 1] == '.';
    struct str suffix = str_after(value, has_suffix ? dot - 1 : value.len);
    struct str stem = str_of(value.data, value.len - suffix.len);
    size_t len = ascii_of(stem, text, sizeof(text) - suffix.len);
    len += ascii_of(suffix, text + len, sizeof(text) - len);
    add(&t, name);
    add(&t, STR("="));
    add_quoted(&t, str_of(text, len));
    write_token(h, &t);
}

/* RFC 2231 section 7, attribute-char. */
static bool is_literal(char c)
{
    return chars_is_token(c) && c != '*' && c != '\'' && c != '%';
}

static size_t encoded_len(struct str s)
{
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++)
        len += is_literal(s.data[i]) ? 1 : 3;
    return len;
}

static void add_encoded(struct token *t, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (is_literal(s.data[i])) {
            t->text[t->len++] = s.data[i];
            continue;
        }
        t->text[t->len++] = '%';
        t->text[t->len++] = hex[c >> 4];
        t->text[t->len++] = hex[c & 15];
    }
}

/* Adds characters of value from *at on while they fit. */
static void add_what_fits(struct token *t, struct str value, size_t *at)
{
    while (*at < value.len) {
        size_t len = utf8_next(value, *at, NULL);
        struct str c = str_of(value.data + *at, len == 0 ? 1 : len);
        if (t->len + encoded_len(c) > TOKEN_MAX)
            break;
        add_encoded(t, c);
        *at += c.len;
    }
}

static void write_extended(struct header *h, struct str name, struct str value)
{
    const struct str charset = STR("UTF-8''");
    size_t single = name.len + STR("*=").len + charset.len + encoded_len(value);
    size_t at = 0;
    for (unsigned part = 0; at < value.len; part++) {
        struct token t = {.len = 0};
        char number[16];
        add(&t, name);
        if (single > TOKEN_MAX) {
            int len = snprintf(number, sizeof(number), "*%u", part);
            add(&t, str_of(number, (size_t)len));
        }
        add(&t, STR("*="));
        if (part == 0)
            add(&t, charset);
        add_what_fits(&t, value, &at);
        write_token(h, &t);
    }
}

void parameter_write(struct header *h, struct str name, struct str value)
{
    if (parameter_is_plain(name, value)) {
        struct token t = {.len = 0};
        add(&t, name);
        add(&t, STR("="));
        add_quoted(&t, value);
        write_token(h, &t);
        return;
    }
    write_extended(h, name, value);
    write_fallback(h, name, value);
}
