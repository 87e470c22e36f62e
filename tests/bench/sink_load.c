/*
 * bench_sink_load: fills an SMTP server with mail as fast as one thread can,
 * to measure the server. Raw OpenSSL and epoll, nothing of ours in between.
 *
 *   bench_sink_load HOST PORT TLS(0|1) MODE CONNECTIONS MESSAGES SIZE
 *
 * MODE: single  one command at a time, DATA
 *       chain   content, final dot and the next MAIL RCPT DATA in one flight
 *       bdat    MAIL RCPT BDAT LAST in one flight
 *
 * Prints one line of key=value when all replies are there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/net.h"
#include "core/str.h"

#define EVENTS_MAX      64
#define FLIGHT_MAX      (64U << 20)
#define CONNECTIONS_MAX 1000U
#define CONNECT_MS      5000

enum mode {
    MODE_SINGLE,
    MODE_CHAIN,
    MODE_BDAT,
};

struct load {
    enum mode mode;
    bool tls;
    uint64_t messages;
    uint64_t begun;
    uint64_t sent; /* contents, each with a Message-ID of its own */
    uint64_t done;
    uint64_t failed;
    struct str content;
    SSL_CTX *context;
    int epoll_fd;
    char *reply; /* one read */
    size_t open;
};

struct peer {
    struct load *load;
    int fd;
    SSL *ssl;
    struct buf out;    /* the flight on its way */
    unsigned expected; /* replies to this flight */
    unsigned step;     /* of MODE_SINGLE */
    bool in_message;   /* its last reply counts a message */
    bool content_next; /* MODE_CHAIN: 354 is there */
    char line[512];
    size_t line_len;
};

static _Noreturn void give_up(const char *what)
{
    (void)fprintf(stderr, "bench_sink_load: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* A message with a Message-ID of its own and lines of 72 bytes. */
static void add_content(struct peer *p)
{
    struct load *load = p->load;
    buf_add_format(&p->out, "Message-ID: <%016llx@load.test>\r\n",
                   (unsigned long long)load->sent++);
    buf_add_str(&p->out, load->content);
}

#define ID_LINE_BYTES 42U

static void add_mail(struct peer *p)
{
    buf_add_text(&p->out, "MAIL FROM:<sender@load.test>\r\n");
}

static void add_rcpt(struct peer *p)
{
    buf_add_text(&p->out, "RCPT TO:<recipient@load.test>\r\n");
}

/* One message after another while there are any; QUIT behind the last. */
static bool begin_message(struct peer *p)
{
    if (p->load->begun == p->load->messages)
        return false;
    p->load->begun++;
    return true;
}

static void quit(struct peer *p)
{
    buf_add_text(&p->out, "QUIT\r\n");
    p->expected = 1;
    p->step = 100;
}

static void next_single(struct peer *p)
{
    p->expected = 1;
    switch (p->step++) {
    case 0:
        if (begin_message(p))
            add_mail(p);
        else
            quit(p);
        break;
    case 1:
        add_rcpt(p);
        break;
    case 2:
        buf_add_text(&p->out, "DATA\r\n");
        break;
    default:
        add_content(p);
        buf_add_text(&p->out, ".\r\n");
        p->in_message = true;
        p->step = 0;
        break;
    }
}

static void next_chain(struct peer *p)
{
    p->expected = 0;
    if (p->content_next) {
        add_content(p);
        buf_add_text(&p->out, ".\r\n");
        p->in_message = true;
        p->content_next = false;
        p->expected = 1;
    }
    if (begin_message(p)) {
        add_mail(p);
        add_rcpt(p);
        buf_add_text(&p->out, "DATA\r\n");
        p->content_next = true;
        p->expected += 3;
    } else if (p->expected == 0) {
        quit(p);
    }
}

static void next_bdat(struct peer *p)
{
    if (!begin_message(p)) {
        quit(p);
        return;
    }
    add_mail(p);
    add_rcpt(p);
    buf_add_format(&p->out, "BDAT %zu LAST\r\n",
                   p->load->content.len + ID_LINE_BYTES);
    add_content(p);
    p->in_message = true;
    p->expected = 3;
}

static void next_flight(struct peer *p)
{
    buf_truncate(&p->out, 0);
    p->in_message = false;
    if (p->load->mode == MODE_SINGLE)
        next_single(p);
    else if (p->load->mode == MODE_CHAIN)
        next_chain(p);
    else
        next_bdat(p);
}

static void watch(struct peer *p, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = p};
    if (epoll_ctl(p->load->epoll_fd, EPOLL_CTL_MOD, p->fd, &event) != 0)
        give_up("epoll_ctl");
}

/* What is left of the flight goes when the socket has room. */
static void push(struct peer *p)
{
    while (p->out.len > 0) {
        ssize_t n;
        size_t written = 0;
        if (p->ssl != NULL) {
            ERR_clear_error();
            n = SSL_write_ex(p->ssl, p->out.data, p->out.len, &written) == 1
                    ? (ssize_t)written
                    : -1;
        } else {
            n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL);
        }
        if (n <= 0) {
            watch(p, EPOLLIN | EPOLLOUT);
            return;
        }
        buf_consume(&p->out, (size_t)n);
    }
}

