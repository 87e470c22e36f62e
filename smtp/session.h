#ifndef SMTP_SESSION_H
#define SMTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/body.h"
#include "core/clock.h"
#include "core/err.h"
#include "smtp/outcome.h"
#include "smtp/reply.h"

struct event_base;

/*
 * Connections to relays. libcurl (CONNECT_ONLY) does DNS, TCP, TLS, EHLO,
 * STARTTLS and AUTH; from there on the dialogue is ours.
 *
 * Threads: an engine and its sessions belong to the thread that runs the
 * event base; every function is called on it and every callback comes from
 * its loop, never from inside a call of these functions.
 * Blocking: nothing blocks.
 */
enum smtp_tls {
    SMTP_TLS_IMPLICIT, /* smtps:// */
    SMTP_TLS_STARTTLS, /* required, never optional */
    SMTP_TLS_NONE,
};

/* How to reach a relay. Borrowed: must outlive the engine. */
struct smtp_relay {
    const char *name; /* for logs and results */
    const char *host; /* name or numeric address, IPv6 without brackets */
    unsigned port;
    enum smtp_tls tls;
    const char *username; /* NULL: no authentication */
    const char *password;
    const char *ca_file; /* NULL: the system's bundle */
    bool verify;
    const char *hostname;       /* for EHLO */
    int64_t connect_timeout_ms; /* DNS to AUTH */
    int64_t mail_timeout_ms;
    int64_t rcpt_timeout_ms;
    int64_t data_timeout_ms;
    int64_t body_timeout_ms; /* without any progress */
    int64_t final_timeout_ms;
};

/*
 * Once in main, before any thread; smtp_global_fini() at the end. SIGPIPE is
 * ignored from then on. ERR_SYSTEM for a libcurl without smtps.
 */
MUST_CHECK enum err_code smtp_global_init(struct err *err);
void smtp_global_fini(void);

struct smtp_engine;

/* base and clock are borrowed. */
MUST_CHECK enum err_code smtp_engine_create(struct smtp_engine **out,
                                            struct event_base *base,
                                            const struct clock *clock,
                                            struct err *err);

/*
 * No session may be left; not from a callback. NULL is allowed. A new engine
 * reads CA files again (libcurl keeps what it read in the old one).
 */
void smtp_engine_destroy(struct smtp_engine *engine);

struct smtp_session;

/* One mail, one transaction. Everything is borrowed until its result came. */
struct smtp_mail {
    const char *sender; /* without <>; "" is <> */
    const char *const *recipients;
    size_t recipient_count;
    const struct body *body;
};

struct smtp_recipient_result {
    enum outcome outcome;    /* never NONE */
    struct smtp_reply reply; /* code 0: none came, and words of ours say why */
};

/*
 * What came of a mail. Valid during the callback only, and there only until
 * smtp_session_send().
 */
struct smtp_result {
    const struct smtp_recipient_result *recipients; /* as in the mail */
    size_t count;
};

/* Why a session is over. */
struct smtp_closing {
    bool relay_failed;     /* back off: it could not be used at all */
    bool by_us;            /* quit, or an order */
    enum smtp_stage stage; /* where it was */
    struct err err;        /* in words; ERR_NONE when by us */
};

struct smtp_session_events {
    /* Connected and authenticated: it takes mail. */
    void (*ready)(void *ctx, struct smtp_session *s);
    /*
     * The mail's result. Ask smtp_session_takes_mail() before the next one: a
     * session that is closing tells `closed` afterwards.
     */
    void (*result)(void *ctx, struct smtp_session *s,
                   const struct smtp_result *result);
    /*
     * Last callback; s is freed when it returns. It comes in any case, without
     * `ready` before it when no session came about.
     */
    void (*closed)(void *ctx, struct smtp_session *s,
                   const struct smtp_closing *why);
};

/*
 * Starts to connect; everything after that comes through events (borrowed).
 * relay: see struct smtp_relay. ERR_INVALID for a host that cannot be one;
 * ERR_SYSTEM when libcurl has no handle to give.
 */
MUST_CHECK enum err_code
smtp_session_open(struct smtp_session **out, struct smtp_engine *engine,
                  const struct smtp_relay *relay,
                  const struct smtp_session_events *events, void *ctx);

/* Whether smtp_session_send() may be called now. */
bool smtp_session_takes_mail(const struct smtp_session *s);

/*
 * Sends the mail; the result comes through events. What the relay said it
 * would not take (a mail over its SIZE, an address that needs SMTPUTF8) and a
 * recipient that no command can hold are rejected in the result, in our own
 * words, without being sent; the other recipients are sent to. ERR_INVALID,
 * with err, for no recipient or a sender that no command can hold: then there
 * is no result.
 */
MUST_CHECK enum err_code smtp_session_send(struct smtp_session *s,
                                           const struct smtp_mail *mail,
                                           struct err *err);

/*
 * QUIT when idle, then `closed`; a mail under way is finished first. A session
 * that is not connected yet is cut.
 */
void smtp_session_quit(struct smtp_session *s);

/*
 * Cuts it now. A mail under way gets its result (unknown if it was sent in
 * full, else untried), then `closed`; both from the loop.
 */
void smtp_session_abort(struct smtp_session *s);

#endif
