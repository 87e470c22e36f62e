#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "smtp/session.h"
#include "tests/unit/smtp/meeting.h"

static void a_mail_is_delivered_and_the_session_ends_with_quit(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        SEND("220 relay ready\r\n"),
        {RELAY_EXPECT, "EHLO client.example"},
        SEND("250 relay\r\n"),
        {RELAY_EXPECT, "MAIL FROM:<s@x>"},
        SEND("250 2.1.0 ok\r\n"),
        {RELAY_EXPECT, "RCPT TO:<r0@x>"},
        SEND("250 ok\r\n"),
        {RELAY_EXPECT, "RCPT TO:<r1@x>"},
        SEND("250 ok\r\n"),
        DATA,
        SEND("250 2.6.0 taken as 17\r\n"),
        RELAY_QUIT,
        END,
    };
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    guest_send(g, 2);
    guest_await_results(g, 1);
    guest_check(g, "dd");
    assert_int_equal(g->last[1].reply.code, 250);
    assert_string_equal(g->last[1].reply.enhanced, "2.6.0");
    assert_string_equal(g->last[1].reply.text, "taken as 17");
    assert_true(smtp_session_room(g->session) > 0);
    smtp_session_quit(g->session);
    guest_await_closed(g);
    assert_true(g->closing.by_us);
    assert_false(g->closing.relay_failed);
    meeting_end(&m);
}

/*
 * One misbehaviour a row: what the relay says from MAIL on (after EHLO, then
 * a good first mail if the session is reused), and what must come of it.
 */
struct row {
    const char *name;
    const struct relay_step *steps;
    size_t recipients;
    bool reused;
    const char *outcomes;
    bool closes;
    bool relay_failed;
    enum smtp_stage stage; /* of closing */
};

#define A64   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A1024 A256 A256 A256 A256
#define A256  A64 A64 A64 A64

