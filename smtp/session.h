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
struct smtp_addresses;

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

#define SMTP_UNCONFIRMED_MAX 64

/* How to reach a relay. Borrowed: must outlive the engine. */
struct smtp_relay {
    const char *name; /* for logs and results */
    const char *host; /* name or numeric address, IPv6 without brackets */
    unsigned port;
    /*
     * Of host, for all engines: a session tries them one after the other, and
     * the relay has failed when all did (smtp/addresses.h). NULL: libcurl
     * looks the host up.
     */
    struct smtp_addresses *addresses;
    enum smtp_tls tls;
    const char *username; /* NULL: no authentication */
    const char *password;
    const char *ca_file; /* NULL: the system's bundle */
    bool verify;
    const char *hostname;       /* for EHLO */
    bool pipelining;            /* use it where it is offered, RFC 2920 */
    bool chunking;              /* likewise, RFC 3030 */
    unsigned unconfirmed;       /* 1..SMTP_UNCONFIRMED_MAX; see struct
                                 * smtp_mail */
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

/*
 * Writes what sessions have to say since the last call: mails that were handed
 * over, bodies that relays asked for. The owner of the loop calls it before he
 * waits again, so that what came together leaves in one flight. Calls nobody
 * back.
 */
void smtp_engine_flush(struct smtp_engine *engine);

struct smtp_session;

/*
 * One mail, one transaction. Everything, the struct itself too, is borrowed
 * until its result came.
 *
 * A session speaks as the relay can and as it may:
 *   BDAT         CHUNKING and PIPELINING: a mail is one flight, and up to
 *                `unconfirmed` mails are sent without an answer to the first;
 *   PIPELINE     PIPELINING: the commands of the next mail, if it is there
 *                already, go out behind the body of the one before; one mail
 *                at most is sent without an answer;
 *   ONE_BY_ONE   neither: a command, a reply.
 * No mail's result depends on another's but for the end of the session: then
 * only mails of which the last byte was taken by the connection are unknown.
 */
struct smtp_mail {
    const char *sender; /* without <>; "" is <> */
    const char *const *recipients;
    size_t recipient_count;
    struct body *body; /* in memory or in a file */
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
     * The mail's result; mails have them in the order of their sending. Ask
     * smtp_session_room() before the next one: a session that is closing tells
     * `closed` afterwards.
     */
    void (*result)(void *ctx, struct smtp_session *s,
                   const struct smtp_mail *mail,
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

/* How often smtp_session_send() may be called now. */
size_t smtp_session_room(const struct smtp_session *s);

/* Whether it is connected and no mail is under way. */
bool smtp_session_is_idle(const struct smtp_session *s);

/* Whether the relay takes bodies of 7 bits only. Connected sessions. */
bool smtp_session_wants_7bit(const struct smtp_session *s);

/*
 * Takes the mail, to be written at the next smtp_engine_flush(), behind those
 * that it has; the result comes through events. What the relay said it
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
 * QUIT when idle, then `closed`; mails it has are finished first. A session
 * that is not connected yet is cut.
 */
void smtp_session_quit(struct smtp_session *s);

/*
 * Cuts it now. Mails under way get their results (unknown if it was sent in
 * full, else untried), then `closed`; all from the loop.
 */
void smtp_session_abort(struct smtp_session *s);

#endif
