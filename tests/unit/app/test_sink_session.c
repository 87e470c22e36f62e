#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/sink/sink_session.h"

/* Sessions from memory: what a client sends, and what it is answered. */
#define OUTPUT_MAX 65536

struct fixture {
    struct sink_options options;
    struct sink sink;
    struct sink_session session;
    struct buf said; /* all that was replied */
};

static void set_up(struct fixture *f, const char *const *words)
{
    char *argv[12] = {NULL};
    int argc = 1;
    struct err err;
    *f = (struct fixture){.sink = {.options = &f->options}};
    /* Options keep views of the words, and nobody writes to them. */
    for (size_t i = 0; words[i] != NULL; i++)
        argv[argc++] = (char *)(uintptr_t)words[i];
    if (sink_options_parse(&f->options, argc, argv, &err) != ERR_NONE)
        fail_msg("%s", err.text);
    f->sink.store.tmp_fd = f->sink.store.new_fd = -1;
    assert_int_equal(sink_log_init(&f->sink.log, NULL, &err), ERR_NONE);
    sink_tally_init(&f->sink.tally, 100);
    sink_session_init(&f->session, &f->sink, SINK_LISTENER_STARTTLS, 1);
    buf_init(&f->said, OUTPUT_MAX);
}

static void tear_down(struct fixture *f)
{
    sink_session_fini(&f->session);
    sink_tally_fini(&f->sink.tally);
    sink_log_fini(&f->sink.log);
    sink_options_fini(&f->options);
    buf_fini(&f->said);
}

static void take_replies(struct fixture *f)
{
    buf_add_str(&f->said, buf_str(&f->session.out));
    buf_truncate(&f->session.out, 0);
}

/* Feeds text in pieces of step bytes, as a connection would. */
static void say(struct fixture *f, struct str text, size_t step)
{
    size_t from = 0;
    size_t until = 0;
    take_replies(f);
    while (until < text.len) {
        until = until + step < text.len ? until + step : text.len;
        from += sink_session_feed(&f->session,
                                  str_of(text.data + from, until - from));
        take_replies(f);
        if (!sink_session_takes_input(&f->session))
            return;
    }
}

#define HELLO "EHLO a.org\r\n"
#define MAIL  "MAIL FROM:<a@b.org>\r\nRCPT TO:<c@d.org>\r\n"

struct row {
    const char *what;
    const char *words[10];
    const char *input;
    const char *codes; /* of the replies, without the greeting's and EHLO's */
    enum sink_want want;
    unsigned messages;
};