static ssize_t pull(struct peer *p, size_t len)
{
    size_t got = 0;
    if (p->ssl == NULL)
        return recv(p->fd, p->load->reply, len, 0);
    ERR_clear_error();
    return SSL_read_ex(p->ssl, p->load->reply, len, &got) == 1 ? (ssize_t)got
                                                               : -1;
}

/* False when the dialogue is over. */
static bool on_reply(struct peer *p, struct str line)
{
    struct load *load = p->load;
    bool good = line.data[0] == '2' || line.data[0] == '3';
    if (line.len > 3 && line.data[3] == '-')
        return true;
    if (!good) {
        load->failed++;
        (void)fprintf(stderr, "%.*s\n", STR_ARG(line));
    }
    /* Of a flight's replies the content's comes last, or first in a chain. */
    p->expected--;
    if (p->in_message && (load->mode == MODE_CHAIN || p->expected == 0)) {
        load->done++;
        p->in_message = false;
    }
    if (p->expected > 0)
        return true;
    if (p->step == 100)
        return false;
    next_flight(p);
    push(p);
    return true;
}

static bool take_lines(struct peer *p, struct str in)
{
    for (size_t i = 0; i < in.len; i++) {
        if (p->line_len < sizeof(p->line))
            p->line[p->line_len++] = in.data[i];
        if (in.data[i] != '\n')
            continue;
        struct str line = str_of(p->line, p->line_len);
        p->line_len = 0;
        if (!on_reply(p, line))
            return false;
    }
    return true;
}

static void close_peer(struct peer *p)
{
    SSL_free(p->ssl);
    (void)close(p->fd);
    buf_fini(&p->out);
    p->load->open--;
}

static void on_event(struct peer *p, uint32_t events)
{
    if ((events & EPOLLOUT) != 0) {
        watch(p, EPOLLIN);
        push(p);
    }
    for (;;) {
        ssize_t n = pull(p, 16384);
        if (n > 0 && take_lines(p, str_of(p->load->reply, (size_t)n))) {
            if (p->ssl != NULL && SSL_pending(p->ssl) > 0)
                continue;
            return;
        }
        if (n > 0) {
            close_peer(p);
            return;
        }
        bool again = p->ssl != NULL
                         ? !SSL_get_shutdown(p->ssl) && SSL_want_read(p->ssl)
                         : n < 0 && errno == EAGAIN;
        if (!again)
            give_up("the server closed a connection");
        return;
    }
}

/* Blocking: greeting and EHLO, before the clock starts. */
static void hello(struct peer *p)
{
    static const char command[] = "EHLO load.test\r\n";
    for (unsigned replies = 0; replies < 2;) {
        ssize_t n = p->ssl != NULL
                        ? SSL_read(p->ssl, p->line, sizeof(p->line) - 1)
                        : recv(p->fd, p->line, sizeof(p->line) - 1, 0);
        if (n <= 0)
            give_up("no greeting");
        p->line[n] = '\0';
        /* Each reply comes in one piece from a server that writes it so. */
        replies++;
        if (replies == 2)
            break;
        n = p->ssl != NULL ? SSL_write(p->ssl, command, sizeof(command) - 1)
                           : send(p->fd, command, sizeof(command) - 1, 0);
        if (n != (ssize_t)sizeof(command) - 1)
            give_up("cannot say EHLO");
    }
}

static void set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        give_up("fcntl");
}

