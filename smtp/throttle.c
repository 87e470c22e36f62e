#include "smtp/throttle.h"

#include <stddef.h>
#include <string.h>

#include "core/str.h"

/*
 * The first row that fits decides. `codes` is a reply code or the digits it
 * begins with; `enhanced` NULL fits any; `words` NULL fits any text, "a*b" is
 * a and somewhere behind it b, each at the start of a word. Letters are
 * compared without case, the breaks between lines are blanks.
 */
struct throttle_row {
    bool too_fast;
    const char *codes;
    const char *enhanced;
    const char *words;
};

static const struct throttle_row rows[] = {
    /* What is told to come back for another reason. */
    {false, "4", NULL, "greylist"},
    {false, "4", NULL, "graylist"},
    {false, "4", NULL, "grey-list"},
    {false, "4", NULL, "grey list"},
    {false, "4", "4.2.2", NULL}, /* mailbox full, RFC 3463 */
    {false, "4", "4.3.1", NULL}, /* disk full, RFC 3463 */
    {false, "4", NULL, "too many errors"},
    /* In one transaction or session: the next one is welcome at once. */
    {false, "4", "4.5.3", NULL}, /* too many recipients, RFC 3463 */
    {false, "4", NULL, "messages*in this connection"},
    {false, "4", NULL, "per session"},
    {false, "4", NULL, "per connection"},

    /* Codes that are for this only. */
    {true, "4", "4.7.28", NULL},   /* mail flood, IANA; Gmail */
    {true, "45", "4.7.500", NULL}, /* Microsoft 365 */
    {true, "45", "4.7.650", NULL},
    {true, "45", "4.7.651", NULL},
    {true, "45", "4.7.652", NULL},

    /* Rates. */
    {true, "4", NULL, "throttl"},
    {true, "4", NULL, "rate limit"},
    {true, "4", NULL, "rate-limit"},
    {true, "4", NULL, "ratelimit"},
    {true, "4", NULL, "rate control"},
    {true, "4", NULL, "rate overlimit"},
    {true, "4", NULL, "rate exceed"},
    {true, "4", NULL, "submission rate"},
    {true, "4", NULL, "unusual rate"},
    {true, "4", NULL, "unexpected volume"},
    {true, "4", NULL, "at a rate that"},
    {true, "4", NULL, "too fast"},
    {true, "4", NULL, "too quickly"},
    {true, "4", NULL, "too frequent"},
    {true, "4", NULL, "slow down"},
    {true, "4", NULL, "try again slower"},
    {true, "4", NULL, "mail flood"},

    /* Numbers in a time. */
    {true, "4", NULL, "too much mail"},
    {true, "4", NULL, "too many messages"},
    {true, "4", NULL, "too many mails"},
    {true, "4", NULL, "too many emails"},
    {true, "4", NULL, "too many e-mails"},
    {true, "4", NULL, "too many recipients from"},
    {true, "4", NULL, "message quota exceeded"},
    {true, "4", NULL, "sending quota"},
    {true, "4", NULL, "sending limit"},
    {true, "4", NULL, "messaging limit"},
    {true, "4", NULL, "relay limit exceeded"},
    {true, "4", NULL, "emails per hour"},
    {true, "4", NULL, "limits for how many messages"},

    /* Connections: fewer mails a second need fewer of them. */
    {true, "4", NULL, "too many*connections"},
    {true, "4", NULL, "too many*sessions"},
    {true, "4", NULL, "concurrent connection*exceeded"},
    {true, "4", NULL, "maximum number of*connections"},
    {true, "4", NULL, "connection limit"},
    {true, "4", NULL, "concurrency limit"},
    {true, "4", NULL, "thread limit exceeded"},

    /* Load. */
    {true, "4", NULL, "server busy"},
    {true, "4", NULL, "too much load"},
};

/* The text in lower case, " / " between lines and runs of blanks as one. */
static void flatten(const char *text, char out[SMTP_REPLY_TEXT_MAX + 1])
{
    size_t len = 0;
    while (*text != '\0') {
        if (text[0] == ' ' && text[1] == '/' && text[2] == ' ')
            text += 2;
        else if (text[0] == ' ' && text[1] == ' ')
            text++;
        else
            out[len++] = ascii_lower(*text++);
    }
    out[len] = '\0';
}

static bool starts_word(const char *text, const char *at)
{
    return at == text || !(ascii_is_alpha(at[-1]) || ascii_is_digit(at[-1]));
}

/* Behind the first part of text from `from` on that is at a word's start. */
static const char *find_part(const char *text, const char *from,
                             struct str part)
{
    const char *at = from;
    for (; (at = strchr(at, part.data[0])) != NULL; at++)
        if (strncmp(at, part.data, part.len) == 0 && starts_word(text, at))
            return at + part.len;
    return NULL;
}

static bool has_words(const char *text, const char *words)
{
    struct str rest = str_from(words);
    const char *at = text;
    while (rest.len > 0 && at != NULL) {
        struct str part = str_of(rest.data, str_find(rest, '*'));
        rest = str_after(rest, part.len + 1);
        at = find_part(text, at, part);
    }
    return at != NULL;
}

/* code: of three digits. */
static bool has_code(int code, const char *digits)
{
    const char text[] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10),
                         (char)('0' + code % 10)};
    return str_starts(str_of(text, sizeof(text)), str_from(digits));
}

bool smtp_throttle_says(const struct smtp_reply *reply)
{
    char text[SMTP_REPLY_TEXT_MAX + 1];
    if (reply->code < 400 || reply->code > 499)
        return false;
    flatten(reply->text, text);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct throttle_row *row = &rows[i];
        if (has_code(reply->code, row->codes) &&
            (row->enhanced == NULL ||
             strcmp(row->enhanced, reply->enhanced) == 0) &&
            (row->words == NULL || has_words(text, row->words)))
            return row->too_fast;
    }
    return false;
}
