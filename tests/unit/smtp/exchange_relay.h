#ifndef TESTS_UNIT_SMTP_EXCHANGE_RELAY_H
#define TESTS_UNIT_SMTP_EXCHANGE_RELAY_H

#include "core/buf.h"
#include "tests/unit/smtp/exchange.h"

/*
 * The relay of an exchange: bytes in, bytes out. It speaks from the greeting
 * on, keeps to SMTP but for its rules, and fails the test for what a client
 * must never do.
 */
struct exchange_envelope {
    bool open;
    size_t mail;
    size_t accepted;
};

struct exchange_relay {
    const struct exchange_options *options;
    struct exchange_result *result;
    struct buf in;  /* what came; the caller adds to it */
    struct buf out; /* what is to be sent; the caller takes it */
    struct buf message;
    struct exchange_envelope envelope;
    size_t next_mail; /* the number of the next MAIL */
    size_t commands;  /* in what came at once */
    uint64_t chunk_left;
    bool in_data;
    bool in_chunk;
    bool greeted;
    bool rset_refused;
    bool closes; /* when all of out is sent */
};

void exchange_relay_init(struct exchange_relay *x,
                         const struct exchange_options *options,
                         struct exchange_result *result);
void exchange_relay_fini(struct exchange_relay *x);

/* Takes what is in `in`, as far as it can. */
void exchange_relay_work(struct exchange_relay *x);

#endif
