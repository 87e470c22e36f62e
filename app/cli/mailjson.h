#ifndef APP_CLI_MAILJSON_H
#define APP_CLI_MAILJSON_H

#include <stdbool.h>
#include <stdint.h>

#include "app/cli/options.h"
#include "core/buf.h"
#include "core/err.h"

/* What `postrider send` was told, as it stood on the command line. */
struct mail_options {
    const char *from;
    struct text_list to;
    struct text_list cc;
    struct text_list bcc;
    struct text_list reply_to;
    const char *subject;
    const char *text; /* a file's name, "-" is standard input */
    const char *html;
    struct text_list attach;      /* FILE or FILE:TYPE */
    struct text_list inline_part; /* FILE or FILE:CID */
    struct text_list header;      /* "Name: value" */
    struct text_list meta;        /* "key=value" */
    const char *priority;
    const char *send_at; /* RFC 3339, or a duration from now */
    const char *expires_at;
    const char *route;
    const char *key;
    const char *tag;
    const char *on_unknown;
    int64_t wait_ms; /* 0: not */
};

#define MAILJSON_MAX (256U << 20) /* of the submit, and of each file */

/*
 * Without --text and --html the text is read from standard input; "-" asks
 * for it by name.
 */
bool mailjson_reads_input(const struct mail_options *mail);

/*
 * Adds the submit (one line, without its end) to out, whose cap should be
 * MAILJSON_MAX. input is the descriptor of standard input; now_ms is real
 * time. Blocking: as long as reading takes. Returns 0 or the exit code (64
 * wrong usage, 65 contents that cannot be sent, 66 a file that cannot be
 * read); err then names option and file.
 */
MUST_CHECK int mailjson_build(const struct mail_options *mail, int input,
                              int64_t now_ms, struct buf *out, struct err *err);

#endif
