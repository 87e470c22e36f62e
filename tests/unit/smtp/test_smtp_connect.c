#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/net.h"
#include "smtp/session.h"
#include "tests/support/test_cert.h"
#include "tests/unit/smtp/meeting.h"

#define GREETING SEND("220 relay\r\n")
#define TLS                                                                    \
    {                                                                          \
        RELAY_TLS, NULL                                                        \
    }
#define EHLO(lines) RELAY_ANSWER("EHLO client.example", lines)

/* base64 of NUL "user" NUL "secret" */
#define AUTH_PLAIN "AUTH PLAIN AHVzZXIAc2VjcmV0"

struct certs {
    struct scratch scratch;
    struct test_cert good;
    struct test_cert other; /* as good, but not the same */
    struct test_cert expired;
    struct test_cert early;
    struct test_cert wrong_host;
};

static struct certs certs;

static int setup(void **state)
{
    static const char names[] = "DNS:localhost,IP:127.0.0.1";
    const long day = 86400;
    scratch_open(&certs.scratch);
    struct scratch *s = &certs.scratch;
    const struct test_cert_options good = {names, -day, day};
    const struct test_cert_options expired = {names, -2 * day, -day};
    const struct test_cert_options early = {names, day, 2 * day};
    const struct test_cert_options wrong = {"DNS:relay.example", -day, day};
    test_cert_write(&certs.good, s, "good", &good);
    test_cert_write(&certs.other, s, "other", &good);
    test_cert_write(&certs.expired, s, "expired", &expired);
    test_cert_write(&certs.early, s, "early", &early);
    test_cert_write(&certs.wrong_host, s, "wrong", &wrong);
    return meeting_global_setup(state);
}

static int teardown(void **state)
{
    scratch_close(&certs.scratch);
    return meeting_global_teardown(state);
}

static void begin_at(struct meeting *m, const struct relay_step *script,
                     const struct test_cert *cert, enum smtp_tls tls)
{
    m->scripts[0] = script;
    m->options.script_count = 1;
    if (cert != NULL) {
        m->options.cert_file = cert->cert_file;
        m->options.key_file = cert->key_file;
    }
    meeting_begin_with(m);
    m->relay.tls = tls;
    m->relay.ca_file = cert == NULL ? NULL : cert->cert_file;
}

static void begin(struct meeting *m, const struct relay_step *script,
                  const struct test_cert *cert, enum smtp_tls tls)
{
    memset(m, 0, sizeof(*m));
    begin_at(m, script, cert, tls);
}

static void begin_narrow(struct meeting *m, const struct relay_step *script,
                         const struct test_cert *cert, enum smtp_tls tls)
{
    memset(m, 0, sizeof(*m));
    m->options.narrow = true;
    begin_at(m, script, cert, tls);
}

static void use_login(struct meeting *m)
{
    m->relay.username = "user";
    m->relay.password = "secret";
}

/* It never gets ready: the relay failed, and err says why. */
static void check_failure(struct meeting *m, enum err_code code,
                          const char *words)
{
    struct guest *g = &m->guests[0];
    guest_open(g);
    guest_await_closed(g);
    const struct smtp_closing *c = &g->closing;
    assert_string_equal(g->told, "C");
    assert_true(c->relay_failed);
    assert_false(c->by_us);
    assert_int_equal(c->stage, SMTP_STAGE_CONNECT);
    assert_null(strstr(c->err.text, "secret"));
    assert_null(strstr(c->err.text, "AHVzZXIAc2VjcmV0"));
    if (c->err.code != code || strstr(c->err.text, words) == NULL)
        fail_msg("%d: %s", (int)c->err.code, c->err.text);
    assert_non_null(strstr(c->err.text, "relay test ("));
    meeting_end(m);
}

struct row {
    const char *name;
    const struct relay_step *steps;
    enum smtp_tls tls;
    bool login;
    enum err_code code;
    const char *words;
};

#define PLAIN SMTP_TLS_NONE

