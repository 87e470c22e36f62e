#ifndef APP_CLI_REPLY_H
#define APP_CLI_REPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "app/cli/jsontree.h"
#include "core/err.h"
#include "core/str.h"

/* One reply of protocol version 1 (docs/protocol.md). Views of its tree. */
struct reply {
    struct json_node *root;
    bool ok;
    bool duplicate;
    bool retry;
    int64_t retry_after_ms; /* -1: not said */
    struct str id;
    struct str state;
    struct str durable;
    struct str error;
    struct str field;
    struct str message;
};

/* ERR_INVALID when the line is no reply; freed by reply_fini() else. */
MUST_CHECK enum err_code reply_parse(struct str line, struct reply *out,
                                     struct err *err);
void reply_fini(struct reply *r);

/*
 * sysexits: 0 for ok, 75 when the same can succeed later, 77 when this client
 * may not, 65 for the rest.
 */
int reply_exit_code(const struct reply *r);

/* What to do about it, NULL if the message says it all. Static. */
const char *reply_hint(const struct reply *r);

/* "bad_address in to[1]: no at-sign", safe for a terminal, no line end. */
void reply_print_error(FILE *out, const struct reply *r);

/* The exit code for how a wait for a job of this state ended. */
int reply_state_exit_code(struct str state);

/* Delivered, failed, expired, cancelled; held too, for it needs a person. */
bool reply_state_is_final(struct str state);

#endif
