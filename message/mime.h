#ifndef MESSAGE_MIME_H
#define MESSAGE_MIME_H

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"

/*
 * Reads the values of MIME's header fields as other programs write them:
 * comments, blanks, and boundaries that should have been quoted are no
 * trouble (RFC 2045 sections 5 and 6, RFC 2046 section 5.1). Values come
 * unfolded or not.
 *
 * Threads: pure, any.
 */
#define MIME_BOUNDARY_MAX 200 /* bytes; the standard says 70 */

struct mime_type {
    struct str type; /* "text", ...; views of the value */
    struct str subtype;
    size_t boundary_len; /* 0: there is none that can be used */
    char boundary[MIME_BOUNDARY_MAX];
};

/* False when value is not type/subtype; *out is then not to be used. */
bool mime_type_parse(struct str value, struct mime_type *out);

bool mime_type_is(const struct mime_type *t, struct str type,
                  struct str subtype);

enum mime_encoding {
    MIME_ENCODING_NONE, /* there is no such field */
    MIME_ENCODING_7BIT,
    MIME_ENCODING_8BIT,
    MIME_ENCODING_BINARY,
    MIME_ENCODING_ENCODED, /* quoted-printable, base64 */
    MIME_ENCODING_UNKNOWN,
};

/* Of a Content-Transfer-Encoding that is there: never MIME_ENCODING_NONE. */
enum mime_encoding mime_encoding_parse(struct str value);

#endif