static const struct row rows[] = {
    {"greeting 554", STEPS(SEND("554 5.7.1 go away\r\n"), STALL), PLAIN, false,
     ERR_DENIED, "does not take us: relay said 554 5.7.1 go away"},
    {"greeting 421", STEPS(SEND("421 busy\r\n")), PLAIN, false, ERR_DENIED,
     "does not take us: relay said 421 busy"},
    {"greeting of HTTP", STEPS(SEND("HTTP/1.1 400 Bad\r\n\r\n"), STALL), PLAIN,
     false, ERR_TIMEOUT, "sent no greeting"},
    {"no greeting", STEPS(STALL), PLAIN, false, ERR_TIMEOUT,
     "sent no greeting: is this port one for smtps"},
    {"closes before the greeting", STEPS({RELAY_END, NULL}), PLAIN, false,
     ERR_CLOSED, "before it said anything"},
    {"half a greeting", STEPS(SEND("220-re"), STALL), PLAIN, false, ERR_TIMEOUT,
     "timed out"},
    {"closes after the greeting", STEPS(GREETING), PLAIN, false, ERR_CLOSED,
     "the last it said was 220 relay"},
    {"stalls after the greeting", STEPS(GREETING, STALL), PLAIN, false,
     ERR_TIMEOUT, "stopped answering"},
    {"EHLO and HELO refused",
     STEPS(GREETING, EHLO("502 no\r\n"), RELAY_ANSWER("HELO", "550 no\r\n"),
           STALL),
     PLAIN, false, ERR_DENIED, "does not take us: relay said 550 no"},
    {"421 to EHLO",
     STEPS(GREETING, EHLO("421 no\r\n"), RELAY_ANSWER("HELO", "421 no\r\n")),
     PLAIN, false, ERR_DENIED, "does not take us: relay said 421 no"},
    {"no AUTH", STEPS(GREETING, EHLO("250 relay\r\n"), STALL), PLAIN, true,
     ERR_DENIED, "does not offer AUTH"},
    {"no AUTH that we have",
     STEPS(GREETING, EHLO("250-relay\r\n250 AUTH CRAM-MD5 XOAUTH2\r\n"), STALL),
     PLAIN, true, ERR_DENIED, "neither AUTH PLAIN nor AUTH LOGIN"},
    {"AUTH refused",
     STEPS(GREETING, EHLO("250-relay\r\n250 AUTH PLAIN\r\n"),
           {RELAY_EXPECT, AUTH_PLAIN}, SEND("535 5.7.8 bad login\r\n"), STALL),
     PLAIN, true, ERR_DENIED,
     "wrong password? relay said 535 5.7.8 bad login to user \"user\""},
    {"AUTH not possible now",
     STEPS(GREETING, EHLO("250-relay\r\n250 AUTH PLAIN\r\n"),
           {RELAY_EXPECT, AUTH_PLAIN}, SEND("454 4.7.0 later\r\n"), STALL),
     PLAIN, true, ERR_DENIED, "cannot authenticate now: relay said 454"},
    {"421 to AUTH",
     STEPS(GREETING, EHLO("250-relay\r\n250 AUTH PLAIN\r\n"),
           {RELAY_EXPECT, AUTH_PLAIN}, SEND("421 bye\r\n")),
     PLAIN, true, ERR_DENIED, "cannot authenticate now: relay said 421"},
    {"closes at AUTH",
     STEPS(GREETING, EHLO("250-relay\r\n250 AUTH PLAIN\r\n"),
           {RELAY_EXPECT, AUTH_PLAIN}),
     PLAIN, true, ERR_CLOSED, "closed the connection"},
    {"stalls at AUTH",
     STEPS(GREETING, EHLO("250-relay\r\n250 AUTH PLAIN\r\n"),
           {RELAY_EXPECT, AUTH_PLAIN}, STALL),
     PLAIN, true, ERR_TIMEOUT, "stopped answering"},
    {"no STARTTLS", STEPS(GREETING, EHLO("250 relay\r\n"), STALL),
     SMTP_TLS_STARTTLS, false, ERR_DENIED, "does not offer STARTTLS"},
    {"STARTTLS refused",
     STEPS(GREETING, EHLO("250-relay\r\n250 STARTTLS\r\n"),
           RELAY_ANSWER("STARTTLS", "454 no key\r\n"), STALL),
     SMTP_TLS_STARTTLS, false, ERR_DENIED, "refused STARTTLS: relay said 454"},
    {"no TLS after STARTTLS",
     STEPS(GREETING, EHLO("250-relay\r\n250 STARTTLS\r\n"),
           RELAY_ANSWER("STARTTLS", "220 go\r\n"), STALL),
     SMTP_TLS_STARTTLS, false, ERR_TIMEOUT, "stopped answering"},
    {"an answer sneaked in before TLS",
     STEPS(GREETING, EHLO("250-relay\r\n250 STARTTLS\r\n"),
           RELAY_ANSWER("STARTTLS", "220 go\r\n250-relay\r\n250 x\r\n"), STALL),
     SMTP_TLS_STARTTLS, false, ERR_INVALID, "does not speak SMTP"},
    {"a plain relay behind smtps", STEPS(GREETING, STALL), SMTP_TLS_IMPLICIT,
     false, ERR_SYSTEM, "does not speak TLS on this port"},
    {"closes in the handshake", STEPS({RELAY_END, NULL}), SMTP_TLS_IMPLICIT,
     false, ERR_SYSTEM, "TLS handshake with"},
    {"stalls in the handshake", STEPS(STALL), SMTP_TLS_IMPLICIT, false,
     ERR_TIMEOUT, "TLS handshake did not finish"},
    {"a TLS relay closes before the greeting", STEPS(TLS), SMTP_TLS_IMPLICIT,
     false, ERR_CLOSED, "before it said anything"},
    {"a TLS relay sends no greeting", STEPS(TLS, STALL), SMTP_TLS_IMPLICIT,
     false, ERR_TIMEOUT, "sent no greeting"},
};

