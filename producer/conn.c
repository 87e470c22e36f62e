#include "producer/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"
#include "core/panic.h"
#include "producer/conn_set.h"
#include "producer/ops.h"

/* One connection's replies: far above CONN_REPLIES_MAX and one reply. */
#define OUT_MAX_BYTES  ((size_t)256 << 20)
#define OUT_KEPT_BYTES ((size_t)16 << 10)

static int64_t now_ms(const struct conn *c)
{
    return service_mono_ms(c->set->service);
}

static size_t pending(const struct conn *c)
{
    return c->out.len - c->written;
}

static bool is_blocked(const struct conn *c)
{
    return c->in_flight >= c->set->service->options.limits.requests_in_flight ||
           c->held > 0 || c->waits != CONN_WAITS_FOR_NOTHING ||
           pending(c) + c->parked > CONN_REPLIES_MAX;
}

static void count_taken(struct conn *c, size_t bytes)
{
    if (c->taken_turn != c->set->turn) {
        c->taken_turn = c->set->turn;
        c->taken_requests = 0;
        c->taken_bytes = 0;
    }
    c->taken_requests++;
    c->taken_bytes += bytes;
}

/* Whether it has had its share of this turn. */
static bool is_served(const struct conn *c)
{
    return c->taken_turn == c->set->turn &&
           (c->taken_requests >= CONN_TURN_REQUESTS ||
            c->taken_bytes >= CONN_TURN_BYTES);
}

static bool may_take(const struct conn *c)
{
    return c->phase == CONN_OPEN && !is_blocked(c) && !is_served(c);
}

/* Only its share keeps it from going on with what was read. */
static bool waits_for_turn(const struct conn *c)
{
    return c->phase == CONN_OPEN && !is_blocked(c) && is_served(c) &&
           (c->eof || intake_bytes(&c->in).len > 0);
}

/* ---- phases ---- */

static void forget_request(struct request *r)
{
    r->owner = NULL;
    if (r->done || request_abandon(r))
        request_free(r);
}

void conn_cut(struct conn *c)
{
    struct request *r;
    if (c->phase == CONN_DEAD)
        return;
    c->phase = CONN_DEAD;
    log_event(LOG_LEVEL_DEBUG, "connection.closed",
              LOG_TEXT("listener", c->listener->name),
              LOG_TEXT("client", c->client),
              LOG_INT("in_flight", c->in_flight));
    (void)event_del(&c->readable);
    (void)event_del(&c->writable);
    (void)close(c->fd);
    conn_set_go_on(c->set, c);
    timers_cancel(&c->set->service->timers, &c->timer);
    while ((r = STAILQ_FIRST(&c->requests)) != NULL) {
        STAILQ_REMOVE_HEAD(&c->requests, next);
        forget_request(r);
    }
    intake_fini(&c->in);
    buf_fini(&c->out);
    c->written = 0;
    if (c->dirty)
        TAILQ_REMOVE(&c->set->dirty, c, in_dirty);
    TAILQ_REMOVE(&c->set->all, c, in_all);
    TAILQ_INSERT_TAIL(&c->set->dead, c, in_all);
    c->set->count--;
    c->set->served -= !c->surplus;
    metrics_add(c->set->service->options.metrics, METRIC_CONNECTIONS_OPEN, -1);
}

void conn_end(struct conn *c)
{
    if (c->phase != CONN_OPEN)
        return;
    c->phase = CONN_ENDING;
    c->begun_ms = 0;
    intake_fini(&c->in);
    conn_set_go_on(c->set, c);
    conn_set_mark(c->set, c);
}

static void linger(struct conn *c)
{
    if (c->eof || shutdown(c->fd, SHUT_WR) != 0) {
        conn_cut(c);
        return;
    }
    c->phase = CONN_LINGERING;
    timers_set(&c->set->service->timers, &c->timer,
               now_ms(c) + c->set->linger_ms);
}

/* ---- replies ---- */

