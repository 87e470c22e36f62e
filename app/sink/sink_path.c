#include "app/sink/sink_path.h"

#include "core/utf8.h"

static bool is_atext(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) ||
           (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL) ||
           (unsigned char)c >= 0x80;
}

/* atext *("." atext): where it ends. */
static size_t dot_string(struct str s)
{
    size_t i = 0;
    while (i < s.len && (is_atext(s.data[i]) ||
                         (s.data[i] == '.' && i > 0 && s.data[i - 1] != '.')))
        i++;
    return i > 0 && s.data[i - 1] == '.' ? 0 : i;
}

/* From the opening quote to behind the closing one; 0 when there is none. */
static size_t quoted_string(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.data[i] == '"')
            return i + 1;
        if (s.data[i] == '\\')
            i++;
        if (i < s.len && ((unsigned char)s.data[i] < ' ' || s.data[i] == 0x7f))
            return 0;
    }
    return 0;
}

static bool is_label_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_domain(struct str s)
{
    char before = '.';
    if (s.len >= 2 && s.data[0] == '[' && s.data[s.len - 1] == ']') {
        for (size_t i = 1; i + 1 < s.len; i++)
            if (s.data[i] < '!' || s.data[i] > '~' || s.data[i] == '[' ||
                s.data[i] == ']' || s.data[i] == '\\')
                return false;
        return s.len > 2;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '.' ? before == '.' || before == '-'
                     : !is_label_char(c) || (c == '-' && before == '.'))
            return false;
        before = c;
    }
    return before != '.' && before != '-';
}

enum sink_path_result sink_path_check(struct str address)
{
    size_t local = address.len > 0 && address.data[0] == '"'
                       ? quoted_string(address)
                       : dot_string(address);
    struct str domain = str_after(address, local + 1);
    if (local == 0 || local >= address.len || address.data[local] != '@' ||
        !is_domain(domain))
        return SINK_PATH_SYNTAX;
    if (local > SINK_PATH_LOCAL_MAX || domain.len > SINK_PATH_DOMAIN_MAX)
        return SINK_PATH_TOO_LONG;
    if (utf8_is_ascii(address))
        return SINK_PATH_OK;
    return utf8_is_valid(address) ? SINK_PATH_NOT_ASCII : SINK_PATH_SYNTAX;
}

/* Index of the bracket that closes, quoted ones passed over; s.len if none. */
static size_t find_close(struct str s)
{
    bool quoted = false;
    for (size_t i = 1; i < s.len; i++) {
        if (quoted && s.data[i] == '\\')
            i++;
        else if (s.data[i] == '"')
            quoted = !quoted;
        else if (s.data[i] == '>' && !quoted)
            return i;
    }
    return s.len;
}

enum sink_path_result sink_path_parse(struct str *text, struct str *address)
{
    if (text->len < 2 || text->data[0] != '<')
        return SINK_PATH_SYNTAX;
    size_t close = find_close(*text);
    if (close == text->len)
        return SINK_PATH_SYNTAX;
    struct str inside = str_of(text->data + 1, close - 1);
    *text = str_after(*text, close + 1);
    if (inside.len > 0 && inside.data[0] == '@') {
        /* A source route: obsolete, to be accepted and ignored. */
        size_t colon = str_find(inside, ':');
        if (colon == inside.len)
            return SINK_PATH_SYNTAX;
        inside = str_after(inside, colon + 1);
        if (inside.len == 0)
            return SINK_PATH_SYNTAX;
    }
    *address = inside;
    if (inside.len == 0)
        return SINK_PATH_OK;
    return sink_path_check(inside);
}
