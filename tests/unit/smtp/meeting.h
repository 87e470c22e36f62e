#ifndef TESTS_UNIT_SMTP_MEETING_H
#define TESTS_UNIT_SMTP_MEETING_H

#include <stdbool.h>
#include <stddef.h>

#include "smtp/session.h"
#include "tests/support/scripted_relay.h"

/*
 * One engine, one relay with scripts, and what sessions told. A test opens
 * sessions, sends, and waits for what must come; each wait is at most 10 s.
 */
#define MEETING_SESSIONS   2
#define MEETING_RECIPIENTS 8

/* Steps of scripts, for mails of guest_send(). */
#define MAIL(reply)     RELAY_ANSWER("MAIL FROM:<s@x>", reply)
#define RCPT(to, reply) RELAY_ANSWER("RCPT TO:<" to "@x>", reply)
#define DATA                                                                   \
    RELAY_ANSWER("DATA", "354 go\r\n"),                                        \
    {                                                                          \
        RELAY_MESSAGE, NULL                                                    \
    }
#define SEND(text)                                                             \
    {                                                                          \
        RELAY_SEND, text                                                       \
    }
#define STALL                                                                  \
    {                                                                          \
        RELAY_STALL, NULL                                                      \
    }
#define END                                                                    \
    {                                                                          \
        RELAY_END, NULL                                                        \
    }

#define RESET                                                                  \
    {                                                                          \
        RELAY_RESET, NULL                                                      \
    }
#define ACCEPTED   MAIL("250 ok\r\n"), RCPT("r0", "250 ok\r\n")
#define STEPS(...) ((const struct relay_step[]){__VA_ARGS__, END})

struct meeting;

/* What one session told, in order: R ready, r result, C closed. */
struct guest {
    struct meeting *meeting;
    struct smtp_session *session; /* NULL once it is closed */
    char told[256];
    size_t told_len;
    size_t sent; /* by guest_send() */
    size_t results;
    size_t result_count; /* recipients of the last result */
    struct smtp_recipient_result last[MEETING_RECIPIENTS];
    bool closed;
    struct smtp_closing closing;
    bool inside; /* a call into the session is under way */
    /* what to do in the callbacks; NULL: nothing */
    void (*on_ready)(struct guest *g);
    void (*on_result)(struct guest *g);
    struct smtp_mail mail; /* of guest_send() */
};

struct meeting {
    struct event_base *base;
    struct smtp_engine *engine;
    struct scripted_relay *server;
    struct smtp_relay relay; /* a test may change it before guest_open() */
    struct relay_options options;
    const struct relay_step *scripts[MEETING_SESSIONS];
    struct guest guests[MEETING_SESSIONS];
    struct body *body; /* "Subject: x", one line */
};

/* Group set-up and clean-up of the whole program. */
int meeting_global_setup(void **state);
int meeting_global_teardown(void **state);

/* A plain server with that script for all connections. */
void meeting_begin(struct meeting *m, const struct relay_step *script);

/* The same with options of its own; scripts are filled in by the caller. */
void meeting_begin_with(struct meeting *m);

/* Fails the test if the script was not kept to, or a session is left. */
void meeting_end(struct meeting *m);

void guest_open(struct guest *g);

/* A mail from s@x to the first count of r0@x, r1@x, ... */
void guest_send(struct guest *g, size_t count);
void guest_send_body(struct guest *g, struct body *body);

/* Runs the loop until it is so. */
void guest_await_told(struct guest *g, const char *told);
void guest_await_results(struct guest *g, size_t results);
void guest_await_closed(struct guest *g);

/* Opens, and waits until ready. */
void guest_enter(struct guest *g);

/* One letter a recipient: d f r u n a, as in delivered deferred (f) ... */
void guest_check(const struct guest *g, const char *outcomes);

/* Aborts if it is there, and waits for closed. */
void guest_leave(struct guest *g);

/*
 * Makes our end of all connections to the relay take in little at once, so
 * that writes have to be tried again. (A loopback socket takes megabytes.)
 */
void meeting_narrow(struct meeting *m);

/* Runs the loop until connection 0 has done so many steps of its script. */
void meeting_await_steps(struct meeting *m, size_t steps);

/* Runs the loop for so long. */
void meeting_run(struct meeting *m, int ms);

#endif
