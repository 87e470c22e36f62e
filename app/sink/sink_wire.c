#include "app/sink/sink_wire.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#define OUT_KEEP_BYTES (64U << 10) /* larger buffers are given back */
#define NS_PER_MS      1000000
#define LINGER_NS      (2000LL * NS_PER_MS)
#define ENDING_NS      (10000LL * NS_PER_MS)

static int64_t now_of(const struct sink_conn *c)
{
    return c->io->loop->now_ns;
}

void sink_wire_die(struct sink_conn *c)
{
    struct sink_io *io = c->io;
    if (c->phase == SINK_PHASE_DEAD)
        return;
    c->phase = SINK_PHASE_DEAD;
    sink_log_flush(&io->sink->log);
    (void)close(c->fd);
    sink_loop_cancel(io->loop, &c->timer);
    io->line_bytes -= c->in.bytes + c->out.bytes;
    io->open_count--;
    io->sink->counts.values[SINK_COUNT_CONNECTIONS_OPEN]--;
    TAILQ_REMOVE(&io->open, c, links);
    TAILQ_INSERT_TAIL(&io->dead, c, links);
}

void sink_wire_put(struct sink_conn *c, struct sink_line *line,
                   struct str bytes, int64_t due_ns)
{
    c->io->line_bytes += bytes.len;
    sink_line_put(line, bytes, due_ns);
}

void sink_wire_take(struct sink_conn *c, struct sink_line *line, size_t len)
{
    if (c->phase == SINK_PHASE_DEAD)
        return;
    c->io->line_bytes -= len;
    sink_line_take(line, len);
}

/* How much the socket took; 0 for none, and the connection may be dead. */
static size_t send_some(struct sink_conn *c, struct str bytes)
{
    ssize_t n;
    do
        n = send(c->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return (size_t)n;
    if (errno != EAGAIN)
        sink_wire_die(c);
    return 0;
}

static void transmit(struct sink_conn *c, struct str bytes)
{
    if (c->io->latency_ns == 0 && sink_line_is_empty(&c->out) && bytes.len > 0)
        bytes = str_after(bytes, send_some(c, bytes));
    if (c->phase != SINK_PHASE_DEAD && bytes.len > 0)
        sink_wire_put(c, &c->out, bytes, now_of(c) + c->io->latency_ns);
}

void sink_wire_flush_tls(struct sink_conn *c)
{
    struct buf *wire = &c->io->wire;
    if (!buf_ok(wire))
        sink_wire_die(c);
    if (wire->len > 0 && c->phase != SINK_PHASE_DEAD)
        transmit(c, buf_str(wire));
    buf_truncate(wire, 0);
}

/* All of the replies that may go, in one write. */
void sink_wire_flush(struct sink_conn *c)
{
    struct sink_session *s = &c->session;
    size_t len = s->hold_ms >= 0 ? s->hold_at : s->out.len;
    size_t written = len;
    if (!buf_ok(&s->out)) {
        sink_wire_die(c);
        return;
    }
    if (len == 0)
        return;
    sink_log_flush(&c->io->sink->log);
    if (c->ssl == NULL) {
        transmit(c, str_of(s->out.data, len));
    } else {
        ERR_clear_error();
        if (SSL_write_ex(c->ssl, s->out.data, len, &written) != 1)
            sink_wire_die(c);
        sink_wire_flush_tls(c);
    }
    buf_consume(&s->out, len);
    if (s->hold_ms >= 0)
        s->hold_at = 0;
    else if (s->out.capacity > OUT_KEEP_BYTES && s->out.len == 0)
        buf_fini(&s->out);
}

/* All that was to be sent has been sent. */
static void finish_end(struct sink_conn *c)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (c->end == SINK_END_CLOSE && !c->read_ended &&
        shutdown(c->fd, SHUT_WR) == 0) {
        /* The peer can read it all before an RST for what it sent. */
        c->phase = SINK_PHASE_LINGER;
        c->idle_ns = now_of(c) + LINGER_NS;
        return;
    }
    if (c->end == SINK_END_RESET)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once,
                         sizeof(at_once));
    sink_wire_die(c);
}

void sink_wire_run(struct sink_conn *c)
{
    struct str ready;
    while (c->phase != SINK_PHASE_DEAD &&
           (ready = sink_line_ready(&c->out, now_of(c))).len > 0) {
        size_t n = send_some(c, ready);
        if (n == 0)
            return;
        sink_wire_take(c, &c->out, n);
    }
    if (c->phase == SINK_PHASE_ENDING && sink_line_is_over(&c->out, now_of(c)))
        finish_end(c);
}

/* Ends the connection behind all that is on its way out. */
void sink_wire_end(struct sink_conn *c, enum sink_end how)
{
    if (c->phase >= SINK_PHASE_ENDING)
        return;
    if (how == SINK_END_STALL) {
        c->phase = SINK_PHASE_STALLED;
        return;
    }
    if (how == SINK_END_CLOSE && c->phase == SINK_PHASE_OPEN &&
        c->ssl != NULL) {
        ERR_clear_error();
        (void)SSL_shutdown(c->ssl);
        sink_wire_flush_tls(c);
        if (c->phase == SINK_PHASE_DEAD)
            return;
    }
    c->end = how;
    c->phase = SINK_PHASE_ENDING;
    c->idle_ns = now_of(c) + c->io->latency_ns + ENDING_NS;
    sink_line_end(&c->out, now_of(c) + c->io->latency_ns);
    sink_wire_run(c);
}