static const struct row rows[] = {
    {"a mail by DATA",
     {NULL},
     HELLO MAIL "DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n",
     "250 250 354 250 221",
     SINK_WANT_CLOSE,
     1},
    {"a mail by BDAT",
     {NULL},
     HELLO MAIL "BDAT 4\r\na\r\nbBDAT 0\r\nBDAT 3 LAST\r\nc\r\nQUIT\r\n",
     "250 250 250 250 250 221",
     SINK_WANT_CLOSE,
     1},
    {"BDAT that is empty",
     {NULL},
     HELLO MAIL "BDAT 0 LAST\r\n",
     "250 250 250",
     SINK_WANT_INPUT,
     1},
    {"commands in a chunk are content",
     {NULL},
     HELLO MAIL "BDAT 12 LAST\r\nQUIT\r\nQUIT\r\nNOOP\r\n",
     "250 250 250 250",
     SINK_WANT_INPUT,
     1},
    {"two mails on one connection",
     {NULL},
     HELLO MAIL "DATA\r\n.\r\n" MAIL "DATA\r\n..\r\n.\r\n",
     "250 250 354 250 250 250 354 250",
     SINK_WANT_INPUT,
     2},
    {"a command without its turn",
     {NULL},
     "MAIL FROM:<a@b>\r\n" HELLO
     "RCPT TO:<a@b>\r\nDATA\r\nBDAT 2\r\nxxRSET\r\n",
     "503 503 503 503 250",
     SINK_WANT_INPUT,
     0},
    {"nested MAIL",
     {NULL},
     HELLO "MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\n",
     "250 503 503",
     SINK_WANT_INPUT,
     0},
    {"RSET forgets",
     {NULL},
     HELLO MAIL "RSET\r\nDATA\r\n",
     "250 250 250 503",
     SINK_WANT_INPUT,
     0},
    {"DATA behind BDAT, then RSET",
     {NULL},
     HELLO MAIL "BDAT 1\r\nxDATA\r\nRCPT TO:<e@f>\r\nRSET\r\n" MAIL,
     "250 250 250 503 503 250 250 250",
     SINK_WANT_INPUT,
     0},
    {"no valid recipient",
     {"--smtp", "0", "--fault", "rcpt:reply=550 5.1.1 no", NULL},
     HELLO MAIL "DATA\r\nBDAT 3 LAST\r\nxxxNOOP\r\n",
     "250 550 554 554 250",
     SINK_WANT_INPUT,
     0},
    {"a chunk that fails wants RSET",
     {"--smtp", "0", "--fault", "bdat:count=1,reply=451 4.3.0 no", NULL},
     HELLO MAIL "BDAT 1\r\nxBDAT 1 LAST\r\nx" MAIL "BDAT 1 LAST\r\nx",
     "250 250 451 503 250 250 250",
     SINK_WANT_INPUT,
     1},
    {"MAIL behind a failed chunk",
     {"--smtp", "0", "--fault", "bdat:reply=451 4.3.0 no", NULL},
     HELLO MAIL "BDAT 1\r\nxMAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\n",
     "250 250 451 503 250 250",
     SINK_WANT_INPUT,
     0},
    {"too large, by DATA, then all is well",
     {"--smtp", "0", "--max-size", "10", NULL},
     HELLO MAIL "DATA\r\n123456789\r\n.\r\n" MAIL "DATA\r\n12345678\r\n.\r\n",
     "250 250 354 552 250 250 354 250",
     SINK_WANT_INPUT,
     1},
    {"too large, by BDAT",
     {"--smtp", "0", "--max-size", "3", NULL},
     HELLO MAIL "BDAT 4 LAST\r\nxxxxNOOP\r\n" MAIL "BDAT 4\r\nxxxxRSET\r\n",
     "250 250 552 250 250 250 552 250",
     SINK_WANT_INPUT,
     0},
    {"too large, declared",
     {"--smtp", "0", "--max-size", "10", NULL},
     HELLO "MAIL FROM:<a@b> SIZE=11\r\nMAIL FROM:<a@b> SIZE=10\r\n",
     "552 250",
     SINK_WANT_INPUT,
     0},
    {"too many recipients",
     {"--smtp", "0", "--max-recipients", "2", NULL},
     HELLO MAIL "RCPT TO:<e@f>\r\nRCPT TO:<g@h>\r\nDATA\r\n.\r\n",
     "250 250 250 452 354 250",
     SINK_WANT_INPUT,
     1},
    {"enough messages",
     {"--smtp", "0", "--max-messages", "1", NULL},
     HELLO MAIL "DATA\r\n.\r\nMAIL FROM:<a@b>\r\nNOOP\r\n",
     "250 250 354 250 421",
     SINK_WANT_CLOSE,
     1},
    {"too many errors",
     {"--smtp", "0", "--max-errors", "2", NULL},
     HELLO "FOO\r\nBAR\r\nNOOP\r\n",
     "500 500 421",
     SINK_WANT_CLOSE,
     0},
    {"lines that are none",
     {NULL},
     HELLO "NOOP\nNO\rOP\r\n\r\nNOOP\r\n",
     "500 500 500 250",
     SINK_WANT_INPUT,
     0},
    {"the small commands",
     {NULL},
     HELLO "NOOP\r\nHELP\r\nVRFY a\r\nVRFY\r\nEXPN a\r\nRSET x\r\nDATA x\r\n"
           "EHLO\r\n",
     "250 214 252 501 502 501 501 501",
     SINK_WANT_INPUT,
     0},
    {"AUTH PLAIN at once and by a prompt",
     {"--smtp", "0", "--auth", "u:p", "--require-auth", NULL},
     HELLO "MAIL FROM:<a@b>\r\nAUTH PLAIN AHUAcA==\r\nAUTH PLAIN AHUAcA==\r\n"
           "MAIL FROM:<a@b>\r\nAUTH PLAIN\r\n",
     "530 235 503 250 503",
     SINK_WANT_INPUT,
     0},
    {"AUTH PLAIN by a prompt",
     {"--smtp", "0", "--auth", "u:p", NULL},
     HELLO "AUTH PLAIN\r\nAHUAcA==\r\n",
     "334 235",
     SINK_WANT_INPUT,
     0},
    {"AUTH LOGIN in both ways",
     {"--smtp", "0", "--auth", "u:p", NULL},
     HELLO "AUTH LOGIN\r\ndQ==\r\neA==\r\nAUTH LOGIN dQ==\r\ncA==\r\n",
     "334 334 535 334 235",
     SINK_WANT_INPUT,
     0},
    {"AUTH that is wrong",
     {"--smtp", "0", "--auth", "u:p", NULL},
     HELLO "AUTH\r\nAUTH FOO\r\nAUTH PLAIN !\r\nAUTH PLAIN dQ==\r\n"
           "AUTH LOGIN\r\n*\r\nAUTH PLAIN AHUAcQ==\r\nAUTH PLAIN =\r\nNOOP\r\n",
     "501 504 501 501 334 501 535 501 250",
     SINK_WANT_INPUT,
     0},
    {"AUTH not before EHLO and not in a transaction",
     {NULL},
     "AUTH LOGIN\r\nHELO a\r\nAUTH LOGIN\r\n" HELLO
     "MAIL FROM:<a@b>\r\nAUTH LOGIN\r\n",
     "503 250 503 250 503",
     SINK_WANT_INPUT,
     0},
    {"AUTH over TLS only",
     {"--smtp", "0", "--auth-needs-tls", NULL},
     HELLO "AUTH LOGIN\r\n",
     "538",
     SINK_WANT_INPUT,
     0},
    {"STARTTLS",
     {NULL},
     "STARTTLS\r\n" HELLO "STARTTLS x\r\nSTARTTLS\r\n",
     "503 501 220",
     SINK_WANT_TLS,
     0},
    {"TLS demanded",
     {"--starttls", "0", "--require-tls", NULL},
     HELLO "MAIL FROM:<a@b>\r\n",
     "530",
     SINK_WANT_INPUT,
     0},
    {"HELO knows no extensions",
     {NULL},
     "HELO a\r\nMAIL FROM:<a@b> SIZE=1\r\nBDAT 1\r\nMAIL FROM:<a@b>\r\n",
     "250 555 502 250",
     SINK_WANT_INPUT,
     0},
    {"a refusal at MAIL has no effect",
     {"--smtp", "0", "--fault", "mail:count=1,reply=451 4.3.2 later", NULL},
     HELLO MAIL MAIL "DATA\r\n.\r\n",
     "451 503 250 250 354 250",
     SINK_WANT_INPUT,
     1},
    {"a refusal at DATA leaves the transaction",
     {"--smtp", "0", "--fault", "data:count=1,reply=451 4.3.2 later", NULL},
     HELLO MAIL "DATA\r\nDATA\r\n.\r\n",
     "250 250 451 354 250",
     SINK_WANT_INPUT,
     1},
    {"a refusal of the final dot",
     {"--smtp", "0", "--fault", "final:match=c@*,count=1,reply=554 5.6.0 no",
      NULL},
     HELLO MAIL "DATA\r\n.\r\n" MAIL "BDAT 0 LAST\r\n",
     "250 250 354 554 250 250 250",
     SINK_WANT_INPUT,
     1},
    {"a refused BDAT keeps the transaction on request, until RSET",
     {"--smtp", "0", "--keep-transaction", "--fault",
      "final:count=1,reply=554 5.6.0 no", NULL},
     HELLO MAIL "BDAT 1 LAST\r\nx" MAIL "BDAT 1 LAST\r\nxRSET\r\n" MAIL
                "BDAT 1 LAST\r\nx",
     "250 250 554 503 250 250 250 250 250 250",
     SINK_WANT_INPUT,
     2},
    {"a refused DATA does not",
     {"--smtp", "0", "--keep-transaction", "--fault",
      "final:count=1,reply=554 5.6.0 no", NULL},
     HELLO MAIL "DATA\r\n.\r\n" MAIL "DATA\r\n.\r\n",
     "250 250 354 554 250 250 354 250",
     SINK_WANT_INPUT,
     1},
    {"a last chunk without valid recipients keeps it, too",
     {"--smtp", "0", "--keep-transaction", "--fault",
      "rcpt:count=1,reply=550 5.1.1 no", NULL},
     HELLO MAIL "BDAT 1 LAST\r\nx" MAIL "BDAT 1 LAST\r\nx",
     "250 550 554 503 250 250",
     SINK_WANT_INPUT,
     1},
    {"but not a part of its content",
     {"--smtp", "0", "--keep-transaction", "--fault",
      "bdat:count=1,reply=451 4.3.0 no", NULL},
     HELLO MAIL "BDAT 1\r\nxBDAT 1\r\nxBDAT 1 LAST\r\nx"
                "RSET\r\n",
     "250 250 451 503 503 250",
     SINK_WANT_INPUT,
     0},
    {"a flight of mails of which one has no valid recipient",
     {"--smtp", "0", "--fault", "rcpt:skip=1,count=1,reply=550 5.1.1 no", NULL},
     HELLO "RSET\r\n" MAIL "BDAT 2 LAST\r\nxxRSET\r\n" MAIL
           "BDAT 2 LAST\r\nxxRSET\r\n" MAIL "BDAT 2 LAST\r\nxx",
     "250 250 250 250 250 250 550 554 250 250 250 250",
     SINK_WANT_INPUT,
     2},
    {"421 in the middle of a flight ends it there",
     {"--smtp", "0", "--fault", "mail:skip=1,reply=421 4.3.2 bye", NULL},
     HELLO MAIL "BDAT 2 LAST\r\nxxRSET\r\n" MAIL "BDAT 2 LAST\r\nxx",
     "250 250 250 250 421",
     SINK_WANT_CLOSE,
     1},
    {"a drop in the middle of a flight, at RSET",
     {"--smtp", "0", "--fault", "rset:drop", NULL},
     HELLO MAIL "BDAT 2 LAST\r\nxxRSET\r\n" MAIL "BDAT 2 LAST\r\nxx",
     "250 250 250",
     SINK_WANT_DROP,
     1},
    {"421 by a fault closes",
     {"--smtp", "0", "--fault", "rcpt:reply=421 4.3.2 bye", NULL},
     HELLO MAIL "NOOP\r\n",
     "250 421",
     SINK_WANT_CLOSE,
     0},
    {"a drop behind the final dot takes the message",
     {"--smtp", "0", "--fault", "final:drop", NULL},
     HELLO MAIL "DATA\r\n.\r\nNOOP\r\n",
     "250 250 354",
     SINK_WANT_DROP,
     1},
    {"unless it is discarded",
     {"--smtp", "0", "--fault", "final:discard,reset", NULL},
     HELLO MAIL "DATA\r\n.\r\nNOOP\r\n",
     "250 250 354",
     SINK_WANT_RESET,
     0},
    {"a drop in the middle of the content",
     {"--smtp", "0", "--fault", "body:after=5,drop", NULL},
     HELLO MAIL "DATA\r\n12345678\r\n.\r\n",
     "250 250 354",
     SINK_WANT_DROP,
     0},
    {"a drop in the middle of a chunk",
     {"--smtp", "0", "--fault", "body:after=5,stall", NULL},
     HELLO MAIL "BDAT 6 LAST\r\n123456",
     "250 250",
     SINK_WANT_STALL,
     0},
    {"content too short for the fault",
     {"--smtp", "0", "--fault", "body:after=500,drop", NULL},
     HELLO MAIL "DATA\r\n12345678\r\n.\r\nNOOP\r\n",
     "250 250 354 250 250",
     SINK_WANT_INPUT,
     1},
    {"a drop after so many bytes of anything",
     {"--smtp", "0", "--fault", "input:after=20,drop", NULL},
     HELLO "NOOP\r\nNOOP\r\n",
     "250",
     SINK_WANT_DROP,
     0},
};