static const struct row rows[] = {
    {"MAIL refused", STEPS(MAIL("550 5.7.1 no\r\n"), STALL), 2, false, "rr",
     false, false, 0},
    {"MAIL deferred", STEPS(MAIL("451 later\r\n"), STALL), 2, false, "ff",
     false, false, 0},
    {"MAIL needs a login", STEPS(MAIL("530 5.7.0 login first\r\n"), STALL), 2,
     false, "nn", true, true, SMTP_STAGE_MAIL},
    {"421 to the first MAIL", STEPS(MAIL("421 closing\r\n"), END), 1, false,
     "f", true, false, SMTP_STAGE_MAIL},
    {"421 to a later MAIL", STEPS(MAIL("421 closing\r\n"), END), 1, true, "n",
     true, false, SMTP_STAGE_MAIL},
    {"lost at the first MAIL", STEPS({RELAY_EXPECT_START, "MAIL"}), 1, false,
     "f", true, false, SMTP_STAGE_MAIL},
    {"lost at a later MAIL", STEPS({RELAY_EXPECT_START, "MAIL"}), 1, true, "n",
     true, false, SMTP_STAGE_MAIL},
    {"reset at a later MAIL", STEPS({RELAY_EXPECT_START, "MAIL"}, RESET), 1,
     true, "n", true, false, SMTP_STAGE_MAIL},
    {"no answer to the first MAIL", STEPS({RELAY_EXPECT_START, "MAIL"}, STALL),
     1, false, "f", true, false, SMTP_STAGE_MAIL},
    {"no answer to a later MAIL", STEPS({RELAY_EXPECT_START, "MAIL"}, STALL), 1,
     true, "n", true, false, SMTP_STAGE_MAIL},
    {"garbage to MAIL", STEPS(MAIL("what?\r\n"), STALL), 1, false, "f", true,
     false, SMTP_STAGE_MAIL},
    {"354 to MAIL", STEPS(MAIL("354 go\r\n"), STALL), 1, false, "f", true,
     false, SMTP_STAGE_MAIL},
    {"half a reply to MAIL, then lost", STEPS(MAIL("250-ok\r\n25"), END), 1,
     false, "f", true, false, SMTP_STAGE_MAIL},
    {"half a reply to MAIL, then nothing", STEPS(MAIL("250 o"), STALL), 1,
     false, "f", true, false, SMTP_STAGE_MAIL},
    {"RCPT refused", STEPS(MAIL("250 ok\r\n"), RCPT("r0", "550 no\r\n"), STALL),
     1, false, "r", false, false, 0},
    {"the second of three refused",
     STEPS(ACCEPTED, RCPT("r1", "550 no\r\n"), RCPT("r2", "250 ok\r\n"), DATA,
           SEND("250 ok\r\n"), STALL),
     3, false, "drd", false, false, 0},
    {"452 after one was accepted",
     STEPS(ACCEPTED, RCPT("r1", "452 too many\r\n"), DATA, SEND("250 ok\r\n"),
           STALL),
     4, false, "daaa", false, false, 0},
    {"552 after one was accepted",
     STEPS(ACCEPTED, RCPT("r1", "552 too many\r\n"), DATA, SEND("250 ok\r\n"),
           STALL),
     3, false, "daa", false, false, 0},
    {"421 to RCPT", STEPS(ACCEPTED, RCPT("r1", "421 closing\r\n"), END), 3,
     false, "fff", true, false, SMTP_STAGE_RCPT},
    {"RCPT needs a login", STEPS(ACCEPTED, RCPT("r1", "530 login\r\n"), STALL),
     2, false, "nn", true, true, SMTP_STAGE_RCPT},
    {"lost at RCPT", STEPS(ACCEPTED, {RELAY_EXPECT_START, "RCPT"}), 3, false,
     "fff", true, false, SMTP_STAGE_RCPT},
    {"lost at RCPT of a later mail",
     STEPS(ACCEPTED, {RELAY_EXPECT_START, "RCPT"}), 3, true, "fff", true, false,
     SMTP_STAGE_RCPT},
    {"no answer to RCPT", STEPS(ACCEPTED, {RELAY_EXPECT_START, "RCPT"}, STALL),
     3, false, "fff", true, false, SMTP_STAGE_RCPT},
    {"DATA refused", STEPS(ACCEPTED, RELAY_ANSWER("DATA", "554 no\r\n"), STALL),
     1, false, "r", false, false, 0},
    {"DATA deferred",
     STEPS(ACCEPTED, RELAY_ANSWER("DATA", "451 no\r\n"), STALL), 1, false, "f",
     false, false, 0},
    {"421 to DATA", STEPS(ACCEPTED, RELAY_ANSWER("DATA", "421 no\r\n"), END), 1,
     false, "f", true, false, SMTP_STAGE_DATA},
    {"250 to DATA", STEPS(ACCEPTED, RELAY_ANSWER("DATA", "250 no\r\n"), STALL),
     1, false, "f", true, false, SMTP_STAGE_DATA},
    {"lost at DATA", STEPS(ACCEPTED, {RELAY_EXPECT, "DATA"}), 1, false, "f",
     true, false, SMTP_STAGE_DATA},
    {"no answer to DATA", STEPS(ACCEPTED, {RELAY_EXPECT, "DATA"}, STALL), 1,
     false, "f", true, false, SMTP_STAGE_DATA},
    {"message refused",
     STEPS(ACCEPTED, DATA, SEND("554 5.7.1 spam\r\n"), STALL), 1, false, "r",
     false, false, 0},
    {"message deferred", STEPS(ACCEPTED, DATA, SEND("451 later\r\n"), STALL), 1,
     false, "f", false, false, 0},
    {"421 to the message", STEPS(ACCEPTED, DATA, SEND("421 no\r\n"), END), 1,
     false, "f", true, false, SMTP_STAGE_FINAL},
    {"lost after the dot", STEPS(ACCEPTED, DATA, END), 1, false, "u", true,
     false, SMTP_STAGE_FINAL},
    {"reset after the dot", STEPS(ACCEPTED, DATA, RESET), 1, true, "u", true,
     false, SMTP_STAGE_FINAL},
    {"no answer after the dot", STEPS(ACCEPTED, DATA, STALL), 1, false, "u",
     true, false, SMTP_STAGE_FINAL},
    {"half an answer after the dot", STEPS(ACCEPTED, DATA, SEND("250-ok"), END),
     1, false, "u", true, false, SMTP_STAGE_FINAL},
    {"garbage after the dot", STEPS(ACCEPTED, DATA, SEND("ok\r\n"), STALL), 1,
     false, "u", true, false, SMTP_STAGE_FINAL},
    {"lost after the dot, one refused before",
     STEPS(ACCEPTED, RCPT("r1", "550 no\r\n"), DATA, END), 2, false, "ur", true,
     false, SMTP_STAGE_FINAL},
    {"an answer in many lines",
     STEPS(ACCEPTED, DATA, SEND("250-a\r\n250-b\r\n250 c\r\n"), STALL), 1,
     false, "d", false, false, 0},
    {"an answer in a line over 2048 bytes",
     STEPS(ACCEPTED, DATA, SEND("250 " A1024 A1024 A1024 "\r\n"), STALL), 1,
     false, "d", false, false, 0},
    {"an answer a byte a packet",
     STEPS(ACCEPTED, DATA, {RELAY_SEND_SLOWLY, "250-a\r\n250 taken\r\n"},
           STALL),
     1, false, "d", false, false, 0},
    {"a final 251", STEPS(ACCEPTED, DATA, SEND("251 ok\r\n"), STALL), 1, false,
     "d", false, false, 0},
    {"421 right behind the last answer",
     STEPS(ACCEPTED, DATA, SEND("250 ok\r\n421 bye\r\n"), END), 1, false, "d",
     true, false, SMTP_STAGE_IDLE},
    {"a yes to the message before it was sent",
     STEPS(ACCEPTED, RELAY_ANSWER("DATA", "354 go\r\n250 taken\r\n"), STALL), 1,
     false, "f", true, false, SMTP_STAGE_BODY},
    {"two answers to RCPT",
     STEPS(MAIL("250 ok\r\n"), RCPT("r0", "250 ok\r\n250 ok\r\n"), STALL), 1,
     false, "f", true, false, SMTP_STAGE_RCPT},
};

