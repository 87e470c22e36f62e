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

#define WAIT_MS     10000
#define QUIET_TURNS 6
#define INPUT_MAX   (64U << 20)

/* What the relay holds of a transaction. */
struct envelope {
    bool open;
    bool any_mail; /* MAIL was said, well or not */
    size_t mail;
    size_t accepted;
};

struct exchange {
    const struct exchange_options *options;
    struct exchange_result *result;
    struct event_base *base;
    struct smtp_engine *engine;
    struct smtp_relay relay;
    char names[EXCHANGE_MAILS][EXCHANGE_RECIPIENTS + 1][16];
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
    struct buf in;
    struct buf out;
    struct buf message;
    struct envelope envelope;
    size_t next_mail; /* the number of the next MAIL */
    size_t commands;  /* in what was read at once */
    uint64_t chunk_left;
    bool in_data;
    bool in_chunk;
    bool greeted;
    bool extra_said;
    bool close_when_written;
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
    size_t len = x->out.len;
    if (x->is_dialogue && o->no_reply)
        len = 0;
    else if (x->is_dialogue && o->reply_max > 0 &&
             len > o->reply_max - r->replied)
        len = (size_t)(o->reply_max - r->replied);
    if (len > 0) {
        assert_int_equal(send(x->fd, x->out.data, len, MSG_NOSIGNAL), len);
        x->activity++;
    }
    if (x->is_dialogue)
        r->replied += len;
    buf_consume(&x->out, len);
    while (r->answers_heard < r->answer_count &&
           r->answers[r->answers_heard].end <= r->replied)
        r->answers_heard++;
}

static const struct exchange_rule *rule_of(const struct exchange *x,
                                           size_t mail, enum smtp_stage stage,
                                           size_t recipient)
{
    for (size_t i = 0; i < EXCHANGE_RULES; i++) {
        const struct exchange_rule *rule = &x->options->rules[i];
        if (rule->reply == NULL)
            return NULL;
        if (rule->mail == mail && rule->stage == stage &&
            (stage != SMTP_STAGE_RCPT || rule->recipient == recipient))
            return rule;
    }
    return NULL;
}

/* Returns whether it is a yes. */
static bool answer(struct exchange *x, size_t mail, enum smtp_stage stage,
                   size_t recipient, const char *usual)
{
    struct exchange_result *r = x->result;
    const struct exchange_rule *rule = rule_of(x, mail, stage, recipient);
    const char *reply = rule == NULL ? usual : rule->reply;
    buf_add_text(&x->out, reply);
    if (rule != NULL && rule->close)
        x->close_when_written = true;
    if (r->answer_count < 512)
        r->answers[r->answer_count++] = (struct exchange_answer){
            .mail = mail, .stage = stage, .end = r->replied + x->out.len};
    if (x->options->extra != NULL && !x->extra_said &&
        r->answer_count == x->options->extra_behind) {
        buf_add_text(&x->out, x->options->extra);
        x->extra_said = true;
    }
    if (x->options->each_alone)
        send_out(x);
    return reply[0] == '2' || reply[0] == '3';
}

static size_t number_in(struct str line, const char *before)
{
    const char *at = memmem(line.data, line.len, before, strlen(before));
    unsigned long long number = 0;
    assert_non_null(at);
    struct str rest =
        str_after(line, (size_t)(at - line.data) + strlen(before));
    size_t digits = 0;
    while (digits < rest.len && ascii_is_digit(rest.data[digits]))
        digits++;
    assert_true(str_to_u64(str_of(rest.data, digits), 1U << 30, &number));
    return (size_t)number;
}

static void on_mail(struct exchange *x, struct str line)
{
    /* nobody's transaction may be open when another's begins */
    assert_false(x->envelope.open);
    assert_int_equal(number_in(line, "<s"), x->next_mail);
    x->envelope = (struct envelope){.any_mail = true, .mail = x->next_mail++};
    x->envelope.open =
        answer(x, x->envelope.mail, SMTP_STAGE_MAIL, 0, "250 ok\r\n");
}

static void on_rcpt(struct exchange *x, struct str line)
{
    struct envelope *e = &x->envelope;
    assert_int_equal(number_in(line, "m"), e->mail);
    if (answer(x, e->mail, SMTP_STAGE_RCPT, number_in(line, "<r"),
               e->open ? "250 ok\r\n" : "503 no MAIL\r\n"))
        e->accepted++;
}

static void on_data(struct exchange *x)
{
    struct envelope *e = &x->envelope;
    x->in_data =
        answer(x, e->mail, SMTP_STAGE_DATA, 0,
               e->open && e->accepted > 0 ? "354 go\r\n" : "554 nobody\r\n");
}

static void on_rset(struct exchange *x)
{
    if (answer(x, x->next_mail, SMTP_STAGE_RSET, 0, "250 ok\r\n"))
        x->envelope.open = false;
}

