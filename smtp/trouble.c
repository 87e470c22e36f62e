#include "smtp/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/panic.h"

#define SAID_MAX 200 /* of a reply in a sentence of ours */

static void name_relay(const struct smtp_relay *relay, const char *address,
                       char out[SMTP_TROUBLE_NAME_MAX])
{
    bool is_ipv6 = strchr(relay->host, ':') != NULL;
    (void)snprintf(out, SMTP_TROUBLE_NAME_MAX,
                   "relay %.60s (%s%.170s%s:%u%s%.64s)", relay->name,
                   is_ipv6 ? "[" : "", relay->host, is_ipv6 ? "]" : "",
                   relay->port, address == NULL ? "" : ", ",
                   address == NULL ? "" : address);
}

void smtp_trouble_relay(const struct smtp_relay *relay,
                        char out[SMTP_TROUBLE_NAME_MAX])
{
    name_relay(relay, NULL, out);
}

static const char *curl_words(const struct smtp_trouble *t)
{
    if (t->curl_text != NULL && t->curl_text[0] != '\0')
        return t->curl_text;
    return curl_easy_strerror(t->code);
}

static bool text_has(const struct smtp_trouble *t, const char *words)
{
    return t->curl_text != NULL && strstr(t->curl_text, words) != NULL;
}

static void explain_name(const struct smtp_trouble *t, const char *who,
                         struct err *err)
{
    err_set(err, ERR_NOT_FOUND,
            "%s: the name \"%.100s\" was not found: check the relay's host "
            "name and this machine's DNS",
            who, t->relay->host);
}

static void explain_refused(const struct smtp_trouble *t, const char *who,
                            struct err *err)
{
    if (t->os_errno == ECONNREFUSED) {
        err_set(err, ERR_SYSTEM,
                "%s refused the connection: does a mail server listen on port "
                "%u there?",
                who, t->relay->port);
        return;
    }
    if (t->os_errno != 0)
        err_system(err, t->os_errno, "%s cannot be reached", who);
    else
        err_set(err, ERR_SYSTEM, "%s cannot be reached: %.120s", who,
                curl_words(t));
}

static void explain_timeout(const struct smtp_trouble *t, const char *who,
                            struct err *err)
{
    const char *what = "it stopped answering before the session was set up";
    if (t->reached == SMTP_REACHED_NOTHING)
        what = "its name was not resolved in time: check this machine's DNS";
    else if (t->reached == SMTP_REACHED_ADDRESS)
        what = "no connection was made: wrong port, or a firewall?";
    else if (t->relay->tls == SMTP_TLS_IMPLICIT &&
             t->reached == SMTP_REACHED_TCP)
        what = "its TLS handshake did not finish: is this port one for "
               "smtps://, or for smtp:// with STARTTLS?";
    else if (t->last->code == 0 && t->relay->tls != SMTP_TLS_IMPLICIT)
        what = "it sent no greeting: is this port one for smtps://?";
    else if (t->last->code == 0)
        what = "it sent no greeting";
    int64_t timeout_ms =
        t->timeout_ms > 0 ? t->timeout_ms : t->relay->connect_timeout_ms;
    err_set(err, ERR_TIMEOUT, "%s timed out after %lld ms: %s", who,
            (long long)timeout_ms, what);
}

static void explain_tls(const struct smtp_trouble *t, const char *who,
                        struct err *err)
{
    if (text_has(t, "wrong version number") || text_has(t, "unknown protocol"))
        err_set(err, ERR_SYSTEM,
                "%s does not speak TLS on this port: if it wants STARTTLS, use "
                "smtp:// instead of smtps:// (%.80s)",
                who, curl_words(t));
    else
        err_set(err, ERR_SYSTEM, "TLS handshake with %s failed: %.140s", who,
                curl_words(t));
}

static void explain_certificate(const struct smtp_trouble *t, const char *who,
                                struct err *err)
{
    if (text_has(t, "not yet valid"))
        err_set(err, ERR_DENIED,
                "certificate of %s is not valid yet: is this machine's clock "
                "right?",
                who);
    else if (text_has(t, "expired"))
        err_set(err, ERR_DENIED,
                "certificate of %s has expired: its operator must renew it",
                who);
    else if (text_has(t, "subject name") || text_has(t, "host name") ||
             text_has(t, "hostname"))
        err_set(err, ERR_DENIED,
                "certificate of %s is for another host name: use the name "
                "that the certificate has",
                who);
    else
        err_set(err, ERR_DENIED,
                "certificate of %s is not trusted: set ca_file to the CA that "
                "signed it (%.100s)",
                who, curl_words(t));
}

static void explain_login(const struct smtp_trouble *t, const char *who,
                          const char *said, struct err *err)
{
    int code = t->last->code;
    bool asked = code >= 400;
    if (!smtp_caps_has(t->caps, SMTP_EXTENSION_AUTH) && !asked)
        err_set(err, ERR_DENIED,
                "%s does not offer AUTH, but a username is configured%s", who,
                t->relay->tls == SMTP_TLS_NONE
                    ? ": many relays offer it only with TLS"
                    : "");
    else if (!asked)
        err_set(err, ERR_DENIED,
                "%s offers neither AUTH PLAIN nor AUTH LOGIN: no other way to "
                "authenticate is supported",
                who);
    else if (code < 500)
        err_set(err, ERR_DENIED, "%s cannot authenticate now: relay said %s",
                who, said);
    else
        err_set(err, ERR_DENIED,
                "%s: wrong password? relay said %s to user \"%.60s\"", who,
                said, t->relay->username);
}

