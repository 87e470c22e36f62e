#ifndef TESTS_UNIT_SMTP_CHAOS_RELAY_H
#define TESTS_UNIT_SMTP_CHAOS_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/random.h"
#include "tests/unit/smtp/chaos_plan.h"
#include "tests/unit/smtp/chaos_record.h"

/*
 * A relay of the random test: RFC 5321 with PIPELINING, CHUNKING and what
 * else the plan offers, which answers as dice tell it. It keeps to SMTP: what
 * it accepted counts, whatever the client makes of its answers. Bytes in,
 * bytes out; chaos_wire.h has the connection.
 */
struct chaos_conduct {
    unsigned faults;   /* of 1000 answers, so many are not what they should */
    unsigned lies;     /* and so many have one beside them nobody asked for */
    unsigned pauses;   /* before so many answers it waits for some turns */
    bool keeps_failed; /* the transaction of a message refused by BDAT */
    bool goes_on;      /* takes RCPT and DATA although MAIL was refused */
    bool may_garble;   /* answers may be no answers */
};

struct chaos_envelope {
    bool open;
    size_t mail;
    size_t accepted;
    size_t foreign; /* recipients of other mails */
    bool of[CHAOS_RECIPIENTS];
};

struct chaos_relay {
    const struct chaos_plan *plan;
    struct chaos_record *record;
    struct random random;
    struct chaos_conduct conduct;
    struct buf in;  /* what came and is not looked at */
    struct buf out; /* what is to be sent */
    struct buf message;
    uint64_t place;  /* of in, in the client's stream */
    uint64_t said;   /* places in the stream of replies */
    size_t preamble; /* bytes of greeting and EHLO reply */
    struct chaos_envelope envelope;
    size_t mail;      /* of the last MAIL */
    size_t next_mail; /* of the next */
    size_t next_recipient;
    uint64_t body_start;
    uint64_t chunk_left;
    unsigned pause; /* turns that it does nothing */
    bool greeted;
    bool in_data;
    bool in_chunk;
    bool answered_early; /* the message that comes */
    bool poisoned;       /* refused RSET: takes nothing more */
    bool closes;         /* when all of out is sent */
    bool over;           /* says nothing more: only notes commands */
};

void chaos_relay_init(struct chaos_relay *x, struct chaos_plan *plan,
                      struct chaos_record *record);
void chaos_relay_fini(struct chaos_relay *x);

/* Looks at what is in `in`, up to its next pause. */
void chaos_relay_work(struct chaos_relay *x);

/* A reply that nobody asked for. */
void chaos_relay_lie(struct chaos_relay *x);

/* Notes what else the client's socket had taken. */
void chaos_relay_overhear(struct chaos_relay *x, struct str rest);

#endif
