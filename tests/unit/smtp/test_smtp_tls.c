#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/support/test_cert.h"
#include "tests/unit/smtp/meeting.h"

/* Flights of several mails over TLS, where a write is taken whole or not. */

#define EXTENSIONS "250-8BITMIME\r\n250-PIPELINING\r\n"
#define HELLO(extensions)                                                      \
    {RELAY_TLS, NULL}, SEND("220 relay\r\n"), {RELAY_EXPECT_START, "EHLO "},   \
        SEND("250-relay\r\n" extensions "250 HELP\r\n")

/* A mail as BDAT carries it, without the answer to the chunk. */
#define CHUNKED_MAIL                                                           \
    ACCEPTED, {RELAY_EXPECT, "BDAT 21 LAST"}, {RELAY_EXPECT, "Subject: x"},    \
        {RELAY_EXPECT, ""},                                                    \
    {                                                                          \
        RELAY_EXPECT, "hello"                                                  \
    }
#define TAKEN SEND("250 taken\r\n")
#define AGAIN RELAY_ANSWER("RSET", "250 ok\r\n")

struct tls {
    struct scratch scratch;
    struct test_cert cert;
};

static struct tls tls;

static int setup(void **state)
{
    const struct test_cert_options good = {"IP:127.0.0.1", -86400, 86400};
    scratch_open(&tls.scratch);
    test_cert_write(&tls.cert, &tls.scratch, "good", &good);
    return meeting_global_setup(state);
}

static int teardown(void **state)
{
    scratch_close(&tls.scratch);
    return meeting_global_teardown(state);
}

static void begin(struct meeting *m, const struct relay_step *script)
{
    memset(m, 0, sizeof(*m));
    m->scripts[0] = script;
    m->options.script_count = 1;
    m->options.cert_file = tls.cert.cert_file;
    m->options.key_file = tls.cert.key_file;
    m->options.narrow = true;
    meeting_begin_with(m);
    m->relay.tls = SMTP_TLS_IMPLICIT;
    m->relay.ca_file = tls.cert.cert_file;
    m->relay.pipelining = true;
    m->relay.chunking = true;
    m->relay.unconfirmed = 4;
}

static void send_more(struct guest *g)
{
    while (g->sent < 4 && smtp_session_room(g->session) > 0)
        guest_send(g, 1);
}

static void carry_four(const struct relay_step *script)
{
    struct meeting m;
    begin(&m, script);
    struct guest *g = &m.guests[0];
    g->on_ready = send_more;
    g->on_result = send_more;
    guest_open(g);
    guest_await_results(g, 4);
    assert_string_equal(g->told, "Rrrrr");
    guest_check(g, "d");
    smtp_session_quit(g->session);
    guest_await_closed(g);
    assert_true(g->closing.by_us);
    meeting_end(&m);
}

static void mails_are_pipelined(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        HELLO(EXTENSIONS),
        ACCEPTED,
        DATA,
        ACCEPTED, /* of the next, before the answer */
        TAKEN,
        DATA,
        ACCEPTED,
        TAKEN,
        DATA,
        ACCEPTED,
        TAKEN,
        DATA,
        TAKEN,
        RELAY_QUIT,
        END};
    carry_four(script);
}

static void mails_go_in_chunks_four_at_once(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        HELLO(EXTENSIONS "250-CHUNKING\r\n"),
        CHUNKED_MAIL,
        AGAIN,
        CHUNKED_MAIL,
        AGAIN,
        CHUNKED_MAIL,
        AGAIN,
        CHUNKED_MAIL, /* all are there before the first answer */
        TAKEN,
        TAKEN,
        TAKEN,
        TAKEN,
        RELAY_QUIT,
        END};
    carry_four(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mails_are_pipelined),
        cmocka_unit_test(mails_go_in_chunks_four_at_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
