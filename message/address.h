#ifndef MESSAGE_ADDRESS_H
#define MESSAGE_ADDRESS_H

#include <stddef.h>

#include "core/err.h"
#include "core/str.h"

/*
 * One mailbox, RFC 5322 section 3.4 with the address as strict as RFC 5321
 * section 4.1.2 wants it: local part at most 64 bytes, domain at most 255,
 * labels at most 63, address literals of IPv4 and IPv6. Obsolete syntax,
 * groups and comments are refused by name. UTF-8 is allowed in the display
 * name only.
 */
#define ADDRESS_MAX 320 /* 64 + "@" + 255 */

struct address {
    char mailbox[ADDRESS_MAX + 1]; /* local@domain, local part as written */
    struct str display;            /* a view of the input, still quoted */
};

/* Whether text is local@domain by RFC 5321; err says what is wrong. */
MUST_CHECK enum err_code address_check(struct str text, struct err *err);

/*
 * The first mailbox of a comma-separated list. *rest is what follows its
 * comma, empty at the end. ERR_INVALID with a sentence that quotes what is
 * wrong; ERR_NOT_FOUND when the list is empty.
 */
MUST_CHECK enum err_code address_next(struct str list, struct address *out,
                                      struct str *rest, struct err *err);

#endif