static size_t add_steps(struct relay_step *script, size_t at,
                        const struct relay_step *steps)
{
    while (steps->kind != RELAY_END)
        script[at++] = *steps++;
    script[at] = (struct relay_step)END;
    return at;
}

static size_t steps_of(const struct relay_step *steps)
{
    size_t count = 0;
    while (steps[count].kind != RELAY_END)
        count++;
    return count;
}

static void check_closing(const struct row *row, struct guest *g)
{
    guest_await_closed(g);
    if (g->closing.relay_failed != row->relay_failed || g->closing.by_us ||
        g->closing.stage != row->stage)
        fail_msg("%s: failed %d, by us %d, %s: %s", row->name,
                 g->closing.relay_failed, g->closing.by_us,
                 smtp_stage_name(g->closing.stage), g->closing.err.text);
    assert_non_null(strstr(g->closing.err.text, "relay test (127.0.0.1:"));
}

static void play(const struct row *row)
{
    struct relay_step script[32];
    size_t at = add_steps(script, 0, STEPS(RELAY_HELLO));
    if (row->reused)
        at = add_steps(script, at, STEPS({RELAY_TAKE, NULL}));
    (void)add_steps(script, at, row->steps);
    struct meeting m;
    meeting_begin(&m, script);
    m.relay.mail_timeout_ms = m.relay.rcpt_timeout_ms = 300;
    m.relay.data_timeout_ms = m.relay.final_timeout_ms = 300;
    struct guest *g = &m.guests[0];
    guest_enter(g);
    if (row->reused) {
        guest_send(g, 1);
        guest_await_results(g, 1);
        guest_check(g, "d");
    }
    guest_send(g, row->recipients);
    guest_await_results(g, row->reused ? 2 : 1);
    guest_check(g, row->outcomes);
    if (row->closes)
        check_closing(row, g);
    else
        assert_true(smtp_session_room(g->session) > 0);
    guest_leave(g);
    meeting_end(&m);
}

