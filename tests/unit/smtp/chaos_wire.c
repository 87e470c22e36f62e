#include "tests/unit/smtp/chaos_wire.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "core/clock.h"
#include "core/net.h"
#include "core/panic.h"

#define BYTES_MAX (64U << 20)
#define PIECE_MAX 65536

/* What the kernel takes to bring bytes from one end to the other. */
#define ARRIVAL_MS 1000

static struct chaos_wire *current;

/* ---- what is on its way ---- */

static uint64_t received(const struct chaos_wire *w)
{
    return w->relay->greeted ? w->relay->place + w->relay->in.len : 0;
}

/* Replies lie at the client's end, or never will. */
static bool is_there(const struct chaos_wire *w)
{
    int n = 0;
    return w->client_fd < 0 || ioctl(w->client_fd, FIONREAD, &n) != 0 ||
           n < 0 || (uint64_t)n >= w->record->replied - w->record->heard;
}

/*
 * The kernel may be late: it sends few small packets that are not confirmed,
 * and waits 40 ms before it confirms one. A seed gives the same run each time
 * if whatever was sent is there before the other side looks. (The relay looks
 * into `stream`.)
 */
static void await_replies(const struct chaos_wire *w)
{
    const int on = 1;
    int64_t until_ms = clock_mono_ms(clock_system()) + ARRIVAL_MS;
    while (!is_there(w) && clock_mono_ms(clock_system()) < until_ms) {
        (void)setsockopt(w->client_fd, IPPROTO_TCP, TCP_QUICKACK, &on,
                         sizeof(on));
        (void)sched_yield();
    }
}

/* FIN and RST. */
static void await_end(const struct chaos_wire *w, short what)
{
    struct pollfd end = {.fd = w->client_fd, .events = what};
    if (w->client_fd >= 0)
        (void)poll(&end, 1, ARRIVAL_MS);
}

/* ---- the client's end ---- */

CURLcode __real_curl_easy_send(CURL *easy, const void *data, size_t len,
                               size_t *n);
CURLcode __wrap_curl_easy_send(CURL *easy, const void *data, size_t len,
                               size_t *n);
CURLcode __real_curl_easy_recv(CURL *easy, void *data, size_t len, size_t *n);
CURLcode __wrap_curl_easy_recv(CURL *easy, void *data, size_t len, size_t *n);

static size_t may_take(struct chaos_wire *w, size_t len)
{
    uint64_t most = chaos_between(&w->random, 1, w->accept_grain);
    uint64_t under_way = w->record->accepted - received(w);
    if (most > w->window - under_way)
        most = w->window - under_way;
    return most < len ? (size_t)most : len;
}

static bool puts_off(struct chaos_wire *w)
{
    bool again = chaos_chance(&w->random, w->again);
    w->put_off += again;
    return again;
}

/* What could not be written must be tried again as it was. */
static void check_retry(struct chaos_wire *w, const void *data, size_t len)
{
    if (w->retry_len > 0 && (data != w->retry_at || len != w->retry_len))
        chaos_complain(w->record, "other bytes than those that had to wait");
    w->retry_at = data;
    w->retry_len = len;
}

CURLcode __wrap_curl_easy_send(CURL *easy, const void *data, size_t len,
                               size_t *n)
{
    struct chaos_wire *w = current;
    check_retry(w, data, len);
    *n = 0;
    size_t may = may_take(w, len);
    if (may == 0 || puts_off(w))
        return CURLE_AGAIN;
    CURLcode rc = __real_curl_easy_send(easy, data, may, n);
    if (rc == CURLE_AGAIN)
        return rc;
    w->retry_len = 0;
    if (rc != CURLE_OK) {
        w->record->write_refused = true;
        return rc;
    }
    buf_add(&w->stream, data, *n);
    chaos_record_accept(w->record, *n);
    if (w->fd < 0)
        await_end(w, 0); /* it is answered with RST */
    return rc;
}

/* The session reads first of all. */
static void find_client(struct chaos_wire *w, CURL *easy)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK)
        w->client_fd = fd;
}

CURLcode __wrap_curl_easy_recv(CURL *easy, void *data, size_t len, size_t *n)
{
    struct chaos_wire *w = current;
    size_t most = (size_t)chaos_between(&w->random, 1, w->hear_grain);
    *n = 0;
    if (w->client_fd < 0)
        find_client(w, easy);
    if (!w->record->write_refused && puts_off(w))
        return CURLE_AGAIN;
    CURLcode rc = __real_curl_easy_recv(easy, data, most < len ? most : len, n);
    if (rc == CURLE_OK)
        chaos_record_hear(w->record, *n);
    w->record->listened = w->record->write_refused;
    return rc;
}

