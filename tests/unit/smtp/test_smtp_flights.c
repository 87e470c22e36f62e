#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "smtp/content.h"
#include "tests/unit/smtp/exchange.h"

#define ONE_BY_ONE  .unconfirmed = 1
#define PIPELINE    .pipelining = true, .unconfirmed = 1
#define BDAT(count) .pipelining = true, .chunking = true, .unconfirmed = count

/* Of flights, in short: of mail k with one recipient. */
#define MAIL(k) "MAIL FROM:<s" k "@x>\r\n"
#define RCPT(k) "RCPT TO:<r0m" k "@x>\r\n"
#define TO(k)   MAIL(k) RCPT(k)
#define RSET    "RSET\r\n"
#define DATA    "DATA\r\n"
#define TEXT(k) "Subject: mail " k "\r\n\r\n..dot\r\n...\r\nend\r\n.\r\n"
#define CHUNK(k)                                                               \
    "BDAT 34 LAST\r\nSubject: mail " k "\r\n\r\n.dot\r\n..\r\nend\r\n"
#define QUIT "QUIT\r\n"

/* A play, and what must have been written, each write by itself. */
struct flights {
    const char *name;
    struct exchange_options options;
    const char *outcomes; /* of the first recipient of each mail */
    const char *writes[16];
};

static const struct flights flights[] = {
    {"one by one",
     {ONE_BY_ONE, .mails = 2, .recipients = 1},
     "dd",
     {MAIL("0"), RCPT("0"), DATA, TEXT("0"), MAIL("1"), RCPT("1"), DATA,
      TEXT("1"), QUIT}},
    {"chunking without pipelining is not used",
     {.chunking = true, .unconfirmed = 1, .mails = 1, .recipients = 1},
     "d",
     {MAIL("0"), RCPT("0"), DATA, TEXT("0"), QUIT}},
    {"one by one, refused recipients: RSET alone",
     {ONE_BY_ONE, .mails = 2, .recipients = 1,
      .rules = {{0, SMTP_STAGE_RCPT, 0, "550 no\r\n", false}}},
     "rd",
     {MAIL("0"), RCPT("0"), RSET, MAIL("1"), RCPT("1"), DATA, TEXT("1"), QUIT}},
    {"pipeline",
     {PIPELINE, .mails = 4, .recipients = 1},
     "dddd",
     {TO("0") DATA, TEXT("0") TO("1") DATA, TEXT("1") TO("2") DATA,
      TEXT("2") TO("3") DATA, TEXT("3"), QUIT}},
    {"pipeline, DATA refused: RSET, and MAIL once it is answered",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {{0, SMTP_STAGE_RCPT, 0, "550 no\r\n", false}}},
     "rd",
     {TO("0") DATA, RSET, TO("1") DATA, TEXT("1"), QUIT}},
    {"pipeline, MAIL refused, and all that follows from it",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {{0, SMTP_STAGE_MAIL, 0, "451 no\r\n", false}}},
     "fd",
     {TO("0") DATA, RSET, TO("1") DATA, TEXT("1"), QUIT}},
    {"pipeline, 354 for nobody: the lone dot",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {{0, SMTP_STAGE_RCPT, 0, "550 no\r\n", false},
                {0, SMTP_STAGE_DATA, 0, "354 go\r\n", false}}},
     "rd",
     {TO("0") DATA, ".\r\n" RSET, TO("1") DATA, TEXT("1"), QUIT}},
    {"pipeline, 354 for nobody, MAIL refused: the lone dot",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {{0, SMTP_STAGE_MAIL, 0, "550 no\r\n", false},
                {0, SMTP_STAGE_DATA, 0, "354 go\r\n", false}}},
     "rd",
     {TO("0") DATA, ".\r\n" RSET, TO("1") DATA, TEXT("1"), QUIT}},
    {"pipeline, the message refused: no RSET",
     {PIPELINE, .mails = 2, .recipients = 1,
      .rules = {{0, SMTP_STAGE_FINAL, 0, "554 no\r\n", false}}},
     "rd",
     {TO("0") DATA, TEXT("0") TO("1") DATA, TEXT("1"), QUIT}},
    {"bdat, one unconfirmed",
     {BDAT(1), .mails = 3, .recipients = 1},
     "ddd",
     {TO("0") CHUNK("0"), TO("1") CHUNK("1"), TO("2") CHUNK("2"), QUIT}},
    {"bdat, one unconfirmed, a chunk refused: RSET alone",
     {BDAT(1), .mails = 3, .recipients = 1,
      .rules = {{0, SMTP_STAGE_FINAL, 0, "451 no\r\n", false}}},
     "fdd",
     {TO("0") CHUNK("0"), RSET, TO("1") CHUNK("1"), TO("2") CHUNK("2"), QUIT}},
    {"bdat, one unconfirmed, all recipients refused: RSET alone",
     {BDAT(1), .mails = 2, .recipients = 1,
      .rules = {{0, SMTP_STAGE_RCPT, 0, "550 no\r\n", false}}},
     "rd",
     {TO("0") CHUNK("0"), RSET, TO("1") CHUNK("1"), QUIT}},
    {"bdat, four unconfirmed: RSET before each but the first",
     {BDAT(4), .mails = 4, .recipients = 1},
     "dddd",
     {TO("0") CHUNK("0") RSET TO("1") CHUNK("1") RSET TO("2") CHUNK("2")
          RSET TO("3") CHUNK("3"),
      QUIT}},
    {"bdat, two unconfirmed, one refused: nobody else suffers",
     {BDAT(2), .mails = 3, .recipients = 1,
      .rules = {{0, SMTP_STAGE_MAIL, 0, "550 no\r\n", false}}},
     "rdd",
     {TO("0") CHUNK("0") RSET TO("1") CHUNK("1"), RSET TO("2") CHUNK("2"),
      QUIT}},
};