static void each_failure_to_connect_has_its_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct meeting m;
        print_message("  %s\n", row->name);
        begin(&m, row->steps, row->tls == PLAIN ? NULL : &certs.good, row->tls);
        m.relay.connect_timeout_ms = row->code == ERR_TIMEOUT ? 300 : 5000;
        if (row->login)
            use_login(&m);
        check_failure(&m, row->code, row->words);
    }
}

static void a_relay_that_is_not_there_is_named(void **state)
{
    (void)state;
    static const struct relay_step script[] = {STALL};
    struct meeting m;
    struct net_address address;
    int fd;
    assert_int_equal(net_address_parse(STR("127.0.0.1"), 0, &address, NULL),
                     ERR_NONE);
    assert_int_equal(net_listen_tcp(&address, &fd, NULL), ERR_NONE);
    net_local_address(fd, &address);
    assert_int_equal(close(fd), 0);
    begin(&m, script, NULL, SMTP_TLS_NONE);
    m.relay.port = net_address_port(&address);
    check_failure(&m, ERR_SYSTEM, "refused the connection");

    begin(&m, script, NULL, SMTP_TLS_NONE);
    m.relay.port = net_address_port(&address);
    m.relay.host = "::1";
    check_failure(&m, ERR_SYSTEM, "relay test ([::1]:");

    begin(&m, script, NULL, SMTP_TLS_NONE);
    m.relay.host = "no-such-relay.invalid";
    check_failure(&m, ERR_NOT_FOUND,
                  "the name \"no-such-relay.invalid\" was not found");
}

static void a_host_that_cannot_be_one_is_refused_at_once(void **state)
{
    (void)state;
    static const struct relay_step script[] = {STALL};
    static const char *const hosts[] = {"",    "a b",   "a/b",  "u@h", "a?b",
                                        "a#b", "[::1]", "a\nb", "a\\b"};
    struct meeting m;
    begin(&m, script, NULL, SMTP_TLS_NONE);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct smtp_session *s;
        const struct smtp_session_events none = {0};
        m.relay.host = hosts[i];
        assert_int_equal(smtp_session_open(&s, m.engine, &m.relay, &none, NULL),
                         ERR_INVALID);
    }
    meeting_end(&m);
}

