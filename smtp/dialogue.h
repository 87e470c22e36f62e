#ifndef SMTP_DIALOGUE_H
#define SMTP_DIALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "smtp/command.h"
#include "smtp/connect.h"
#include "smtp/content.h"
#include "smtp/engine.h"
#include "smtp/fifo.h"
#include "smtp/link.h"
#include "smtp/outcome.h"
#include "smtp/reply.h"
#include "smtp/session.h"
#include "smtp/transaction.h"

/*
 * Inside smtp/ only: a session and the dialogue on it.
 *
 *                          +----------------------------------------+
 *                          v            all recipients refused      |
 *   CONNECTING ---------> IDLE -------> MAIL ---> RCPT ---> DATA ----+
 *        |                 | ^  \        ^  |     ^  |       | 354
 *        |                 | |   RSET ---+  |     +--+       v
 *        |                 | |  if needed   | refused       BODY
 *        |                 | +--------------+                | dot is out
 *        |                QUIT <-- quit     ^                v
 *        |                 |                +------------- FINAL
 *        v                 v
 *      CLOSED <---- any state: lost, too late, garbage, 421, abort
 *
 *   state       means                                 timeout
 *   CONNECTING  libcurl: DNS, TCP, TLS, EHLO, AUTH    connect (libcurl's own)
 *   IDLE        takes mail; the relay owes nothing    none
 *   RSET        a transaction before must be undone   mail
 *   MAIL        MAIL is out                           mail
 *   RCPT        RCPT of one recipient is out          rcpt
 *   DATA        DATA is out, 354 is expected          data
 *   BODY        the message is being written          body, without progress
 *   FINAL       the final dot is out in full          final
 *   QUIT        QUIT is out                           2 s
 *   CLOSED      no connection; `closed` is to come    none
 */
enum smtp_state {
    SMTP_STATE_CONNECTING,
    SMTP_STATE_IDLE,
    SMTP_STATE_RSET,
    SMTP_STATE_MAIL,
    SMTP_STATE_RCPT,
    SMTP_STATE_DATA,
    SMTP_STATE_BODY,
    SMTP_STATE_FINAL,
    SMTP_STATE_QUIT,
    SMTP_STATE_CLOSED,
    SMTP_STATE_COUNT
};

struct smtp_session {
    struct smtp_engine_client client;
    struct smtp_engine *engine;
    const struct smtp_relay *relay;
    const struct smtp_session_events *events;
    void *ctx;
    uint64_t number; /* for the log */
    enum smtp_state state;
    struct smtp_connect connect;
    struct smtp_link link;
    struct smtp_reply_parser parser;
    struct smtp_reply reply; /* the one being looked at */
    struct smtp_fifo expected;
    size_t still_owed; /* replies, when the last one was taken */
    bool premature;    /* the next reply began to come before its command */
    struct smtp_transaction transaction;
    struct smtp_command_mail command; /* MAIL of this mail */
    struct smtp_content content;
    uint64_t mails; /* whose MAIL or RSET was sent */
    bool reused;    /* the mail under way is not the first */
    bool in_mail;   /* one is under way */
    bool result_due;
    bool needs_reset; /* before the next MAIL */
    bool quit_wanted;
    bool write_failed; /* to be looked at from the loop */
    struct smtp_closing closing;
};

/* The only place that changes the state; starts its timeout. */
void smtp_session_set_state(struct smtp_session *s, enum smtp_state state);

/* The stage that a state belongs to. */
enum smtp_stage smtp_session_stage(const struct smtp_session *s);

/* The state's timeout; 0: none. */
int64_t smtp_session_timeout_ms(const struct smtp_session *s);

/* The timeout starts again: there was progress. */
void smtp_session_touch(struct smtp_session *s);

/*
 * Cuts the connection; `closed` comes with the next report. closing: by_us,
 * relay_failed and err are taken, the stage is where the session is.
 */
void smtp_session_cut(struct smtp_session *s,
                      const struct smtp_closing *closing);

/*
 * The dialogue. None of these calls a callback: they leave result_due, state
 * CLOSED or a due client behind.
 */

/* s->transaction was begun and has somebody to send to. */
void smtp_dialogue_begin(struct smtp_session *s);

void smtp_dialogue_quit(struct smtp_session *s);

/* Takes what the relay said. */
void smtp_dialogue_read(struct smtp_session *s);

/* Goes on writing what could not be written before. */
void smtp_dialogue_write(struct smtp_session *s);

/* No right answer will come: event is not SMTP_EVENT_REPLY. */
void smtp_dialogue_silence(struct smtp_session *s, enum smtp_event event);

#endif