static void explain_starttls(const struct smtp_trouble *t, const char *who,
                             const char *said, struct err *err)
{
    if (!smtp_caps_has(t->caps, SMTP_EXTENSION_STARTTLS))
        err_set(err, ERR_DENIED,
                "%s does not offer STARTTLS, and nothing is sent in the clear: "
                "wrong port?",
                who);
    else
        err_set(err, ERR_DENIED, "%s refused STARTTLS: relay said %s", who,
                said);
}

static void explain_greeting(const struct smtp_trouble *t, const char *who,
                             const char *said, struct err *err)
{
    if (t->last->code >= 400)
        err_set(err, ERR_DENIED, "%s does not take us: relay said %s", who,
                said);
    else
        err_set(err, ERR_INVALID,
                "%s does not speak SMTP on this port, or not right (%.80s)",
                who, curl_words(t));
}

static void explain_closed(const struct smtp_trouble *t, const char *who,
                           const char *said, struct err *err)
{
    if (t->last->code == 0)
        err_set(err, ERR_CLOSED,
                "%s closed the connection before it said anything", who);
    else
        err_set(err, ERR_CLOSED,
                "%s closed the connection while the session was set up; the "
                "last it said was %s",
                who, said);
}

void smtp_trouble_connect(const struct smtp_trouble *t, struct err *err)
{
    char who[SMTP_TROUBLE_NAME_MAX];
    char said[SAID_MAX];
    name_relay(t->relay, t->address, who);
    smtp_reply_format(t->last, said, sizeof(said));
    /* libcurl has 100 codes; those that SMTP can give have words. */
    switch ((int)t->code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        explain_name(t, who, err);
        break;
    case CURLE_COULDNT_CONNECT:
        explain_refused(t, who, err);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        explain_timeout(t, who, err);
        break;
    case CURLE_SSL_CONNECT_ERROR:
        explain_tls(t, who, err);
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
        explain_certificate(t, who, err);
        break;
    case CURLE_SSL_CACERT_BADFILE:
        err_set(err, ERR_INVALID, "%s: cannot use the CA file %.100s: %.80s",
                who,
                t->relay->ca_file != NULL ? t->relay->ca_file : "of the system",
                curl_words(t));
        break;
    case CURLE_OK: /* and not authenticated */
    case CURLE_LOGIN_DENIED:
        explain_login(t, who, said, err);
        break;
    case CURLE_USE_SSL_FAILED:
        explain_starttls(t, who, said, err);
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_REMOTE_ACCESS_DENIED:
        explain_greeting(t, who, said, err);
        break;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
        explain_closed(t, who, said, err);
        break;
    default:
        err_set(err, ERR_SYSTEM, "%s: %.160s", who, curl_words(t));
        break;
    }
}

/* Behind "while". */
static const char *stage_words(enum smtp_stage stage)
{
    static const char *const words[SMTP_STAGE_COUNT] = {
        [SMTP_STAGE_CONNECT] = "the session was set up",
        [SMTP_STAGE_MAIL] = "it had MAIL to answer",
        [SMTP_STAGE_RCPT] = "it had RCPT to answer",
        [SMTP_STAGE_DATA] = "it had DATA to answer",
        [SMTP_STAGE_BODY] = "the message was being sent",
        [SMTP_STAGE_FINAL] = "it had the whole message to answer",
        [SMTP_STAGE_RSET] = "it had RSET to answer",
        [SMTP_STAGE_IDLE] = "the session was idle",
        [SMTP_STAGE_QUIT] = "it had QUIT to answer",
    };
    return words[stage];
}

static void explain_reply(const struct smtp_trouble_dialogue *t,
                          const char *who, struct err *err)
{
    char said[SAID_MAX];
    int code = t->reply->code;
    smtp_reply_format(t->reply, said, sizeof(said));
    if (code == 421)
        err_set(err, ERR_CLOSED, "%s ended the session while %s: it said %s",
                who, stage_words(t->stage), said);
    else if (code == 530 || code == 534 || code == 535 || code == 538)
        err_set(err, ERR_DENIED,
                "%s wants another login or TLS than it got: it said %s while "
                "%s",
                who, said, stage_words(t->stage));
    else
        err_set(err, ERR_INVALID, "%s said %s while %s", who, said,
                stage_words(t->stage));
}

void smtp_trouble_dialogue(const struct smtp_trouble_dialogue *t,
                           struct err *err)
{
    char who[SMTP_TROUBLE_NAME_MAX];
    smtp_trouble_relay(t->relay, who);
    switch (t->event) {
    case SMTP_EVENT_REPLY:
        explain_reply(t, who, err);
        return;
    case SMTP_EVENT_LOST:
        err_set(err, ERR_CLOSED, "%s closed the connection while %s", who,
                stage_words(t->stage));
        return;
    case SMTP_EVENT_TIMEOUT:
        err_set(err, ERR_TIMEOUT, "%s timed out: nothing for %lld ms while %s",
                who, t->timeout_ms, stage_words(t->stage));
        return;
    case SMTP_EVENT_GARBAGE:
        err_set(err, ERR_INVALID, "%s sent what is no answer while %s", who,
                stage_words(t->stage));
        return;
    }
    PANIC("no such event: %d", (int)t->event);
}
