#include "core/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"

#define BACKLOG 1024

/* sockaddr_storage may be seen as any of these: POSIX, <sys/socket.h>. */
static struct sockaddr_in *as_v4(struct net_address *a)
{
    return (struct sockaddr_in *)&a->storage;
}

static struct sockaddr_in6 *as_v6(struct net_address *a)
{
    return (struct sockaddr_in6 *)&a->storage;
}

static const struct sockaddr *as_any(const struct net_address *a)
{
    return (const struct sockaddr *)&a->storage;
}

enum err_code net_address_parse(struct str host, unsigned port,
                                struct net_address *out, struct err *err)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct net_address a = {.len = 0};
    if (str_equal(host, STR("localhost")))
        host = STR("127.0.0.1");
    if (str_equal(host, STR("*")))
        host = STR("0.0.0.0");
    if (port > 65535)
        return err_set(err, ERR_INVALID, "port %u is not in 0..65535", port);
    if (host.len < sizeof(text) && str_find(host, '\0') == host.len) {
        (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(host));
        if (inet_pton(AF_INET, text, &as_v4(&a)->sin_addr) == 1) {
            as_v4(&a)->sin_family = AF_INET;
            as_v4(&a)->sin_port = htons((uint16_t)port);
            a.len = sizeof(struct sockaddr_in);
        } else if (inet_pton(AF_INET6, text, &as_v6(&a)->sin6_addr) == 1) {
            as_v6(&a)->sin6_family = AF_INET6;
            as_v6(&a)->sin6_port = htons((uint16_t)port);
            a.len = sizeof(struct sockaddr_in6);
        }
    }
    if (a.len == 0)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is no numeric IPv4 or IPv6 address",
                       STR_ARG(host));
    *out = a;
    return ERR_NONE;
}

enum err_code net_address_unix(const char *path, struct net_address *out,
                               struct err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(un.sun_path))
        return err_set(err, ERR_INVALID,
                       "the socket path \"%s\" must have 1 to %zu bytes", path,
                       sizeof(un.sun_path) - 1);
    memcpy(un.sun_path, path, len + 1);
    *out = (struct net_address){.len = sizeof(un)};
    memcpy(&out->storage, &un, sizeof(un));
    return ERR_NONE;
}

void net_address_name(const struct net_address *address, char out[NET_NAME_MAX])
{
    char text[INET6_ADDRSTRLEN] = "?";
    struct net_address a = *address;
    switch (a.storage.ss_family) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &as_v4(&a)->sin_addr, text, sizeof(text));
        (void)snprintf(out, NET_NAME_MAX, "%s:%u", text, net_address_port(&a));
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &as_v6(&a)->sin6_addr, text, sizeof(text));
        (void)snprintf(out, NET_NAME_MAX, "[%s]:%u", text,
                       net_address_port(&a));
        break;
    case AF_UNIX: {
        struct sockaddr_un un;
        memcpy(&un, &a.storage, sizeof(un));
        (void)snprintf(out, NET_NAME_MAX, "unix:%.*s", (int)sizeof(un.sun_path),
                       un.sun_path);
        break;
    }
    default:
        (void)snprintf(out, NET_NAME_MAX, "?");
        break;
    }
}

bool net_address_is_loopback(const struct net_address *address)
{
    struct net_address a = *address;
    if (a.storage.ss_family == AF_INET)
        return ntohl(as_v4(&a)->sin_addr.s_addr) >> 24 == 127;
    if (a.storage.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&as_v6(&a)->sin6_addr);
    return false;
}

unsigned net_address_port(const struct net_address *address)
{
    struct net_address a = *address;
    if (a.storage.ss_family == AF_INET)
        return ntohs(as_v4(&a)->sin_port);
    if (a.storage.ss_family == AF_INET6)
        return ntohs(as_v6(&a)->sin6_port);
    return 0;
}

void net_local_address(int fd, struct net_address *out)
{
    *out = (struct net_address){.len = sizeof(out->storage)};
    if (getsockname(fd, (struct sockaddr *)&out->storage, &out->len) != 0)
        *out = (struct net_address){.len = 0};
}

/* Closes fd and reports what errno says of address. */
static enum err_code give_up(int fd, const char *what,
                             const struct net_address *address, struct err *err)
{
    char name[NET_NAME_MAX];
    int failed = errno;
    (void)close(fd);
    net_address_name(address, name);
    return err_system(err, failed, "cannot %s %s", what, name);
}

static enum err_code open_bound(const struct net_address *address, int type,
                                int *fd, struct err *err)
{
    const int on = 1;
    int family = address->storage.ss_family;
    int s = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return err_system(err, errno, "cannot make a socket");
    if (family != AF_UNIX)
        (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6)
        (void)setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(s, as_any(address), address->len) != 0)
        return give_up(s, "listen on", address, err);
    *fd = s;
    return ERR_NONE;
}

enum err_code net_listen_tcp(const struct net_address *address, int *fd,
                             struct err *err)
{
    int s = -1;
    enum err_code code = open_bound(address, SOCK_STREAM, &s, err);
    if (code != ERR_NONE)
        return code;
    if (listen(s, BACKLOG) != 0)
        return give_up(s, "listen on", address, err);
    *fd = s;
    return ERR_NONE;
}

