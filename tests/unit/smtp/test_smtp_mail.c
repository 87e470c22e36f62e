#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "smtp/session.h"
#include "tests/unit/smtp/meeting.h"

/* Pseudo-random lines with dots, bare LF, bare CR; same bytes every time. */
static struct body *big_body(size_t size, struct buf *want)
{
    char *data = mem_alloc(size + 1);
    uint32_t n = 1;
    for (size_t i = 0; i < size; i++) {
        n = n * 1103515245U + 12345U;
        unsigned r = (n >> 16) & 63;
        data[i] = r == 0 ? '\n' : r < 4 ? '.' : (char)('a' + r % 26);
        if (i > 0 && data[i - 1] == '\n' && (n & 0x30000) != 0)
            data[i] = '.';
    }
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '.' && (i == 0 || data[i - 1] == '\n'))
            buf_add_char(want, '.');
        if (data[i] == '\n')
            buf_add_char(want, '\r');
        buf_add_char(want, data[i]);
    }
    if (size > 0 && data[size - 1] != '\n')
        buf_add_text(want, "\r\n");
    buf_add_text(want, ".\r\n");
    return body_from_memory(data, size);
}

static void bodies_of_any_size_arrive_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16000, 16379, 16384, 20000, 5U << 20};
    static const struct relay_step script[] = {
        RELAY_HELLO,
        RELAY_ANSWER("MAIL FROM:<>", "250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"),
        DATA,
        SEND("250 ok\r\n"),
        STALL};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct meeting m;
        struct buf want;
        buf_init(&want, 64U << 20);
        struct body *body = big_body(sizes[i], &want);
        meeting_begin(&m, script);
        struct guest *g = &m.guests[0];
        guest_enter(g);
        guest_send_body(g, body);
        guest_await_results(g, 1);
        guest_check(g, "d");
        guest_leave(g);
        assert_string_equal(scripted_relay_stop(m.server), "");
        assert_true(
            str_equal(scripted_relay_received(m.server), buf_str(&want)));
        meeting_end(&m);
        body_unref(body);
        buf_fini(&want);
    }
}

/* More than the buffers of a connection hold; "aaa" is its first line. */
static struct body *long_body(void)
{
    const size_t size = 40U << 20;
    char *data = mem_alloc(size);
    memset(data, 'a', size);
    data[3] = '\n';
    return body_from_memory(data, size);
}

static void a_relay_that_stops_reading_the_body_is_deferred(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        RELAY_HELLO,
        RELAY_ANSWER("MAIL", "250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"),
        RELAY_ANSWER("DATA", "354 go\r\n"),
        {RELAY_PAUSE, NULL},
        STALL};
    struct meeting m;
    struct body *body = long_body();
    meeting_begin(&m, script);
    m.relay.body_timeout_ms = 300;
    struct guest *g = &m.guests[0];
    guest_enter(g);
    guest_send_body(g, body);
    guest_await_closed(g);
    guest_check(g, "f");
    assert_int_equal(g->closing.stage, SMTP_STAGE_BODY);
    assert_int_equal(g->closing.err.code, ERR_TIMEOUT);
    scripted_relay_resume(m.server);
    meeting_end(&m);
    body_unref(body);
}

/* To a relay that reads nothing until we are gone. */
static enum outcome cut_with(size_t size)
{
    static const struct relay_step script[] = {
        RELAY_HELLO,
        RELAY_ANSWER("MAIL", "250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"),
        RELAY_ANSWER("DATA", "354 go\r\n"),
        {RELAY_PAUSE, NULL},
        {RELAY_REST, NULL}};
    struct meeting m;
    memset(&m, 0, sizeof(m));
    m.scripts[0] = script;
    m.options.script_count = 1;
    m.options.narrow = true;
    meeting_begin_with(&m);
    struct buf all;
    buf_init(&all, 4 * size + 5);
    struct body *body = big_body(size, &all);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    meeting_narrow(&m);
    guest_send_body(g, body);
    meeting_await_steps(&m, sizeof(script) / sizeof(script[0]) - 2);
    meeting_run(&m, 40);
    guest_leave(g);
    scripted_relay_resume(m.server);
    assert_string_equal(scripted_relay_stop(m.server), "");
    bool whole = str_equal(scripted_relay_received(m.server), buf_str(&all));
    enum outcome outcome = g->last[0].outcome;
    if ((outcome == OUTCOME_UNKNOWN) != whole)
        fail_msg("%zu bytes: %s, but the relay got %s", size,
                 outcome_name(outcome), whole ? "all" : "not all");
    buf_fini(&all);
    meeting_end(&m);
    body_unref(body);
    return outcome;
}

/*
 * The sizes around the one where the connection is full: among them are those
 * where only the last slice does not fit, or not all of it.
 */
