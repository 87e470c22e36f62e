#include "app/sink/sink_conn.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "app/sink/sink_reply.h"
#include "app/sink/sink_wire.h"
#include "core/mem.h"
#include "core/net.h"

#define RAW_BYTES      (64U << 10)
#define PLAIN_BYTES    (96U << 10) /* a read behind the longest line */
#define WIRE_MAX_BYTES (4U << 20)
#define OUT_LINE_MAX   (256U << 10) /* then no more is read */
#define IN_LINE_MAX    (64U << 10)  /* likewise, without latency */
#define IN_LATENCY_MAX (4U << 20)   /* likewise, with latency */
#define LINES_MAX      (256U << 20) /* of all connections together */
#define NS_PER_MS      1000000

void sink_io_init(struct sink_io *io, struct sink *sink, struct sink_loop *loop,
                  struct sink_tls *tls)
{
    *io = (struct sink_io){.sink = sink,
                           .loop = loop,
                           .tls = tls,
                           .latency_ns = sink->options->latency_ms * NS_PER_MS,
                           .raw = mem_alloc(RAW_BYTES),
                           .plain = mem_alloc(PLAIN_BYTES)};
    buf_init(&io->wire, WIRE_MAX_BYTES);
    TAILQ_INIT(&io->open);
    TAILQ_INIT(&io->dead);
}

static int64_t now_of(const struct sink_conn *c)
{
    return c->io->loop->now_ns;
}

void sink_io_bury(struct sink_io *io)
{
    struct sink_conn *c;
    while ((c = TAILQ_FIRST(&io->dead)) != NULL) {
        TAILQ_REMOVE(&io->dead, c, links);
        sink_session_fini(&c->session);
        SSL_free(c->ssl);
        sink_line_fini(&c->in);
        sink_line_fini(&c->out);
        buf_fini(&c->partial);
        mem_free(c);
    }
}

void sink_io_fini(struct sink_io *io)
{
    struct sink_conn *c;
    while ((c = TAILQ_FIRST(&io->open)) != NULL)
        sink_wire_die(c);
    sink_io_bury(io);
    buf_fini(&io->wire);
    mem_free(io->raw);
    mem_free(io->plain);
}

static void start_tls(struct sink_conn *c)
{
    const struct sink_fault *fault =
        sink_reply_silent_fault(&c->session, SINK_STAGE_TLS);
    if (fault != NULL && fault->end != SINK_END_NONE) {
        sink_wire_end(c, fault->end);
        return;
    }
    c->ssl = sink_tls_open(
        c->io->tls, fault != NULL ? fault->cert : SINK_CERT_GOOD, &c->pipe);
    if (c->ssl == NULL)
        sink_wire_end(c, SINK_END_DROP);
    else
        c->phase = SINK_PHASE_HANDSHAKE;
}

/* Sends what may go and does what the session wants next. */
static void settle(struct sink_conn *c)
{
    struct sink_session *s = &c->session;
    sink_wire_flush(c);
    if (c->phase != SINK_PHASE_OPEN)
        return;
    if (s->hold_ms >= 0) {
        if (c->hold_ns == INT64_MAX)
            c->hold_ns = now_of(c) + s->hold_ms * NS_PER_MS;
        return;
    }
    switch (s->want) {
    case SINK_WANT_TLS:
        start_tls(c);
        break;
    case SINK_WANT_CLOSE:
        sink_wire_end(c, SINK_END_CLOSE);
        break;
    case SINK_WANT_DROP:
        sink_wire_end(c, SINK_END_DROP);
        break;
    case SINK_WANT_RESET:
        sink_wire_end(c, SINK_END_RESET);
        break;
    case SINK_WANT_STALL:
        sink_wire_end(c, SINK_END_STALL);
        break;
    case SINK_WANT_INPUT:
    default:
        break;
    }
}

static void greet(struct sink_conn *c)
{
    c->phase = SINK_PHASE_OPEN;
    sink_session_greet(&c->session);
    settle(c);
}

static void shaken(struct sink_conn *c)
{
    struct sink_counts *counts = &c->io->sink->counts;
    sink_counts_add(counts, SINK_COUNT_TLS, 1);
    if (SSL_session_reused(c->ssl))
        sink_counts_add(counts, SINK_COUNT_TLS_RESUMED, 1);
    sink_session_tls_started(&c->session, SSL_get_version(c->ssl));
    if (c->session.kind == SINK_LISTENER_SMTPS)
        greet(c);
    else
        c->phase = SINK_PHASE_OPEN;
}

/* False: more bytes are needed. */
static bool shake(struct sink_conn *c)
{
    ERR_clear_error();
    int result = SSL_do_handshake(c->ssl);
    int error = SSL_get_error(c->ssl, result);
    sink_wire_flush_tls(c);
    if (c->phase != SINK_PHASE_HANDSHAKE)
        return true;
    if (result == 1) {
        shaken(c);
        return true;
    }
    if (error == SSL_ERROR_WANT_READ && !c->pipe.in_ended)
        return false;
    sink_counts_add(&c->io->sink->counts, SINK_COUNT_TLS_FAILED, 1);
    ERR_clear_error();
    sink_wire_end(c, SINK_END_CLOSE);
    return true;
}

