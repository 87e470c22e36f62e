#include "app/sink/sink_command.h"

#include <stddef.h>

#include "app/sink/sink_options.h"
#include "app/sink/sink_path.h"

#define CHUNK_MAX_BYTES (1ULL << 62)

static const struct {
    struct str name;
    enum sink_verb verb;
} verbs[] = {
    {{"MAIL", 4}, SINK_VERB_MAIL}, {{"RCPT", 4}, SINK_VERB_RCPT},
    {{"DATA", 4}, SINK_VERB_DATA}, {{"BDAT", 4}, SINK_VERB_BDAT},
    {{"RSET", 4}, SINK_VERB_RSET}, {{"NOOP", 4}, SINK_VERB_NOOP},
    {{"EHLO", 4}, SINK_VERB_EHLO}, {{"HELO", 4}, SINK_VERB_HELO},
    {{"QUIT", 4}, SINK_VERB_QUIT}, {{"VRFY", 4}, SINK_VERB_VRFY},
    {{"EXPN", 4}, SINK_VERB_EXPN}, {{"HELP", 4}, SINK_VERB_HELP},
    {{"AUTH", 4}, SINK_VERB_AUTH}, {{"STARTTLS", 8}, SINK_VERB_STARTTLS},
};

static const struct sink_refusal mail_syntax = {
    501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]"};
static const struct sink_refusal rcpt_syntax = {
    501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]"};
static const struct sink_refusal bdat_syntax = {501, "5.5.4",
                                                "Syntax: BDAT size [LAST]"};
static const struct sink_refusal sender_syntax = {501, "5.1.7",
                                                  "Bad sender address syntax"};
static const struct sink_refusal recipient_syntax = {
    501, "5.1.3", "Bad recipient address syntax"};
static const struct sink_refusal path_too_long = {501, "5.1.3",
                                                  "Address too long"};
static const struct sink_refusal needs_utf8 = {553, "5.6.7",
                                               "Address needs SMTPUTF8"};
static const struct sink_refusal bad_parameter = {501, "5.5.4",
                                                  "Bad value of a parameter"};
static const struct sink_refusal twice = {501, "5.5.4",
                                          "A parameter is given twice"};
static const struct sink_refusal unknown_parameter = {
    555, "5.5.4", "Parameter not recognized or not implemented"};

struct sink_command sink_command_parse(struct str line)
{
    struct sink_command command = {SINK_VERB_UNKNOWN, {NULL, 0}};
    size_t blank = str_find(line, ' ');
    struct str word = str_of(line.data, blank);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (str_equal_nocase(word, verbs[i].name)) {
            command.verb = verbs[i].verb;
            break;
        }
    }
    command.argument = str_trim(str_after(line, blank + 1));
    return command;
}

/* The next word of *text behind blanks, moving on; empty at the end. */
static struct str next_word(struct str *text)
{
    size_t at = 0;
    while (at < text->len && text->data[at] == ' ')
        at++;
    struct str rest = str_after(*text, at);
    struct str word = str_of(rest.data, str_find(rest, ' '));
    *text = str_after(rest, word.len);
    return word;
}

static const struct sink_refusal *
parse_body(struct str value, unsigned extensions, struct sink_mail *mail)
{
    if ((extensions & SINK_EXTENSION_8BITMIME) == 0)
        return &unknown_parameter;
    if (str_equal_nocase(value, STR("8BITMIME")))
        mail->body_8bit = true;
    else if (!str_equal_nocase(value, STR("7BIT")))
        return &bad_parameter;
    return NULL;
}

static const struct sink_refusal *
parse_size(struct str value, unsigned extensions, struct sink_mail *mail)
{
    unsigned long long size;
    if ((extensions & SINK_EXTENSION_SIZE) == 0)
        return &unknown_parameter;
    if (value.len > 20 || !str_to_u64(value, UINT64_MAX, &size))
        return &bad_parameter;
    mail->has_size = true;
    mail->size_bytes = size;
    return NULL;
}

/* RFC 4954 section 5: AUTH=<> or an xtext; what it says does not matter. */
static const struct sink_refusal *parse_auth(struct str value,
                                             unsigned extensions)
{
    if ((extensions & SINK_EXTENSION_AUTH) == 0)
        return &unknown_parameter;
    return value.len == 0 ? &bad_parameter : NULL;
}

enum mail_parameter {
    PARAMETER_SIZE,
    PARAMETER_BODY,
    PARAMETER_UTF8,
    PARAMETER_AUTH,
    PARAMETER_COUNT,
};

