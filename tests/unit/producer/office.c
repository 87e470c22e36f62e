#include "tests/unit/producer/office.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/net.h"

static const char *const routes[] = {"default", "bulk"};

struct producer_limits office_limits(void)
{
    return (struct producer_limits){.frame_bytes = (size_t)8 << 20,
                                    .message_bytes = (size_t)16 << 20,
                                    .recipients = 1000,
                                    .connections = 100,
                                    .requests_in_flight = 64,
                                    .pending_submits = 100,
                                    .idle_ms = 60000,
                                    .full_wait_ms = 60000,
                                    .wait_ms = 60000};
}

static void listen_all(struct office *o)
{
    struct net_address address;
    struct err err;
    assert_int_equal(net_address_parse(str_from(o->address), 0, &address, &err),
                     ERR_NONE);
    (void)snprintf(o->path, sizeof(o->path), "%s",
                   scratch_path(&o->scratch, "socket"));
    assert_int_equal(net_listen_tcp(&address, &o->listeners[0].fd, &err),
                     ERR_NONE);
    assert_int_equal(net_listen_unix(o->path, 0600, &o->listeners[1].fd, &err),
                     ERR_NONE);
    assert_int_equal(net_bind_udp(&address, &o->listeners[2].fd, &err),
                     ERR_NONE);
    o->listeners[0].type = PRODUCER_LISTENER_TCP;
    o->listeners[0].name = "tcp";
    o->listeners[1].type = PRODUCER_LISTENER_UNIX;
    o->listeners[1].name = "unix";
    o->listeners[2].type = PRODUCER_LISTENER_UDP;
    o->listeners[2].name = "udp";
    net_local_address(o->listeners[0].fd, &address);
    o->tcp_port = net_address_port(&address);
    net_local_address(o->listeners[2].fd, &address);
    o->udp_port = net_address_port(&address);
}

static void prepare(struct office *o, const struct producer_limits *limits,
                    int64_t max_jobs, const char *at)
{
    struct err err;
    *o = (struct office){.address = at};
    scratch_open(&o->scratch);
    metrics_init(&o->metrics);
    const struct spool_options spool_options = {
        .routes = routes,
        .route_count = 2,
        .max_jobs = max_jobs,
        .max_bytes = (int64_t)256 << 20,
        .history_keep_ms = 3600000,
        .history_keep_failed_ms = 3600000,
        .history_max_jobs = 100000,
        .key_window_ms = 3600000,
        .key_max = 1000,
        .clock = clock_system(),
    };
    assert_int_equal(spool_create_memory(&o->spool, &spool_options, &err),
                     ERR_NONE);
    listen_all(o);
    const struct producer_options options = {
        .listeners = o->listeners,
        .listener_count = 3,
        .limits = limits == NULL ? office_limits() : *limits,
        .hostname = "mail.example.org",
        .routes = routes,
        .route_count = 2,
        .give_up_ms = 3600000,
        .spool = o->spool,
        .metrics = &o->metrics,
        .clock = clock_system(),
        .started_ms = clock_real_ms(clock_system()),
        .version = "1.2.3",
    };
    assert_int_equal(producer_create(&o->producer, &options, &err), ERR_NONE);
}

void office_prepare(struct office *o, const struct producer_limits *limits,
                    int64_t max_jobs)
{
    prepare(o, limits, max_jobs, "127.0.0.1");
}

void office_open_at(struct office *o, const char *address)
{
    prepare(o, NULL, 100, address);
    office_start(o);
}

void office_start(struct office *o)
{
    struct err err;
    assert_int_equal(producer_start(o->producer, &err), ERR_NONE);
}

void office_open(struct office *o, const struct producer_limits *limits,
                 int64_t max_jobs)
{
    office_prepare(o, limits, max_jobs);
    office_start(o);
}

void office_close(struct office *o)
{
    producer_stop(o->producer, clock_mono_ms(clock_system()) + PATIENCE_MS);
    producer_destroy(o->producer);
    for (size_t i = 0; i < 3; i++)
        (void)close(o->listeners[i].fd);
    spool_destroy(o->spool);
    (void)unlink(o->path);
    scratch_close(&o->scratch);
    assert_int_equal(metrics_get(&o->metrics, METRIC_CONNECTIONS_OPEN), 0);
}

int64_t office_accepted(const struct office *o)
{
    struct spool_stats stats;
    spool_stats(o->spool, &stats);
    return stats.accepted;
}

/* ---- clients ---- */

static void connected(struct caller *c, int fd)
{
    c->fd = fd;
    c->shown = 0;
    buf_init(&c->in, (size_t)64 << 20);
}