static struct buf *begin_reply(struct request *r)
{
    struct conn *c = r->owner;
    if (c == NULL)
        return &r->reply;
    struct buf *out = STAILQ_FIRST(&c->requests) == r ? &c->out : &r->reply;
    if (pending(c) == 0)
        c->active_ms = now_ms(c); /* the time to take replies begins */
    framing_begin(&c->framing, out);
    return out;
}

static void release_answered(struct conn *c)
{
    struct request *r;
    while ((r = STAILQ_FIRST(&c->requests)) != NULL && r->done) {
        STAILQ_REMOVE_HEAD(&c->requests, next);
        c->in_flight--;
        c->parked -= r->reply.len;
        buf_add_str(&c->out, buf_str(&r->reply));
        request_free(r);
    }
    if (!buf_ok(&c->out))
        conn_cut(c);
}

static void end_reply(struct request *r)
{
    struct conn *c = r->owner;
    if (c == NULL) {
        request_free(r);
        return;
    }
    framing_end(&c->framing, r->out, r->json_at);
    r->done = true;
    c->parked += r->reply.len;
    bool raw_follows = r->raw_follows;
    if (STAILQ_FIRST(&c->requests) == r)
        release_answered(c);
    if (raw_follows)
        conn_end(c);
    conn_set_mark(c->set, c);
}

static void hold(struct request *r, bool held)
{
    struct conn *c = r->owner;
    if (c == NULL)
        return;
    c->held = held ? c->held + 1 : c->held - 1;
    conn_set_mark(c->set, c);
}

static const struct request_transport stream = {
    .stream = true,
    .overflow = REFUSAL_INTERNAL,
    .begin = begin_reply,
    .end = end_reply,
    .hold = hold,
};

static struct request *add_request(struct conn *c)
{
    struct request *r = request_new(c->set->service, &stream, c);
    r->client = c->client;
    r->sees_all = c->sees_all;
    r->listener = c->listener;
    STAILQ_INSERT_TAIL(&c->requests, r, next);
    c->in_flight++;
    return r;
}

void conn_refuse(struct conn *c, enum refusal_word word, const char *sentence)
{
    if (c->phase != CONN_OPEN) {
        intake_fini(&c->in);
        return;
    }
    request_refuse_word(add_request(c), word, sentence);
    conn_end(c);
}

/* ---- requests ---- */

static void refuse_frame(struct conn *c, enum framing_result result)
{
    char text[96];
    if (result == FRAMING_EMPTY) {
        conn_refuse(c, REFUSAL_BAD_FRAME, "a request has no bytes");
        return;
    }
    if (result == FRAMING_TEXT) {
        conn_refuse(c, REFUSAL_BAD_FRAME,
                    "the first byte must be { (newline-delimited JSON) or "
                    "that of a 4-byte length");
        return;
    }
    (void)snprintf(text, sizeof(text),
                   "a request has more than %zu bytes (limits.frame)",
                   c->framing.max_bytes);
    conn_refuse(c, REFUSAL_TOO_LARGE, text);
}

/* Returns the bytes that are done with. */
static size_t take_requests(struct conn *c, struct str input)
{
    size_t taken = 0;
    while (may_take(c)) {
        struct str frame;
        size_t used;
        enum framing_result result =
            framing_next(&c->framing, str_after(input, taken), &frame, &used);
        if (result == FRAMING_FRAME && !conn_set_may_take(c->set, frame)) {
            conn_set_wait(c->set, c, CONN_WAITS_TO_STORE);
            break;
        }
        taken += used;
        if (result == FRAMING_MORE)
            break;
        c->begun_ms = 0;
        count_taken(c, used);
        if (result == FRAMING_FRAME)
            ops_run(add_request(c), frame);
        else
            refuse_frame(c, result);
    }
    return taken;
}

