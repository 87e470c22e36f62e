#ifndef TESTS_UNIT_SMTP_EXCHANGE_H
#define TESTS_UNIT_SMTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "smtp/session.h"

/*
 * One session and one relay in one loop, so that every run is the same. The
 * relay keeps to SMTP but for the rules it is given; the connection takes as
 * many bytes as it is told, byte for byte (curl_easy_send is wrapped: link
 * with --wrap=curl_easy_send and --wrap=curl_easy_recv), and what each write
 * held is kept.
 *
 * Mail k is from s<k>@x, to r0m<k>@x, r1m<k>@x, ..., and its body names it.
 */
#define EXCHANGE_MAILS      20
#define EXCHANGE_RECIPIENTS 4
#define EXCHANGE_WRITES     256

/* The answer to one command, other than the usual one. */
struct exchange_rule {
    size_t mail;
    enum smtp_stage stage; /* FINAL: to the dot, or the chunk */
    size_t recipient;      /* of RCPT */
    const char *reply;     /* with its CRLF; "": none */
    bool close;            /* the relay closes behind it */
};

#define EXCHANGE_RULES 8

enum exchange_end {
    EXCHANGE_END_QUIT,  /* when all mails have results, or it closes itself */
    EXCHANGE_END_LOST,  /* when nothing moves any more: the relay closes */
    EXCHANGE_END_RESET, /* likewise, with RST */
    EXCHANGE_END_ABORT, /* likewise: we do */
    EXCHANGE_END_WAIT,  /* likewise: nobody does; the session ends itself */
};

struct exchange_options {
    bool pipelining; /* offered */
    bool chunking;
    unsigned unconfirmed;
    size_t mails;
    size_t recipients;
    struct body *body; /* of all mails; NULL: each has its own, small one */
    struct exchange_rule rules[EXCHANGE_RULES]; /* reply NULL: the end */
    uint64_t accept_max; /* bytes that the connection takes; 0: all */
    uint64_t reply_max;  /* bytes of replies that leave; 0: all */
    bool no_accept;      /* accept_max is 0 */
    bool no_reply;       /* reply_max is 0 */
    size_t piece;        /* bytes that one write takes at most; 0: all */
    size_t hear_piece;   /* bytes that one read gives at most; 0: all */
    enum exchange_end end;
    int64_t timeout_ms; /* of each stage; 0: 10 s */
};

/* One command as the relay saw it, or a message to its end. */
struct exchange_answer {
    size_t mail;
    enum smtp_stage stage;
    uint64_t end; /* of the reply, in the stream of replies */
};

struct exchange;

struct exchange_result {
    /* for each mail, in the order of results: a letter a recipient, as in
     * guest_check() */
    char outcomes[EXCHANGE_MAILS][EXCHANGE_RECIPIENTS + 1];
    size_t results;
    bool closed;
    struct smtp_closing closing;
    char last_text[SMTP_REPLY_TEXT_MAX + 1]; /* of the last recipient */
    struct buf stream;                       /* all that was taken, in order */
    size_t write_ends[EXCHANGE_WRITES];      /* in stream */
    size_t writes;
    struct buf took; /* bodies that the relay took, one behind the other */
    bool taken[EXCHANGE_MAILS]; /* the relay has that message */
    uint64_t replied;           /* bytes of replies that left */
    struct exchange_answer answers[512];
    size_t answer_count;
    size_t answers_heard; /* of which the reply left in full */
};

/* Group set-up and clean-up of the whole program. */
int exchange_global_setup(void **state);
int exchange_global_teardown(void **state);

/*
 * Plays it to its end. What the relay sees that must never be fails the test:
 * a message under another's envelope, MAIL inside a transaction, a command
 * before it may come. result: exchange_result_fini() afterwards.
 */
void exchange_play(const struct exchange_options *options,
                   struct exchange_result *result);
void exchange_result_fini(struct exchange_result *result);

/* The text of a write; lines end in CRLF. */
struct str exchange_write(const struct exchange_result *result, size_t index);

/* The small body of a mail. */
void exchange_body(struct buf *out, size_t mail);

#endif