static void a_cut_mail_is_unknown_if_and_only_if_the_dot_was_out(void **state)
{
    (void)state;
    size_t fits = 0;
    size_t too_much = 1U << 20;
    assert_int_equal(cut_with(fits), OUTCOME_UNKNOWN);
    assert_int_equal(cut_with(too_much), OUTCOME_UNTRIED);
    while (too_much - fits > 1024) {
        size_t middle = (fits + too_much) / 2;
        if (cut_with(middle) == OUTCOME_UNKNOWN)
            fits = middle;
        else
            too_much = middle;
    }
    for (size_t size = fits; size < fits + 20000; size += 1500)
        (void)cut_with(size);
}

static void a_relay_that_ends_it_during_the_body_is_heard(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        const char *outcome;
    } cases[] = {
        {"552 5.3.4 too much\r\n", "r"},
        {"451 4.3.0 no room\r\n", "f"},
        {"421 closing\r\n", "f"},
        {"250 taken\r\n", "f"},
        {"", "f"},
    };
    for (size_t i = 0; i < 5; i++) {
        const struct relay_step script[] = {RELAY_HELLO,
                                            RELAY_ANSWER("MAIL", "250 ok\r\n"),
                                            RCPT("r0", "250 ok\r\n"),
                                            RELAY_ANSWER("DATA", "354 go\r\n"),
                                            {RELAY_EXPECT_START, "aaa"},
                                            SEND(cases[i].words),
                                            END};
        struct meeting m;
        struct body *body = long_body();
        meeting_begin(&m, script);
        struct guest *g = &m.guests[0];
        guest_enter(g);
        guest_send_body(g, body);
        guest_await_closed(g);
        guest_check(g, cases[i].outcome);
        assert_int_equal(g->closing.stage, SMTP_STAGE_BODY);
        meeting_end(&m);
        body_unref(body);
    }
}

#define HELLO_WITH(extensions)                                                 \
    SEND("220 relay\r\n"), {RELAY_EXPECT_START, "EHLO "},                      \
        SEND("250-relay\r\n" extensions "250 HELP\r\n")

static void size_and_8bitmime_are_used_when_offered_and_needed(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        HELLO_WITH("250-SIZE 100\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"),
        {RELAY_EXPECT, "MAIL FROM:<s@x> SIZE=21"},
        SEND("250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"),
        DATA,
        SEND("250 ok\r\n"),
        {RELAY_EXPECT, "MAIL FROM:<> SIZE=3 BODY=8BITMIME"},
        SEND("250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"),
        DATA,
        SEND("250 ok\r\n"),
        {RELAY_EXPECT, "MAIL FROM:<j\xc3\xb6@x> SIZE=3 BODY=8BITMIME SMTPUTF8"},
        SEND("550 no\r\n"),
        STALL,
    };
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    char *data = mem_alloc(3);
    memcpy(data, "\xe4\r\n", 3);
    struct body *body = body_from_memory(data, 3);
    guest_enter(g);
    guest_send(g, 1);
    guest_await_results(g, 1);
    guest_send_body(g, body);
    guest_await_results(g, 2);
    guest_check(g, "d");
    struct smtp_mail mail = g->mail;
    mail.sender = "j\xc3\xb6@x";
    assert_int_equal(smtp_session_send(g->session, &mail, NULL), ERR_NONE);
    guest_await_results(g, 3);
    guest_check(g, "r");
    guest_leave(g);
    meeting_end(&m);
    body_unref(body);
}

static void what_the_relay_cannot_take_is_rejected_unsent(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        HELLO_WITH("250-SIZE 20\r\n"), {RELAY_EXPECT_START, "MAIL"}, STALL};
    static const char *const recipients[] = {"a@x", "\xc3\xb6@x"};
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    guest_send(g, 2);
    guest_await_results(g, 1);
    guest_check(g, "rr");
    assert_int_equal(g->last[0].reply.code, 0);
    assert_string_equal(g->last[0].reply.enhanced, "5.3.4");
    assert_non_null(strstr(g->last[0].reply.text, "21 bytes"));
    assert_true(smtp_session_room(g->session) > 0);

    struct body *empty = body_from_memory(NULL, 0);
    struct smtp_mail mail = {
        .sender = "\xc3\xb6@x",
        .recipients = recipients,
        .recipient_count = 2,
        .body = empty,
    };
    assert_int_equal(smtp_session_send(g->session, &mail, NULL), ERR_NONE);
    guest_await_results(g, 2);
    guest_check(g, "rr");
    assert_string_equal(g->last[0].reply.enhanced, "5.6.7");
    mail.sender = "";
    assert_int_equal(smtp_session_send(g->session, &mail, NULL), ERR_NONE);
    meeting_await_steps(&m, sizeof(script) / sizeof(script[0]) - 1);
    guest_leave(g);
    guest_check(g, "nr");
    meeting_end(&m);
    body_unref(empty);
}

static void a_body_of_8_bits_is_not_sent_to_a_relay_of_7(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        HELLO_WITH("250-SIZE\r\n"), {RELAY_TAKE, NULL}, STALL};
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    char *data = mem_alloc(3);
    memcpy(data, "\xe4\r\n", 3);
    struct body *body = body_from_memory(data, 3);
    guest_enter(g);
    assert_true(smtp_session_wants_7bit(g->session));
    guest_send_body(g, body);
    guest_await_results(g, 1);
    guest_check(g, "r");
    assert_string_equal(g->last[0].reply.enhanced, "5.6.3");
    assert_non_null(strstr(g->last[0].reply.text, "8BITMIME"));
    guest_send(g, 1);
    guest_await_results(g, 2);
    guest_check(g, "d");
    guest_leave(g);
    meeting_end(&m);
    body_unref(body);
}