/* "250 354 ": the code of each reply's last line. */
static void add_codes(struct str said, struct buf *out)
{
    while (said.len > 0) {
        size_t end = str_find(said, '\n');
        assert_true(said.len >= 6 && end < said.len);
        assert_int_equal(said.data[end - 1], '\r');
        if (said.data[3] == ' ' || said.data[3] == '\r') {
            if (out->len > 0)
                buf_add_char(out, ' ');
            buf_add(out, said.data, 3);
        }
        said = str_after(said, end + 1);
    }
}

/* EHLO's own replies are left out: each dialogue says it once or so. */
static void check(const struct row *row, size_t step)
{
    static const char *const plain[] = {"--starttls", "0", NULL};
    struct fixture f;
    struct buf codes;
    struct str hello = STR(HELLO);
    struct str input = str_from(row->input);
    set_up(&f, row->words[0] == NULL ? plain : row->words);
    buf_init(&codes, 1000);
    for (size_t at = 0; at <= input.len;) {
        struct str rest = str_after(input, at);
        size_t len = 0;
        while (len < rest.len && !str_starts(str_after(rest, len), hello))
            len++;
        say(&f, str_of(rest.data, len), step);
        at += len;
        if (at >= input.len)
            break;
        add_codes(buf_str(&f.said), &codes);
        buf_truncate(&f.said, 0);
        say(&f, hello, step);
        assert_true(str_starts(buf_str(&f.said), STR("250-localhost")));
        buf_truncate(&f.said, 0);
        at += hello.len;
    }
    add_codes(buf_str(&f.said), &codes);
    if (!str_equal(buf_str(&codes), str_from(row->codes)))
        fail_msg("%s, in steps of %zu: %.*s", row->what, step,
                 STR_ARG(buf_str(&codes)));
    if (f.session.want != row->want)
        fail_msg("%s, in steps of %zu: want %d", row->what, step,
                 (int)f.session.want);
    assert_int_equal(f.sink.counts.values[SINK_COUNT_MESSAGES], row->messages);
    buf_fini(&codes);
    tear_down(&f);
}

