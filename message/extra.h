#ifndef MESSAGE_EXTRA_H
#define MESSAGE_EXTRA_H

#include "core/buf.h"
#include "message/draft.h"
#include "message/problem.h"

/*
 * The header fields that a client adds ("headers"). Names are RFC 5322
 * ftext of at most 77 bytes, each once whatever its case; those that
 * Postrider writes, and those that relays and signers write, are refused.
 * Values hold no control characters. Fields that programs read (References,
 * List-Unsubscribe, ...) must be ASCII and are never encoded.
 *
 * Threads: pure, any.
 */
#define EXTRA_NAME_MAX 77
#define EXTRA_MAX      200 /* header fields in a draft */

MUST_CHECK enum problem_kind extra_write(const struct draft *draft,
                                         struct buf *out,
                                         struct problem *problem);

#endif