static void an_unsafe_recipient_is_rejected_and_the_others_sent_to(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        RELAY_HELLO,
        RELAY_ANSWER("MAIL FROM:<\"s t\"@x>", "250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"),
        RELAY_ANSWER("RCPT TO:<\"<\"@x>", "250 ok\r\n"),
        DATA,
        SEND("250 ok\r\n"),
        STALL};
    static const char *const mixed[] = {"b@x>\r\nDATA", "r0@x", "", "\"<\"@x"};
    static const char *const bad[] = {"c d@x"};
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    struct smtp_mail mail = {.sender = "\"s t\"@x",
                             .recipients = mixed,
                             .recipient_count = 4,
                             .body = m.body};
    assert_int_equal(smtp_session_send(g->session, &mail, NULL), ERR_NONE);
    guest_await_results(g, 1);
    guest_check(g, "rdrd");
    assert_int_equal(g->last[0].reply.code, 0);
    assert_string_equal(g->last[0].reply.enhanced, "5.1.3");
    mail.recipients = bad;
    mail.recipient_count = 1;
    assert_int_equal(smtp_session_send(g->session, &mail, NULL), ERR_NONE);
    guest_await_results(g, 2);
    guest_check(g, "r");
    assert_true(smtp_session_room(g->session) > 0);
    guest_leave(g);
    meeting_end(&m);
}

static void an_unsafe_sender_is_refused_at_once(void **state)
{
    (void)state;
    static const struct relay_step script[] = {RELAY_HELLO, RELAY_QUIT, END};
    static const char *const good[] = {"a@x"};
    struct meeting m;
    struct err err;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    struct smtp_mail mail = {.sender = "s@x", .body = m.body};
    assert_int_equal(smtp_session_send(g->session, &mail, &err), ERR_INVALID);
    mail.recipients = good;
    mail.recipient_count = 1;
    mail.sender = "s@x> SIZE=1";
    assert_int_equal(smtp_session_send(g->session, &mail, &err), ERR_INVALID);
    assert_true(smtp_session_room(g->session) > 0);
    smtp_session_quit(g->session);
    guest_await_told(g, "RC");
    meeting_end(&m);
}

static void an_unreadable_body_is_deferred_and_never_finished(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        RELAY_HELLO, RELAY_ANSWER("MAIL", "250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"), RELAY_ANSWER("DATA", "354 go\r\n"), STALL};
    struct meeting m;
    bool is_8bit;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), 1000), 0);
    meeting_begin(&m, script);
    struct body *body = body_from_file(dup(fileno(file)), 1000);
    assert_int_equal(body_is_8bit(body, &is_8bit), ERR_NONE);
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    assert_int_equal(fclose(file), 0);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    guest_send_body(g, body);
    guest_await_closed(g);
    guest_check(g, "f");
    assert_non_null(strstr(g->last[0].reply.text, "could not be read"));
    assert_true(g->closing.by_us);
    meeting_end(&m);
    body_unref(body);
}

static void abort_during_the_body_leaves_it_untried(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        RELAY_HELLO,
        RELAY_ANSWER("MAIL", "250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"),
        RELAY_ANSWER("DATA", "354 go\r\n"),
        {RELAY_PAUSE, NULL},
        STALL};
    struct meeting m;
    struct body *body = long_body();
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    guest_send_body(g, body);
    meeting_await_steps(&m, sizeof(script) / sizeof(script[0]) - 2);
    meeting_run(&m, 50);
    guest_leave(g);
    guest_check(g, "n");
    scripted_relay_resume(m.server);
    meeting_end(&m);
    body_unref(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_any_size_arrive_whole),
        cmocka_unit_test(a_relay_that_stops_reading_the_body_is_deferred),
        cmocka_unit_test(a_cut_mail_is_unknown_if_and_only_if_the_dot_was_out),
        cmocka_unit_test(a_relay_that_ends_it_during_the_body_is_heard),
        cmocka_unit_test(size_and_8bitmime_are_used_when_offered_and_needed),
        cmocka_unit_test(what_the_relay_cannot_take_is_rejected_unsent),
        cmocka_unit_test(a_body_of_8_bits_is_not_sent_to_a_relay_of_7),
        cmocka_unit_test(
            an_unsafe_recipient_is_rejected_and_the_others_sent_to),
        cmocka_unit_test(an_unsafe_sender_is_refused_at_once),
        cmocka_unit_test(an_unreadable_body_is_deferred_and_never_finished),
        cmocka_unit_test(abort_during_the_body_leaves_it_untried),
    };
    return cmocka_run_group_tests(tests, meeting_global_setup,
                                  meeting_global_teardown);
}
