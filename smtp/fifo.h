#ifndef SMTP_FIFO_H
#define SMTP_FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtp/outcome.h"

struct smtp_transaction;

/*
 * The replies that a relay owes us, in the order of our commands. With one
 * command at a time there is one at most; a flight of pipelined commands
 * (RFC 2920) puts one in for each. Pure; keeps its memory when empty.
 */
struct smtp_expected {
    enum smtp_stage kind;        /* what it answers */
    struct smtp_transaction *of; /* borrowed; NULL: of none (QUIT) */
    size_t recipient;            /* of a RCPT */
    uint64_t end; /* the place in the stream behind what it answers: before
                   * the connection took so much, no reply can be to it */
};

struct smtp_fifo {
    struct smtp_expected *items;
    size_t first;
    size_t count;
    size_t capacity; /* a power of 2, or 0 */
};

void smtp_fifo_init(struct smtp_fifo *f);
void smtp_fifo_fini(struct smtp_fifo *f);

/* Bounded by the commands of the mails under way. */
void smtp_fifo_push(struct smtp_fifo *f, const struct smtp_expected *expected);

void smtp_fifo_clear(struct smtp_fifo *f);

/* The oldest; false when nothing is owed. */
bool smtp_fifo_pop(struct smtp_fifo *f, struct smtp_expected *out);

/* That place from the oldest on, which must be below count. */
const struct smtp_expected *smtp_fifo_at(const struct smtp_fifo *f,
                                         size_t place);

/* The oldest, which stays; NULL when nothing is owed. */
const struct smtp_expected *smtp_fifo_front(const struct smtp_fifo *f);

#endif