void caller_tcp(struct caller *c, const struct office *o)
{
    struct err err;
    int fd;
    assert_int_equal(
        net_connect_tcp(STR("127.0.0.1"), o->tcp_port, PATIENCE_MS, &fd, &err),
        ERR_NONE);
    connected(c, fd);
}

void caller_unix(struct caller *c, const struct office *o)
{
    struct err err;
    int fd;
    assert_int_equal(net_connect_unix(o->path, &fd, &err), ERR_NONE);
    connected(c, fd);
}

void caller_udp(struct caller *c, const struct office *o)
{
    caller_udp_at(c, o, "127.0.0.1");
}

void caller_udp_at(struct caller *c, const struct office *o,
                   const char *address_text)
{
    struct net_address address;
    struct err err;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(
        net_address_parse(str_from(address_text), o->udp_port, &address, &err),
        ERR_NONE);
    assert_int_equal(
        connect(fd, (const struct sockaddr *)&address.storage, address.len), 0);
    connected(c, fd);
}

void caller_close(struct caller *c)
{
    (void)close(c->fd);
    buf_fini(&c->in);
}

void caller_say_bytes(struct caller *c, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

void caller_say(struct caller *c, const char *text)
{
    caller_say_bytes(c, text, strlen(text));
}

void caller_say_frame(struct caller *c, const char *text)
{
    size_t len = strlen(text);
    const unsigned char head[4] = {
        (unsigned char)(len >> 24), (unsigned char)(len >> 16),
        (unsigned char)(len >> 8), (unsigned char)len};
    caller_say_bytes(c, head, 4);
    caller_say_bytes(c, text, len);
}

size_t caller_push(struct caller *c, const void *data, size_t len)
{
    const char *at = data;
    size_t sent = 0;
    while (sent < len) {
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        if (poll(&p, 1, 100) != 1)
            break;
        ssize_t n =
            send(c->fd, at + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            break;
        sent += n > 0 ? (size_t)n : 0;
    }
    return sent;
}

void caller_finish(struct caller *c)
{
    (void)shutdown(c->fd, SHUT_WR);
}

/* False at the end of the connection. */
static bool hear_more(struct caller *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    char *room = buf_reserve(&c->in, 65536);
    assert_non_null(room);
    if (poll(&p, 1, PATIENCE_MS) != 1)
        fail_msg("no reply within %d ms", PATIENCE_MS);
    ssize_t n = recv(c->fd, room, 65536, 0);
    if (n <= 0)
        return false;
    c->in.len += (size_t)n;
    return true;
}

static void drop_shown(struct caller *c)
{
    buf_consume(&c->in, c->shown);
    c->shown = 0;
}

const char *caller_hear(struct caller *c)
{
    size_t end;
    drop_shown(c);
    while ((end = str_find(buf_str(&c->in), '\n')) == c->in.len)
        if (!hear_more(c))
            fail_msg("the connection ended; it said \"%.*s\"",
                     STR_ARG(buf_str(&c->in)));
    c->in.data[end] = '\0';
    c->shown = end + 1;
    return c->in.data;
}

const char *caller_hear_frame(struct caller *c)
{
    static char text[65536];
    drop_shown(c);
    while (c->in.len < 4)
        assert_true(hear_more(c));
    const unsigned char *h = (const unsigned char *)c->in.data;
    size_t len = (size_t)h[0] << 24 | (size_t)h[1] << 16 | (size_t)h[2] << 8 |
                 (size_t)h[3];
    assert_true(len < sizeof(text));
    while (c->in.len < 4 + len)
        assert_true(hear_more(c));
    memcpy(text, c->in.data + 4, len);
    text[len] = '\0';
    c->shown = 4 + len;
    return text;
}

const char *caller_hear_datagram(struct caller *c)
{
    buf_truncate(&c->in, 0);
    c->shown = 0;
    assert_true(hear_more(c));
    buf_add_char(&c->in, '\0');
    return c->in.data;
}

void caller_expect(struct caller *c, const char *part)
{
    const char *reply = caller_hear(c);
    if (strstr(reply, part) == NULL)
        fail_msg("%s is not in %s", part, reply);
}

void caller_hear_all(struct caller *c)
{
    while (hear_more(c))
        buf_truncate(&c->in, 0);
    c->shown = 0;
}

void caller_expect_end(struct caller *c)
{
    drop_shown(c);
    if (hear_more(c))
        fail_msg("it did not end, it said \"%.*s\"", STR_ARG(buf_str(&c->in)));
}

void caller_expect_clean_end(struct caller *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    char byte;
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(recv(c->fd, &byte, 1, 0), 0);
}

void caller_expect_silence(struct caller *c, int ms)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    drop_shown(c);
    assert_int_equal(c->in.len, 0);
    assert_int_equal(poll(&p, 1, ms), 0);
}
