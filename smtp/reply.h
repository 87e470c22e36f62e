#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/str.h"

/*
 * One reply of a server, RFC 5321 section 4.2: code, enhanced status code
 * (RFC 2034, 3463) and text, verbatim but for what cannot be shown: lines
 * after the first are joined with " / ", bytes that are no UTF-8 and controls
 * become "?", the end is cut.
 */
#define SMTP_REPLY_TEXT_MAX 480

struct smtp_reply {
    int code;          /* 0: none came */
    char enhanced[16]; /* "5.1.1" or "" */
    char text[SMTP_REPLY_TEXT_MAX + 1];
};

/*
 * A "reply" of our own, where the relay gave none: code 0 and words, cut to
 * what fits. enhanced is "" or a code of RFC 3463.
 */
void smtp_reply_set_own(struct smtp_reply *reply, const char *enhanced,
                        const char *text);

/*
 * Reads replies out of a stream of bytes, whatever way they are cut. Bounded:
 * of a line over 2048 bytes the end is cut (it is still a yes or a no); a
 * reply over 64 KiB is ERR_INVALID, as is anything that is no reply.
 */
#define SMTP_REPLY_LINE_MAX 2048
#define SMTP_REPLY_MAX      65536

struct smtp_reply_parser {
    size_t consumed; /* bytes of the reply under way */
    size_t lines;    /* whole lines of it */
    size_t text_len;
    bool text_full; /* what comes now is cut */
    struct smtp_reply reply;
    size_t line_len; /* of a line that came in parts */
    char line[SMTP_REPLY_LINE_MAX];
};

void smtp_reply_parser_init(struct smtp_reply_parser *p);

/* Whether it stands between two replies. */
static inline bool smtp_reply_parser_is_empty(const struct smtp_reply_parser *p)
{
    return p->consumed == 0;
}

/*
 * Takes bytes from *input (which moves on). ERR_NONE: *reply is a whole one;
 * ERR_AGAIN: all of input is used and no reply is complete; ERR_INVALID: not
 * SMTP, stop.
 */
MUST_CHECK enum err_code smtp_reply_parse(struct smtp_reply_parser *p,
                                          struct str *input,
                                          struct smtp_reply *reply);

/*
 * "550 5.1.1 no such user", for people and for the status; without the code
 * when it is 0.
 */
void smtp_reply_format(const struct smtp_reply *reply, char *out,
                       size_t out_size);

#endif