static size_t read_tls(struct sink_conn *c, char *out, size_t len)
{
    size_t got = 0;
    ERR_clear_error();
    int result = SSL_read_ex(c->ssl, out, len, &got);
    if (result == 1)
        return got;
    if (SSL_get_error(c->ssl, result) != SSL_ERROR_WANT_READ) {
        /* close_notify, the end of the stream or nonsense: all is over. */
        c->pipe.in_ended = true;
        c->pipe.in = (struct str){NULL, 0};
        ERR_clear_error();
    }
    return 0;
}

static size_t read_plain(struct sink_conn *c, char *out, size_t len)
{
    if (c->ssl != NULL)
        return read_tls(c, out, len);
    size_t got = c->pipe.in.len < len ? c->pipe.in.len : len;
    if (got > 0)
        memcpy(out, c->pipe.in.data, got);
    c->pipe.in = str_after(c->pipe.in, got);
    return got;
}

/* A peer that does not read its replies is not listened to any more. */
static bool may_feed(const struct sink_conn *c)
{
    return c->phase == SINK_PHASE_OPEN &&
           sink_session_takes_input(&c->session) && c->out.bytes < OUT_LINE_MAX;
}

/* Feeds the session with all there is, as far as it likes. */
static void feed(struct sink_conn *c)
{
    struct sink_session *s = &c->session;
    char *plain = c->io->plain;
    size_t have = c->partial.len;
    if (have > 0)
        memcpy(plain, c->partial.data, have);
    buf_truncate(&c->partial, 0);
    while (may_feed(c)) {
        size_t got = read_plain(c, plain + have, PLAIN_BYTES - have);
        have += got;
        size_t used = sink_session_feed(s, str_of(plain, have));
        have -= used;
        memmove(plain, plain + used, have);
        if (got == 0 && used == 0)
            break;
        if (sink_session_is_full(s))
            sink_wire_flush(c);
    }
    buf_add(&c->partial, plain, have);
    settle(c);
    if (may_feed(c) && c->pipe.in_ended && c->pipe.in.len == 0)
        sink_wire_end(c, SINK_END_DROP);
}

/* Uses up pipe.in as far as that is possible now. */
static void pump(struct sink_conn *c)
{
    for (;;) {
        switch (c->phase) {
        case SINK_PHASE_HANDSHAKE:
            if (!shake(c))
                return;
            break;
        case SINK_PHASE_OPEN:
            if (!may_feed(c))
                return;
            feed(c);
            if (c->phase == SINK_PHASE_OPEN)
                return;
            break;
        case SINK_PHASE_STALLED:
        case SINK_PHASE_ENDING:
        case SINK_PHASE_LINGER:
            c->pipe.in = (struct str){NULL, 0};
            if (c->pipe.in_ended && c->phase != SINK_PHASE_ENDING)
                sink_wire_die(c);
            return;
        case SINK_PHASE_WAITING:
        case SINK_PHASE_DEAD:
        default:
            return;
        }
    }
}

/* What has come out of the line by now. */
static void run_in(struct sink_conn *c)
{
    struct str ready;
    if (c->phase == SINK_PHASE_WAITING)
        return;
    while (c->phase != SINK_PHASE_DEAD &&
           (ready = sink_line_ready(&c->in, now_of(c))).len > 0) {
        c->pipe.in = ready;
        pump(c);
        size_t taken = ready.len - c->pipe.in.len;
        c->pipe.in = (struct str){NULL, 0};
        sink_wire_take(c, &c->in, taken);
        if (taken == 0)
            return;
    }
    if (c->phase != SINK_PHASE_DEAD && !c->pipe.in_ended &&
        sink_line_is_over(&c->in, now_of(c))) {
        c->pipe.in_ended = true;
        pump(c);
    }
}

/* Output first: it makes room for what waits at the input. */
static void advance(struct sink_conn *c)
{
    sink_wire_run(c);
    pump(c);
    run_in(c);
}

static bool may_read(const struct sink_conn *c)
{
    size_t most = c->io->latency_ns > 0 && c->io->line_bytes < LINES_MAX
                      ? IN_LATENCY_MAX
                      : IN_LINE_MAX;
    return !c->read_ended && c->out.bytes < OUT_LINE_MAX && c->in.bytes < most;
}

/* When it has to be looked at again without the socket's help. */
static int64_t next_due(const struct sink_conn *c)
{
    int64_t now = now_of(c);
    int64_t due = c->phase == SINK_PHASE_STALLED ? INT64_MAX : c->idle_ns;
    int64_t in = sink_line_next_ns(&c->in);
    int64_t out = sink_line_next_ns(&c->out);
    if (in > now && in < due)
        due = in;
    if (out > now && out < due)
        due = out;
    if (c->hold_ns < due)
        due = c->hold_ns;
    if (c->phase == SINK_PHASE_WAITING && c->start_ns + c->io->latency_ns < due)
        due = c->start_ns + c->io->latency_ns;
    return due;
}