static void dialogues_go_the_same_however_they_come(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t step = 1; step < 24; step++)
            check(&rows[i], step);
        check(&rows[i], 1000);
    }
}

static void nothing_is_taken_over_into_tls(void **state)
{
    static const char *const words[] = {"--starttls", "0", NULL};
    struct fixture f;
    (void)state;
    set_up(&f, words);
    say(&f, STR(HELLO "STARTTLS\r\nMAIL FROM:<evil@x>\r\n"), 1000);
    assert_true(str_contains(buf_str(&f.said), STR("503 5.5.1 Nothing may")));
    assert_int_equal(f.session.want, SINK_WANT_INPUT);
    say(&f, STR("STARTTLS\r\n"), 1000);
    assert_int_equal(f.session.want, SINK_WANT_TLS);
    sink_session_tls_started(&f.session, "TLSv1.3");
    buf_truncate(&f.said, 0);
    say(&f, STR("MAIL FROM:<a@b>\r\n"), 1000);
    assert_true(str_starts(buf_str(&f.said), STR("503 5.5.1 EHLO")));
    say(&f, STR(HELLO "STARTTLS\r\n"), 1000);
    assert_false(str_contains(buf_str(&f.said), STR("250-STARTTLS")));
    assert_true(str_contains(buf_str(&f.said), STR("503 5.5.1 TLS is")));
    tear_down(&f);
}

