#ifndef APP_SINK_SINK_COMMAND_H
#define APP_SINK_SINK_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

/*
 * Command lines of RFC 5321 section 4.1, and the parameters of the extensions
 * we know. Pure: views of the line in, views out.
 */
enum sink_verb {
    SINK_VERB_UNKNOWN,
    SINK_VERB_EHLO,
    SINK_VERB_HELO,
    SINK_VERB_MAIL,
    SINK_VERB_RCPT,
    SINK_VERB_DATA,
    SINK_VERB_BDAT,
    SINK_VERB_RSET,
    SINK_VERB_NOOP,
    SINK_VERB_QUIT,
    SINK_VERB_VRFY,
    SINK_VERB_EXPN,
    SINK_VERB_HELP,
    SINK_VERB_AUTH,
    SINK_VERB_STARTTLS,
    SINK_VERB_COUNT,
};

struct sink_command {
    enum sink_verb verb;
    struct str argument; /* without blanks at both ends */
};

/* Why a command is refused. Static. */
struct sink_refusal {
    unsigned code;
    const char *enhanced; /* RFC 3463; "" for none */
    const char *text;
};

struct sink_mail {
    struct str sender; /* without <>; empty for the null sender */
    bool has_size;
    uint64_t size_bytes;
    bool smtputf8;
    bool body_8bit; /* BODY=8BITMIME */
};

struct sink_rcpt {
    struct str recipient;
};

struct sink_chunk {
    uint64_t size_bytes;
    bool last;
};

/* line without its CRLF. An unknown verb is SINK_VERB_UNKNOWN. */
struct sink_command sink_command_parse(struct str line);

/*
 * The argument of MAIL, RCPT or BDAT. extensions: bits of enum
 * sink_extension that are on; parameters of those that are off get 555.
 * Returns NULL when it is right, and fills *out only then.
 */
const struct sink_refusal *sink_command_mail(struct str argument,
                                             unsigned extensions,
                                             struct sink_mail *out);
const struct sink_refusal *sink_command_rcpt(struct str argument, bool smtputf8,
                                             struct sink_rcpt *out);
const struct sink_refusal *sink_command_bdat(struct str argument,
                                             struct sink_chunk *out);

#endif
