#include "tests/support/scripted_relay.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "core/mem.h"
#include "core/net.h"
#include "core/thread.h"
#include "core/wake.h"

#define WAIT_S          10
#define CONNECTIONS_MAX 16
#define RECEIVED_MAX    (64U << 20)
#define SIPS            8
#define SIP_MS          200
#define SIP_BYTES       (128U << 10)
#define NARROW_BYTES    (16 << 10)

struct connection {
    struct scripted_relay *relay;
    const struct relay_step *step;
    struct thread thread;
    int fd;
    SSL *ssl;
    struct buf in; /* read and not used yet */
    struct buf received;
    int sips; /* pauses to come */
    size_t unpaused;
    char failure[200];
};

struct scripted_relay {
    struct relay_options options;
    SSL_CTX *tls;
    int fd;
    unsigned port;
    struct wake stop;
    struct wake resume;
    struct thread thread;
    struct connection connections[CONNECTIONS_MAX];
    atomic_size_t steps; /* of connection 0 */
    size_t count;        /* read by others after stop only */
};

static bool failed(struct connection *c, const char *what, struct str saw)
{
    if (c->failure[0] == '\0')
        (void)snprintf(c->failure, sizeof(c->failure), "%s: %.80s: [%.*s]",
                       what, c->step->text == NULL ? "" : c->step->text,
                       (int)(saw.len > 80 ? 80 : saw.len),
                       saw.data == NULL ? "" : saw.data);
    return false;
}

static void pause_in_sips(struct connection *c, size_t size)
{
    struct pollfd never = {.fd = -1};
    c->unpaused += size;
    if (c->sips == 0 || c->unpaused < SIP_BYTES)
        return;
    (void)poll(&never, 1, SIP_MS);
    c->sips--;
    c->unpaused = 0;
}

