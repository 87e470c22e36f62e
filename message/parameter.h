#ifndef MESSAGE_PARAMETER_H
#define MESSAGE_PARAMETER_H

#include <stdbool.h>

#include "core/str.h"
#include "message/header.h"

/*
 * MIME parameters with any text, RFC 2231. Threads: none.
 */

/* Whether value can go out as one quoted string that fits in a line. */
bool parameter_is_plain(struct str name, struct str value);

/*
 * Writes "; name=value". A plain one as a quoted string. Any other twice: as
 * name*= in UTF-8, or name*0*=, name*1*=, ... when it is long; and as
 * name="..." with what ASCII can say of it, cut, for readers that know no
 * better. In this order, as some readers take the first.
 *
 * value holds no control characters, name is a short token.
 */
void parameter_write(struct header *h, struct str name, struct str value);

#endif
