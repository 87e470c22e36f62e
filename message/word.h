#ifndef MESSAGE_WORD_H
#define MESSAGE_WORD_H

#include <stdbool.h>

#include "core/str.h"
#include "message/header.h"

/*
 * Encoded words, RFC 2047: UTF-8, "Q" or "B" whichever is shorter for the
 * whole, at most 75 bytes each in lines of at most 76, never a part of a
 * character. Only letters, digits and !*+-/=_ come out, so they may stand in a
 * phrase too.
 *
 * Threads: none.
 */

/*
 * Whether text, which is not empty, must be encoded to be read back as it is:
 * bytes outside of ASCII, "=?" (somebody might decode it), a blank at an end.
 */
bool word_is_needed(struct str text);

/* Writes text, which is not empty, as encoded words. */
void word_encode(struct header *h, struct str text);

#endif