static void each_bad_certificate_has_its_words(void **state)
{
    (void)state;
    static const struct relay_step script[] = {TLS, END};
    const struct {
        const struct test_cert *cert;
        const char *ca_file;
        enum err_code code;
        const char *words;
    } cases[] = {
        {&certs.good, certs.other.cert_file, ERR_DENIED,
         "is not trusted: set ca_file"},
        {&certs.good, NULL, ERR_DENIED, "is not trusted: set ca_file"},
        {&certs.expired, certs.expired.cert_file, ERR_DENIED, "has expired"},
        {&certs.early, certs.early.cert_file, ERR_DENIED, "not valid yet"},
        {&certs.wrong_host, certs.wrong_host.cert_file, ERR_DENIED,
         "is for another host name"},
        {&certs.good, "/nonexistent/ca.pem", ERR_INVALID,
         "cannot use the CA file /nonexistent/ca.pem"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct meeting m;
        begin(&m, script, cases[i].cert, SMTP_TLS_IMPLICIT);
        m.relay.ca_file = cases[i].ca_file;
        check_failure(&m, cases[i].code, cases[i].words);
    }
}

/* A whole mail of 100 KiB, so that it takes several TLS records. */
static void deliver(struct meeting *m)
{
    const size_t size = 100000;
    struct guest *g = &m->guests[0];
    char *data = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = i % 64 == 63 ? '\n' : i % 64 == 62 ? '\r' : 'x';
    struct body *body = body_from_memory(data, size);
    guest_enter(g);
    guest_send_body(g, body);
    guest_await_results(g, 1);
    guest_check(g, "d");
    guest_send(g, 3);
    guest_await_results(g, 2);
    guest_check(g, "ddd");
    smtp_session_quit(g->session);
    guest_await_closed(g);
    assert_true(g->closing.by_us);
    meeting_end(m);
    body_unref(body);
}

#define TWO_MAILS {RELAY_TAKE, NULL}, {RELAY_TAKE, NULL}, RELAY_QUIT, END

static void mails_are_delivered_over_smtps_with_auth_plain(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        TLS,
        GREETING,
        EHLO("250-relay\r\n250-AUTH LOGIN PLAIN\r\n250 SIZE 200000\r\n"),
        {RELAY_EXPECT, AUTH_PLAIN},
        SEND("235 2.7.0 welcome\r\n"),
        TWO_MAILS};
    struct meeting m;
    begin(&m, script, &certs.good, SMTP_TLS_IMPLICIT);
    use_login(&m);
    deliver(&m);
}

static void mails_are_delivered_over_starttls_with_auth_login(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        GREETING,
        EHLO("250-relay\r\n250 STARTTLS\r\n"),
        RELAY_ANSWER("STARTTLS", "220 go\r\n"),
        TLS,
        EHLO("250-relay\r\n250 AUTH LOGIN\r\n"),
        {RELAY_EXPECT, "AUTH LOGIN dXNlcg=="},
        SEND("334 UGFzc3dvcmQ6\r\n"),
        {RELAY_EXPECT, "c2VjcmV0"},
        SEND("235 welcome\r\n"),
        TWO_MAILS};
    struct meeting m;
    begin(&m, script, &certs.good, SMTP_TLS_STARTTLS);
    use_login(&m);
    m.relay.host = "localhost";
    deliver(&m);
}

static void any_certificate_will_do_without_verify(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        TLS, GREETING, EHLO("250 relay\r\n"), TWO_MAILS};
    struct meeting m;
    begin(&m, script, &certs.expired, SMTP_TLS_IMPLICIT);
    m.relay.verify = false;
    m.relay.ca_file = NULL;
    deliver(&m);
}

