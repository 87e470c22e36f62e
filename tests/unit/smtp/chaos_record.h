#ifndef TESTS_UNIT_SMTP_CHAOS_RECORD_H
#define TESTS_UNIT_SMTP_CHAOS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "smtp/outcome.h"
#include "tests/unit/smtp/chaos_plan.h"

/*
 * All that was seen of a run: by the relay (commands, replies, messages), at
 * the client's end of the connection (which bytes it took, which replies were
 * read there, and which of these came first), and by the session's owner
 * (results). Places are counted in each stream from the end of EHLO on.
 */
enum chaos_kind {
    CHAOS_RSET,
    CHAOS_MAIL,
    CHAOS_RCPT,
    CHAOS_DATA,
    CHAOS_FINAL, /* BDAT and its chunk, or what is behind a 354 */
    CHAOS_QUIT,
};

#define CHAOS_NONE SIZE_MAX

/* Whole ones only. */
struct chaos_command {
    enum chaos_kind kind;
    size_t mail;
    size_t recipient; /* of RCPT */
    bool chunk;       /* a FINAL that is BDAT */
    uint64_t start;
    uint64_t end;
};

struct chaos_reply {
    int code;       /* 0: it is no reply */
    bool fast;      /* it says "too fast" */
    size_t answers; /* the command; CHAOS_NONE: nobody asked */
    uint64_t start; /* in the stream of replies */
    uint64_t end;   /* likewise */
    /* What the client's socket had taken when its first byte was read there,
     * and its last. */
    uint64_t taken_yet;
    uint64_t taken_then;
};

/* Up to that place, bytes were taken while so much was read at most. */
struct chaos_write {
    uint64_t end;
    uint64_t read_yet;
};

/* A message that the relay said yes to, or would have. */
struct chaos_taken {
    bool whole;
    bool accepted[CHAOS_RECIPIENTS];
};

struct chaos_result {
    bool came;
    struct smtp_recipient_result of[CHAOS_RECIPIENTS];
};

#define CHAOS_COMMANDS 1024

struct chaos_record {
    struct chaos_command commands[CHAOS_COMMANDS];
    size_t command_count;
    struct chaos_reply replies[CHAOS_COMMANDS];
    size_t reply_count;
    struct chaos_taken taken[CHAOS_MAILS];
    /* at the client's end */
    uint64_t accepted; /* bytes that the connection took of it */
    uint64_t heard;    /* bytes that were read */
    uint64_t replied;  /* bytes that the relay sent */
    struct chaos_write *writes;
    size_t write_count;
    size_t write_capacity;
    size_t lie;         /* the first reply that was none to any command */
    bool reset;         /* the relay cut with RST: what it sent may be lost */
    uint64_t in_body;   /* a message that has begun, and did not end, begins
                         * there; UINT64_MAX: none */
    bool write_refused; /* a write failed */
    bool listened;      /* reads came behind that */
    /* the owner's */
    size_t sent;
    struct chaos_result results[CHAOS_MAILS];
    size_t result_count;
    bool ready;
    bool aborted; /* by us, while it was there */
    bool quit;    /* wanted by us */
    bool closed;
    struct smtp_closing closing;
    char complaint[512]; /* the first; "" */
};

void chaos_record_init(struct chaos_record *r);
void chaos_record_fini(struct chaos_record *r);

/* Something must never be. The first complaint stays. */
void chaos_complain(struct chaos_record *r, const char *format, ...)
    PRINTF_LIKE(2, 3);

/* The client's socket took, or gave, so many bytes. */
void chaos_record_accept(struct chaos_record *r, size_t n);
void chaos_record_hear(struct chaos_record *r, size_t n);

/* What had been read when that place of the client's stream was taken. */
uint64_t chaos_record_read_before(const struct chaos_record *r, uint64_t place);

/* All commands and replies, for people. */
void chaos_record_print(const struct chaos_record *r);

const char *chaos_kind_name(enum chaos_kind kind);

#endif