/* Takes what it can from what was read. Returns whether that was any. */
static bool take_input(struct conn *c)
{
    size_t taken = take_requests(c, intake_bytes(&c->in));
    if (c->phase != CONN_OPEN)
        return false;
    intake_taken(&c->in, taken);
    if (intake_bytes(&c->in).len == 0 || !may_take(c))
        c->begun_ms = 0;
    else if (c->begun_ms == 0)
        c->begun_ms = now_ms(c);
    return taken > 0;
}

static void refuse_surplus(struct conn *c)
{
    struct str frame;
    size_t used;
    (void)framing_next(&c->framing, intake_bytes(&c->in), &frame, &used);
    conn_refuse(c, REFUSAL_RATE_LIMITED, "too many connections");
}

/* ---- reading ---- */

/* A Unix socket whose peer is gone altogether will take no reply. */
static bool is_hung_up(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void on_eof(struct conn *c)
{
    c->eof = true;
    if (is_hung_up(c) && pending(c) == 0)
        conn_cut(c);
    else
        conn_set_mark(c->set, c);
}

static void read_some(struct conn *c)
{
    if (intake_must_wait(&c->in)) {
        conn_set_wait(c->set, c, CONN_WAITS_TO_READ);
        conn_set_mark(c->set, c);
        return;
    }
    ssize_t n = intake_read(&c->in, c->fd);
    if (n < 0 && (errno == EAGAIN))
        return;
    if (n < 0) {
        conn_cut(c);
        return;
    }
    if (n == 0) {
        on_eof(c);
        return;
    }
    c->active_ms = now_ms(c);
    if (c->surplus)
        refuse_surplus(c);
    else
        (void)take_input(c);
    conn_set_enforce_budget(c->set);
    conn_set_mark(c->set, c);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct conn *c = ctx;
    (void)what;
    if (c->phase == CONN_OPEN) {
        read_some(c);
    } else if (c->phase == CONN_LINGERING) {
        ssize_t n = intake_discard(&c->set->pool, fd);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            conn_cut(c);
    }
}

/* ---- writing ---- */

static void flush(struct conn *c)
{
    while (pending(c) > 0) {
        ssize_t n = send(c->fd, c->out.data + c->written, pending(c),
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN))
            break;
        if (n < 0) {
            conn_cut(c);
            return;
        }
        c->written += (size_t)n;
        c->active_ms = now_ms(c);
    }
    if (pending(c) > 0 && c->written < c->out.len / 2)
        return;
    buf_consume(&c->out, c->written);
    c->written = 0;
    if (c->out.len == 0 && c->out.capacity > OUT_KEPT_BYTES)
        buf_fini(&c->out);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    struct conn *c = ctx;
    (void)fd;
    (void)what;
    conn_set_mark(c->set, c);
}

/* ---- the end of a turn ---- */

static void poll_for(struct event *event, bool *is, bool wanted)
{
    if (*is == wanted)
        return;
    PANIC_IF((wanted ? event_add(event, NULL) : event_del(event)) != 0);
    *is = wanted;
}

/*
 * All that is whole was taken. A last line needs no LF: an object that lost
 * its end is no JSON. A frame with a length is whole or not.
 */
static void take_last(struct conn *c)
{
    struct str rest = intake_bytes(&c->in);
    if (c->framing.kind == FRAMING_NEWLINE && !c->surplus)
        ops_run(add_request(c), rest);
    else if (c->framing.kind == FRAMING_UNDECIDED && !c->surplus)
        refuse_frame(c, FRAMING_TEXT);
    else
        conn_refuse(c, REFUSAL_BAD_FRAME,
                    "the connection ended within a request");
    conn_end(c);
}

static void settle_end(struct conn *c)
{
    bool idle = STAILQ_EMPTY(&c->requests) && pending(c) == 0;
    if (c->eof && may_take(c)) {
        if (intake_bytes(&c->in).len > 0)
            take_last(c);
        else
            conn_end(c);
    } else if (c->phase == CONN_ENDING && idle) {
        linger(c);
    }
}