static void check_writes(const char *name, const struct exchange_result *r,
                         const char *const *writes)
{
    size_t i = 0;
    for (; writes[i] != NULL && i < r->writes; i++)
        if (!str_equal(exchange_write(r, i), str_from(writes[i])))
            fail_msg("%s: write %zu is [%.*s], not [%s]", name, i,
                     STR_ARG(exchange_write(r, i)), writes[i]);
    if (writes[i] != NULL || i < r->writes)
        fail_msg("%s: %zu writes, others expected", name, r->writes);
}

static void check_outcomes(const char *name, const struct exchange_result *r,
                           const char *outcomes)
{
    char got[EXCHANGE_MAILS + 1] = "";
    for (size_t k = 0; k < r->results; k++)
        got[k] = r->outcomes[k][0];
    if (strcmp(got, outcomes) != 0)
        fail_msg("%s: %s, not %s (%s)", name, got, outcomes,
                 r->closing.err.text);
}

static void each_flight_holds_what_may_be_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(flights) / sizeof(flights[0]); i++) {
        const struct flights *f = &flights[i];
        struct exchange_result r;
        exchange_play(&f->options, &r);
        check_outcomes(f->name, &r, f->outcomes);
        check_writes(f->name, &r, f->writes);
        assert_true(r.closing.by_us);
        exchange_result_fini(&r);
    }
}

/* ---- bodies ---- */

/* Lines, dots among them; its end is no line's. */
static struct body *make_body(size_t size, struct buf *text)
{
    for (size_t i = 0; i < size; i++)
        buf_add_char(text, i % 80 == 78   ? '\r'
                           : i % 80 == 79 ? '\n'
                           : i % 7 == 0   ? '.'
                                          : (char)('a' + i % 26));
    char *data = mem_alloc(size + 1);
    if (size > 0)
        memcpy(data, text->data, size);
    if (size > 0 && size % 80 != 0)
        buf_add_text(text, "\r\n");
    return body_from_memory(data, size);
}

static void check_bodies(const struct exchange_options *options, size_t size,
                         size_t mails)
{
    struct buf one;
    struct buf all;
    struct exchange_result r;
    struct exchange_options o = *options;
    buf_init(&one, 64U << 20);
    buf_init(&all, 64U << 20);
    o.body = make_body(size, &one);
    o.mails = mails;
    o.recipients = 1;
    exchange_play(&o, &r);
    for (size_t k = 0; k < mails; k++) {
        assert_string_equal(r.outcomes[k], "d");
        buf_add_str(&all, buf_str(&one));
    }
    assert_true(str_equal(buf_str(&r.took), buf_str(&all)));
    exchange_result_fini(&r);
    body_unref(o.body);
    buf_fini(&one);
    buf_fini(&all);
}

static const struct exchange_options ways[] = {
    {ONE_BY_ONE}, {PIPELINE}, {BDAT(1)}, {BDAT(3)}, {BDAT(16)}};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void bodies_of_any_size_arrive_in_each_way(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,      1,      78,     80,    16000,
                                   16300,  16384,  20000,  40000, 131070,
                                   131072, 131073, 1 << 20};
    for (size_t w = 0; w < WAYS; w++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            check_bodies(&ways[w], sizes[i], 4);
}

static void a_connection_may_take_what_it_likes(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 100, 5000};
    for (size_t w = 0; w < WAYS; w++)
        for (size_t i = 0; i < 4; i++) {
            struct exchange_options options = ways[w];
            options.piece = pieces[i];
            check_bodies(&options, pieces[i] < 100 ? 300 : 140000, 3);
        }
}

static void sixteen_messages_are_one_flight(void **state)
{
    (void)state;
    struct exchange_options options = {BDAT(16), .mails = 16, .recipients = 2};
    struct exchange_result r;
    exchange_play(&options, &r);
    assert_int_equal(r.results, 16);
    assert_int_equal(r.writes, 2); /* and QUIT */
    exchange_result_fini(&r);
}

