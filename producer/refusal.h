#ifndef PRODUCER_REFUSAL_H
#define PRODUCER_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/str.h"
#include "message/problem.h"

/*
 * A no in the protocol's terms: one of its error words, the field it is about
 * and a sentence. The words are an interface (docs/protocol.md).
 */
enum refusal_word {
    REFUSAL_NONE,
    REFUSAL_BAD_FRAME,
    REFUSAL_BAD_JSON,
    REFUSAL_TOO_LARGE,
    REFUSAL_UNKNOWN_OP,
    REFUSAL_UNKNOWN_FIELD,
    REFUSAL_MISSING_FIELD,
    REFUSAL_BAD_TYPE,
    REFUSAL_BAD_VALUE,
    REFUSAL_BAD_ADDRESS,
    REFUSAL_BAD_HEADER,
    REFUSAL_BAD_ATTACHMENT,
    REFUSAL_TOO_MANY_RECIPIENTS,
    REFUSAL_KEY_CONFLICT,
    REFUSAL_FORBIDDEN,
    REFUSAL_RATE_LIMITED,
    REFUSAL_QUEUE_FULL,
    REFUSAL_SPOOL_FULL,
    REFUSAL_SHUTTING_DOWN,
    REFUSAL_NOT_FOUND,
    REFUSAL_NOT_CANCELLABLE,
    REFUSAL_INTERNAL,
    REFUSAL_COUNT
};

struct refusal {
    enum refusal_word word;
    char field[96]; /* "attachments[0].name", "" for none; valid UTF-8 */
    char text[320]; /* a sentence, one line, valid UTF-8 */
};

/* "bad_frame", ... Static. */
const char *refusal_name(enum refusal_word word);

/* Whether the same request can succeed later. */
bool refusal_may_retry(enum refusal_word word);

/* When it is worth a try, in ms; 0: nothing is known. */
int64_t refusal_retry_after_ms(enum refusal_word word);

/*
 * Sets r; the text is cut at a character to what fits, and what is neither
 * printable nor UTF-8 becomes "?". field may be NULL. Returns false, so that
 * `return refusal_set(...)` ends a function that says whether all is well.
 */
bool refusal_set(struct refusal *r, enum refusal_word word, const char *field,
                 const char *format, ...) PRINTF_LIKE(4, 5);

/* As above for "prefix.name", where name is a client's. */
bool refusal_set_member(struct refusal *r, enum refusal_word word,
                        const char *prefix, struct str name, const char *text);

/* From what message/ found. Returns false. */
bool refusal_from_problem(struct refusal *r, const struct problem *problem);

#endif