/* ---- the relay's end ---- */

static void shut(struct chaos_wire *w, bool reset)
{
    const struct linger now = {.l_onoff = 1};
    if (w->fd < 0)
        return;
    if (reset)
        (void)setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    (void)close(w->fd);
    w->fd = -1;
}

/* What came is in `stream` too. */
static void drain(struct chaos_wire *w)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(w->fd, bytes, sizeof(bytes), 0)) > 0)
        w->drained += (uint64_t)n;
}

/* With bytes left unread, closing would be RST at once. */
static void drain_all(struct chaos_wire *w)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + ARRIVAL_MS;
    do
        drain(w);
    while (w->drained < w->record->accepted &&
           clock_mono_ms(clock_system()) < until_ms);
}

static void send_piece(struct chaos_wire *w, size_t len)
{
    struct chaos_relay *x = w->relay;
    ssize_t n = send(w->fd, x->out.data, len, MSG_NOSIGNAL);
    if (n < 0)
        return;
    buf_consume(&x->out, (size_t)n);
    size_t preamble = x->preamble < (size_t)n ? x->preamble : (size_t)n;
    x->preamble -= preamble;
    if (x->greeted)
        w->record->replied += (size_t)n - preamble;
}

static void cut(struct chaos_wire *w, enum chaos_how how)
{
    w->silent = true;
    if (w->fd < 0)
        return;
    if (w->says_last && w->relay->out.len > 0)
        send_piece(w, w->relay->out.len);
    if (how == CHAOS_CLOSE || how == CHAOS_RST) {
        w->record->reset = true;
        if (how == CHAOS_CLOSE)
            drain_all(w);
        shut(w, how == CHAOS_RST);
        await_end(w, how == CHAOS_RST ? 0 : POLLRDHUP);
    } else if (how == CHAOS_FIN) {
        (void)shutdown(w->fd, SHUT_WR);
        await_end(w, POLLRDHUP);
    }
}

void chaos_wire_hang_up(struct chaos_wire *w)
{
    static const enum chaos_how hows[] = {CHAOS_FIN, CHAOS_FIN, CHAOS_CLOSE,
                                          CHAOS_RST};
    cut(w, hows[random_below(&w->random, 4)]);
}

static void cut_if_due(struct chaos_wire *w)
{
    const struct chaos_record *r = w->record;
    bool due = false;
    switch (w->when) {
    case CHAOS_CUT_NEVER:
    case CHAOS_CUT_GREETING:
        break;
    case CHAOS_CUT_RECEIVED:
        due = r->ready && received(w) >= w->at;
        break;
    case CHAOS_CUT_SENT:
        due = r->ready && r->replied >= w->at;
        break;
    case CHAOS_CUT_COMMANDS:
        due = r->ready && r->command_count >= w->at;
        break;
    }
    if (due)
        cut(w, w->how);
}

/* EHLO is libcurl's own. */
static void read_hello(struct chaos_wire *w)
{
    struct chaos_relay *x = w->relay;
    char *room = buf_reserve(&x->in, PIECE_MAX);
    PANIC_IF(room == NULL);
    ssize_t n = recv(w->fd, room, PIECE_MAX, 0);
    if (n > 0)
        x->in.len += (size_t)n;
}

static void read_some(struct chaos_wire *w)
{
    struct chaos_relay *x = w->relay;
    uint64_t most = chaos_between(&w->random, 1, w->read_grain);
    if (w->when == CHAOS_CUT_RECEIVED && x->greeted &&
        most > w->at - received(w))
        most = w->at - received(w);
    uint64_t there = w->record->accepted - received(w);
    drain(w);
    if (most > there)
        most = there;
    if (most > 0)
        buf_add(&x->in, w->stream.data + received(w), (size_t)most);
}

static void write_some(struct chaos_wire *w)
{
    struct chaos_relay *x = w->relay;
    uint64_t most = chaos_between(&w->random, 1, w->write_grain);
    if (w->when == CHAOS_CUT_SENT && w->record->ready &&
        most > w->at - w->record->replied)
        most = w->at - w->record->replied;
    if (most > x->out.len)
        most = x->out.len;
    if (most > 0)
        send_piece(w, (size_t)most);
}

/* Greeting and EHLO go as they are, up to a cut there. */
static void greet(struct chaos_wire *w)
{
    struct chaos_relay *x = w->relay;
    size_t len = x->out.len;
    if (w->when == CHAOS_CUT_GREETING && len >= w->at) {
        if (w->at > 0)
            send_piece(w, (size_t)w->at);
        buf_truncate(&x->out, 0);
        cut(w, w->how);
        return;
    }
    if (len == 0)
        return;
    w->at -= w->when == CHAOS_CUT_GREETING ? len : 0;
    send_piece(w, len);
}

