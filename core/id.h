#ifndef CORE_ID_H
#define CORE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

/*
 * A job's id: 26 characters of Crockford's base32 in lower case, 48 bits of
 * milliseconds and 80 random bits. Ids sort by time of creation to the
 * millisecond, and nobody guesses another's.
 */
#define ID_LEN 26

struct id {
    char text[ID_LEN + 1];
};

/* Threads: any. Panics if the kernel gives no random bytes. */
void id_new(struct id *id, int64_t real_ms);

/* False, and *id untouched, for anything that id_new() cannot have made. */
bool id_parse(struct str text, struct id *id);

#endif
