#ifndef SMTP_DIALOGUE_H
#define SMTP_DIALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "smtp/connect.h"
#include "smtp/engine.h"
#include "smtp/fifo.h"
#include "smtp/link.h"
#include "smtp/outcome.h"
#include "smtp/reply.h"
#include "smtp/session.h"
#include "smtp/transaction.h"

/*
 * Inside smtp/ only: a session, and what is heard on it. What is said is in
 * smtp/flight.h; where each mail stands is in smtp/transaction.h.
 *
 *   CONNECTING ---> OPEN ---> QUIT
 *        |           |  \       |
 *        |           |   ENDING |     any state but CLOSED: lost, too late,
 *        v           v      v   v     garbage, abort
 *      CLOSED <-----------------+
 *
 *   state       means                                   timeout
 *   CONNECTING  libcurl: DNS, TCP, TLS, EHLO, AUTH      connect (libcurl's)
 *   OPEN        takes mail, has some under way or none  of the oldest reply
 *                                                       owed; body
 *   ENDING      the relay ended it (421), but it owes   2 s
 *               replies still: nothing more is said
 *   QUIT        QUIT is said                            2 s
 *   CLOSED      no connection; `closed` is to come      none
 *
 * Mails lie in a ring in the order of their sending. Those before `cursor`
 * are written; the one at it is being written, or waits for its turn.
 */
enum smtp_state {
    SMTP_STATE_CONNECTING,
    SMTP_STATE_OPEN,
    SMTP_STATE_ENDING,
    SMTP_STATE_QUIT,
    SMTP_STATE_CLOSED,
    SMTP_STATE_COUNT
};

/* How mails are written: see struct smtp_mail. */
enum smtp_mode {
    SMTP_MODE_ONE_BY_ONE,
    SMTP_MODE_PIPELINE,
    SMTP_MODE_BDAT,
};

struct smtp_session {
    struct smtp_engine_client client;
    struct smtp_engine *engine;
    const struct smtp_relay *relay;
    const struct smtp_session_events *events;
    void *ctx;
    uint64_t number; /* for the log */
    enum smtp_state state;
    enum smtp_mode mode; /* once it is open */
    struct smtp_connect connect;
    struct smtp_link link;
    /* what is heard */
    struct smtp_reply_parser parser;
    struct smtp_reply reply; /* the one being looked at */
    uint64_t heard_at; /* what the connection had taken when it began to come */
    struct smtp_fifo expected;
    /* mails */
    struct smtp_transaction *ring; /* never moves while it is open */
    size_t window;                 /* mails that it has at most */
    size_t first;
    size_t count;
    size_t cursor; /* from first */
    uint64_t mails;
    bool needs_reset; /* the relay may hold a transaction open */
    bool gave_up;     /* a body could not be read: ends once out is written */
    bool quit_wanted;
    bool write_failed; /* to be looked at from the loop */
    bool heard_part;   /* replies were read, and more are owed */
    struct smtp_closing closing;
};

/* The mail at that place, counted from the oldest. */
static inline struct smtp_transaction *
smtp_session_mail(const struct smtp_session *s, size_t place)
{
    return &s->ring[(s->first + place) % s->window];
}

/* The only place that changes the state; starts its timeout. */
void smtp_session_set_state(struct smtp_session *s, enum smtp_state state);

/* Cuts the connection; `closed`, with closing, comes at the next report. */
void smtp_session_cut(struct smtp_session *s);

/*
 * The dialogue. None of these calls a callback: they leave mails that are
 * over, state CLOSED, a due client or a speaking one behind.
 */

/* Where it stands: the oldest reply owed, or what is to be said next. */
enum smtp_stage smtp_dialogue_stage(const struct smtp_session *s);

/* How long it may stand there; 0: for ever. */
int64_t smtp_dialogue_timeout_ms(const struct smtp_session *s);

/* The timeout starts again: there was progress. */
void smtp_dialogue_touch(struct smtp_session *s);

/* Takes what the relay said. */
void smtp_dialogue_read(struct smtp_session *s);

/* No right answer will come: event is not SMTP_EVENT_REPLY. */
void smtp_dialogue_silence(struct smtp_session *s, enum smtp_event event);

/*
 * By us, and not because of the relay: says nothing more, but hears what is
 * owed to mails that are written.
 */
void smtp_dialogue_end(struct smtp_session *s);

/* The same at once: what is not decided is unknown or untried. */
void smtp_dialogue_abort(struct smtp_session *s);

#endif
