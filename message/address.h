#ifndef MESSAGE_ADDRESS_H
#define MESSAGE_ADDRESS_H

#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

/*
 * One mailbox, RFC 5322 section 3.4 with the address as strict as RFC 5321
 * section 4.1.2 wants it: dot-atoms and quoted local parts, labels of letters,
 * digits and inner hyphens, address literals of IPv4 and IPv6. Obsolete
 * syntax (routes, empty elements, blanks around "@"), groups, comments and
 * control characters are refused by name; a dot in a display name is not.
 * UTF-8 is allowed in the display name only.
 *
 * Limits of RFC 5321 section 4.5.3.1: local part 64 bytes, domain 255, label
 * 63, and 254 in all, as a path with its <> may have 256.
 *
 * Threads: pure, any.
 */
#define ADDRESS_MAX 254

struct address {
    char mailbox[ADDRESS_MAX + 1]; /* local@domain, local part as written */
    struct str display;            /* a view of the input, still quoted;
                                      empty when there is none */
};

/* Whether text is local@domain by RFC 5321; err says what is wrong. */
MUST_CHECK enum err_code address_check(struct str text, struct err *err);

/*
 * The first mailbox of a comma-separated list. *rest is what follows its
 * comma, empty at the end. ERR_INVALID with a sentence that quotes what is
 * wrong, also for nothing before or after a comma; ERR_NOT_FOUND when the
 * list is empty.
 */
MUST_CHECK enum err_code address_next(struct str list, struct address *out,
                                      struct str *rest, struct err *err);

/*
 * Adds the display name as a person reads it: quotes and backslashes undone,
 * a run of blanks outside of quotes as one.
 */
void address_add_display(const struct address *a, struct buf *out);

#endif
