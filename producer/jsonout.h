#ifndef PRODUCER_JSONOUT_H
#define PRODUCER_JSONOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * JSON as it is written into replies: one line, no blanks. What is no UTF-8
 * in a string (a relay may say anything) becomes U+FFFD. Commas are put by
 * looking at the byte before.
 */
void jsonout_open(struct buf *out, char bracket);  /* '{' or '[' */
void jsonout_close(struct buf *out, char bracket); /* '}' or ']' */

/* "name": in an object; text is plain ASCII that needs no escapes. */
void jsonout_name(struct buf *out, const char *name);

/* Values: after jsonout_name() or in an array. */
void jsonout_string(struct buf *out, struct str text);
void jsonout_integer(struct buf *out, int64_t number);
void jsonout_boolean(struct buf *out, bool value);

/* "name":value */
void jsonout_member(struct buf *out, const char *name, struct str text);
void jsonout_member_integer(struct buf *out, const char *name, int64_t number);
void jsonout_member_boolean(struct buf *out, const char *name, bool value);

/* Nine digits of it; finite. */
void jsonout_member_number(struct buf *out, const char *name, double number);

/* An RFC 3339 time in UTC. */
void jsonout_member_time(struct buf *out, const char *name, int64_t real_ms);

#endif
