#ifndef APP_SINK_SINK_PATH_H
#define APP_SINK_SINK_PATH_H

#include <stdbool.h>

#include "core/str.h"

/* Paths and mailboxes of RFC 5321 section 4.1.2 (and RFC 6531). Pure. */
#define SINK_PATH_LOCAL_MAX  64  /* octets, RFC 5321 section 4.5.3.1.1 */
#define SINK_PATH_DOMAIN_MAX 255 /* octets, section 4.5.3.1.2 */

enum sink_path_result {
    SINK_PATH_OK,
    SINK_PATH_SYNTAX,
    SINK_PATH_TOO_LONG,
    SINK_PATH_NOT_ASCII, /* right, but for bytes that need SMTPUTF8 */
};

/*
 * "<a@b.org>" at the start of *text, which moves behind it. *address is what
 * is between the brackets, without a source route. "<>" gives SINK_PATH_OK
 * and an empty address.
 */
enum sink_path_result sink_path_parse(struct str *text, struct str *address);

/* local@domain, without brackets, any length. */
enum sink_path_result sink_path_check(struct str address);

#endif
