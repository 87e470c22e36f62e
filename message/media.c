#include "message/media.h"

#include "message/chars.h"
#include "message/quote.h"

static size_t token_len(struct str s)
{
    size_t len = 0;
    while (len < s.len && chars_is_token(s.data[len]))
        len++;
    return len;
}

static struct str skip_blanks(struct str s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = str_after(s, 1);
    return s;
}

/* Length of the quoted string s begins with, or 0. */
static size_t quoted_len(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.data[i] == '\\')
            i++;
        else if (s.data[i] == '"')
            return i + 1;
        if (i < s.len && !chars_is_printable(s.data[i]))
            return 0;
    }
    return 0;
}

/*
 * Takes name=value from *rest with the ";" behind it. False when there is
 * none, or something else stands there.
 */
static bool take_parameter(struct str *rest, struct str *name,
                           struct str *whole)
{
    struct str s = skip_blanks(*rest);
    size_t name_len = token_len(s);
    if (name_len == 0 || name_len + 1 >= s.len || s.data[name_len] != '=')
        return false;
    struct str value = str_after(s, name_len + 1);
    size_t value_len =
        value.data[0] == '"' ? quoted_len(value) : token_len(value);
    if (value_len == 0)
        return false;
    *name = str_of(s.data, name_len);
    *whole = str_of(s.data, name_len + 1 + value_len);
    s = skip_blanks(str_after(s, whole->len));
    if (s.len == 0) {
        *rest = s;
        return true;
    }
    *rest = str_after(s, 1);
    return s.data[0] == ';' && rest->len > 0;
}

bool media_has_parameter(const struct media *m, struct str name)
{
    struct str rest = m->parameters;
    struct str other;
    struct str whole;
    while (rest.len > 0 && take_parameter(&rest, &other, &whole))
        if (str_equal_nocase(other, name))
            return true;
    return false;
}

static const char *check_parameters(struct str parameters)
{
    struct media before = {.parameters = {parameters.data, 0}};
    struct str rest = parameters;
    struct str name;
    struct str whole;
    while (rest.len > 0) {
        if (!take_parameter(&rest, &name, &whole))
            return "its parameters are not of the form ; name=value";
        before.parameters.len = (size_t)(name.data - parameters.data);
        if (media_has_parameter(&before, name))
            return "it has a parameter twice";
    }
    return NULL;
}

static const char *parse(struct str text, struct media *out)
{
    size_t type = token_len(text);
    if (text.len > MEDIA_MAX)
        return "it is longer than 255 bytes";
    if (type == 0 || type == text.len || text.data[type] != '/')
        return "it is not of the form type/subtype";
    size_t subtype = token_len(str_after(text, type + 1));
    if (subtype == 0)
        return "it is not of the form type/subtype";
    size_t len = type + 1 + subtype;
    struct str rest = skip_blanks(str_after(text, len));
    if (rest.len > 0 && (rest.data[0] != ';' || rest.len == 1))
        return "its parameters are not of the form ; name=value";
    if (str_equal_nocase(str_of(text.data, type), STR("multipart")) ||
        str_equal_nocase(str_of(text.data, type), STR("message")))
        return "attachments go out as base64, which multipart and message "
               "types must not be; use application/octet-stream";
    rest = str_after(rest, 1);
    const char *why = check_parameters(rest);
    if (why != NULL)
        return why;
    *out = (struct media){.type = str_of(text.data, len), .parameters = rest};
    return NULL;
}

enum err_code media_parse(struct str text, struct media *out, struct err *err)
{
    struct quote q;
    const char *why = parse(text, out);
    if (why == NULL)
        return ERR_NONE;
    return err_set(err, ERR_INVALID, "content type \"%s\" cannot be used: %s",
                   quote_text(&q, text), why);
}

void media_write(struct header *h, const struct media *m)
{
    struct str rest = m->parameters;
    struct str name;
    struct str whole;
    header_item(h, m->type);
    while (rest.len > 0 && take_parameter(&rest, &name, &whole)) {
        header_glue(h, STR(";"));
        header_item(h, whole);
    }
}