/* Bytes read; 0 at the end, also when it is late. */
static size_t receive(struct connection *c, char *out, size_t size)
{
    pause_in_sips(c, size);
    if (c->ssl != NULL) {
        int n = SSL_read(c->ssl, out, (int)size);
        return n > 0 ? (size_t)n : 0;
    }
    ssize_t n;
    do
        n = recv(c->fd, out, size, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}

static bool send_all(struct connection *c, struct str text)
{
    while (text.len > 0) {
        ssize_t n;
        if (c->ssl != NULL)
            n = SSL_write(c->ssl, text.data, (int)text.len);
        else
            n = send(c->fd, text.data, text.len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        text = str_after(text, (size_t)n);
    }
    return true;
}

/* Fills c->in up to and with the next text; its length, or 0. */
static size_t read_to(struct connection *c, struct str end)
{
    size_t from = 0;
    for (;;) {
        const char *at = c->in.len < end.len
                             ? NULL
                             : memmem(c->in.data + from, c->in.len - from,
                                      end.data, end.len);
        if (at != NULL)
            return (size_t)(at - c->in.data) + end.len;
        from = c->in.len < end.len ? 0 : c->in.len - end.len + 1;
        char *room = buf_reserve(&c->in, 65536);
        size_t n = room == NULL ? 0 : receive(c, room, 65536);
        if (n == 0)
            return 0;
        c->in.len += n;
    }
}

static bool expect(struct connection *c, bool whole)
{
    struct str want = str_from(c->step->text);
    size_t len = read_to(c, STR("\r\n"));
    if (len == 0)
        return failed(c, "no line came", buf_str(&c->in));
    struct str line = str_of(c->in.data, len - 2);
    bool ok = whole ? str_equal(line, want) : str_starts_nocase(line, want);
    if (!ok)
        return failed(c, "another line came", line);
    buf_consume(&c->in, len);
    return true;
}

/* The lines that are there; *last: one of them was the lone dot. */
static size_t take_lines(struct connection *c, bool keep, bool *last)
{
    size_t used = 0;
    while (!*last) {
        struct str rest = str_after(buf_str(&c->in), used);
        const char *end =
            rest.len < 2 ? NULL : memmem(rest.data, rest.len, "\r\n", 2);
        if (end == NULL)
            break;
        struct str line = str_of(rest.data, (size_t)(end - rest.data) + 2);
        *last = str_equal(line, STR(".\r\n"));
        if (keep)
            buf_add_str(&c->received, line);
        used += line.len;
    }
    return used;
}

/* What is read is taken in bulk: consuming line by line is quadratic. */
static bool read_message(struct connection *c, bool keep)
{
    bool last = false;
    while (!last) {
        if (read_to(c, STR("\r\n")) == 0)
            return false;
        buf_consume(&c->in, take_lines(c, keep, &last));
    }
    return true;
}

static void read_rest(struct connection *c)
{
    char bytes[4096];
    size_t n;
    buf_add_str(&c->received, buf_str(&c->in));
    buf_truncate(&c->in, 0);
    while ((n = receive(c, bytes, sizeof(bytes))) > 0)
        buf_add(&c->received, bytes, n);
}

static bool take_mail(struct connection *c)
{
    for (;;) {
        size_t len = read_to(c, STR("\r\n"));
        if (len == 0)
            return failed(c, "no command came", STR(""));
        struct str line = str_of(c->in.data, len);
        bool data = str_equal(line, STR("DATA\r\n"));
        bool known = data || str_starts(line, STR("MAIL FROM:<")) ||
                     str_starts(line, STR("RCPT TO:<"));
        if (!known)
            return failed(c, "another command came", line);
        buf_consume(&c->in, len);
        if (!data && !send_all(c, STR("250 ok\r\n")))
            return failed(c, "cannot send", STR(""));
        if (data)
            return send_all(c, STR("354 go\r\n")) && read_message(c, false) &&
                   send_all(c, STR("250 taken\r\n"));
    }
}

static bool send_slowly(struct connection *c, struct str text)
{
    net_set_nodelay(c->fd);
    for (size_t i = 0; i < text.len; i++)
        if (!send_all(c, str_of(text.data + i, 1)))
            return failed(c, "cannot send", STR(""));
    return true;
}

static bool start_tls(struct connection *c)
{
    c->ssl = SSL_new(c->relay->tls);
    /* A client that refuses our certificate is no fault of the script. */
    return c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1 &&
           SSL_accept(c->ssl) == 1;
}

static void stall(struct connection *c)
{
    char rest[4096];
    while (receive(c, rest, sizeof(rest)) > 0)
        continue;
}

static bool pause_reading(struct connection *c)
{
    struct pollfd fd = {.fd = c->relay->resume.fd, .events = POLLIN};
    return poll(&fd, 1, WAIT_S * 1000) == 1 ||
           failed(c, "paused too long", STR(""));
}

static bool reset(struct connection *c)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    return setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0;
}

static bool do_step(struct connection *c)
{
    struct str text = str_from(c->step->text);
    switch (c->step->kind) {
    case RELAY_SEND:
        return send_all(c, text) || failed(c, "cannot send", STR(""));
    case RELAY_SEND_SLOWLY:
        return send_slowly(c, text);
    case RELAY_EXPECT:
        return expect(c, true);
    case RELAY_EXPECT_START:
        return expect(c, false);
    case RELAY_MESSAGE:
        return read_message(c, true);
    case RELAY_SIP:
        c->sips = SIPS;
        return read_message(c, true);
    case RELAY_REST:
        read_rest(c);
        break;
    case RELAY_TAKE:
        return take_mail(c);
    case RELAY_TLS:
        return start_tls(c);
    case RELAY_STALL:
        stall(c);
        break;
    case RELAY_PAUSE:
        return pause_reading(c);
    case RELAY_RESET:
        return reset(c) && false;
    case RELAY_END:
        break;
    }
    return false;
}

static void run_script(void *arg)
{
    struct connection *c = arg;
    while (do_step(c)) {
        c->step++;
        if (c == &c->relay->connections[0])
            (void)atomic_fetch_add(&c->relay->steps, 1);
    }
    if (c->ssl != NULL)
        SSL_free(c->ssl);
    (void)close(c->fd);
}

static void serve(struct scripted_relay *relay, int fd)
{
    const struct timeval wait = {.tv_sec = WAIT_S};
    struct connection *c = &relay->connections[relay->count];
    size_t script = relay->count < relay->options.script_count
                        ? relay->count
                        : relay->options.script_count - 1;
    c->relay = relay;
    c->fd = fd;
    c->step = relay->options.scripts[script];
    buf_init(&c->in, RECEIVED_MAX);
    buf_init(&c->received, RECEIVED_MAX);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    relay->count++;
    if (thread_start(&c->thread, "relay", run_script, c, NULL) != ERR_NONE)
        (void)snprintf(c->failure, sizeof(c->failure), "no thread");
}

static void accept_all(void *arg)
{
    struct scripted_relay *relay = arg;
    for (;;) {
        struct pollfd fds[2] = {{.fd = relay->fd, .events = POLLIN},
                                {.fd = relay->stop.fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[1].revents != 0)
            return;
        int fd = accept4(relay->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && relay->count < CONNECTIONS_MAX)
            serve(relay, fd);
        else if (fd >= 0)
            (void)close(fd);
    }
}

static bool load_tls(struct scripted_relay *relay)
{
    const struct relay_options *options = &relay->options;
    if (options->cert_file == NULL)
        return true;
    relay->tls = SSL_CTX_new(TLS_server_method());
    return relay->tls != NULL &&
           SSL_CTX_use_certificate_chain_file(relay->tls, options->cert_file) ==
               1 &&
           SSL_CTX_use_PrivateKey_file(relay->tls, options->key_file,
                                       SSL_FILETYPE_PEM) == 1;
}

static bool start(struct scripted_relay *relay)
{
    struct net_address address;
    struct str host = relay->options.host == NULL
                          ? STR("127.0.0.1")
                          : str_from(relay->options.host);
    if (!load_tls(relay) || wake_init(&relay->stop, NULL) != ERR_NONE ||
        wake_init(&relay->resume, NULL) != ERR_NONE ||
        net_address_parse(host, relay->options.port, &address, NULL) !=
            ERR_NONE ||
        net_listen_tcp(&address, &relay->fd, NULL) != ERR_NONE)
        return false;
    const int narrow = NARROW_BYTES;
    if (relay->options.narrow && setsockopt(relay->fd, SOL_SOCKET, SO_RCVBUF,
                                            &narrow, sizeof(narrow)) != 0)
        return false;
    net_local_address(relay->fd, &address);
    relay->port = net_address_port(&address);
    return thread_start(&relay->thread, "relays", accept_all, relay, NULL) ==
           ERR_NONE;
}

struct scripted_relay *scripted_relay_start(const struct relay_options *options)
{
    struct scripted_relay *relay;
    MEM_NEW(relay);
    relay->options = *options;
    relay->fd = -1;
    relay->stop.fd = -1;
    relay->resume.fd = -1;
    if (start(relay))
        return relay;
    scripted_relay_free(relay);
    return NULL;
}

unsigned scripted_relay_port(const struct scripted_relay *relay)
{
    return relay->port;
}

size_t scripted_relay_steps(const struct scripted_relay *relay)
{
    return atomic_load(&relay->steps);
}

void scripted_relay_resume(struct scripted_relay *relay)
{
    wake_raise(&relay->resume);
}

const char *scripted_relay_stop(struct scripted_relay *relay)
{
    const char *failure = "";
    wake_raise(&relay->stop);
    thread_join(&relay->thread);
    /* Each ends at the latest when its wait does. */
    for (size_t i = 0; i < relay->count; i++) {
        struct connection *c = &relay->connections[i];
        thread_join(&c->thread);
        if (failure[0] == '\0')
            failure = c->failure;
    }
    return failure;
}

struct str scripted_relay_received(const struct scripted_relay *relay)
{
    return buf_str(&relay->connections[0].received);
}

size_t scripted_relay_connections(const struct scripted_relay *relay)
{
    return relay->count;
}

void scripted_relay_free(struct scripted_relay *relay)
{
    for (size_t i = 0; i < relay->count; i++) {
        buf_fini(&relay->connections[i].in);
        buf_fini(&relay->connections[i].received);
    }
    if (relay->fd >= 0)
        (void)close(relay->fd);
    if (relay->stop.fd >= 0)
        wake_fini(&relay->stop);
    if (relay->resume.fd >= 0)
        wake_fini(&relay->resume);
    SSL_CTX_free(relay->tls);
    mem_free(relay);
}