enum err_code net_bind_udp(const struct net_address *address, int *fd,
                           struct err *err)
{
    /* SO_REUSEADDR would let two daemons share one UDP port unnoticed. */
    int s = socket(address->storage.ss_family,
                   SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return err_system(err, errno, "cannot make a socket");
    if (bind(s, as_any(address), address->len) != 0)
        return give_up(s, "bind", address, err);
    *fd = s;
    return ERR_NONE;
}

/* Whether somebody accepts connections at the Unix socket. */
static bool is_alive(const struct net_address *address)
{
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return true;
    bool alive = connect(s, as_any(address), address->len) == 0 ||
                 (errno != ECONNREFUSED && errno != ENOENT);
    (void)close(s);
    return alive;
}

static enum err_code clear_stale(const char *path,
                                 const struct net_address *address,
                                 struct err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT
                   ? ERR_NONE
                   : err_system(err, errno, "cannot look at %s", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_EXISTS,
                       "%s is there and is no socket: move it away or choose "
                       "another path",
                       path);
    if (is_alive(address))
        return err_set(err, ERR_EXISTS,
                       "another program listens on %s: stop it or choose "
                       "another path",
                       path);
    if (unlink(path) != 0 && errno != ENOENT)
        return err_system(err, errno, "cannot remove the stale socket %s",
                          path);
    return ERR_NONE;
}

enum err_code net_listen_unix(const char *path, mode_t mode, int *fd,
                              struct err *err)
{
    struct net_address address = {.len = 0};
    int s = -1;
    enum err_code code = net_address_unix(path, &address, err);
    if (code == ERR_NONE)
        code = clear_stale(path, &address, err);
    if (code != ERR_NONE)
        return code;
    /* Nobody may connect before the mode is what the config says. */
    mode_t before = umask(0177);
    code = open_bound(&address, SOCK_STREAM, &s, err);
    (void)umask(before);
    if (code != ERR_NONE)
        return code;
    if (chmod(path, mode) != 0 || listen(s, BACKLOG) != 0)
        return give_up(s, "listen on", &address, err);
    *fd = s;
    return ERR_NONE;
}

static enum err_code finish_connect(int fd, int64_t until_ms)
{
    int failed = 0;
    socklen_t len = sizeof(failed);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int64_t left = until_ms - clock_mono_ms(clock_system());
    int n = poll(&p, 1, left > 0 ? (int)left : 0);
    if (n < 0 && errno == EINTR)
        return finish_connect(fd, until_ms);
    if (n == 0) {
        errno = ETIMEDOUT;
        return ERR_TIMEOUT;
    }
    if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0)
        return ERR_SYSTEM;
    errno = failed;
    return failed == 0 ? ERR_NONE : ERR_SYSTEM;
}

static enum err_code try_address(const struct addrinfo *a, int64_t until_ms,
                                 int *fd)
{
    int s = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return ERR_SYSTEM;
    enum err_code code = ERR_NONE;
    if (connect(s, a->ai_addr, a->ai_addrlen) != 0)
        code = errno == EINPROGRESS ? finish_connect(s, until_ms) : ERR_SYSTEM;
    int flags = code == ERR_NONE ? fcntl(s, F_GETFL) : -1;
    if (flags < 0 || fcntl(s, F_SETFL, flags & ~O_NONBLOCK) != 0) {
        int failed = errno;
        (void)close(s);
        errno = failed;
        return code == ERR_NONE ? ERR_SYSTEM : code;
    }
    *fd = s;
    return ERR_NONE;
}

enum err_code net_connect_tcp(struct str host, unsigned port, int timeout_ms,
                              int *fd, struct err *err)
{
    char name[NI_MAXHOST];
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int64_t until_ms = clock_mono_ms(clock_system()) + timeout_ms;
    if (host.len == 0 || host.len >= sizeof(name) ||
        str_find(host, '\0') < host.len)
        return err_set(err, ERR_INVALID, "\"%.*s\" is no host name",
                       STR_ARG(host));
    if (port > 65535)
        return err_set(err, ERR_INVALID, "port %u is not in 0..65535", port);
    (void)snprintf(name, sizeof(name), "%.*s", STR_ARG(host));
    (void)snprintf(service, sizeof(service), "%u", port % 65536U);
    int failed = getaddrinfo(name, service, &hints, &found);
    if (failed != 0)
        return err_set(err, ERR_NOT_FOUND, "cannot find the host %s: %s", name,
                       gai_strerror(failed));
    enum err_code code = ERR_SYSTEM;
    errno = ECONNREFUSED;
    for (const struct addrinfo *a = found; a != NULL && code != ERR_NONE;
         a = a->ai_next)
        code = try_address(a, until_ms, fd);
    if (code != ERR_NONE)
        (void)err_system(err, errno, "cannot connect to %s port %u", name,
                         port);
    freeaddrinfo(found);
    return code;
}

enum err_code net_connect_unix(const char *path, int *fd, struct err *err)
{
    struct net_address address = {.len = 0};
    enum err_code code = net_address_unix(path, &address, err);
    if (code != ERR_NONE)
        return code;
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return err_system(err, errno, "cannot make a socket");
    if (connect(s, as_any(&address), address.len) != 0)
        return give_up(s, "connect to", &address, err);
    *fd = s;
    return ERR_NONE;
}

void net_set_nodelay(int fd)
{
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

enum err_code net_split_host_port(struct str text, struct str *host,
                                  unsigned *port, struct err *err)
{
    size_t colon = text.len;
    unsigned long long number;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || !str_to_u64(str_after(text, colon), 65535, &number))
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is not HOST:PORT with a port in 0..65535",
                       STR_ARG(text));
    struct str name = str_of(text.data, colon - 1);
    if (name.len >= 2 && name.data[0] == '[' && name.data[name.len - 1] == ']')
        name = str_of(name.data + 1, name.len - 2);
    else if (str_find(name, ':') < name.len)
        name.len = 0;
    if (name.len == 0)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" has no host before the port (write IPv6 "
                       "addresses in brackets)",
                       STR_ARG(text));
    *host = name;
    *port = (unsigned)number;
    return ERR_NONE;
}

uid_t net_peer_uid(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return (uid_t)-1;
    return peer.uid;
}
