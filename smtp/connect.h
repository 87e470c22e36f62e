#ifndef SMTP_CONNECT_H
#define SMTP_CONNECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "core/err.h"
#include "core/wake.h"
#include "smtp/addresses.h"
#include "smtp/caps.h"
#include "smtp/engine.h"
#include "smtp/reply.h"
#include "smtp/session.h"

/*
 * Inside smtp/ only: what libcurl does for a session, DNS to AUTH, with
 * CURLOPT_CONNECT_ONLY. The easy handle stays in the engine's multi handle
 * for the connection's whole life. Embedded in a session; never moves.
 *
 * With relay->addresses each address gets an easy handle of its own, one after
 * the other, until one lets us in or connect_timeout_ms is over. Each has its
 * part of the time that is left, at least SMTP_CONNECT_LEAST_MS of it, so that
 * one that says nothing leaves time for the others. What a relay says to a
 * login that is wrong is its last word: no other address is asked.
 */
#define SMTP_CONNECT_LEAST_MS 1000

struct event;

struct smtp_connect {
    struct smtp_engine *engine;
    const struct smtp_relay *relay;
    struct smtp_engine_client *client;
    CURL *easy; /* NULL while the name is looked up */

    /* Of relays with addresses, until it is decided. */
    int64_t until_ms;   /* mono */
    int64_t timeout_ms; /* of the present attempt */
    struct smtp_address_list *list;
    size_t at;                     /* the one that is tried */
    struct curl_slist *connect_to; /* what libcurl is told of it */
    struct smtp_addresses_wait wait;
    struct wake wake;
    struct event *woken;
    struct err lookup; /* why it failed; ERR_NONE: it did not */

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
 * First of all, with the code that `connected` brought. True: this address
 * failed and another one is being tried; `connected` comes again.
 */
MUST_CHECK bool smtp_connect_tries_another(struct smtp_connect *c,
                                           CURLcode code);

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
