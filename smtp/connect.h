#ifndef SMTP_CONNECT_H
#define SMTP_CONNECT_H

#include <stdbool.h>

#include <curl/curl.h>

#include "core/err.h"
#include "smtp/caps.h"
#include "smtp/engine.h"
#include "smtp/reply.h"
#include "smtp/session.h"

/*
 * Inside smtp/ only: what libcurl does for a session, DNS to AUTH, with
 * CURLOPT_CONNECT_ONLY. The easy handle stays in the engine's multi handle
 * for the connection's whole life. Embedded in a session; never moves.
 */
struct smtp_connect {
    struct smtp_engine *engine;
    const struct smtp_relay *relay;
    CURL *easy;
    struct smtp_caps caps; /* of the last EHLO reply */
    bool in_reply;         /* the last line was not its reply's last */
    struct smtp_reply_parser parser;
    struct smtp_reply last; /* what the relay said last; code 0: nothing */
    char error[CURL_ERROR_SIZE];
};

/*
 * Starts; client->hooks->connected comes from the loop. ERR_INVALID for a
 * relay whose host cannot be one, ERR_SYSTEM when libcurl will not.
 */
MUST_CHECK enum err_code smtp_connect_start(struct smtp_connect *c,
                                            struct smtp_engine *engine,
                                            const struct smtp_relay *relay,
                                            struct smtp_engine_client *client);

/*
 * With the code that `connected` brought: ERR_NONE if the relay takes mail
 * now; else err says why not.
 */
MUST_CHECK enum err_code smtp_connect_check(const struct smtp_connect *c,
                                            CURLcode code, struct err *err);

/* For a connect that never came to an end: as a time-out of libcurl. */
void smtp_connect_explain_timeout(const struct smtp_connect *c,
                                  struct err *err);

/* The connection's socket, or -1. */
int smtp_connect_socket(const struct smtp_connect *c);

/* Closes the connection, whatever it does; again does nothing. */
void smtp_connect_close(struct smtp_connect *c);

#endif
