#include "message/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "message/chars.h"
#include "message/quote.h"

#define LOCAL_MAX  64
#define DOMAIN_MAX 255
#define LABEL_MAX  63

static enum err_code refuse(struct str piece, const char *why, struct err *err)
{
    struct quote q;
    return err_set(err, ERR_INVALID, "\"%s\" is no mailbox: %s",
                   quote_text(&q, piece), why);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* In words: why c cannot stand outside of quotes in an address. */
static const char *why_not(char c)
{
    if (chars_is_high(c))
        return "internationalised addresses (letters outside of ASCII) are "
               "not supported yet";
    switch (c) {
    case ' ':
    case '\t':
        return "there is a blank in the address (a name goes before "
               "<address>)";
    case '(':
    case ')':
        return "comments in parentheses are not supported (a name goes before "
               "<address>, in quotes if it has parentheses)";
    case ':':
    case ';':
        return "groups are not supported";
    case '<':
    case '>':
        return "the <> do not pair up, or stand in the wrong place";
    case '@':
        return "there is more than one \"@\"";
    default:
        return "a character of it is not allowed in an address";
    }
}

/*
 * The quoted string at s.data[at] (which is a quote): the offset behind its
 * closing quote, or 0 when there is none.
 */
static size_t skip_quoted(struct str s, size_t at)
{
    for (size_t i = at + 1; i < s.len; i++) {
        if (s.data[i] == '\\')
            i++;
        else if (s.data[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Length of the local part; 0 with *why set when it is none. */
static size_t local_part(struct str s, const char **why)
{
    size_t end = 0;
    if (s.data[0] == '"') {
        end = skip_quoted(s, 0);
        *why = "its quote is not closed";
        if (end > 0 && (end == s.len || s.data[end] != '@')) {
            *why = "no \"@\" follows its quoted part";
            return 0;
        }
    } else {
        while (end < s.len &&
               (chars_is_atext(s.data[end]) || s.data[end] == '.'))
            end++;
        if (end == s.len) {
            *why = "it has no \"@\" (a name with a comma needs quotes)";
            return 0;
        }
        if (s.data[end] != '@') {
            *why = why_not(s.data[end]);
            return 0;
        }
        *why = end == 0 ? "nothing stands before the \"@\""
                        : "a dot begins or ends the part before the \"@\", or "
                          "two follow each other";
        if (!chars_is_dot_atom(str_of(s.data, end)))
            return 0;
    }
    if (end > LOCAL_MAX) {
        *why = "more than 64 bytes stand before the \"@\"";
        return 0;
    }
    return end;
}

static bool is_literal(struct str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    int family = AF_INET;
    struct str inner = str_of(s.data + 1, s.len - 2);
    if (str_starts_nocase(inner, STR("IPv6:"))) {
        family = AF_INET6;
        inner = str_after(inner, STR("IPv6:").len);
    }
    if (inner.len == 0 || inner.len >= sizeof(text))
        return false;
    memcpy(text, inner.data, inner.len);
    text[inner.len] = '\0';
    return inet_pton(family, text, &parsed) == 1;
}

/* NULL when s is one label of a domain, otherwise why it is none. */
static const char *check_label(struct str s)
{
    if (s.len == 0)
        return "a dot begins or ends its domain, or two follow each other";
    if (s.len > LABEL_MAX)
        return "a part of its domain is longer than 63 bytes";
    for (size_t i = 0; i < s.len; i++) {
        if (chars_is_alnum(s.data[i]) || s.data[i] == '-')
            continue;
        return chars_is_atext(s.data[i])
                   ? "a domain has letters, digits, hyphens and dots only"
                   : why_not(s.data[i]);
    }
    if (s.data[0] == '-' || s.data[s.len - 1] == '-')
        return "a part of its domain begins or ends with a hyphen";
    return NULL;
}

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_digit(s.data[i]))
            return false;
    return true;
}

static const char *check_domain(struct str s)
{
    if (s.len == 0)
        return "nothing stands behind the \"@\"";
    if (s.len > DOMAIN_MAX)
        return "its domain is longer than 255 bytes";
    if (s.data[0] == '[') {
        bool closed = s.len > 2 && s.data[s.len - 1] == ']';
        return closed && is_literal(s)
                   ? NULL
                   : "an address literal is [192.0.2.1] or [IPv6:2001:db8::1]";
    }
    struct str label;
    struct str rest = s;
    do {
        size_t dot = str_find(rest, '.');
        label = str_of(rest.data, dot);
        const char *why = check_label(label);
        if (why != NULL)
            return why;
        if (dot + 1 == rest.len)
            return "a dot ends its domain";
        rest = str_after(rest, dot + 1);
    } while (rest.len > 0);
    if (all_digits(label))
        return "its domain ends in a number (an IP address goes in brackets: "
               "[192.0.2.1])";
    return NULL;
}

/* Quoted local parts of RFC 5321 hold printable ASCII only. */
static const char *check_bytes(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (chars_is_high(text.data[i]))
            return why_not(text.data[i]);
        if (chars_is_control(text.data[i]) && text.data[i] != '\t')
            return "it holds a control character";
    }
    return str_find(text, '\t') < text.len ? why_not('\t') : NULL;
}

enum err_code address_check(struct str text, struct err *err)
{
    if (text.len == 0)
        return refuse(text, "it is empty", err);
    const char *why = check_bytes(text);
    if (why != NULL)
        return refuse(text, why, err);
    size_t local = local_part(text, &why);
    if (local == 0)
        return refuse(text, why, err);
    why = check_domain(str_after(text, local + 1));
    if (why != NULL)
        return refuse(text, why, err);
    if (text.len > ADDRESS_MAX)
        return refuse(text, "it is longer than 254 bytes", err);
    return ERR_NONE;
}

/* NULL when s can stand as a display name. */
static const char *check_display(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '"') {
            i = skip_quoted(s, i) - 1;
            continue;
        }
        if (is_blank(c) || c == '.' || chars_is_high(c) || chars_is_atext(c))
            continue;
        if (c == '(' || c == ')' || c == ':' || c == ';')
            return why_not(c);
        return "its name needs quotes, as in \"Name, with comma\" <address>";
    }
    return NULL;
}

