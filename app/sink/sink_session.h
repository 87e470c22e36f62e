#ifndef APP_SINK_SINK_SESSION_H
#define APP_SINK_SINK_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/sink/sink_command.h"
#include "app/sink/sink_counts.h"
#include "app/sink/sink_data.h"
#include "app/sink/sink_envelope.h"
#include "app/sink/sink_fault.h"
#include "app/sink/sink_header.h"
#include "app/sink/sink_log.h"
#include "app/sink/sink_options.h"
#include "app/sink/sink_store.h"
#include "app/sink/sink_tally.h"
#include "core/buf.h"
#include "core/str.h"

/*
 * The SMTP dialogue of one connection (RFC 5321 and the extensions of
 * sink_options.h): plain bytes in, replies into out, and a wish what the
 * connection shall do next. Knows no descriptors, no TLS and no time, so it
 * can be tested from memory.
 *
 *   COMMAND --AUTH--> AUTH --response--> COMMAND
 *   COMMAND --DATA--> DATA --final dot--> COMMAND
 *   COMMAND --BDAT n--> CHUNK --n bytes--> COMMAND
 *   COMMAND --line too long--> OVERLONG --its end--> COMMAND
 */
#define SINK_SESSION_OUT_BYTES (64U << 10)

enum sink_mode {
    SINK_MODE_COMMAND,
    SINK_MODE_AUTH,     /* a line of an AUTH exchange comes */
    SINK_MODE_DATA,     /* content up to the final dot */
    SINK_MODE_CHUNK,    /* chunk_left bytes of content */
    SINK_MODE_OVERLONG, /* skipping to the end of the line */
};

enum sink_want {
    SINK_WANT_INPUT,
    SINK_WANT_TLS,   /* send out, then start TLS */
    SINK_WANT_CLOSE, /* send out, then close politely */
    SINK_WANT_DROP,  /* send out, then close(2) */
    SINK_WANT_RESET, /* send out, then RST */
    SINK_WANT_STALL, /* send out, then never say anything again */
};

enum sink_auth_step {
    SINK_AUTH_STEP_PLAIN,
    SINK_AUTH_STEP_LOGIN_NAME,
    SINK_AUTH_STEP_LOGIN_PASSWORD,
};

/* What all sessions share. Nothing here is owned by a session. */
struct sink {
    struct sink_options *options;
    struct sink_counts counts;
    struct sink_tally tally;
    struct sink_store store;
    struct sink_log log;
};

/* One message's content on its way. */
struct sink_content {
    struct sink_data data;
    struct sink_header header;
    struct sink_file file;
    uint64_t size_bytes;
    uint64_t wire_bytes; /* with stuffed dots and the like */
    uint64_t cut_bytes;  /* next after= of stage body */
    bool started;
    bool too_large;
    bool failed; /* the store could not take it */
};

struct sink_session {
    struct sink *sink;
    uint64_t number; /* of the connection, from 1 */
    enum sink_listener_kind kind;
    bool refused;            /* greet with 421: too many connections */
    const char *tls_version; /* NULL without; static */

    enum sink_mode mode;
    enum sink_want want;
    struct buf out;  /* replies to be sent */
    int64_t hold_ms; /* -1: none; else bytes of out from hold_at wait */
    size_t hold_at;

    const struct sink_fault *fault; /* for the next reply */
    enum sink_verb last_verb;
    bool more; /* the client sent something behind this command already */
    bool helloed;
    bool extended;   /* by EHLO */
    bool smtputf8;   /* this transaction */
    struct buf user; /* non-empty: authenticated */
    struct buf auth_name;
    enum sink_auth_step auth_step;

    struct sink_envelope envelope;
    size_t rcpt_commands; /* since MAIL */
    struct sink_content content;
    uint64_t chunk_left;
    bool chunk_last;
    bool chunked;      /* a BDAT was taken in this transaction */
    bool chunk_failed; /* RFC 3030: RSET has to come */
    const struct sink_refusal *chunk_refusal;

    uint64_t messages;
    uint64_t errors;
    uint64_t input_bytes;
    uint64_t input_cut; /* next after= of stage input */
};

void sink_session_init(struct sink_session *s, struct sink *sink,
                       enum sink_listener_kind kind, uint64_t number);

/* Counts a transaction cut short. */
void sink_session_fini(struct sink_session *s);

/* The greeting. */
void sink_session_greet(struct sink_session *s);

/*
 * Uses bytes of in and returns how many. Less than all: the rest is the
 * beginning of a line (the caller brings it again with more behind it), or
 * the session wants something else than input, or holds a reply, or out is
 * full enough to be sent first.
 */
size_t sink_session_feed(struct sink_session *s, struct str in);

/* The hold is over: all of out may go, input is welcome again. */
void sink_session_release(struct sink_session *s);

/* RFC 3207 section 4.2: after the handshake all is forgotten. */
void sink_session_tls_started(struct sink_session *s, const char *version);

/* The peer said nothing for too long. */
void sink_session_idle(struct sink_session *s);

static inline bool sink_session_takes_input(const struct sink_session *s)
{
    return s->want == SINK_WANT_INPUT && s->hold_ms < 0;
}

/* Out has to be sent before the session goes on. */
static inline bool sink_session_is_full(const struct sink_session *s)
{
    return s->out.len >= SINK_SESSION_OUT_BYTES;
}

/* For the other files of the session. */
bool sink_session_offers(const struct sink_session *s,
                         enum sink_extension extension);
struct sink_who sink_session_who(const struct sink_session *s);

/* A protocol error was answered; too many of them end the connection. */
void sink_session_count_error(struct sink_session *s);

#endif