static enum mail_parameter find_parameter(struct str name)
{
    static const struct str names[] = {
        [PARAMETER_SIZE] = {"SIZE", 4},
        [PARAMETER_BODY] = {"BODY", 4},
        [PARAMETER_UTF8] = {"SMTPUTF8", 8},
        [PARAMETER_AUTH] = {"AUTH", 4},
    };
    int i = 0;
    while (i < PARAMETER_COUNT && !str_equal_nocase(name, names[i]))
        i++;
    return (enum mail_parameter)i;
}

static const struct sink_refusal *parse_parameter(struct str word,
                                                  unsigned extensions,
                                                  unsigned *seen,
                                                  struct sink_mail *mail)
{
    size_t equals = str_find(word, '=');
    struct str value = str_after(word, equals + 1);
    enum mail_parameter which = find_parameter(str_of(word.data, equals));
    if ((*seen & (1U << which)) != 0)
        return which == PARAMETER_COUNT ? &unknown_parameter : &twice;
    *seen |= 1U << which;
    switch (which) {
    case PARAMETER_SIZE:
        return parse_size(value, extensions, mail);
    case PARAMETER_BODY:
        return parse_body(value, extensions, mail);
    case PARAMETER_AUTH:
        return parse_auth(value, extensions);
    case PARAMETER_UTF8:
        if ((extensions & SINK_EXTENSION_SMTPUTF8) == 0)
            return &unknown_parameter;
        mail->smtputf8 = true;
        return equals < word.len ? &bad_parameter : NULL;
    case PARAMETER_COUNT:
    default:
        return &unknown_parameter;
    }
}

/* "FROM:" or "TO:", then the path; *rest moves to the parameters. */
static enum sink_path_result parse_path(struct str *rest, struct str *address)
{
    enum sink_path_result result = sink_path_parse(rest, address);
    if (rest->len > 0 && rest->data[0] != ' ')
        return SINK_PATH_SYNTAX;
    return result;
}

const struct sink_refusal *sink_command_mail(struct str argument,
                                             unsigned extensions,
                                             struct sink_mail *out)
{
    struct sink_mail mail = {.has_size = false};
    unsigned seen = 0;
    if (!str_starts_nocase(argument, STR("FROM:")))
        return &mail_syntax;
    struct str rest = str_after(argument, 5);
    enum sink_path_result result = parse_path(&rest, &mail.sender);
    if (result == SINK_PATH_SYNTAX)
        return &sender_syntax;
    if (result == SINK_PATH_TOO_LONG)
        return &path_too_long;
    for (struct str word = next_word(&rest); word.len > 0;
         word = next_word(&rest)) {
        const struct sink_refusal *refusal =
            parse_parameter(word, extensions, &seen, &mail);
        if (refusal != NULL)
            return refusal;
    }
    if (result == SINK_PATH_NOT_ASCII && !mail.smtputf8)
        return &needs_utf8;
    *out = mail;
    return NULL;
}

const struct sink_refusal *sink_command_rcpt(struct str argument, bool smtputf8,
                                             struct sink_rcpt *out)
{
    struct sink_rcpt rcpt = {{NULL, 0}};
    if (!str_starts_nocase(argument, STR("TO:")))
        return &rcpt_syntax;
    struct str rest = str_after(argument, 3);
    /* RFC 5321 section 4.1.1.3: the one recipient without a domain. */
    if (str_starts_nocase(rest, STR("<postmaster>"))) {
        rcpt.recipient = str_of(rest.data + 1, STR("postmaster").len);
        rest = str_after(rest, STR("<postmaster>").len);
        if (rest.len > 0 && rest.data[0] != ' ')
            return &recipient_syntax;
    } else {
        enum sink_path_result result = parse_path(&rest, &rcpt.recipient);
        if (result == SINK_PATH_TOO_LONG)
            return &path_too_long;
        if (result == SINK_PATH_SYNTAX || rcpt.recipient.len == 0)
            return &recipient_syntax;
        if (result == SINK_PATH_NOT_ASCII && !smtputf8)
            return &needs_utf8;
    }
    if (next_word(&rest).len > 0)
        return &unknown_parameter;
    *out = rcpt;
    return NULL;
}

const struct sink_refusal *sink_command_bdat(struct str argument,
                                             struct sink_chunk *out)
{
    unsigned long long size;
    struct str number = next_word(&argument);
    struct str last = next_word(&argument);
    if (!str_to_u64(number, CHUNK_MAX_BYTES, &size) ||
        (last.len > 0 && !str_equal_nocase(last, STR("LAST"))) ||
        next_word(&argument).len > 0)
        return &bdat_syntax;
    *out = (struct sink_chunk){.size_bytes = size, .last = last.len > 0};
    return NULL;
}
