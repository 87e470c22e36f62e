#ifndef MESSAGE_MEDIA_H
#define MESSAGE_MEDIA_H

#include <stdbool.h>

#include "core/err.h"
#include "core/str.h"
#include "message/header.h"

/*
 * A media type as a client gives it for an attachment, RFC 2045 section 5.1:
 * type/subtype and parameters ("; name=value", value a token or a quoted
 * string), ASCII, no comments. multipart and message types are refused: they
 * may not be base64.
 *
 * Threads: pure, any.
 */
#define MEDIA_MAX 255 /* bytes */

struct media {
    struct str type;       /* "type/subtype", a view of the input */
    struct str parameters; /* what follows the first ";", or empty */
};

/* ERR_INVALID with a sentence, *out untouched. */
MUST_CHECK enum err_code media_parse(struct str text, struct media *out,
                                     struct err *err);

bool media_has_parameter(const struct media *m, struct str name);

/* Writes the type and its parameters, folded between them. */
void media_write(struct header *h, const struct media *m);

#endif