static void long_lines_cost_no_memory(void **state)
{
    static const char *const words[] = {"--smtp", "0", "--max-line", "512",
                                        NULL};
    struct fixture f;
    static char x[600];
    (void)state;
    set_up(&f, words);
    memset(x, 'x', sizeof(x));
    /* A beginning of a line is given back until it is too long. */
    assert_int_equal(sink_session_feed(&f.session, str_of(x, 500)), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sink_session_feed(&f.session, str_of(x, 600)), 600);
    assert_int_equal(f.session.out.len, 0);
    assert_int_equal(sink_session_feed(&f.session, STR("\r\nNOOP\r\n")), 8);
    take_replies(&f);
    assert_true(str_starts(buf_str(&f.said), STR("500 5.5.2 Line too long")));
    assert_true(str_contains(buf_str(&f.said), STR("\r\n250 2.0.0 Ok")));
    tear_down(&f);
}

static void held_replies_wait_and_stop_the_input(void **state)
{
    static const char *const words[] = {
        "--smtp", "0", "--fault", "rcpt:delay=50,reply=550 5.1.1 no", NULL};
    struct fixture f;
    struct str rest = STR(MAIL "NOOP\r\n");
    (void)state;
    set_up(&f, words);
    say(&f, STR(HELLO), 1000);
    size_t used = sink_session_feed(&f.session, rest);
    assert_int_equal(used, STR(MAIL).len);
    assert_int_equal(f.session.hold_ms, 50);
    assert_int_equal(f.session.hold_at, STR("250 2.1.0 Ok\r\n").len);
    assert_int_equal(sink_session_feed(&f.session, str_after(rest, used)), 0);
    sink_session_release(&f.session);
    assert_int_equal(sink_session_feed(&f.session, str_after(rest, used)), 6);
    tear_down(&f);
}

