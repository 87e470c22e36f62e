#ifndef APP_CLI_CLIENT_H
#define APP_CLI_CLIENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/cli/endpoint.h"
#include "core/err.h"
#include "core/str.h"

/*
 * The client's side of protocol version 1: requests out, reply lines in, over
 * a stream in newline framing or over UDP.
 *
 * Bounded: a reply is at most CLIENT_REPLY_MAX bytes, what waits to be sent
 * at most CLIENT_UNSENT_MAX. Reading and writing go on at the same time, so
 * that neither side can block the other however much is under way.
 *
 * Threads: one owner. SIGPIPE must be ignored.
 */
#define CLIENT_REPLY_MAX    (32U << 20)
#define CLIENT_UNSENT_MAX   (256U << 20)
#define CLIENT_DATAGRAM_MAX 65507U
#define CLIENT_EXTRA_MAX    4U

struct client;

/*
 * Connects. endpoint's strings must outlive the client. Blocking: at most
 * timeout_ms, and as long as a host name takes to be found. ERR_DENIED when
 * the socket's permissions say no; for every other code nobody listens there.
 */
MUST_CHECK enum err_code client_open(struct client **out,
                                     const struct endpoint *endpoint,
                                     int64_t timeout_ms, struct err *err);

void client_close(struct client *client); /* NULL is allowed */

/*
 * Sends one request, waits for one reply. *reply is valid until the next call
 * on this client. Blocking: at most until until_ms (mono).
 *
 * On UDP the request is sent again (after 1 s, then 2 s, 4 s...) until an
 * answer comes, so it must be one that may arrive twice: ping, status, or a
 * submit with an idempotency key.
 *
 * ERR_TIMEOUT: no answer in time. ERR_CLOSED: the daemon hung up first. In
 * both cases it may have done what was asked. ERR_TOO_LARGE: the request.
 * ERR_INVALID: an answer past the bound.
 */
MUST_CHECK enum err_code client_call(struct client *client, struct str request,
                                     int64_t until_ms, struct str *reply,
                                     struct err *err);

/* ---- pipelining, on streams only ---- */

/* Copies the request to what will be sent. ERR_FULL past the bound. */
MUST_CHECK enum err_code client_queue(struct client *client, struct str request,
                                      struct err *err);

/*
 * The next reply line that was read, without its line end; false if none is
 * complete. *reply is valid until the next call on this client.
 */
bool client_next(struct client *client, struct str *reply);

/*
 * Writes and reads what is possible at once, and if nothing is, waits for the
 * daemon, for any of extra (at most CLIENT_EXTRA_MAX; revents are set as by
 * poll(2)), or until until_ms.
 * client may be NULL: then only extra and the time are waited for.
 *
 * ERR_CLOSED when the daemon hung up and all its complete lines were taken.
 * ERR_NONE says nothing about which of them happened, time over included.
 */
MUST_CHECK enum err_code client_step(struct client *client,
                                     struct pollfd *extra, size_t extra_count,
                                     int64_t until_ms, struct err *err);

#endif
