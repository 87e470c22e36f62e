#ifndef APP_CLI_CLIENT_CONNECT_H
#define APP_CLI_CLIENT_CONNECT_H

#include <stdint.h>

#include "app/cli/endpoint.h"
#include "core/err.h"

/*
 * A connected, non-blocking socket of the endpoint's kind; the caller's to
 * close. Blocking: at most timeout_ms, and as long as a host name takes to be
 * found. ERR_DENIED when permissions say no.
 */
MUST_CHECK enum err_code client_connect(const struct endpoint *endpoint,
                                        int64_t timeout_ms, int *fd,
                                        struct err *err);

#endif