static void half_a_reply_is_cut(void **state)
{
    static const char *const words[] = {"--smtp", "0", "--fault",
                                        "mail:half=6,stall", NULL};
    struct fixture f;
    (void)state;
    set_up(&f, words);
    say(&f, STR(HELLO), 1000);
    buf_truncate(&f.said, 0);
    say(&f, STR(MAIL), 1000);
    assert_true(str_equal(buf_str(&f.said), STR("250 2.")));
    assert_int_equal(f.session.want, SINK_WANT_STALL);
    tear_down(&f);
}

static void pipelining_against_the_rules_is_counted(void **state)
{
    static const char *const offered[] = {"--smtp", "0", NULL};
    static const char *const off[] = {"--smtp", "0", "--without", "PIPELINING",
                                      NULL};
    static const struct {
        const char *const *words;
        const char *input;
        unsigned errors;
    } rows_[] = {
        {offered, MAIL "DATA\r\n", 0},
        {offered, MAIL "BDAT 1 LAST\r\nx" MAIL, 0},
        {offered, MAIL "DATA\r\nx\r\n.\r\n", 1},
        {offered, "NOOP\r\n" MAIL, 1},
        {off, "MAIL FROM:<a@b>\r\n", 0},
        {off, MAIL, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows_) / sizeof(rows_[0]); i++) {
        struct fixture f;
        set_up(&f, rows_[i].words);
        say(&f, STR(HELLO), 1000);
        say(&f, str_from(rows_[i].input), 1000);
        assert_int_equal(f.sink.counts.values[SINK_COUNT_PIPELINING_ERRORS],
                         rows_[i].errors);
        tear_down(&f);
    }
}

static void enhanced_codes_can_be_off(void **state)
{
    static const char *const words[] = {"--smtp", "0", "--without",
                                        "ENHANCEDSTATUSCODES", NULL};
    struct fixture f;
    (void)state;
    set_up(&f, words);
    say(&f, STR("NOOP\r\n"), 1000);
    assert_true(str_equal(buf_str(&f.said), STR("250 Ok\r\n")));
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogues_go_the_same_however_they_come),
        cmocka_unit_test(nothing_is_taken_over_into_tls),
        cmocka_unit_test(long_lines_cost_no_memory),
        cmocka_unit_test(held_replies_wait_and_stop_the_input),
        cmocka_unit_test(half_a_reply_is_cut),
        cmocka_unit_test(pipelining_against_the_rules_is_counted),
        cmocka_unit_test(enhanced_codes_can_be_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
