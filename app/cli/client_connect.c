#include "app/cli/client_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/net.h"

/* How often to knock at a Unix socket whose backlog is full. */
#define KNOCK_MS 20

static enum err_code fail(int fd, const struct endpoint *endpoint,
                          struct err *err)
{
    int failed = errno;
    if (fd >= 0)
        (void)close(fd);
    return err_system(err, failed, "cannot connect to %s", endpoint->text);
}

/* A full backlog answers EAGAIN, and poll(2) does not tell when that ends. */
static enum err_code connect_unix(const struct endpoint *endpoint,
                                  int64_t timeout_ms, int *fd, struct err *err)
{
    struct net_address a;
    int64_t until_ms = clock_mono_ms(clock_system()) + timeout_ms;
    enum err_code code = net_address_unix(endpoint->path, &a, err);
    if (code != ERR_NONE)
        return code;
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return fail(s, endpoint, err);
    while (connect(s, (const struct sockaddr *)&a.storage, a.len) != 0) {
        if (errno != EAGAIN && errno != EINTR)
            return fail(s, endpoint, err);
        if (clock_mono_ms(clock_system()) >= until_ms) {
            errno = ETIMEDOUT;
            return fail(s, endpoint, err);
        }
        (void)poll(NULL, 0, KNOCK_MS);
    }
    *fd = s;
    return ERR_NONE;
}

static enum err_code connect_tcp(const struct endpoint *endpoint,
                                 int64_t timeout_ms, int *fd, struct err *err)
{
    int s;
    int bounded = timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX;
    enum err_code code =
        net_connect_tcp(endpoint->host, endpoint->port, bounded, &s, err);
    if (code != ERR_NONE)
        return code;
    net_set_nodelay(s);
    if (fcntl(s, F_SETFL, fcntl(s, F_GETFL) | O_NONBLOCK) != 0)
        return fail(s, endpoint, err);
    *fd = s;
    return ERR_NONE;
}

static enum err_code connect_datagram(const struct endpoint *endpoint,
                                      const struct sockaddr *to, socklen_t len,
                                      int *fd, struct err *err)
{
    int s = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0 || connect(s, to, len) != 0)
        return fail(s, endpoint, err);
    *fd = s;
    return ERR_NONE;
}

static enum err_code connect_udp(const struct endpoint *endpoint, int *fd,
                                 struct err *err)
{
    char name[NI_MAXHOST];
    char service[8];
    struct net_address a;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    if (net_address_parse(endpoint->host, endpoint->port, &a, NULL) == ERR_NONE)
        return connect_datagram(endpoint, (const struct sockaddr *)&a.storage,
                                a.len, fd, err);
    if (endpoint->host.len >= sizeof(name))
        return err_set(err, ERR_INVALID, "\"%s\": no host has so long a name",
                       endpoint->text);
    (void)snprintf(name, sizeof(name), "%.*s", STR_ARG(endpoint->host));
    (void)snprintf(service, sizeof(service), "%u", endpoint->port % 65536U);
    int failed = getaddrinfo(name, service, &hints, &found);
    if (failed != 0)
        return err_set(err, ERR_NOT_FOUND, "cannot find the host %s: %s", name,
                       gai_strerror(failed));
    enum err_code code =
        connect_datagram(endpoint, found->ai_addr, found->ai_addrlen, fd, err);
    freeaddrinfo(found);
    return code;
}

enum err_code client_connect(const struct endpoint *endpoint,
                             int64_t timeout_ms, int *fd, struct err *err)
{
    switch (endpoint->kind) {
    case ENDPOINT_UNIX:
        return connect_unix(endpoint, timeout_ms, fd, err);
    case ENDPOINT_TCP:
        return connect_tcp(endpoint, timeout_ms, fd, err);
    case ENDPOINT_UDP:
        return connect_udp(endpoint, fd, err);
    }
    return ERR_INVALID;
}
