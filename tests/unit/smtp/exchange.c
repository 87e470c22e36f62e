#include "tests/unit/smtp/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <event2/event.h>

#include "core/mem.h"
#include "core/net.h"
#include "tests/unit/smtp/exchange_relay.h"

#define WAIT_MS     10000
#define QUIET_TURNS 6
#define NAME_SIZE   64
#define INPUT_MAX   (64U << 20)

struct exchange {
    const struct exchange_options *options;
    struct exchange_result *result;
    struct event_base *base;
    struct smtp_engine *engine;
    struct smtp_relay relay;
    char names[EXCHANGE_MAILS][EXCHANGE_RECIPIENTS + 1][NAME_SIZE];
    const char *recipients[EXCHANGE_MAILS][EXCHANGE_RECIPIENTS];
    struct body *bodies[EXCHANGE_MAILS];
    struct smtp_mail mails[EXCHANGE_MAILS];
    size_t sent;
    struct smtp_session *session;
    bool is_dialogue; /* from here on bytes are counted */
    uint64_t activity;
    const void *retry_at; /* of a write that was not done */
    size_t retry_len;
    /* the relay */
    int listener;
    int fd;
    struct event *accepting;
    struct event *readable;
    struct exchange_relay state;
};

/* ---- the connection ---- */

/* The wrapped functions have no place to keep it in. */
static struct exchange *current;

CURLcode __real_curl_easy_send(CURL *easy, const void *data, size_t len,
                               size_t *n);
CURLcode __wrap_curl_easy_send(CURL *easy, const void *data, size_t len,
                               size_t *n);
CURLcode __real_curl_easy_recv(CURL *easy, void *data, size_t len, size_t *n);
CURLcode __wrap_curl_easy_recv(CURL *easy, void *data, size_t len, size_t *n);

static size_t may_take(const struct exchange *x, size_t len)
{
    const struct exchange_options *o = x->options;
    size_t taken = x->result->stream.len;
    if (o->piece > 0 && len > o->piece)
        len = o->piece;
    if (o->no_accept)
        return 0;
    if (o->accept_max > 0 && len > o->accept_max - taken)
        len = (size_t)o->accept_max - taken;
    return len;
}

static void keep_write(struct exchange_result *r, const void *data, size_t n)
{
    buf_add(&r->stream, data, n);
    if (r->writes < EXCHANGE_WRITES)
        r->write_ends[r->writes++] = r->stream.len;
}

CURLcode __wrap_curl_easy_send(CURL *easy, const void *data, size_t len,
                               size_t *n)
{
    struct exchange *x = current;
    assert_in_range(len, 1, 16384);
    /* what could not be written is tried again as it was */
    if (x->retry_len > 0) {
        assert_ptr_equal(data, x->retry_at);
        assert_int_equal(len, x->retry_len);
    }
    x->retry_at = data;
    x->retry_len = len;
    *n = 0;
    size_t may = may_take(x, len);
    if (may == 0)
        return CURLE_AGAIN;
    CURLcode rc = __real_curl_easy_send(easy, data, may, n);
    if (rc != CURLE_OK)
        return rc;
    x->retry_len = 0;
    x->activity++;
    keep_write(x->result, data, *n);
    return rc;
}

CURLcode __wrap_curl_easy_recv(CURL *easy, void *data, size_t len, size_t *n)
{
    size_t piece = current->options->hear_piece;
    if (piece > 0 && len > piece)
        len = piece;
    CURLcode rc = __real_curl_easy_recv(easy, data, len, n);
    if (rc == CURLE_OK)
        current->activity++;
    return rc;
}

/* ---- the relay ---- */