/* Tells the loop what is waited for: at the end of each event. */
static void watch(struct sink_conn *c)
{
    uint32_t events = 0;
    if (c->phase == SINK_PHASE_DEAD)
        return;
    if (may_read(c))
        events |= EPOLLIN;
    if (sink_line_ready(&c->out, now_of(c)).len > 0)
        events |= EPOLLOUT;
    if (events != c->events) {
        c->events = events;
        sink_loop_change(c->io->loop, c->fd, events, &c->source);
    }
    sink_loop_at(c->io->loop, &c->timer, next_due(c));
}

static void touch(struct sink_conn *c)
{
    int64_t idle_ms = c->io->sink->options->idle_ms;
    if (c->phase == SINK_PHASE_ENDING || c->phase == SINK_PHASE_LINGER)
        return;
    c->idle_ns = idle_ms == 0 ? INT64_MAX : now_of(c) + idle_ms * NS_PER_MS;
}

static void read_socket(struct sink_conn *c)
{
    int64_t sent_ns = now_of(c) > c->start_ns ? now_of(c) : c->start_ns;
    ssize_t n = recv(c->fd, c->io->raw, RAW_BYTES, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            sink_wire_die(c);
        return;
    }
    touch(c);
    if (n == 0) {
        c->read_ended = true;
        sink_line_end(&c->in, sent_ns + c->io->latency_ns);
        run_in(c);
        return;
    }
    struct str bytes = str_of(c->io->raw, (size_t)n);
    if (c->io->latency_ns > 0 || !sink_line_is_empty(&c->in)) {
        sink_wire_put(c, &c->in, bytes, sent_ns + c->io->latency_ns);
        run_in(c);
        return;
    }
    c->pipe.in = bytes;
    pump(c);
    if (c->phase != SINK_PHASE_DEAD)
        sink_wire_put(c, &c->in, c->pipe.in, now_of(c));
    c->pipe.in = (struct str){NULL, 0};
}

static void on_socket(struct sink_source *source, uint32_t events)
{
    struct sink_conn *c = (struct sink_conn *)source;
    if (c->phase == SINK_PHASE_DEAD)
        return;
    if ((events & EPOLLOUT) != 0)
        advance(c);
    if (c->phase != SINK_PHASE_DEAD) {
        if ((c->events & EPOLLIN) != 0)
            read_socket(c);
        else if ((events & (EPOLLERR | EPOLLHUP)) != 0)
            sink_wire_die(c);
    }
    watch(c);
}

/* The peer counts as connected from now on. */
static void begin(struct sink_conn *c)
{
    const struct sink_fault *fault =
        sink_reply_silent_fault(&c->session, SINK_STAGE_ACCEPT);
    if (fault != NULL)
        sink_wire_end(c, fault->end);
    else if (c->session.kind == SINK_LISTENER_SMTPS)
        start_tls(c);
    else
        greet(c);
}

static void on_idle(struct sink_conn *c)
{
    if (c->phase == SINK_PHASE_OPEN && c->hold_ns != INT64_MAX) {
        touch(c);
    } else if (c->phase == SINK_PHASE_OPEN) {
        sink_session_idle(&c->session);
        settle(c);
    } else if (c->phase != SINK_PHASE_STALLED) {
        sink_wire_die(c);
    }
}

static void on_due(void *owner)
{
    struct sink_conn *c = owner;
    int64_t now = now_of(c);
    if (c->phase == SINK_PHASE_WAITING &&
        now >= c->start_ns + c->io->latency_ns)
        begin(c);
    if (c->hold_ns <= now) {
        c->hold_ns = INT64_MAX;
        sink_session_release(&c->session);
        settle(c);
    }
    advance(c);
    if (c->idle_ns <= now)
        on_idle(c);
    watch(c);
}

void sink_conn_open(struct sink_io *io, int fd, enum sink_listener_kind kind,
                    bool refused)
{
    struct sink_conn *c;
    struct err err;
    uint64_t number = ++io->sink->counts.values[SINK_COUNT_CONNECTIONS];
    MEM_NEW(c);
    c->source.on_ready = on_socket;
    c->io = io;
    c->fd = fd;
    c->events = EPOLLIN;
    c->pipe.out = &io->wire;
    c->start_ns = io->loop->now_ns + 2 * io->latency_ns;
    c->hold_ns = INT64_MAX;
    sink_line_init(&c->in);
    sink_line_init(&c->out);
    buf_init(&c->partial, PLAIN_BYTES);
    sink_timer_init(&c->timer, on_due, c);
    sink_session_init(&c->session, io->sink, kind, number);
    c->session.refused = refused;
    TAILQ_INSERT_TAIL(&io->open, c, links);
    io->open_count++;
    sink_counts_add(&io->sink->counts, SINK_COUNT_CONNECTIONS_OPEN, 1);
    net_set_nodelay(fd);
    touch(c);
    if (sink_loop_add(io->loop, fd, EPOLLIN, &c->source, &err) != ERR_NONE)
        sink_wire_die(c);
    else if (io->latency_ns == 0)
        begin(c);
    watch(c);
}