static void on_command(struct exchange *x, struct str line)
{
    x->commands++;
    if (!x->options->pipelining)
        assert_int_equal(x->commands, 1);
    if (str_starts(line, STR("MAIL FROM:")))
        on_mail(x, line);
    else if (str_starts(line, STR("RCPT TO:")))
        on_rcpt(x, line);
    else if (str_equal(line, STR("DATA")))
        on_data(x);
    else if (str_starts(line, STR("BDAT "))) {
        x->chunk_left = number_in(line, "BDAT ");
        x->in_chunk = true;
    } else if (str_equal(line, STR("RSET")))
        on_rset(x);
    else if (str_equal(line, STR("QUIT"))) {
        buf_add_text(&x->out, "221 bye\r\n");
        x->close_when_written = true;
    } else
        fail_msg("no such command: %.*s", STR_ARG(line));
}

static void check_message(struct exchange *x)
{
    struct buf want;
    size_t mail = x->envelope.mail;
    assert_true(mail < EXCHANGE_MAILS);
    if (x->options->body == NULL) {
        buf_init(&want, 4096);
        exchange_body(&want, mail);
        assert_true(str_equal(buf_str(&want), buf_str(&x->message)));
        buf_fini(&want);
    }
    assert_false(x->result->taken[mail]);
    x->result->taken[mail] = true;
    buf_add_str(&x->result->took, buf_str(&x->message));
}

static void on_message(struct exchange *x)
{
    struct envelope *e = &x->envelope;
    bool is_one = e->open && e->accepted > 0;
    bool yes = answer(x, e->mail, SMTP_STAGE_FINAL, 0,
                      is_one ? "250 taken\r\n" : "554 nobody\r\n");
    if (is_one && yes)
        check_message(x);
    /* One that keeps the transaction of a chunk that failed: RFC 3030. */
    if (x->in_data || yes)
        e->open = false;
    x->in_data = false;
    x->in_chunk = false;
    buf_truncate(&x->message, 0);
}

static void on_line_of_data(struct exchange *x, struct str line)
{
    if (str_equal(line, STR("."))) {
        on_message(x);
        return;
    }
    if (line.len > 0 && line.data[0] == '.')
        line = str_after(line, 1);
    buf_add_str(&x->message, line);
    buf_add_text(&x->message, "\r\n");
}

static bool take_line(struct exchange *x, size_t *used)
{
    struct str rest = str_after(buf_str(&x->in), *used);
    const char *end =
        rest.len < 2 ? NULL : memmem(rest.data, rest.len, "\r\n", 2);
    if (end == NULL)
        return false;
    struct str line = str_of(rest.data, (size_t)(end - rest.data));
    *used += line.len + 2;
    if (!x->greeted) {
        assert_true(str_starts(line, STR("EHLO ")));
        buf_add_format(&x->out, "250-relay\r\n%s%s%s250 HELP\r\n",
                       x->options->no_8bit ? "" : "250-8BITMIME\r\n",
                       x->options->pipelining ? "250-PIPELINING\r\n" : "",
                       x->options->chunking ? "250-CHUNKING\r\n" : "");
        x->greeted = true;
    } else if (x->in_data) {
        on_line_of_data(x, line);
    } else {
        on_command(x, line);
    }
    return true;
}

static bool take_chunk(struct exchange *x, size_t *used)
{
    struct str rest = str_after(buf_str(&x->in), *used);
    size_t n = rest.len < x->chunk_left ? rest.len : (size_t)x->chunk_left;
    if (n > 0)
        buf_add(&x->message, rest.data, n);
    *used += n;
    x->chunk_left -= n;
    if (x->chunk_left > 0)
        return false;
    on_message(x);
    return true;
}

static void work(struct exchange *x)
{
    size_t used = 0;
    x->commands = 0;
    while (!x->close_when_written &&
           (x->in_chunk ? take_chunk(x, &used) : take_line(x, &used)))
        continue;
    buf_consume(&x->in, used);
    send_out(x);
    if (x->close_when_written && x->out.len == 0)
        hang_up(x, false);
}

static void on_input(evutil_socket_t fd, short what, void *ctx)
{
    struct exchange *x = ctx;
    (void)what;
    char *room = buf_reserve(&x->in, 65536);
    assert_non_null(room);
    ssize_t n = recv(fd, room, 65536, 0);
    if (n <= 0) {
        hang_up(x, false);
        return;
    }
    x->activity++;
    x->in.len += (size_t)n;
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
    buf_add_text(&x->out, "220 relay\r\n");
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
            (void)snprintf(x->names[k][i], 16, "r%zum%zu@x", i, k);
            x->recipients[k][i] = x->names[k][i];
        }
        char *sender = x->names[k][EXCHANGE_RECIPIENTS];
        (void)snprintf(sender, 16, "s%zu@x", k);
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
    buf_fini(&x->in);
    buf_fini(&x->out);
    buf_fini(&x->message);
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
    buf_init(&x->in, INPUT_MAX);
    buf_init(&x->out, INPUT_MAX);
    buf_init(&x->message, INPUT_MAX);
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