static struct str trim_blanks(struct str s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = str_after(s, 1);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* One element of a list, without the comma and the blanks around it. */
static enum err_code parse_mailbox(struct str s, struct address *out,
                                   struct err *err)
{
    if (chars_has_control_but_tab(s))
        return refuse(s, "it holds a control character", err);
    size_t open = 0;
    while (open < s.len && s.data[open] != '<')
        open = s.data[open] == '"' ? skip_quoted(s, open) : open + 1;
    struct str display = {NULL, 0};
    struct str address = s;
    if (open < s.len) {
        if (s.data[s.len - 1] != '>')
            return refuse(s, why_not('<'), err);
        display = trim_blanks(str_of(s.data, open));
        const char *why = check_display(display);
        if (why != NULL)
            return refuse(s, why, err);
        address = str_of(s.data + open + 1, s.len - open - 2);
        if (address.len > 0 && address.data[0] == '@' &&
            str_find(address, ':') < address.len)
            return refuse(s, "obsolete routes (<@a,@b:c@d>) are not supported",
                          err);
    }
    enum err_code code = address_check(address, err);
    if (code != ERR_NONE)
        return code;
    memcpy(out->mailbox, address.data, address.len);
    out->mailbox[address.len] = '\0';
    out->display = display;
    return ERR_NONE;
}

/*
 * Where the first element of the list ends: at a comma outside of quotes and
 * of <>, or at the end. False when a quote is not closed.
 */
static bool element_end(struct str list, size_t *end)
{
    bool angle = false;
    size_t i = 0;
    while (i < list.len) {
        char c = list.data[i];
        if (c == ',' && !angle)
            break;
        if (c == '<' || c == '>')
            angle = c == '<';
        i = c == '"' ? skip_quoted(list, i) : i + 1;
        if (i == 0)
            return false;
    }
    *end = i;
    return true;
}

enum err_code address_next(struct str list, struct address *out,
                           struct str *rest, struct err *err)
{
    size_t end;
    list = trim_blanks(list);
    if (list.len == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no mailbox");
    if (!element_end(list, &end))
        return refuse(list, "a quote is not closed", err);
    struct str element = trim_blanks(str_of(list.data, end));
    if (element.len == 0)
        return refuse(list, "nothing stands before a comma", err);
    struct str behind = trim_blanks(str_after(list, end + 1));
    if (end < list.len && behind.len == 0)
        return refuse(list, "nothing follows its last comma", err);
    enum err_code code = parse_mailbox(element, out, err);
    if (code == ERR_NONE)
        *rest = behind;
    return code;
}

/* Adds what stands between the quotes; returns the offset behind them. */
static size_t add_quoted(struct str s, size_t at, struct buf *out)
{
    size_t end = skip_quoted(s, at);
    for (size_t i = at + 1; i + 1 < end; i++) {
        if (s.data[i] == '\\')
            i++;
        if (s.data[i] == '\t')
            buf_add_char(out, ' ');
        else
            buf_add_char(out, s.data[i]);
    }
    return end;
}

void address_add_display(const struct address *a, struct buf *out)
{
    struct str s = a->display;
    size_t at = 0;
    while (at < s.len) {
        if (s.data[at] == '"') {
            at = add_quoted(s, at, out);
        } else if (is_blank(s.data[at])) {
            buf_add_char(out, ' ');
            /* It ends with no blank: address_next() cut them off. */
            while (is_blank(s.data[at]))
                at++;
        } else {
            buf_add_char(out, s.data[at++]);
        }
    }
}
