#ifndef TESTS_UNIT_CONSUMER_FAKE_SESSION_H
#define TESTS_UNIT_CONSUMER_FAKE_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "smtp/session.h"

/*
 * smtp/session.h without a network: takes the place of the real functions
 * where it is linked. The test says what the relay does; the session's events
 * are called from inside these functions, as a loop would.
 *
 * Sessions keep their number, and are kept until fake_forget().
 */
#define FAKE_WINDOW_MAX 64

struct smtp_session {
    size_t number;
    const struct smtp_relay *relay;
    const struct smtp_session_events *events;
    void *ctx;
    size_t window; /* mails at a time; 0: not connected */
    const struct smtp_mail *mails[FAKE_WINDOW_MAX];
    size_t count; /* under way */
    size_t sent;  /* ever */
    bool wants_7bit;
    bool ending; /* takes no more; closed is to come */
    bool quit;   /* was asked to */
    bool abort;  /* was asked to */
    bool gone;
};

/* The session of that number, from 0; all that were ever opened. */
struct smtp_session *fake_session(size_t number);
size_t fake_opened(void);

/* That neither are gone nor were asked to go. */
size_t fake_alive(void);

/* It is connected and takes so many mails at a time. */
void fake_ready(struct smtp_session *s, size_t window);

/* The oldest mail's result, the same for all its recipients. */
void fake_answer(struct smtp_session *s, enum outcome outcome);

/* As fake_answer(), but for what the relay says, and for each recipient. */
void fake_answer_each(struct smtp_session *s, const enum outcome *outcomes,
                      const char *reply);

/*
 * It ends: what is under way gets its results (the oldest this outcome, the
 * others untried), then closed.
 */
void fake_break(struct smtp_session *s, enum outcome oldest);

/* It ends, without mails. */
void fake_close(struct smtp_session *s, const struct smtp_closing *why);

/* Does what was asked: sessions that are to quit or be cut end. */
void fake_obey(void);

/* Frees all. */
void fake_forget(void);

#endif