static void each_misbehaviour_has_its_outcome(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("  %s\n", rows[i].name);
        play(&rows[i]);
    }
}

static void refused_recipients_are_reset_before_the_next_mail(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        RELAY_HELLO,
        MAIL("250 ok\r\n"),
        RCPT("r0", "550 no\r\n"),
        {RELAY_EXPECT, "RSET"},
        SEND("250 ok\r\n"),
        MAIL("250 ok\r\n"),
        RCPT("r0", "250 ok\r\n"),
        DATA,
        SEND("250 ok\r\n"),
        MAIL("250 ok\r\n"),
        STALL,
    };
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    for (size_t i = 0; i < 2; i++) {
        guest_send(g, 1);
        guest_await_results(g, i + 1);
        guest_check(g, i == 0 ? "r" : "d");
    }
    guest_send(g, 1);
    meeting_await_steps(&m, sizeof(script) / sizeof(script[0]) - 1);
    guest_leave(g);
    guest_check(g, "n");
    meeting_end(&m);
}

static void a_failed_reset_leaves_the_next_mail_untried(void **state)
{
    (void)state;
    static const char *const answers[] = {"421 bye\r\n", "500 what?\r\n",
                                          "hm\r\n", ""};
    for (size_t i = 0; i < 4; i++) {
        const struct relay_step script[] = {
            RELAY_HELLO,
            MAIL("250 ok\r\n"),
            RCPT("r0", "550 no\r\n"),
            {RELAY_EXPECT, "RSET"},
            SEND(answers[i]),
            END,
        };
        struct meeting m;
        meeting_begin(&m, script);
        struct guest *g = &m.guests[0];
        guest_enter(g);
        guest_send(g, 1);
        guest_await_results(g, 1);
        guest_send(g, 1);
        guest_await_closed(g);
        guest_check(g, "n");
        assert_false(g->closing.relay_failed);
        assert_int_equal(g->closing.stage, SMTP_STAGE_RSET);
        meeting_end(&m);
    }
}

static void send_again(struct guest *g)
{
    if (g->results < 100)
        guest_send(g, 1);
}

static void a_session_carries_a_hundred_mails(void **state)
{
    (void)state;
    struct relay_step script[110];
    size_t at = add_steps(script, 0, STEPS(RELAY_HELLO));
    for (int i = 0; i < 100; i++)
        script[at++] = (struct relay_step){RELAY_TAKE, NULL};
    (void)add_steps(script, at, STEPS(RELAY_QUIT));
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    g->on_ready = send_again;
    g->on_result = send_again;
    guest_open(g);
    guest_await_results(g, 100);
    guest_check(g, "d");
    smtp_session_quit(g->session);
    guest_await_closed(g);
    assert_int_equal(scripted_relay_connections(m.server), 1);
    meeting_end(&m);
}

static void two_sessions_go_side_by_side(void **state)
{
    (void)state;
    static const struct relay_step quick[] = {
        RELAY_HELLO, {RELAY_TAKE, NULL}, {RELAY_TAKE, NULL}, STALL};
    static const struct relay_step stuck[] = {
        RELAY_HELLO, {RELAY_EXPECT_START, "MAIL"}, STALL};
    struct meeting m;
    memset(&m, 0, sizeof(m));
    m.scripts[0] = stuck;
    m.scripts[1] = quick;
    m.options.script_count = 2;
    meeting_begin_with(&m);
    guest_enter(&m.guests[0]);
    guest_enter(&m.guests[1]);
    guest_send(&m.guests[0], 1);
    guest_send(&m.guests[1], 1);
    guest_await_results(&m.guests[1], 1);
    guest_send(&m.guests[1], 1);
    guest_await_results(&m.guests[1], 2);
    guest_check(&m.guests[1], "d");
    assert_int_equal(m.guests[0].results, 0);
    guest_leave(&m.guests[0]);
    guest_leave(&m.guests[1]);
    meeting_end(&m);
}

