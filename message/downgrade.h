#ifndef MESSAGE_DOWNGRADE_H
#define MESSAGE_DOWNGRADE_H

#include "core/body.h"
#include "core/err.h"

/*
 * The same message in 7 bits, for relays without 8BITMIME (RFC 6152).
 *
 * Ownership: *out has one reference for the caller. Blocking: as body_read().
 * ERR_INVALID, with err, for what cannot be converted.
 */
MUST_CHECK enum err_code message_to_7bit(const struct body *in,
                                         struct body **out, struct err *err);

#endif