void conn_settle(struct conn *c)
{
    do
        flush(c);
    while (may_take(c) && !c->surplus && intake_bytes(&c->in).len > 0 &&
           take_input(c));
    if (c->phase != CONN_DEAD)
        settle_end(c);
    if (c->phase == CONN_DEAD)
        return;
    bool waits = waits_for_turn(c);
    if (waits)
        conn_set_mark_next(c->set, c);
    bool reads = c->phase == CONN_LINGERING ||
                 (c->phase == CONN_OPEN && !c->eof && !is_blocked(c) && !waits);
    poll_for(&c->readable, &c->reads, reads);
    poll_for(&c->writable, &c->writes, pending(c) > 0);
}

/* ---- time ---- */

/* When this connection has had its time, as it is now. */
static int64_t deadline(const struct conn *c)
{
    const int64_t idle_ms = c->set->service->options.limits.idle_ms;
    if (pending(c) > 0)
        return c->active_ms + idle_ms;
    if (c->waits != CONN_WAITS_FOR_NOTHING)
        return now_ms(c) + idle_ms;
    if (c->begun_ms != 0)
        return c->begun_ms + idle_ms +
               (int64_t)(intake_bytes(&c->in).len * 1000 / CONN_SLOWEST_BYTES);
    if (STAILQ_EMPTY(&c->requests))
        return c->active_ms + idle_ms;
    return now_ms(c) + idle_ms;
}

static void on_time(void *ctx)
{
    struct conn *c = ctx;
    struct timers *timers = &c->set->service->timers;
    bool short_lived =
        c->phase == CONN_LINGERING || (c->surplus && c->phase == CONN_OPEN);
    int64_t due_ms = deadline(c);
    if (!short_lived && now_ms(c) < due_ms) {
        timers_set(timers, &c->timer, due_ms);
    } else if (!short_lived && pending(c) == 0 && c->begun_ms != 0) {
        conn_refuse(c, REFUSAL_BAD_FRAME,
                    "the request did not become whole in time");
        timers_set(timers, &c->timer, deadline(c));
    } else {
        conn_cut(c);
    }
}

static void know_client(struct conn *c)
{
    c->sees_all = c->listener->admin;
    (void)snprintf(c->client, sizeof(c->client), "anonymous");
    if (c->listener->type != PRODUCER_LISTENER_UNIX)
        return;
    uid_t uid = net_peer_uid(c->fd);
    if (uid == (uid_t)-1)
        return;
    (void)snprintf(c->client, sizeof(c->client), "uid:%lu", (unsigned long)uid);
    c->sees_all = c->sees_all || uid == 0 || uid == geteuid();
}

void conn_open(struct conn_set *set, int fd,
               const struct producer_listener *listener, bool surplus)
{
    const struct producer_limits *limits = &set->service->options.limits;
    struct conn *c;
    MEM_NEW(c);
    c->set = set;
    c->fd = fd;
    c->phase = CONN_OPEN;
    c->listener = listener;
    c->surplus = surplus;
    framing_init(&c->framing, limits->frame_bytes);
    intake_init(&c->in, &set->pool, c);
    STAILQ_INIT(&c->requests);
    buf_init(&c->out, OUT_MAX_BYTES);
    know_client(c);
    c->active_ms = now_ms(c);
    timer_init(&c->timer, on_time, c);
    timers_set(&set->service->timers, &c->timer,
               c->active_ms + (surplus ? CONN_LINGER_MS : limits->idle_ms));
    PANIC_IF(event_assign(&c->readable, set->base, fd, EV_READ | EV_PERSIST,
                          on_readable, c) != 0);
    PANIC_IF(event_assign(&c->writable, set->base, fd, EV_WRITE | EV_PERSIST,
                          on_writable, c) != 0);
    TAILQ_INSERT_TAIL(&set->all, c, in_all);
    set->count++;
    set->served += !surplus;
    metrics_add(set->service->options.metrics, METRIC_CONNECTIONS_OPEN, 1);
    poll_for(&c->readable, &c->reads, true);
}
