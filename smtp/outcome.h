#ifndef SMTP_OUTCOME_H
#define SMTP_OUTCOME_H

#include <stdbool.h>

/*
 * From what a relay said, or failed to say, to what it means: DESIGN section
 * 5, RFC 5321 section 4.2.1, in one pure function. No I/O, no state.
 */
enum smtp_stage {
    SMTP_STAGE_CONNECT, /* DNS, TCP, TLS, greeting, EHLO, STARTTLS, AUTH */
    SMTP_STAGE_MAIL,
    SMTP_STAGE_RCPT,
    SMTP_STAGE_DATA,  /* the command; 354 expected */
    SMTP_STAGE_BODY,  /* sending; the final dot is not out in full */
    SMTP_STAGE_FINAL, /* the final dot or last chunk is out in full */
    SMTP_STAGE_RSET,
    SMTP_STAGE_IDLE,
    SMTP_STAGE_QUIT,
    SMTP_STAGE_COUNT
};

/* What happened at a stage: a reply came, or it never will. */
enum smtp_event {
    SMTP_EVENT_REPLY,
    SMTP_EVENT_LOST,    /* connection closed or broken */
    SMTP_EVENT_TIMEOUT, /* the stage's deadline passed */
    SMTP_EVENT_GARBAGE, /* bytes that are no SMTP reply, or not the right one */
};

enum outcome {
    OUTCOME_NONE,      /* nothing is decided by this: go on */
    OUTCOME_DELIVERED, /* the relay has taken responsibility */
    OUTCOME_DEFERRED,  /* not now: costs an attempt */
    OUTCOME_REJECTED,  /* never */
    OUTCOME_UNKNOWN,   /* sent in full, no answer: costs an attempt */
    OUTCOME_UNTRIED,   /* the relay's trouble, not the job's: no attempt */
    OUTCOME_AGAIN,     /* in another transaction, at once; so is it for all
                          recipients of this mail that come behind it */
    OUTCOME_THROTTLED, /* the relay wants it slower: no attempt, the session
                          is as the verdict says */
    OUTCOME_COUNT
};

/* Whom it concerns. */
enum outcome_scope {
    OUTCOME_SCOPE_RECIPIENT, /* the one of this RCPT */
    OUTCOME_SCOPE_MESSAGE,   /* every recipient not decided yet */
};

enum outcome_session {
    OUTCOME_SESSION_KEEP,  /* as it was */
    OUTCOME_SESSION_RESET, /* RSET before the next mail */
    OUTCOME_SESSION_CLOSE, /* use it no more */
};

struct outcome_input {
    enum smtp_stage stage;
    enum smtp_event event;
    int code;           /* of a reply: 200..599 */
    bool rcpt_accepted; /* one or more RCPTs of this mail were accepted */
    bool reused;        /* the session carried a mail before this one */
    bool too_fast;      /* the reply says so: smtp/throttle.h */
};

struct outcome_verdict {
    enum outcome outcome;
    enum outcome_scope scope;
    enum outcome_session session;
    bool relay_failed; /* the relay must back off: breaker food */
};

/*
 * A 4yz that is too_fast throttles where it would defer or be AGAIN, with the
 * same scope and the same end for the session; so does a 421 to a MAIL on a
 * reused session, where others are no answer to that mail.
 *
 * A reply with a code that the stage cannot go on with (a 250 to DATA, a 354
 * to MAIL, anything out of 200..599) is judged as SMTP_EVENT_GARBAGE.
 */
struct outcome_verdict outcome_of(const struct outcome_input *input);

const char *outcome_name(enum outcome outcome);     /* "delivered" */
const char *smtp_stage_name(enum smtp_stage stage); /* "mail" */

#endif