static void take_connection(struct chaos_wire *w)
{
    int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    w->fd = fd;
    net_set_nodelay(fd);
}

void chaos_wire_turn(struct chaos_wire *w)
{
    struct chaos_relay *x = w->relay;
    if (w->fd < 0 && !w->silent)
        take_connection(w);
    if (w->fd < 0 || w->silent)
        return;
    if (x->pause > 0) {
        x->pause--;
        return;
    }
    if (!w->record->ready)
        read_hello(w);
    else if (!x->closes && chaos_chance(&w->random, 800))
        read_some(w);
    chaos_relay_work(x);
    if (!w->record->ready)
        greet(w);
    else if (chaos_chance(&w->random, 800))
        write_some(w);
    cut_if_due(w);
    if (x->closes && x->out.len == 0 && !w->silent)
        chaos_wire_hang_up(w);
    if (!w->record->reset)
        await_replies(w);
}

bool chaos_wire_is_busy(const struct chaos_wire *w)
{
    const struct chaos_record *r = w->record;
    bool to_client = r->replied > r->heard && !r->reset;
    bool to_relay = chaos_wire_is_open(w) &&
                    (w->relay->pause > 0 || w->relay->out.len > 0 ||
                     (r->accepted > received(w) && !w->relay->closes));
    return to_client || to_relay;
}

bool chaos_wire_is_open(const struct chaos_wire *w)
{
    return w->fd >= 0 && !w->silent;
}

/* ---- a run ---- */

int chaos_wire_listen(void)
{
    struct net_address address;
    int listener = -1;
    PANIC_IF(net_address_parse(STR("127.0.0.1"), 0, &address, NULL) !=
             ERR_NONE);
    PANIC_IF(net_listen_tcp(&address, &listener, NULL) != ERR_NONE);
    return listener;
}

unsigned chaos_wire_port(int listener)
{
    struct net_address address;
    net_local_address(listener, &address);
    return net_address_port(&address);
}

static uint64_t some_grain(struct random *random, uint64_t least)
{
    static const uint64_t grains[] = {1, 7, 60, 1000, 20000, PIECE_MAX};
    uint64_t grain = grains[random_below(random, 6)];
    return grain < least ? least : grain;
}

static void choose_cut(struct chaos_wire *w)
{
    struct random *random = &w->random;
    uint64_t bytes = w->relay->plan->total_bytes;
    uint64_t roll = random_below(random, 100);
    w->how = (enum chaos_how)random_below(random, 4);
    w->says_last = chaos_chance(random, 300);
    if (roll < 1) {
        w->when = CHAOS_CUT_GREETING;
        w->at = random_below(random, 40);
        w->how = (enum chaos_how)random_below(random, 3);
    } else if (roll < 20) {
        w->when = CHAOS_CUT_RECEIVED;
        w->at = random_below(random, bytes);
    } else if (roll < 40) {
        w->when = CHAOS_CUT_SENT;
        w->at = random_below(random, 80 * w->relay->plan->count);
    } else if (roll < 50) {
        w->when = CHAOS_CUT_COMMANDS;
        w->at = random_below(random, 5 * w->relay->plan->count);
    }
}

void chaos_wire_open(struct chaos_wire *w, struct chaos_relay *relay,
                     int listener)
{
    struct random *random = &w->random;
    *w = (struct chaos_wire){.relay = relay,
                             .record = relay->record,
                             .listener = listener,
                             .fd = -1,
                             .client_fd = -1,
                             .window = PIECE_MAX};
    random_init(random, random_next(&relay->random));
    buf_init(&w->stream, BYTES_MAX);
    /* A mail of megabytes is not sent byte for byte. */
    uint64_t least = 1 + relay->plan->total_bytes / 1500;
    w->read_grain = some_grain(random, least);
    w->write_grain = some_grain(random, 1);
    w->accept_grain = some_grain(random, least);
    w->hear_grain = some_grain(random, 1);
    if (chaos_chance(random, 400))
        w->window = some_grain(random, least);
    w->again = chaos_chance(random, 300) ? 200 : 0;
    choose_cut(w);
    current = w;
}

void chaos_wire_close(struct chaos_wire *w)
{
    current = NULL;
    shut(w, true);
    buf_fini(&w->stream);
}

void chaos_wire_overhear(struct chaos_wire *w)
{
    uint64_t from = received(w);
    if (w->record->ready)
        chaos_relay_overhear(w->relay,
                             str_after(buf_str(&w->stream), (size_t)from));
}
