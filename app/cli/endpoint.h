#ifndef APP_CLI_ENDPOINT_H
#define APP_CLI_ENDPOINT_H

#include "core/err.h"
#include "core/str.h"

/* Where the daemon listens, as people write it. */
#define ENDPOINT_DEFAULT     "unix:/run/postrider/postrider.sock"
#define ENDPOINT_ENVIRONMENT "POSTRIDER_SOCKET"

enum endpoint_kind {
    ENDPOINT_UNIX,
    ENDPOINT_TCP,
    ENDPOINT_UDP,
};

struct endpoint {
    enum endpoint_kind kind;
    const char *text; /* the whole, for messages */
    const char *path; /* of a Unix socket, else NULL */
    struct str host;
    unsigned port; /* 1..65535, 0 for a Unix socket */
};

/*
 * "unix:PATH", "tcp:HOST:PORT", "udp:HOST:PORT"; names are not looked up.
 * Ownership: out refers to text, which must outlive it. ERR_INVALID
 * otherwise, out untouched.
 */
MUST_CHECK enum err_code endpoint_parse(const char *text, struct endpoint *out,
                                        struct err *err);

/*
 * given if not NULL, else the environment's value if it is set and not empty
 * (environment may be NULL), else the default.
 */
const char *endpoint_choose(const char *given, const char *environment);

#endif
