#ifndef CONFIG_HOST_H
#define CONFIG_HOST_H

#include <stdbool.h>

#include "core/err.h"
#include "core/str.h"

/*
 * Whether name can be a host's: labels of 1 to 63 letters, digits, hyphens
 * and underscores (not a hyphen at either end) with dots between them, at
 * most 253 bytes (RFC 1123 section 2.1, and the underscore that container
 * networks use). Four decimal numbers are an IPv4 address and must be one.
 */
bool host_is_name(struct str name);

/* The relay that a URL names. Views of the text. */
struct host_url {
    struct str host; /* without brackets */
    unsigned port;
    bool is_smtps;
};

/*
 * "smtp://HOST[:PORT]" or "smtps://HOST[:PORT]" and nothing else. The text of
 * err shows nothing of what was given, which may have a password in it.
 */
MUST_CHECK enum err_code host_parse_url(struct str text, struct host_url *out,
                                        struct err *err);

#endif
