#ifndef CORE_NET_H
#define CORE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "core/err.h"
#include "core/str.h"

/*
 * Sockets and their addresses. Every socket made here is non-blocking and
 * close-on-exec. Returned descriptors belong to the caller.
 */
#define NET_NAME_MAX 128 /* bytes of "[2001:db8::1%eth0]:65535" or a path */

struct net_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/*
 * A numeric IPv4 or IPv6 address ("localhost" is 127.0.0.1, "*" is any) and a
 * port 0..65535. No DNS: never blocks. ERR_INVALID otherwise.
 */
MUST_CHECK enum err_code net_address_parse(struct str host, unsigned port,
                                           struct net_address *out,
                                           struct err *err);

/* ERR_INVALID when the path does not fit into a socket address. */
MUST_CHECK enum err_code
net_address_unix(const char *path, struct net_address *out, struct err *err);

/* "127.0.0.1:7788", "[::1]:7788", "unix:/path". */
void net_address_name(const struct net_address *address,
                      char out[NET_NAME_MAX]);

bool net_address_is_loopback(const struct net_address *address);

/* The port, 0 for Unix sockets. */
unsigned net_address_port(const struct net_address *address);

/* The address a socket is bound to (the real port after port 0). */
void net_local_address(int fd, struct net_address *out);

/* SO_REUSEADDR is set; IPv6 sockets are IPv6 only. */
MUST_CHECK enum err_code net_listen_tcp(const struct net_address *address,
                                        int *fd, struct err *err);
MUST_CHECK enum err_code net_bind_udp(const struct net_address *address,
                                      int *fd, struct err *err);

/*
 * Listens on a Unix stream socket at path with that mode. A socket file that
 * nobody listens on any more is replaced; ERR_EXISTS when somebody does, or
 * when something else than a socket is there.
 */
MUST_CHECK enum err_code net_listen_unix(const char *path, mode_t mode, int *fd,
                                         struct err *err);

/*
 * Blocking, at most timeout_ms: a connected, blocking stream socket. host may
 * be a name here: resolving it is not bounded by timeout_ms.
 */
MUST_CHECK enum err_code net_connect_tcp(struct str host, unsigned port,
                                         int timeout_ms, int *fd,
                                         struct err *err);
MUST_CHECK enum err_code net_connect_unix(const char *path, int *fd,
                                          struct err *err);

void net_set_nodelay(int fd);

/*
 * "HOST:PORT" or "[V6]:PORT" into its halves (views of text). ERR_INVALID
 * when there is no port or it is none.
 */
MUST_CHECK enum err_code net_split_host_port(struct str text, struct str *host,
                                             unsigned *port, struct err *err);

/* The uid of a Unix stream socket's peer, or (uid_t)-1. */
uid_t net_peer_uid(int fd);

#endif
