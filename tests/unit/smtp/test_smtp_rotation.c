#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/net.h"
#include "smtp/addresses.h"
#include "tests/support/test_cert.h"
#include "tests/unit/smtp/fake_dns.h"
#include "tests/unit/smtp/meeting.h"

/*
 * Sessions with a relay of several addresses, all of them on loopback and on
 * one port: Linux answers on all of 127.0.0.0/8. The meeting's own server is
 * the last, 127.0.0.4, and works.
 */
#define FIRST  "127.0.0.2"
#define SECOND "127.0.0.3"
#define THIRD  "127.0.0.4"

static const char *const all_three[] = {FIRST, SECOND, THIRD, NULL};
static const char *const first_two[] = {FIRST, SECOND, NULL};
static const char *const last_two[] = {SECOND, THIRD, NULL};

#define HELLO                                                                  \
    SEND("220 relay\r\n"), RELAY_ANSWER("EHLO client.example", "250 "          \
                                                               "relay\r\n")

static const struct relay_step works[] = {HELLO, STALL};

struct town {
    struct meeting m;
    struct fake_dns dns;
    struct smtp_addresses *addresses;
};

static void open_town(struct town *t, const char *const *addresses,
                      const struct relay_step *script,
                      const struct test_cert *cert)
{
    struct smtp_addresses_options options = {
        .relay = "test",
        .host = "relay.example",
        .resolve = fake_dns_resolve,
        .ctx = &t->dns,
    };
    memset(t, 0, sizeof(*t));
    fake_dns_open(&t->dns, addresses);
    smtp_addresses_create(&t->addresses, &options);
    t->m.scripts[0] = script;
    t->m.options.script_count = 1;
    t->m.options.host = THIRD;
    if (cert != NULL) {
        t->m.options.cert_file = cert->cert_file;
        t->m.options.key_file = cert->key_file;
    }
    meeting_begin_with(&t->m);
    t->m.relay.host = "relay.example";
    t->m.relay.addresses = t->addresses;
    if (cert != NULL) {
        t->m.relay.tls = SMTP_TLS_IMPLICIT;
        t->m.relay.ca_file = cert->cert_file;
    }
}

static void close_town(struct town *t)
{
    meeting_end(&t->m);
    smtp_addresses_destroy(t->addresses);
    fake_dns_close(&t->dns);
}

static struct scripted_relay *
open_server(const struct town *t, const char *host,
            const struct relay_step *const *script)
{
    struct relay_options options = t->m.options;
    options.host = host;
    options.port = t->m.relay.port;
    options.scripts = script;
    options.script_count = 1;
    struct scripted_relay *server = scripted_relay_start(&options);
    assert_non_null(server);
    return server;
}

static void close_server(struct scripted_relay *server, size_t connections)
{
    assert_string_equal(scripted_relay_stop(server), "");
    assert_int_equal(scripted_relay_connections(server), connections);
    scripted_relay_free(server);
}

