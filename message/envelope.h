#ifndef MESSAGE_ENVELOPE_H
#define MESSAGE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"

/*
 * Who a mail is from and for, as MAIL and RCPT will say it: addresses
 * "local@domain" without <>, checked against RFC 5321 section 4.1.2; the
 * sender "" is the null reverse-path.
 *
 * Ownership: the strings are the envelope's; envelope_fini() frees them.
 */
struct envelope {
    char *sender;
    char **recipients;
    size_t count;
    size_t capacity;
    size_t *slots; /* envelope.c's table of many recipients, or NULL */
    size_t slot_count;
};

void envelope_init(struct envelope *e);
void envelope_fini(struct envelope *e);
void envelope_set_sender(struct envelope *e, struct str address);

/*
 * False, and nothing added, when the same address is there already: domains
 * compare without case, local parts exactly.
 */
bool envelope_add(struct envelope *e, struct str address);

/*
 * Gives the strings to the caller, who frees each and the array with
 * mem_free(); e is then empty.
 */
void envelope_take(struct envelope *e, char **sender, char ***recipients,
                   size_t *count);

#endif