static void an_idle_session_may_be_closed_by_the_relay(void **state)
{
    (void)state;
    static const char *const words[] = {"421 idle too long\r\n", "",
                                        "250 x\r\n", "nonsense\r\n"};
    for (size_t i = 0; i < 4; i++) {
        const struct relay_step script[] = {
            RELAY_HELLO, {RELAY_TAKE, NULL}, SEND(words[i]), END};
        struct meeting m;
        meeting_begin(&m, script);
        struct guest *g = &m.guests[0];
        guest_enter(g);
        guest_send(g, 1);
        guest_await_closed(g);
        guest_check(g, "d");
        assert_string_equal(g->told, "RrC");
        assert_false(g->closing.relay_failed);
        assert_int_equal(g->closing.stage, SMTP_STAGE_IDLE);
        meeting_end(&m);
    }
}

static void send_second(struct guest *g)
{
    if (g->results == 1 && smtp_session_room(g->session) > 0)
        guest_send(g, 1);
}

/* The relay's farewell may be seen before the mail or not: it is not lost. */
static void a_mail_to_a_session_that_was_just_closed_is_untried(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        RELAY_HELLO, {RELAY_TAKE, NULL}, SEND("421 bye\r\n"), RESET};
    for (int i = 0; i < 20; i++) {
        struct meeting m;
        meeting_begin(&m, script);
        struct guest *g = &m.guests[0];
        g->on_result = send_second;
        guest_enter(g);
        guest_send(g, 1);
        guest_await_closed(g);
        guest_check(g, g->results == 2 ? "n" : "d");
        assert_false(g->closing.relay_failed);
        meeting_end(&m);
    }
}

/* Where the relay stands when we cut the session. */
static const struct abort_row {
    const char *name;
    const struct relay_step *steps;
    const char *outcomes; /* NULL: no mail is under way */
} abort_rows[] = {
    {"idle", STEPS(STALL), NULL},
    {"MAIL", STEPS({RELAY_EXPECT_START, "MAIL"}, STALL), "nn"},
    {"RCPT", STEPS(ACCEPTED, {RELAY_EXPECT_START, "RCPT"}, STALL), "nn"},
    {"RCPT, the first refused",
     STEPS(MAIL("250 ok\r\n"), RCPT("r0", "550 no\r\n"),
           {RELAY_EXPECT_START, "RCPT"}, STALL),
     "rn"},
    {"DATA",
     STEPS(ACCEPTED, RCPT("r1", "250 ok\r\n"), {RELAY_EXPECT, "DATA"}, STALL),
     "nn"},
    {"FINAL", STEPS(ACCEPTED, RCPT("r1", "250 ok\r\n"), DATA, STALL), "uu"},
};

static void abort_cuts_in_any_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(abort_rows) / sizeof(abort_rows[0]); i++) {
        const struct abort_row *row = &abort_rows[i];
        struct relay_step script[32];
        size_t at = add_steps(script, 0, STEPS(RELAY_HELLO));
        (void)add_steps(script, at, row->steps);
        struct meeting m;
        meeting_begin(&m, script);
        struct guest *g = &m.guests[0];
        guest_enter(g);
        if (row->outcomes != NULL)
            guest_send(g, 2);
        /* The loop and the relay's thread need not have come so far yet. */
        meeting_await_steps(&m, at + steps_of(row->steps) - 1);
        guest_leave(g);
        assert_string_equal(g->told, row->outcomes == NULL ? "RC" : "RrC");
        if (row->outcomes != NULL)
            guest_check(g, row->outcomes);
        assert_true(g->closing.by_us);
        assert_false(g->closing.relay_failed);
        meeting_end(&m);
    }
}

