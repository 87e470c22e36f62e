#include "tests/unit/smtp/meeting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "core/mem.h"
#include "core/net.h"

#define WAIT_MS 10000

static const char *const addresses[MEETING_RECIPIENTS] = {
    "r0@x", "r1@x", "r2@x", "r3@x", "r4@x", "r5@x", "r6@x", "r7@x"};

int meeting_global_setup(void **state)
{
    (void)state;
    return smtp_global_init(NULL) == ERR_NONE ? 0 : -1;
}

int meeting_global_teardown(void **state)
{
    (void)state;
    smtp_global_fini();
    return 0;
}

static void tell(struct guest *g, char what)
{
    assert_false(g->inside);
    assert_false(g->closed);
    /* The first 200 are enough to look at. */
    if (g->told_len < 200)
        g->told[g->told_len++] = what;
}

static void on_ready(void *ctx, struct smtp_session *s)
{
    struct guest *g = ctx;
    assert_ptr_equal(s, g->session);
    assert_true(smtp_session_room(s) > 0);
    tell(g, 'R');
    if (g->on_ready != NULL)
        g->on_ready(g);
}

static void on_result(void *ctx, struct smtp_session *s,
                      const struct smtp_mail *mail,
                      const struct smtp_result *result)
{
    (void)mail;
    struct guest *g = ctx;
    assert_ptr_equal(s, g->session);
    tell(g, 'r');
    g->results++;
    g->result_count = result->count;
    for (size_t i = 0; i < result->count && i < MEETING_RECIPIENTS; i++) {
        assert_int_not_equal(result->recipients[i].outcome, OUTCOME_NONE);
        g->last[i] = result->recipients[i];
    }
    if (g->on_result != NULL)
        g->on_result(g);
}

static void on_closed(void *ctx, struct smtp_session *s,
                      const struct smtp_closing *why)
{
    struct guest *g = ctx;
    assert_ptr_equal(s, g->session);
    assert_true(smtp_session_room(s) == 0);
    assert_int_equal(why->by_us, why->err.code == ERR_NONE);
    tell(g, 'C');
    g->closed = true;
    g->closing = *why;
    g->session = NULL;
}

static const struct smtp_session_events events = {
    .ready = on_ready,
    .result = on_result,
    .closed = on_closed,
};

void meeting_begin(struct meeting *m, const struct relay_step *script)
{
    memset(m, 0, sizeof(*m));
    m->scripts[0] = script;
    m->options.script_count = 1;
    meeting_begin_with(m);
}

void meeting_begin_with(struct meeting *m)
{
    static const char message[] = "Subject: x\r\n\r\nhello\r\n";
    m->options.scripts = m->scripts;
    m->server = scripted_relay_start(&m->options);
    assert_non_null(m->server);
    m->relay = (struct smtp_relay){
        .name = "test",
        .host = "127.0.0.1",
        .port = scripted_relay_port(m->server),
        .tls = SMTP_TLS_NONE,
        .verify = true,
        .hostname = "client.example",
        .connect_timeout_ms = WAIT_MS,
        .mail_timeout_ms = WAIT_MS,
        .rcpt_timeout_ms = WAIT_MS,
        .data_timeout_ms = WAIT_MS,
        .body_timeout_ms = WAIT_MS,
        .final_timeout_ms = WAIT_MS,
    };
    m->base = event_base_new();
    assert_non_null(m->base);
    assert_int_equal(
        smtp_engine_create(&m->engine, m->base, clock_system(), NULL),
        ERR_NONE);
    for (size_t i = 0; i < MEETING_SESSIONS; i++)
        m->guests[i] = (struct guest){.meeting = m};
    char *data = mem_alloc(sizeof(message) - 1);
    memcpy(data, message, sizeof(message) - 1);
    m->body = body_from_memory(data, sizeof(message) - 1);
}

void meeting_end(struct meeting *m)
{
    for (size_t i = 0; i < MEETING_SESSIONS; i++)
        assert_null(m->guests[i].session);
    smtp_engine_destroy(m->engine);
    event_base_free(m->base);
    body_unref(m->body);
    assert_string_equal(scripted_relay_stop(m->server), "");
    scripted_relay_free(m->server);
}

void guest_open(struct guest *g)
{
    g->inside = true;
    assert_int_equal(smtp_session_open(&g->session, g->meeting->engine,
                                       &g->meeting->relay, &events, g),
                     ERR_NONE);
    g->inside = false;
    assert_true(smtp_session_room(g->session) == 0);
}