static void hang_up(struct exchange *x, bool reset)
{
    const struct linger now = {.l_onoff = 1};
    if (x->fd < 0)
        return;
    event_free(x->readable);
    x->readable = NULL;
    if (reset)
        assert_int_equal(
            setsockopt(x->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    else
        (void)shutdown(x->fd, SHUT_WR);
    /* Unread bytes would make it a reset: it is closed at the end. */
    if (reset) {
        (void)close(x->fd);
        x->fd = -1;
    }
}

static void send_out(struct exchange *x)
{
    const struct exchange_options *o = x->options;
    struct exchange_result *r = x->result;
    size_t len = x->state.out.len;
    if (x->is_dialogue && o->no_reply)
        len = 0;
    else if (x->is_dialogue && o->reply_max > 0 &&
             len > o->reply_max - r->replied)
        len = (size_t)(o->reply_max - r->replied);
    if (len > 0) {
        assert_int_equal(send(x->fd, x->state.out.data, len, MSG_NOSIGNAL),
                         len);
        x->activity++;
    }
    if (x->is_dialogue)
        r->replied += len;
    buf_consume(&x->state.out, len);
    while (r->answers_heard < r->answer_count &&
           r->answers[r->answers_heard].end <= r->replied)
        r->answers_heard++;
}

static void work(struct exchange *x)
{
    exchange_relay_work(&x->state);
    send_out(x);
    if (x->state.closes && x->state.out.len == 0)
        hang_up(x, false);
}

static void on_input(evutil_socket_t fd, short what, void *ctx)
{
    struct exchange *x = ctx;
    (void)what;
    char *room = buf_reserve(&x->state.in, 65536);
    assert_non_null(room);
    ssize_t n = recv(fd, room, 65536, 0);
    if (n <= 0) {
        hang_up(x, false);
        return;
    }
    x->activity++;
    x->state.in.len += (size_t)n;
    work(x);
}

static void on_connection(evutil_socket_t fd, short what, void *ctx)
{
    struct exchange *x = ctx;
    (void)what;
    x->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(x->fd >= 0);
    net_set_nodelay(x->fd);
    x->readable = event_new(x->base, x->fd, EV_READ | EV_PERSIST, on_input, x);
    assert_int_equal(event_add(x->readable, NULL), 0);
    send_out(x);
}

/* ---- the session ---- */

static void hand_over(struct exchange *x)
{
    while (x->sent < x->options->mails && smtp_session_room(x->session) > 0) {
        struct err err;
        assert_int_equal(
            smtp_session_send(x->session, &x->mails[x->sent], &err), ERR_NONE);
        x->sent++;
    }
}

static void on_ready(void *ctx, struct smtp_session *s)
{
    struct exchange *x = ctx;
    size_t room = !x->options->pipelining ? 1
                  : !x->options->chunking ? 2
                                          : x->options->unconfirmed;
    assert_int_equal(smtp_session_room(s), room);
    x->is_dialogue = true;
    hand_over(x);
}

static char letter_of(enum outcome outcome)
{
    static const char letters[OUTCOME_COUNT] = {
        [OUTCOME_NONE] = '-',     [OUTCOME_DELIVERED] = 'd',
        [OUTCOME_DEFERRED] = 'f', [OUTCOME_REJECTED] = 'r',
        [OUTCOME_UNKNOWN] = 'u',  [OUTCOME_UNTRIED] = 'n',
        [OUTCOME_AGAIN] = 'a',    [OUTCOME_THROTTLED] = 't',
    };
    return letters[outcome];
}

static void on_result(void *ctx, struct smtp_session *s,
                      const struct smtp_mail *mail,
                      const struct smtp_result *result)
{
    struct exchange *x = ctx;
    struct exchange_result *r = x->result;
    (void)s;
    assert_false(r->closed);
    assert_ptr_equal(mail, &x->mails[r->results]); /* in order */
    assert_int_equal(result->count, mail->recipient_count);
    for (size_t i = 0; i < result->count; i++)
        r->outcomes[r->results][i] = letter_of(result->recipients[i].outcome);
    (void)snprintf(r->last_text, sizeof(r->last_text), "%s",
                   result->recipients[result->count - 1].reply.text);
    r->results++;
    hand_over(x);
}

static void on_closed(void *ctx, struct smtp_session *s,
                      const struct smtp_closing *why)
{
    struct exchange *x = ctx;
    (void)s;
    x->result->closed = true;
    x->result->closing = *why;
    x->session = NULL;
    assert_int_equal(x->result->results, x->sent);
}

static const struct smtp_session_events events = {
    .ready = on_ready,
    .result = on_result,
    .closed = on_closed,
};

/* ---- a play ---- */

int exchange_global_setup(void **state)
{
    (void)state;
    return smtp_global_init(NULL) == ERR_NONE ? 0 : -1;
}

int exchange_global_teardown(void **state)
{
    (void)state;
    smtp_global_fini();
    return 0;
}

static void on_pulse(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

void exchange_body(struct buf *out, size_t mail)
{
    buf_add_format(out, "Subject: mail %zu\r\n\r\n.dot\r\n..\r\nend\r\n", mail);
}

static void make_mails(struct exchange *x)
{
    for (size_t k = 0; k < x->options->mails; k++) {
        for (size_t i = 0; i < x->options->recipients; i++) {
            (void)snprintf(x->names[k][i], NAME_SIZE, "r%zum%zu@x", i, k);
            x->recipients[k][i] = x->names[k][i];
        }
        char *sender = x->names[k][EXCHANGE_RECIPIENTS];
        (void)snprintf(sender, NAME_SIZE, "s%zu@x", k);
        struct buf text;
        size_t len;
        buf_init(&text, 4096);
        exchange_body(&text, k);
        char *data = buf_take(&text, &len);
        x->bodies[k] = body_from_memory(data, len);
        x->mails[k] = (struct smtp_mail){
            .sender = sender,
            .recipients = x->recipients[k],
            .recipient_count = x->options->recipients,
            .body = x->options->body == NULL ? x->bodies[k] : x->options->body,
        };
    }
}

static void open_relay(struct exchange *x)
{
    struct net_address address;
    assert_int_equal(net_address_parse(STR("127.0.0.1"), 0, &address, NULL),
                     ERR_NONE);
    assert_int_equal(net_listen_tcp(&address, &x->listener, NULL), ERR_NONE);
    net_local_address(x->listener, &address);
    x->accepting =
        event_new(x->base, x->listener, EV_READ | EV_PERSIST, on_connection, x);
    assert_int_equal(event_add(x->accepting, NULL), 0);
    int64_t timeout_ms =
        x->options->timeout_ms > 0 ? x->options->timeout_ms : WAIT_MS;
    x->relay = (struct smtp_relay){
        .name = "test",
        .host = "127.0.0.1",
        .port = net_address_port(&address),
        .tls = SMTP_TLS_NONE,
        .hostname = "client.example",
        .pipelining = true,
        .chunking = true,
        .unconfirmed = x->options->unconfirmed,
        .connect_timeout_ms = WAIT_MS,
        .mail_timeout_ms = timeout_ms,
        .rcpt_timeout_ms = timeout_ms,
        .data_timeout_ms = timeout_ms,
        .body_timeout_ms = timeout_ms,
        .final_timeout_ms = timeout_ms,
    };
}

/* Until it is closed, all is done, or (quiet) nothing moves. */
static void run(struct exchange *x, bool quiet)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + WAIT_MS;
    uint64_t before = x->activity;
    int calm = 0;
    while (!x->result->closed && calm < QUIET_TURNS) {
        bool looks = quiet && x->is_dialogue;
        smtp_engine_flush(x->engine);
        assert_true(event_base_loop(x->base, looks ? EVLOOP_NONBLOCK
                                                   : EVLOOP_ONCE) >= 0);
        if (!quiet && x->result->results == x->options->mails)
            return;
        calm = looks && x->activity == before ? calm + 1 : 0;
        before = x->activity;
        if (clock_mono_ms(clock_system()) > until_ms)
            fail_msg("nothing comes of it");
    }
}

static void play(struct exchange *x)
{
    enum exchange_end end = x->options->end;
    assert_int_equal(
        smtp_session_open(&x->session, x->engine, &x->relay, &events, x),
        ERR_NONE);
    run(x, end != EXCHANGE_END_QUIT && end != EXCHANGE_END_WAIT);
    if (end == EXCHANGE_END_LOST || end == EXCHANGE_END_RESET)
        hang_up(x, end == EXCHANGE_END_RESET);
    else if (x->session != NULL && end == EXCHANGE_END_ABORT)
        smtp_session_abort(x->session);
    else if (x->session != NULL && end == EXCHANGE_END_QUIT)
        smtp_session_quit(x->session);
    int64_t until_ms = clock_mono_ms(clock_system()) + WAIT_MS;
    while (!x->result->closed) {
        smtp_engine_flush(x->engine);
        assert_true(event_base_loop(x->base, EVLOOP_ONCE) >= 0);
        if (clock_mono_ms(clock_system()) > until_ms)
            fail_msg("it does not end");
    }
}

/* A mail that the relay has must not be sent again as if it had not. */
static void check_promise(const struct exchange *x)
{
    const struct exchange_result *r = x->result;
    for (size_t k = 0; k < r->results; k++)
        if (r->taken[k] && strpbrk(r->outcomes[k], "du") == NULL)
            fail_msg("mail %zu was taken, but is %s", k, r->outcomes[k]);
}

static void clean_up(struct exchange *x, struct event *pulse)
{
    smtp_engine_destroy(x->engine);
    event_free(pulse);
    event_free(x->accepting);
    if (x->readable != NULL)
        event_free(x->readable);
    if (x->fd >= 0)
        (void)close(x->fd);
    (void)close(x->listener);
    event_base_free(x->base);
    for (size_t k = 0; k < x->options->mails; k++)
        body_unref(x->bodies[k]);
    exchange_relay_fini(&x->state);
    mem_free(x);
}

void exchange_play(const struct exchange_options *options,
                   struct exchange_result *result)
{
    const struct timeval pulse_time = {.tv_usec = 20000};
    struct exchange *x;
    MEM_NEW(x);
    memset(result, 0, sizeof(*result));
    buf_init(&result->stream, INPUT_MAX);
    buf_init(&result->took, INPUT_MAX);
    x->options = options;
    x->result = result;
    x->fd = -1;
    exchange_relay_init(&x->state, options, result);
    x->base = event_base_new();
    assert_non_null(x->base);
    struct event *pulse = event_new(x->base, -1, EV_PERSIST, on_pulse, NULL);
    assert_int_equal(event_add(pulse, &pulse_time), 0);
    assert_int_equal(
        smtp_engine_create(&x->engine, x->base, clock_system(), NULL),
        ERR_NONE);
    make_mails(x);
    open_relay(x);
    current = x;
    play(x);
    check_promise(x);
    current = NULL;
    clean_up(x, pulse);
}

void exchange_result_fini(struct exchange_result *result)
{
    buf_fini(&result->stream);
    buf_fini(&result->took);
}

struct str exchange_write(const struct exchange_result *result, size_t index)
{
    assert_true(index < result->writes);
    size_t from = index == 0 ? 0 : result->write_ends[index - 1];
    return str_of(result->stream.data + from, result->write_ends[index] - from);
}