static void abort_while_connecting_cuts_too(void **state)
{
    (void)state;
    static const struct relay_step script[] = {STALL};
    struct meeting m;
    for (size_t steps = 0; steps < 3; steps++) {
        meeting_begin(&m, script);
        struct guest *g = &m.guests[0];
        guest_open(g);
        for (size_t i = 0; i < steps; i++)
            meeting_run(&m, 20);
        guest_leave(g);
        assert_string_equal(g->told, "C");
        assert_true(g->closing.by_us);
        meeting_end(&m);
    }
}

static void leave(struct guest *g)
{
    smtp_session_abort(g->session);
    smtp_session_abort(g->session);
    smtp_session_quit(g->session);
}

static void quit(struct guest *g)
{
    smtp_session_quit(g->session);
    smtp_session_quit(g->session);
    assert_true(smtp_session_room(g->session) == 0);
}

static void sessions_may_be_ended_in_their_callbacks(void **state)
{
    (void)state;
    static const struct relay_step hello[] = {RELAY_HELLO, STALL};
    static const struct relay_step taken[] = {
        RELAY_HELLO, {RELAY_TAKE, NULL}, STALL};
    static const struct relay_step with_quit[] = {
        RELAY_HELLO, {RELAY_TAKE, NULL}, RELAY_QUIT, END};
    static const struct relay_step only_quit[] = {RELAY_HELLO, RELAY_QUIT, END};
    static const struct {
        const struct relay_step *script;
        void (*on_ready)(struct guest *g);
        void (*on_result)(struct guest *g);
        const char *told;
    } cases[] = {
        {hello, leave, NULL, "RC"},
        {only_quit, quit, NULL, "RC"},
        {taken, send_again, leave, "RrC"},
        {with_quit, send_again, quit, "RrC"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct meeting m;
        meeting_begin(&m, cases[i].script);
        struct guest *g = &m.guests[0];
        g->on_ready = cases[i].on_ready;
        g->on_result = cases[i].on_result;
        guest_open(g);
        guest_await_closed(g);
        assert_string_equal(g->told, cases[i].told);
        assert_true(g->closing.by_us);
        meeting_end(&m);
    }
}

static void quit_lets_a_mail_under_way_end(void **state)
{
    (void)state;
    static const struct relay_step script[] = {
        RELAY_HELLO, {RELAY_TAKE, NULL}, RELAY_QUIT, END};
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    guest_send(g, 1);
    smtp_session_quit(g->session);
    guest_await_closed(g);
    assert_string_equal(g->told, "RrC");
    guest_check(g, "d");
    meeting_end(&m);
}

static void a_relay_that_ignores_quit_does_not_hold_us(void **state)
{
    (void)state;
    static const struct relay_step script[] = {RELAY_HELLO, STALL};
    struct meeting m;
    meeting_begin(&m, script);
    struct guest *g = &m.guests[0];
    guest_enter(g);
    smtp_session_quit(g->session);
    guest_await_closed(g);
    assert_true(g->closing.by_us);
    assert_int_equal(g->closing.stage, SMTP_STAGE_QUIT);
    meeting_end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_is_delivered_and_the_session_ends_with_quit),
        cmocka_unit_test(each_misbehaviour_has_its_outcome),
        cmocka_unit_test(refused_recipients_are_reset_before_the_next_mail),
        cmocka_unit_test(a_failed_reset_leaves_the_next_mail_untried),
        cmocka_unit_test(a_session_carries_a_hundred_mails),
        cmocka_unit_test(two_sessions_go_side_by_side),
        cmocka_unit_test(an_idle_session_may_be_closed_by_the_relay),
        cmocka_unit_test(a_mail_to_a_session_that_was_just_closed_is_untried),
        cmocka_unit_test(abort_cuts_in_any_state),
        cmocka_unit_test(abort_while_connecting_cuts_too),
        cmocka_unit_test(sessions_may_be_ended_in_their_callbacks),
        cmocka_unit_test(quit_lets_a_mail_under_way_end),
        cmocka_unit_test(a_relay_that_ignores_quit_does_not_hold_us),
    };
    return cmocka_run_group_tests(tests, meeting_global_setup,
                                  meeting_global_teardown);
}