/* What was offered in the clear, perhaps by somebody else, does not count. */
static void starttls_starts_a_new_set_of_capabilities(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        GREETING,
        EHLO("250-relay\r\n250-SIZE 5\r\n250-8BITMIME\r\n250 STARTTLS\r\n"),
        RELAY_ANSWER("STARTTLS", "220 go\r\n"),
        TLS,
        EHLO("250 relay\r\n"),
        {RELAY_EXPECT, "MAIL FROM:<s@x>"},
        SEND("550 no\r\n"),
        STALL};
    struct meeting m;
    begin(&m, script, &certs.good, SMTP_TLS_STARTTLS);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    guest_send(g, 1);
    guest_await_results(g, 1);
    guest_check(g, "r");
    assert_int_equal(g->last[0].reply.code, 550);
    guest_leave(g);
    meeting_end(&m);
}

/*
 * Writes that must be tried again, over TLS with the same bytes; and a relay
 * that is slow, but never for as long as the timeout.
 */
static void a_big_body_gets_through_a_narrow_pipe(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        TLS,
        GREETING,
        EHLO("250 relay\r\n"),
        RELAY_ANSWER("MAIL", "250 ok\r\n"),
        RELAY_ANSWER("RCPT", "250 ok\r\n"),
        RELAY_ANSWER("DATA", "354 go\r\n"),
        {RELAY_SIP, NULL},
        SEND("250 ok\r\n"),
        STALL};
    const size_t size = 2U << 20;
    struct meeting m;
    struct buf want;
    buf_init(&want, size + 3);
    begin_narrow(&m, script, &certs.good, SMTP_TLS_IMPLICIT);
    m.relay.body_timeout_ms = 1000;
    m.relay.final_timeout_ms = 5000;
    for (size_t i = 0; i < size; i++)
        buf_add_char(&want, i % 64 == 63   ? '\n'
                            : i % 64 == 62 ? '\r'
                                           : (char)('a' + i / 64 % 26));
    char *data = mem_alloc(size);
    memcpy(data, want.data, size);
    buf_add_text(&want, ".\r\n");
    struct body *body = body_from_memory(data, size);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    meeting_narrow(&m);
    guest_send_body(g, body);
    guest_await_results(g, 1);
    guest_check(g, "d");
    guest_leave(g);
    assert_string_equal(scripted_relay_stop(m.server), "");
    assert_true(str_equal(scripted_relay_received(m.server), buf_str(&want)));
    meeting_end(&m);
    body_unref(body);
    buf_fini(&want);
}

/* With and without close_notify it is the same for us: nothing was said. */
static void a_tls_relay_that_closes_loses_like_a_plain_one(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        TLS, GREETING, EHLO("250 relay\r\n"), ACCEPTED, DATA, END};
    struct meeting m;
    begin(&m, script, &certs.good, SMTP_TLS_IMPLICIT);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    guest_send(g, 1);
    guest_await_closed(g);
    guest_check(g, "u");
    assert_false(g->closing.relay_failed);
    meeting_end(&m);
}

static void a_farewell_right_behind_the_login_fails_the_relay(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        GREETING, EHLO("250 relay\r\n421 too many sessions\r\n"), END};
    struct meeting m;
    begin(&m, script, NULL, SMTP_TLS_NONE);
    struct guest *g = &m.guests[0];
    guest_open(g);
    guest_await_closed(g);
    /* Seen before or after `ready`: only before it the relay failed. */
    if (strcmp(g->told, "C") == 0)
        assert_true(g->closing.relay_failed);
    else
        assert_string_equal(g->told, "RC");
    meeting_end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_to_connect_has_its_words),
        cmocka_unit_test(a_relay_that_is_not_there_is_named),
        cmocka_unit_test(a_host_that_cannot_be_one_is_refused_at_once),
        cmocka_unit_test(each_bad_certificate_has_its_words),
        cmocka_unit_test(mails_are_delivered_over_smtps_with_auth_plain),
        cmocka_unit_test(mails_are_delivered_over_starttls_with_auth_login),
        cmocka_unit_test(any_certificate_will_do_without_verify),
        cmocka_unit_test(starttls_starts_a_new_set_of_capabilities),
        cmocka_unit_test(a_big_body_gets_through_a_narrow_pipe),
        cmocka_unit_test(a_tls_relay_that_closes_loses_like_a_plain_one),
        cmocka_unit_test(a_farewell_right_behind_the_login_fails_the_relay),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
