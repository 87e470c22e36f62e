#ifndef TESTS_SUPPORT_SCRIPTED_RELAY_H
#define TESTS_SUPPORT_SCRIPTED_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/*
 * An SMTP server on loopback that does what a test's script says, right or
 * wrong: a thread for each connection, blocking sockets, 10 s for each wait.
 * Nothing here calls cmocka: what goes wrong is kept for
 * scripted_relay_stop().
 */
enum relay_step_kind {
    RELAY_END,          /* of the script: closes */
    RELAY_SEND,         /* text */
    RELAY_SEND_SLOWLY,  /* text, a byte a packet */
    RELAY_EXPECT,       /* a line that is text, CRLF apart */
    RELAY_EXPECT_START, /* a line that starts with text */
    RELAY_MESSAGE,      /* reads up to the final dot, and keeps it */
    RELAY_SIP,          /* the same with eight pauses of 200 ms */
    RELAY_REST,         /* keeps all that comes until the client closes */
    RELAY_TAKE,         /* a whole mail: MAIL, any RCPT, DATA, dot; 250 each */
    RELAY_TLS,          /* handshake */
    RELAY_STALL,        /* waits for the client to close; the last */
    RELAY_PAUSE,        /* reads nothing until scripted_relay_resume() */
    RELAY_RESET,        /* closes with RST; the last */
};

struct relay_step {
    enum relay_step_kind kind;
    const char *text;
};

/* Greeting and EHLO of a plain session without extensions. */
#define RELAY_HELLO                                                            \
    {RELAY_SEND, "220 relay ready\r\n"}, {RELAY_EXPECT_START, "EHLO "},        \
    {                                                                          \
        RELAY_SEND, "250 relay\r\n"                                            \
    }

/* One command and its answer. */
#define RELAY_ANSWER(start, reply)                                             \
    {RELAY_EXPECT_START, start},                                               \
    {                                                                          \
        RELAY_SEND, reply                                                      \
    }

#define RELAY_QUIT RELAY_ANSWER("QUIT", "221 bye\r\n")

struct relay_options {
    const char *host;      /* NULL: 127.0.0.1 */
    unsigned port;         /* 0: any */
    const char *cert_file; /* NULL: no TLS */
    const char *key_file;
    bool narrow; /* takes in little more than it reads */
    /* One for each connection, in order; the last serves all that follow. */
    const struct relay_step *const *scripts;
    size_t script_count;
};

struct scripted_relay;

/* options->scripts must outlive it. NULL when it cannot start. */
struct scripted_relay *
scripted_relay_start(const struct relay_options *options);

unsigned scripted_relay_port(const struct scripted_relay *relay);

/* Steps that connection 0 has done. */
size_t scripted_relay_steps(const struct scripted_relay *relay);

/* Ends a RELAY_PAUSE, also one that is to come. */
void scripted_relay_resume(struct scripted_relay *relay);

/*
 * Waits until all connections have ended, for which the clients must go.
 * Returns what went wrong first in a script, "" if nothing did; valid until
 * scripted_relay_free(), and again if called again. received: all that
 * connection 0 kept of RELAY_MESSAGE, as it came, dots and all.
 */
const char *scripted_relay_stop(struct scripted_relay *relay);
struct str scripted_relay_received(const struct scripted_relay *relay);
size_t scripted_relay_connections(const struct scripted_relay *relay);
void scripted_relay_free(struct scripted_relay *relay);

#endif
