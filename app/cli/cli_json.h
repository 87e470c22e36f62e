#ifndef APP_CLI_CLI_JSON_H
#define APP_CLI_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * Writes one JSON value (RFC 8259) into a buf, on one line: no raw line break
 * ever comes out, as newline framing needs it. The caller sees to the order
 * of calls; past the buf's cap the buf says so (buf_ok()).
 */
struct cli_json {
    struct buf *out;
    bool comma; /* before the next name or value */
};

static inline struct cli_json cli_json_to(struct buf *out)
{
    return (struct cli_json){.out = out};
}

void cli_json_open(struct cli_json *j, char bracket);  /* '{' or '[' */
void cli_json_close(struct cli_json *j, char bracket); /* '}' or ']' */
void cli_json_name(struct cli_json *j, struct str name);

/*
 * text must be UTF-8 (utf8.h): then any text comes back unchanged from any
 * parser, NUL and other control characters too.
 */
void cli_json_text(struct cli_json *j, struct str text);
void cli_json_int(struct cli_json *j, int64_t number);

/* data in base64, as a string. */
void cli_json_base64(struct cli_json *j, struct str data);

/* "name":"text" when text is not NULL, else nothing. */
void cli_json_pair(struct cli_json *j, const char *name, const char *text);

#endif
