#ifndef SMTP_TROUBLE_H
#define SMTP_TROUBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "core/err.h"
#include "smtp/caps.h"
#include "smtp/outcome.h"
#include "smtp/reply.h"
#include "smtp/session.h"

/*
 * Words for an operator: which relay, what went wrong, what to do. Pure. No
 * secret is ever in them; the user name may be.
 */
#define SMTP_TROUBLE_NAME_MAX 320

/* "relay main (smtp.example.com:465)" */
void smtp_trouble_relay(const struct smtp_relay *relay,
                        char out[SMTP_TROUBLE_NAME_MAX]);

/* How far libcurl came: the last step that was done. */
enum smtp_reached {
    SMTP_REACHED_NOTHING,
    SMTP_REACHED_ADDRESS, /* the name was found */
    SMTP_REACHED_TCP,
    SMTP_REACHED_TLS, /* of smtps:// */
};

struct smtp_trouble {
    const struct smtp_relay *relay;
    const char *address; /* of the relay; NULL: not known, or its host */
    int64_t timeout_ms;  /* that it had; 0: the relay's connect_timeout_ms */
    CURLcode code;
    enum smtp_reached reached;
    int os_errno;                  /* 0: none */
    const char *curl_text;         /* CURLOPT_ERRORBUFFER */
    const struct smtp_reply *last; /* code 0: the relay said nothing yet */
    const struct smtp_caps *caps;
};

/* Why no session came about. code is CURLE_OK when only AUTH is missing. */
void smtp_trouble_connect(const struct smtp_trouble *trouble, struct err *err);

/* Why a session ended that was one. */
struct smtp_trouble_dialogue {
    const struct smtp_relay *relay;
    enum smtp_stage stage;
    enum smtp_event event;
    const struct smtp_reply *reply; /* of SMTP_EVENT_REPLY */
    long long timeout_ms;           /* of SMTP_EVENT_TIMEOUT */
};

void smtp_trouble_dialogue(const struct smtp_trouble_dialogue *trouble,
                           struct err *err);

#endif
