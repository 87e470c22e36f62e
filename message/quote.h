#ifndef MESSAGE_QUOTE_H
#define MESSAGE_QUOTE_H

#include <stddef.h>

#include "core/str.h"

/*
 * A client's bytes made fit for a sentence to a person: valid UTF-8 on one
 * line. Threads: pure, any.
 */
#define QUOTE_MAX 60 /* bytes, before the "..." */

struct quote {
    char text[QUOTE_MAX + sizeof("...")];
};

/* q->text: s, cut at a character, with "..." when something is missing. */
const char *quote_text(struct quote *q, struct str s);

/*
 * Copies whole characters of s while they and a NUL fit in size bytes;
 * control characters and bytes that are no UTF-8 become "?". Returns how many
 * bytes of s were used.
 */
size_t quote_clean(char *out, size_t size, struct str s);

#endif
