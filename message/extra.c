#include "message/extra.h"

#include <stdio.h>

#include "core/utf8.h"
#include "message/chars.h"
#include "message/field.h"
#include "message/header.h"
#include "message/quote.h"

/* Lower case; a "*" stands for any rest. */
static const char *const reserved[] = {
    "from",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "sender",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-*",
    "resent-*",
    "received",
    "received-spf",
    "return-path",
    "delivered-to",
    "apparently-to",
    "dkim-signature",
    "arc-*",
    "authentication-results",
    "domainkey-*",
    "x-original-to",
};

static const char *const machine_read[] = {
    "in-reply-to", "references",     "list-*",
    "archived-at", "auto-submitted", "disposition-notification-to",
    "errors-to",   "feedback-id",    "importance",
    "precedence",  "priority",       "return-receipt-to",
    "sensitivity", "x-priority",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_in(const char *const *table, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        struct str entry = str_from(table[i]);
        bool prefix = entry.data[entry.len - 1] == '*';
        if (prefix)
            entry.len--;
        if (prefix ? str_starts_nocase(name, entry)
                   : str_equal_nocase(name, entry))
            return true;
    }
    return false;
}

static const char *check_name(const struct draft *draft, size_t index)
{
    struct str name = draft->headers[index].name;
    if (name.len == 0)
        return "has no name";
    if (name.len > EXTRA_NAME_MAX)
        return "has a name of more than 77 bytes";
    for (size_t i = 0; i < name.len; i++)
        if (!chars_is_ftext(name.data[i]))
            return "has a name with a character that is not allowed there "
                   "(printable ASCII without blank and colon is)";
    if (is_in(reserved, COUNT(reserved), name))
        return "cannot be set: Postrider or the mail system writes it";
    for (size_t i = 0; i < index; i++)
        if (str_equal_nocase(draft->headers[i].name, name))
            return "is there twice (upper and lower case are the same)";
    return NULL;
}

static const char *check_value(struct str value, bool verbatim)
{
    if (chars_has_control(value))
        return "has a line break or another control character in its value";
    if (verbatim && !utf8_is_ascii(value))
        return "is read by programs and must be ASCII";
    if (verbatim && !header_can_fold(value))
        return "has more than 900 bytes without a blank";
    return NULL;
}

static enum problem_kind refuse(struct problem *problem, struct str name,
                                const char *why)
{
    struct quote q;
    char field[sizeof("headers.") + EXTRA_NAME_MAX];
    size_t prefix = STR("headers.").len;
    memcpy(field, "headers.", prefix);
    (void)quote_clean(field + prefix, sizeof(field) - prefix, name);
    return problem_set(problem, PROBLEM_BAD_HEADER, field, "header \"%s\" %s",
                       quote_text(&q, name), why);
}

static void write_one(struct buf *out, const struct draft_header *header,
                      bool verbatim)
{
    struct header h;
    struct str value = str_trim(header->value);
    header_begin(&h, out, header->name);
    if (!verbatim)
        field_text(&h, header->value);
    else if (value.len > 0)
        header_verbatim(&h, value);
    header_end(&h);
}

enum problem_kind extra_write(const struct draft *draft, struct buf *out,
                              struct problem *problem)
{
    if (draft->header_count > EXTRA_MAX)
        return problem_set(problem, PROBLEM_BAD_HEADER, "headers",
                           "%zu header fields are more than the allowed %d",
                           draft->header_count, EXTRA_MAX);
    for (size_t i = 0; i < draft->header_count; i++) {
        const struct draft_header *header = &draft->headers[i];
        bool verbatim = is_in(machine_read, COUNT(machine_read), header->name);
        const char *why = check_name(draft, i);
        if (why == NULL)
            why = check_value(header->value, verbatim);
        if (why != NULL)
            return refuse(problem, header->name, why);
        write_one(out, header, verbatim);
    }
    return PROBLEM_NONE;
}
