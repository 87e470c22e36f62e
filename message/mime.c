#include "message/mime.h"

#include "message/chars.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Length of the comment s begins with; all of s when it has no end. */
static size_t comment_len(struct str s)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '\\')
            i++;
        else if (s.data[i] == '(')
            depth++;
        else if (s.data[i] == ')' && --depth == 0)
            return i + 1;
    }
    return s.len;
}

static struct str skip_blanks(struct str s)
{
    while (s.len > 0 && (is_blank(s.data[0]) || s.data[0] == '('))
        s = str_after(s, s.data[0] == '(' ? comment_len(s) : 1);
    return s;
}

/* Takes a token and the blanks behind it; empty when there is none. */
static struct str take_token(struct str *rest)
{
    size_t len = 0;
    while (len < rest->len && chars_is_token(rest->data[len]))
        len++;
    struct str token = str_of(rest->data, len);
    *rest = skip_blanks(str_after(*rest, len));
    return token;
}

static bool take_char(struct str *rest, char c)
{
    if (rest->len == 0 || rest->data[0] != c)
        return false;
    *rest = skip_blanks(str_after(*rest, 1));
    return true;
}

/* A value as it is meant, cut at size. */
struct value {
    char *out;
    size_t size;
    size_t len; /* of all of it, be it more than size */
};

static void add(struct value *v, char c)
{
    if (v->len < v->size)
        v->out[v->len] = c;
    v->len++;
}

static void take_quoted(struct str *rest, struct value *v)
{
    size_t i = 1;
    for (; i < rest->len && rest->data[i] != '"'; i++) {
        if (rest->data[i] == '\\' && i + 1 < rest->len)
            i++;
        if (rest->data[i] != '\r' && rest->data[i] != '\n')
            add(v, rest->data[i]);
    }
    *rest = str_after(*rest, i + 1);
}

static void take_bare(struct str *rest, struct value *v)
{
    size_t i = 0;
    for (; i < rest->len && rest->data[i] != ';' && rest->data[i] != '(' &&
           !is_blank(rest->data[i]);
         i++)
        add(v, rest->data[i]);
    *rest = str_after(*rest, i);
}

static void take_value(struct str *rest, struct value *v)
{
    if (rest->len > 0 && rest->data[0] == '"')
        take_quoted(rest, v);
    else
        take_bare(rest, v);
    *rest = skip_blanks(*rest);
}

/* To behind the next ";". */
static void skip_parameter(struct str *rest)
{
    while (rest->len > 0 && !take_char(rest, ';')) {
        struct value ignored = {.size = 0};
        if (rest->data[0] == '"')
            take_quoted(rest, &ignored);
        else
            *rest = str_after(*rest, 1);
        *rest = skip_blanks(*rest);
    }
}

static void parse_boundary(struct str rest, struct mime_type *out)
{
    bool seen = false;
    out->boundary_len = 0;
    while (rest.len > 0) {
        struct str name = take_token(&rest);
        if (str_equal_nocase(name, STR("boundary")) && take_char(&rest, '=')) {
            struct value v = {.out = out->boundary,
                              .size = sizeof(out->boundary)};
            take_value(&rest, &v);
            while (v.len > 0 && v.len <= v.size && is_blank(v.out[v.len - 1]))
                v.len--;
            /* With two of them nobody can say which one is meant. */
            out->boundary_len = seen || v.len > v.size ? 0 : v.len;
            seen = true;
        }
        skip_parameter(&rest);
    }
}

bool mime_type_parse(struct str value, struct mime_type *out)
{
    struct str rest = skip_blanks(value);
    out->type = take_token(&rest);
    if (out->type.len == 0 || !take_char(&rest, '/'))
        return false;
    out->subtype = take_token(&rest);
    if (out->subtype.len == 0)
        return false;
    skip_parameter(&rest);
    parse_boundary(rest, out);
    return true;
}

bool mime_type_is(const struct mime_type *t, struct str type,
                  struct str subtype)
{
    return str_equal_nocase(t->type, type) &&
           str_equal_nocase(t->subtype, subtype);
}

enum mime_encoding mime_encoding_parse(struct str value)
{
    static const struct {
        const char *name;
        enum mime_encoding encoding;
    } table[] = {
        {"7bit", MIME_ENCODING_7BIT},
        {"8bit", MIME_ENCODING_8BIT},
        {"binary", MIME_ENCODING_BINARY},
        {"quoted-printable", MIME_ENCODING_ENCODED},
        {"base64", MIME_ENCODING_ENCODED},
    };
    struct str rest = skip_blanks(value);
    struct str name = take_token(&rest);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (rest.len == 0 && str_equal_nocase(name, str_from(table[i].name)))
            return table[i].encoding;
    return MIME_ENCODING_UNKNOWN;
}