/* How much of a body of 1 MiB left for a mail that nobody may have. */
static void a_large_body_is_not_sent_for_nobody(void **state)
{
    (void)state;
    struct buf text;
    struct exchange_options options = {
        BDAT(4), .mails = 3, .recipients = 1,
        .rules = {{0, SMTP_STAGE_RCPT, 0, "550 no\r\n", false},
                  {1, SMTP_STAGE_RCPT, 0, "550 no\r\n", false},
                  {2, SMTP_STAGE_RCPT, 0, "450 no\r\n", false}}};
    struct exchange_result r;
    buf_init(&text, 64U << 20);
    options.body = make_body(1U << 20, &text);
    exchange_play(&options, &r);
    assert_true(r.stream.len < 1000);
    check_outcomes("large", &r, "rrf");
    exchange_result_fini(&r);
    body_unref(options.body);
    buf_fini(&text);
}

/* The next mail has a write of its own, when the last byte has left. */
static void nothing_is_begun_behind_a_large_body(void **state)
{
    (void)state;
    struct buf text;
    struct exchange_options options = {BDAT(4), .mails = 2, .recipients = 1};
    struct exchange_result r;
    bool is_start = false;
    buf_init(&text, 64U << 20);
    options.body = make_body(SMTP_CONTENT_SLICE * 10, &text);
    exchange_play(&options, &r);
    check_outcomes("large", &r, "dd");
    for (size_t i = 1; i < r.writes; i++)
        is_start = is_start || str_starts(exchange_write(&r, i), STR(RSET));
    assert_true(is_start);
    exchange_result_fini(&r);
    body_unref(options.body);
    buf_fini(&text);
}

/* A file that was cut since somebody looked at it. */
static struct body *damaged_body(size_t size, size_t left)
{
    bool is_8bit;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), (off_t)size), 0);
    struct body *body = body_from_file(dup(fileno(file)), size);
    assert_int_equal(body_is_8bit(body, &is_8bit), ERR_NONE);
    assert_int_equal(ftruncate(fileno(file), (off_t)left), 0);
    assert_int_equal(fclose(file), 0);
    return body;
}

static void an_unreadable_body_is_never_finished(void **state)
{
    (void)state;
    for (size_t w = 0; w < WAYS; w++)
        for (size_t left = 0; left <= 20000; left += 20000) {
            struct exchange_options options = ways[w];
            struct exchange_result r;
            options.mails = 2;
            options.recipients = 1;
            options.body = damaged_body(40000, left);
            exchange_play(&options, &r);
            assert_string_equal(r.outcomes[0], "f");
            assert_int_equal(r.took.len, 0);
            assert_true(r.closing.by_us);
            exchange_result_fini(&r);
            body_unref(options.body);
        }
}

/* Confirmations asked of the kernel; linked with --wrap=setsockopt. */
static size_t confirmations;

int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size);
int __real_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size);

int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size)
{
    if (level == IPPROTO_TCP && name == TCP_QUICKACK)
        confirmations++;
    return __real_setsockopt(fd, level, name, value, size);
}

struct waiting {
    const char *name;
    struct exchange_options options;
    size_t confirmations;
};

#define SILENT(at) .rules = {{0, at, 0, "", false}}

static const struct waiting waitings[] = {
    {"one by one, nothing is waited for with a part of the replies",
     {ONE_BY_ONE, .mails = 2, .recipients = 2},
     0},
    {"pipeline, replies in one piece",
     {PIPELINE, .mails = 3, .recipients = 2},
     0},
    {"BDAT, replies in one piece", {BDAT(1), .mails = 3, .recipients = 2}, 0},
    {"pipeline, DATA is not answered yet",
     {PIPELINE, .mails = 1, .recipients = 1, SILENT(SMTP_STAGE_DATA)},
     1},
    {"pipeline, the message is not answered yet: all else was",
     {PIPELINE, .mails = 1, .recipients = 1, SILENT(SMTP_STAGE_FINAL)},
     0},
    {"BDAT, the message is not answered yet",
     {BDAT(1), .mails = 1, .recipients = 1, SILENT(SMTP_STAGE_FINAL)},
     1},
};

/* A relay may keep what we wait for back until then. */
static void a_part_of_the_replies_is_confirmed_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(waitings) / sizeof(waitings[0]); i++) {
        struct exchange_options options = waitings[i].options;
        struct exchange_result r;
        options.end =
            options.mails == 1 ? EXCHANGE_END_LOST : EXCHANGE_END_QUIT;
        confirmations = 0;
        exchange_play(&options, &r);
        if (confirmations != waitings[i].confirmations)
            fail_msg("%s: %zu confirmations", waitings[i].name, confirmations);
        exchange_result_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_flight_holds_what_may_be_said),
        cmocka_unit_test(bodies_of_any_size_arrive_in_each_way),
        cmocka_unit_test(a_connection_may_take_what_it_likes),
        cmocka_unit_test(sixteen_messages_are_one_flight),
        cmocka_unit_test(a_large_body_is_not_sent_for_nobody),
        cmocka_unit_test(nothing_is_begun_behind_a_large_body),
        cmocka_unit_test(an_unreadable_body_is_never_finished),
        cmocka_unit_test(a_part_of_the_replies_is_confirmed_at_once),
    };
    return cmocka_run_group_tests(tests, exchange_global_setup,
                                  exchange_global_teardown);
}