static void send_mail(struct guest *g)
{
    struct err err;
    bool was_inside = g->inside;
    g->inside = true;
    assert_int_equal(smtp_session_send(g->session, &g->mail, &err), ERR_NONE);
    g->inside = was_inside;
}

void guest_send(struct guest *g, size_t count)
{
    g->mail = (struct smtp_mail){
        .sender = "s@x",
        .recipients = addresses,
        .recipient_count = count,
        .body = g->meeting->body,
    };
    g->sent++;
    send_mail(g);
}

void guest_send_body(struct guest *g, struct body *body)
{
    g->mail = (struct smtp_mail){
        .sender = "",
        .recipients = addresses,
        .recipient_count = 1,
        .body = body,
    };
    send_mail(g);
}

/* Only so that the loop comes back to look at the clock. */
static void on_pulse(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

static void run_until(struct meeting *m, int64_t until_ms,
                      bool (*is_so)(const struct guest *g, const void *arg),
                      const struct guest *g, const void *arg)
{
    const struct timeval pulse_time = {.tv_usec = 20000};
    struct event *pulse = event_new(m->base, -1, EV_PERSIST, on_pulse, NULL);
    assert_int_equal(event_add(pulse, &pulse_time), 0);
    while (!is_so(g, arg) && clock_mono_ms(clock_system()) < until_ms) {
        smtp_engine_flush(m->engine);
        assert_int_equal(event_base_loop(m->base, EVLOOP_ONCE), 0);
    }
    event_free(pulse);
}

static void await(struct guest *g,
                  bool (*is_so)(const struct guest *g, const void *arg),
                  const void *arg)
{
    run_until(g->meeting, clock_mono_ms(clock_system()) + WAIT_MS, is_so, g,
              arg);
    if (!is_so(g, arg))
        fail_msg("waited in vain; told: %s", g->told);
}

static bool has_told(const struct guest *g, const void *arg)
{
    return strcmp(g->told, arg) == 0;
}

static bool has_results(const struct guest *g, const void *arg)
{
    return g->results >= *(const size_t *)arg;
}

static bool is_closed(const struct guest *g, const void *arg)
{
    (void)arg;
    return g->closed;
}

static bool is_never(const struct guest *g, const void *arg)
{
    (void)g;
    (void)arg;
    return false;
}

void guest_await_told(struct guest *g, const char *told)
{
    await(g, has_told, told);
}

void guest_await_results(struct guest *g, size_t results)
{
    await(g, has_results, &results);
}

void guest_await_closed(struct guest *g)
{
    await(g, is_closed, NULL);
}

void guest_enter(struct guest *g)
{
    guest_open(g);
    guest_await_told(g, "R");
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

void guest_check(const struct guest *g, const char *outcomes)
{
    char got[MEETING_RECIPIENTS + 1] = "";
    for (size_t i = 0; i < g->result_count && i < MEETING_RECIPIENTS; i++)
        got[i] = letter_of(g->last[i].outcome);
    assert_string_equal(got, outcomes);
}

void guest_leave(struct guest *g)
{
    if (g->session != NULL) {
        g->inside = true;
        smtp_session_abort(g->session);
        g->inside = false;
    }
    guest_await_closed(g);
}

/* libcurl opened the socket: it is known by its other end. */
static bool is_ours(int fd, unsigned port)
{
    struct net_address peer = {.len = sizeof(peer.storage)};
    return getpeername(fd, (struct sockaddr *)&peer.storage, &peer.len) == 0 &&
           net_address_port(&peer) == port;
}

void meeting_narrow(struct meeting *m)
{
    const int narrow = 4096;
    int found = 0;
    for (int fd = 0; fd < 256; fd++) {
        if (!is_ours(fd, m->relay.port))
            continue;
        assert_int_equal(
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &narrow, sizeof(narrow)), 0);
        found++;
    }
    assert_true(found > 0);
}

static bool has_done(const struct guest *g, const void *arg)
{
    return scripted_relay_steps(g->meeting->server) >= *(const size_t *)arg;
}

void meeting_await_steps(struct meeting *m, size_t steps)
{
    await(&m->guests[0], has_done, &steps);
}

void meeting_run(struct meeting *m, int ms)
{
    run_until(m, clock_mono_ms(clock_system()) + ms, is_never, NULL, NULL);
}