static int bind_to(const struct town *t, const char *host, int backlog)
{
    struct net_address address;
    const int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
    assert_int_equal(
        net_address_parse(str_from(host), t->m.relay.port, &address, NULL),
        ERR_NONE);
    assert_int_equal(bind(fd, (struct sockaddr *)&address.storage, address.len),
                     0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

/* Takes connections and says nothing. */
static int open_silent(const struct town *t, const char *host)
{
    return bind_to(t, host, 16);
}

/* Answers no SYN: what may wait to be accepted is there already. */
struct black_hole {
    int fds[4];
};

static void open_black_hole(struct black_hole *hole, const struct town *t,
                            const char *host)
{
    struct net_address address;
    hole->fds[0] = bind_to(t, host, 0);
    net_local_address(hole->fds[0], &address);
    for (size_t i = 1; i < 4; i++) {
        hole->fds[i] =
            socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(hole->fds[i] >= 0);
        (void)connect(hole->fds[i], (struct sockaddr *)&address.storage,
                      address.len);
    }
}

static void close_black_hole(struct black_hole *hole)
{
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(close(hole->fds[i]), 0);
}

static int64_t now(void)
{
    return clock_mono_ms(clock_system());
}

/* In one session; returns how long it took to get in. */
static int64_t visit(struct town *t)
{
    struct guest *g = &t->m.guests[0];
    int64_t from_ms = now();
    *g = (struct guest){.meeting = &t->m};
    guest_enter(g);
    int64_t took_ms = now() - from_ms;
    guest_leave(g);
    return took_ms;
}

static void check_failure(struct town *t, enum err_code code, const char *words)
{
    struct guest *g = &t->m.guests[0];
    *g = (struct guest){.meeting = &t->m};
    guest_open(g);
    guest_await_closed(g);
    assert_string_equal(g->told, "C");
    assert_true(g->closing.relay_failed);
    if (g->closing.err.code != code ||
        strstr(g->closing.err.text, words) == NULL)
        fail_msg("%d: %s", (int)g->closing.err.code, g->closing.err.text);
}

/* ---- one after the other ---- */

static const struct {
    const char *name;
    const struct relay_step *steps;
    bool login;
} rows[] = {
    {"greeting 554", STEPS(SEND("554 go away\r\n"), STALL), false},
    {"greeting 421", STEPS(SEND("421 too many\r\n")), false},
    {"closes at once", STEPS(END), false},
    {"no SMTP", STEPS(SEND("HTTP/1.1 400 Bad\r\n\r\n")), false},
    {"half a greeting", STEPS(SEND("220-re")), false},
    {"EHLO refused",
     STEPS(SEND("220 x\r\n"), RELAY_ANSWER("EHLO", "502 no\r\n"),
           RELAY_ANSWER("HELO", "550 no\r\n"), STALL),
     false},
    {"no AUTH",
     STEPS(SEND("220 x\r\n"), RELAY_ANSWER("EHLO", "250 x\r\n"), STALL), true},
    {"AUTH not possible now",
     STEPS(SEND("220 x\r\n"),
           RELAY_ANSWER("EHLO", "250-x\r\n250 AUTH PLAIN\r\n"),
           RELAY_ANSWER("AUTH PLAIN", "454 later\r\n"), STALL),
     true},
};

static void whatever_fails_at_one_address_the_next_is_tried(void **state)
{
    (void)state;
    static const struct relay_step lets_in[] = {
        SEND("220 relay\r\n"),
        RELAY_ANSWER("EHLO", "250-relay\r\n250 AUTH PLAIN\r\n"),
        RELAY_ANSWER("AUTH PLAIN", "235 welcome\r\n"), STALL};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct town t;
        print_message("  %s\n", rows[i].name);
        open_town(&t, last_two, rows[i].login ? lets_in : works, NULL);
        if (rows[i].login) {
            t.m.relay.username = "user";
            t.m.relay.password = "secret";
        }
        struct scripted_relay *bad = open_server(&t, SECOND, &rows[i].steps);
        assert_in_range(visit(&t), 0, 2000);
        /* And then it comes last. */
        assert_in_range(visit(&t), 0, 2000);
        close_server(bad, 1);
        assert_int_equal(scripted_relay_connections(t.m.server), 2);
        close_town(&t);
    }
}

static void one_that_says_nothing_leaves_time_for_the_others(void **state)
{
    (void)state;
    struct town t;
    struct black_hole hole;
    open_town(&t, all_three, works, NULL);
    t.m.relay.connect_timeout_ms = 2400;
    open_black_hole(&hole, &t, SECOND);
    /* Refused, then half of the time that is left, then in. */
    assert_in_range(visit(&t), 1000, 2400);
    assert_in_range(visit(&t), 0, 900);
    close_black_hole(&hole);
    close_town(&t);
}

static void one_that_takes_the_connection_and_is_silent_likewise(void **state)
{
    (void)state;
    struct town t;
    open_town(&t, last_two, works, NULL);
    t.m.relay.connect_timeout_ms = 2000;
    int silent = open_silent(&t, SECOND);
    assert_in_range(visit(&t), 900, 2000);
    assert_in_range(visit(&t), 0, 900);
    assert_int_equal(close(silent), 0);
    close_town(&t);
}

static void connections_take_turns(void **state)
{
    (void)state;
    static const struct relay_step *const script[] = {works};
    struct town t;
    open_town(&t, all_three, works, NULL);
    struct scripted_relay *first = open_server(&t, FIRST, script);
    struct scripted_relay *second = open_server(&t, SECOND, script);
    for (unsigned i = 0; i < 6; i++)
        (void)visit(&t);
    close_server(first, 2);
    close_server(second, 2);
    assert_int_equal(scripted_relay_connections(t.m.server), 2);
    assert_int_equal(fake_dns_calls(&t.dns), 1);
    close_town(&t);
}

static void relay_failed_when_all_its_addresses_did(void **state)
{
    (void)state;
    static const struct relay_step busy[] = {SEND("421 busy\r\n"), END};
    struct town t;
    open_town(&t, all_three, busy, NULL);
    check_failure(&t, ERR_DENIED,
                  "all 3 addresses failed, the last: relay "
                  "test (relay.example:");
    assert_non_null(
        strstr(t.m.guests[0].closing.err.text, ", " THIRD ") does not take"));
    close_town(&t);

    open_town(&t, first_two, works, NULL);
    check_failure(&t, ERR_SYSTEM,
                  "all 2 addresses failed, the last: relay "
                  "test (relay.example:");
    assert_non_null(
        strstr(t.m.guests[0].closing.err.text, ", " SECOND ") refused"));
    close_town(&t);
}

static void time_may_be_over_before_all_were_tried(void **state)
{
    (void)state;
    struct town t;
    open_town(&t, all_three, works, NULL);
    t.m.relay.connect_timeout_ms = 1300;
    int first = open_silent(&t, FIRST);
    int second = open_silent(&t, SECOND);
    int64_t from_ms = now();
    check_failure(&t, ERR_TIMEOUT,
                  "2 of 3 addresses failed in time, the last: relay test");
    assert_in_range(now() - from_ms, 1200, 5000);
    assert_int_equal(close(first), 0);
    assert_int_equal(close(second), 0);
    close_town(&t);
}

static void wrong_password_is_said_once(void **state)
{
    (void)state;
    static const struct relay_step refuses[] = {
        SEND("220 relay\r\n"),
        RELAY_ANSWER("EHLO", "250-relay\r\n250 AUTH PLAIN\r\n"),
        RELAY_ANSWER("AUTH PLAIN", "535 5.7.8 bad login\r\n"), STALL};
    static const struct relay_step *const script[] = {refuses};
    struct town t;
    open_town(&t, last_two, works, NULL);
    t.m.relay.username = "user";
    t.m.relay.password = "secret";
    struct scripted_relay *second = open_server(&t, SECOND, script);
    check_failure(&t, ERR_DENIED, "wrong password? relay said 535");
    assert_null(strstr(t.m.guests[0].closing.err.text, "addresses failed"));
    close_server(second, 1);
    assert_int_equal(scripted_relay_connections(t.m.server), 0);
    close_town(&t);
}

static void certificate_is_checked_against_the_name(void **state)
{
    (void)state;
    static const struct relay_step tls[] = {{RELAY_TLS, NULL}, HELLO, STALL};
    static const char *const third[] = {THIRD, NULL};
    const struct test_cert_options right = {"DNS:relay.example", -9000, 9000};
    const struct test_cert_options wrong = {"IP:" THIRD, -9000, 9000};
    struct scratch scratch;
    struct test_cert cert;
    struct town t;
    scratch_open(&scratch);
    test_cert_write(&cert, &scratch, "right", &right);
    open_town(&t, third, tls, &cert);
    (void)visit(&t);
    (void)visit(&t);
    close_town(&t);
    test_cert_write(&cert, &scratch, "wrong", &wrong);
    static const struct relay_step handshake[] = {{RELAY_TLS, NULL}, END};
    open_town(&t, third, handshake, &cert);
    check_failure(&t, ERR_DENIED, "is for another host name");
    assert_null(strstr(t.m.guests[0].closing.err.text, "addresses failed"));
    close_town(&t);
    scratch_close(&scratch);
}

static void numeric_host_is_used_as_it_is(void **state)
{
    (void)state;
    struct town t;
    struct smtp_addresses *addresses;
    struct smtp_addresses_options options = {
        .relay = "test",
        .host = THIRD,
        .resolve = fake_dns_resolve,
        .ctx = &t.dns,
    };
    open_town(&t, NULL, works, NULL);
    smtp_addresses_create(&addresses, &options);
    t.m.relay.host = THIRD;
    t.m.relay.addresses = addresses;
    (void)visit(&t);
    t.m.relay.port = 1;
    check_failure(&t, ERR_SYSTEM, "relay test (" THIRD ":1) refused");
    assert_int_equal(fake_dns_calls(&t.dns), 0);
    smtp_addresses_destroy(addresses);
    close_town(&t);
}

/* ---- lookups ---- */

static void lookup_that_hangs_stops_nothing_else(void **state)
{
    (void)state;
    struct town t;
    open_town(&t, all_three, works, NULL);
    fake_dns_set(&t.dns, all_three, true);
    t.m.relay.connect_timeout_ms = 300;
    struct guest *waits = &t.m.guests[0];
    guest_open(waits);
    /* Another relay's session, on the same loop. */
    struct smtp_relay numeric = t.m.relay;
    numeric.host = THIRD;
    numeric.addresses = NULL;
    struct smtp_relay named = t.m.relay;
    t.m.relay = numeric;
    guest_enter(&t.m.guests[1]);
    guest_leave(&t.m.guests[1]);
    t.m.relay = named;
    guest_await_closed(waits);
    assert_int_equal(waits->closing.err.code, ERR_TIMEOUT);
    assert_non_null(strstr(waits->closing.err.text, "not resolved in time"));
    /* It still hangs: ends of sessions and of the engine do not wait. */
    *waits = (struct guest){.meeting = &t.m};
    guest_open(waits);
    guest_leave(waits);
    assert_true(waits->closing.by_us);
    assert_int_equal(fake_dns_calls(&t.dns), 1);
    close_town(&t);
}

static void session_goes_on_when_the_lookup_ends(void **state)
{
    (void)state;
    static const char *const third[] = {THIRD, NULL};
    struct town t;
    open_town(&t, third, works, NULL);
    fake_dns_set(&t.dns, third, true);
    guest_open(&t.m.guests[0]);
    guest_open(&t.m.guests[1]);
    fake_dns_await(&t.dns, 1);
    meeting_run(&t.m, 50);
    assert_string_equal(t.m.guests[0].told, "");
    fake_dns_set(&t.dns, third, false);
    for (size_t i = 0; i < 2; i++)
        guest_await_told(&t.m.guests[i], "R");
    for (size_t i = 0; i < 2; i++)
        guest_leave(&t.m.guests[i]);
    assert_int_equal(fake_dns_calls(&t.dns), 1);
    close_town(&t);
}

static void name_that_is_not_found_is_a_failure_with_words(void **state)
{
    (void)state;
    struct town t;
    open_town(&t, NULL, works, NULL);
    for (unsigned i = 0; i < 2; i++)
        check_failure(&t, ERR_NOT_FOUND, "there is no \"relay.example\"");
    assert_non_null(strstr(t.m.guests[0].closing.err.text, "relay test ("));
    assert_int_equal(fake_dns_calls(&t.dns), 1);
    close_town(&t);
}

/* ---- in the middle ---- */

static void session_may_be_cut_at_any_address(void **state)
{
    (void)state;
    struct town t;
    open_town(&t, all_three, works, NULL);
    t.m.relay.connect_timeout_ms = 3000;
    int silent = open_silent(&t, SECOND);
    for (int ms = 0; ms < 60; ms += 20) {
        struct guest *g = &t.m.guests[0];
        *g = (struct guest){.meeting = &t.m};
        guest_open(g);
        meeting_run(&t.m, ms);
        guest_leave(g);
        assert_true(g->closing.by_us);
    }
    fake_dns_await(&t.dns, 1);
    assert_int_equal(close(silent), 0);
    close_town(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_at_one_address_the_next_is_tried),
        cmocka_unit_test(one_that_says_nothing_leaves_time_for_the_others),
        cmocka_unit_test(one_that_takes_the_connection_and_is_silent_likewise),
        cmocka_unit_test(connections_take_turns),
        cmocka_unit_test(relay_failed_when_all_its_addresses_did),
        cmocka_unit_test(time_may_be_over_before_all_were_tried),
        cmocka_unit_test(wrong_password_is_said_once),
        cmocka_unit_test(certificate_is_checked_against_the_name),
        cmocka_unit_test(numeric_host_is_used_as_it_is),
        cmocka_unit_test(lookup_that_hangs_stops_nothing_else),
        cmocka_unit_test(session_goes_on_when_the_lookup_ends),
        cmocka_unit_test(name_that_is_not_found_is_a_failure_with_words),
        cmocka_unit_test(session_may_be_cut_at_any_address),
    };
    return cmocka_run_group_tests(tests, meeting_global_setup,
                                  meeting_global_teardown);
}
