#ifndef SMTP_CAPS_H
#define SMTP_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

/*
 * What a relay offers in its EHLO reply, RFC 5321 section 4.1.1.1. Pure. A
 * set is of one EHLO reply: that after STARTTLS replaces the one before.
 */
enum smtp_extension {
    SMTP_EXTENSION_SIZE,                /* RFC 1870 */
    SMTP_EXTENSION_8BITMIME,            /* RFC 6152 */
    SMTP_EXTENSION_SMTPUTF8,            /* RFC 6531 */
    SMTP_EXTENSION_PIPELINING,          /* RFC 2920 */
    SMTP_EXTENSION_CHUNKING,            /* RFC 3030 */
    SMTP_EXTENSION_ENHANCEDSTATUSCODES, /* RFC 2034 */
    SMTP_EXTENSION_STARTTLS,            /* RFC 3207 */
    SMTP_EXTENSION_AUTH,                /* RFC 4954 */
    SMTP_EXTENSION_COUNT
};

struct smtp_caps {
    bool offered[SMTP_EXTENSION_COUNT];
    uint64_t size_max; /* SIZE's parameter, bytes; 0: no limit is known */
    bool auth_plain;
    bool auth_login;
};

void smtp_caps_clear(struct smtp_caps *caps);

/*
 * One line of the EHLO reply behind its first, without code and CRLF:
 * "SIZE 35882577". Unknown keywords are passed over.
 */
void smtp_caps_add(struct smtp_caps *caps, struct str line);

static inline bool smtp_caps_has(const struct smtp_caps *caps,
                                 enum smtp_extension extension)
{
    return caps->offered[extension];
}

#endif
