#ifndef APP_SINK_SINK_ENVELOPE_H
#define APP_SINK_SINK_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * Sender and recipients of one mail transaction, copied. Its memory is kept
 * from one transaction to the next. Bounded by the caller: he counts the
 * recipients, and an address is no longer than a command line.
 */
struct sink_place {
    size_t at;
    size_t len;
};

struct sink_envelope {
    bool open; /* MAIL was accepted */
    struct buf text;
    struct sink_place sender;
    struct sink_place *recipients;
    size_t count;
    size_t capacity;
};

void sink_envelope_init(struct sink_envelope *e);
void sink_envelope_fini(struct sink_envelope *e);

/* Forgets the transaction before and opens one. */
void sink_envelope_begin(struct sink_envelope *e, struct str sender);
void sink_envelope_add(struct sink_envelope *e, struct str recipient);
void sink_envelope_clear(struct sink_envelope *e);

/* Views, valid until the next change. Empty when there is none. */
struct str sink_envelope_sender(const struct sink_envelope *e);
struct str sink_envelope_recipient(const struct sink_envelope *e, size_t i);

#endif