static void open_peer(struct load *load, struct peer *p, struct str host,
                      unsigned port)
{
    struct err err;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
    p->load = load;
    buf_init(&p->out, FLIGHT_MAX);
    if (net_connect_tcp(host, port, CONNECT_MS, &p->fd, &err) != ERR_NONE)
        give_up(err.text);
    net_set_nodelay(p->fd);
    if (load->tls) {
        p->ssl = SSL_new(load->context);
        if (p->ssl == NULL || SSL_set_fd(p->ssl, p->fd) != 1 ||
            SSL_connect(p->ssl) != 1)
            give_up("no TLS");
    }
    hello(p);
    set_nonblocking(p->fd);
    if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, p->fd, &event) != 0)
        give_up("epoll_ctl");
    load->open++;
}

static char *make_content(size_t size, struct str *out)
{
    static const char head[] = "From: sender@load.test\r\n"
                               "To: recipient@load.test\r\n"
                               "Subject: a message of the load test\r\n\r\n";
    size_t len = sizeof(head) - 1;
    size_t want = size > ID_LINE_BYTES ? size - ID_LINE_BYTES : 0;
    char *text = mem_alloc(want + len + 2);
    memcpy(text, head, len);
    while (len + 2 < want) {
        text[len] = (len + 2) % 74 == 0 ? '\r' : 'x';
        if (text[len] == '\r')
            text[++len] = '\n';
        len++;
    }
    text[len++] = '\r';
    text[len++] = '\n';
    *out = str_of(text, len);
    return text;
}

static uint64_t number(const char *text, uint64_t max)
{
    unsigned long long value;
    if (!str_to_u64(str_from(text), max, &value))
        give_up("a number is expected");
    return value;
}

static void run(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    while (load->open > 0) {
        int n = epoll_wait(load->epoll_fd, events, EVENTS_MAX, 10000);
        if (n == 0)
            give_up("nothing for 10 s");
        for (int i = 0; i < n; i++)
            on_event(events[i].data.ptr, events[i].events);
    }
}

static double cpu_us(void)
{
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) != 0)
        return 0;
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static void measure(struct load *load, struct peer *peers, size_t count)
{
    double cpu_before = cpu_us();
    int64_t before_ns = clock_mono_ns();
    for (size_t i = 0; i < count; i++) {
        next_flight(&peers[i]);
        push(&peers[i]);
    }
    run(load);
    double seconds = (double)(clock_mono_ns() - before_ns) / 1e9;
    double messages = load->done > 0 ? (double)load->done : 1;
    (void)printf("messages=%llu failed=%llu seconds=%.3f per_second=%.0f "
                 "loader_us=%.2f\n",
                 (unsigned long long)load->done,
                 (unsigned long long)load->failed, seconds, messages / seconds,
                 (cpu_us() - cpu_before) / messages);
}

static enum mode parse_mode(const char *word)
{
    if (strcmp(word, "single") == 0)
        return MODE_SINGLE;
    if (strcmp(word, "chain") == 0)
        return MODE_CHAIN;
    if (strcmp(word, "bdat") != 0)
        give_up("MODE is single, chain or bdat");
    return MODE_BDAT;
}

int main(int argc, char **argv)
{
    struct load load = {.tls = false};
    if (argc != 8)
        give_up("HOST PORT TLS(0|1) MODE CONNECTIONS MESSAGES SIZE");
    struct str host = str_from(argv[1]);
    unsigned port = (unsigned)number(argv[2], 65535);
    load.tls = number(argv[3], 1) == 1;
    load.mode = parse_mode(argv[4]);
    size_t count = (size_t)number(argv[5], CONNECTIONS_MAX);
    load.messages = number(argv[6], UINT32_MAX);
    char *text = make_content((size_t)number(argv[7], 1U << 24), &load.content);
    load.reply = mem_alloc(16384);
    load.context = SSL_CTX_new(TLS_client_method());
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (load.context == NULL || load.epoll_fd < 0)
        give_up("cannot set up");
    struct peer *peers = mem_calloc(count, sizeof(*peers));
    for (size_t i = 0; i < count; i++)
        open_peer(&load, &peers[i], host, port);
    measure(&load, peers, count);
    (void)close(load.epoll_fd);
    SSL_CTX_free(load.context);
    mem_free(peers);
    mem_free(load.reply);
    mem_free(text);
    return load.failed == 0 ? 0 : 1;
}
