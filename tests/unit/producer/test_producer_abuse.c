#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/random.h"
#include "producer/conn_set.h"
#include "tests/unit/producer/desk.h"
#include "tests/unit/producer/office.h"

#define MAIL "\"from\":\"a@x.org\",\"to\":\"b@x.org\",\"text\":\"hi\""

/* Idle for so long, in tests that see the end of it. */
#define SHORT_MS 200

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* Somebody else is served as if nothing were. */
static void expect_good_service(struct office *o)
{
    struct caller c;
    caller_tcp(&c, o);
    caller_say(&c, "{\"op\":\"ping\"}\n");
    caller_expect(&c, "\"ok\":true");
    caller_close(&c);
}

/* Until all other connections are closed. */
static void expect_alone(struct office *o)
{
    const int64_t until = now_ms() + PATIENCE_MS;
    struct caller c;
    bool alone;
    do {
        assert_true(now_ms() < until);
        caller_tcp(&c, o);
        caller_say(&c, "{\"op\":\"stats\"}\n");
        alone = strstr(caller_hear(&c), "\"connections_open\":1,") != NULL;
        caller_close(&c);
    } while (!alone);
}

/* ---- frames ---- */

static void frames_over_the_limit_end_the_connection(void **state)
{
    struct office o;
    struct caller c;
    struct producer_limits limits = office_limits();
    char *text = mem_alloc(300000);
    (void)state;
    limits.frame_bytes = 100000;
    office_open(&o, &limits, 100);
    memset(text, 'x', 300000);
    text[0] = '{';
    caller_tcp(&c, &o);
    caller_say(&c, "{\"op\":\"ping\",\"ref\":1}\n");
    (void)caller_push(&c, text, 300000); /* the reply is not lost by that */
    caller_expect(&c, "\"ref\":1,");
    caller_expect(&c, "\"error\":\"too_large\"");
    caller_expect_clean_end(&c);
    caller_close(&c);

    caller_tcp(&c, &o);
    caller_say_frame(&c, "{\"op\":\"ping\",\"ref\":1}");
    caller_say_bytes(&c, "\x00\x01\x86\xa1", 4);
    (void)caller_push(&c, text, 300000);
    assert_non_null(strstr(caller_hear_frame(&c), "\"ref\":1,"));
    assert_non_null(strstr(caller_hear_frame(&c), "\"error\":\"too_large\""));
    caller_expect_clean_end(&c);
    caller_close(&c);

    caller_tcp(&c, &o);
    caller_say_bytes(&c, "\0\0\0\0\0\0\0\2{}", 10);
    assert_non_null(strstr(caller_hear_frame(&c), "\"error\":\"bad_frame\""));
    caller_expect_end(&c);
    caller_close(&c);
    expect_good_service(&o);
    mem_free(text);
    office_close(&o);
}

static void raw_bytes_end_the_connection(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    caller_say(&c, "{\"op\":\"submit\",\"from\":\"a@x.org\",\"raw_bytes\":15}\n"
                   "{\"op\":\"ping\"}\n");
    caller_expect(&c, "\"error\":\"unknown_field\",\"field\":\"raw_bytes\"");
    caller_expect_end(&c);
    caller_close(&c);
    office_close(&o);
}

static void half_a_request_at_the_end_is_refused(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    caller_say(&c, "{\"op\":\"ping\"}\n{" MAIL);
    caller_finish(&c);
    caller_expect(&c, "\"ok\":true");
    caller_expect(&c, "\"error\":\"bad_json\"");
    caller_expect_end(&c);
    caller_close(&c);
    caller_tcp(&c, &o);
    caller_say_bytes(&c, "\0\0\0\3{}", 6);
    caller_finish(&c);
    assert_non_null(strstr(caller_hear_frame(&c), "\"error\":\"bad_frame\""));
    caller_expect_end(&c);
    caller_close(&c);
    caller_unix(&c, &o);
    caller_say(&c, "{" MAIL);
    caller_close(&c);
    expect_good_service(&o);
    assert_int_equal(office_accepted(&o), 0);
    office_close(&o);
}

static void the_last_line_needs_no_line_end(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    caller_say(&c, "{\"op\":\"ping\"}\n{" MAIL ",\"ref\":2}\r");
    caller_finish(&c);
    caller_expect(&c, "\"ok\":true");
    caller_expect(&c, "\"ref\":2,\"id\":");
    caller_expect_end(&c);
    caller_close(&c);
    office_close(&o);
}

static void garbage_harms_nobody(void **state)
{
    struct office o;
    struct caller c;
    struct random random;
    unsigned char noise[4096];
    (void)state;
    office_open(&o, NULL, 100);
    random_init(&random, 4711);
    for (int round = 0; round < 200; round++) {
        size_t len = 1 + random_below(&random, sizeof(noise) - 1);
        for (size_t i = 0; i < len; i++)
            noise[i] = (unsigned char)random_next(&random);
        if (round % 2 == 0)
            noise[0] = '{';
        if (round % 4 == 1) /* a length that fits */
            memset(noise, 0, len < 3 ? len : 3);
        caller_tcp(&c, &o);
        (void)caller_push(&c, noise, len);
        caller_finish(&c);
        caller_hear_all(&c);
        caller_close(&c);
    }
    expect_good_service(&o);
    office_close(&o);
}

/* ---- time ---- */

static void who_says_nothing_is_let_go(void **state)
{
    struct office o;
    struct caller c;
    struct caller asked;
    struct producer_limits limits = office_limits();
    (void)state;
    limits.idle_ms = SHORT_MS;
    office_open(&o, &limits, 100);
    int64_t begun = now_ms();
    caller_tcp(&c, &o);
    caller_unix(&asked, &o);
    caller_say(&asked, "{\"op\":\"ping\"}\n");
    caller_expect(&asked, "\"ok\":true");
    caller_expect_end(&c);
    caller_expect_end(&asked);
    assert_true(now_ms() - begun >= SHORT_MS);
    caller_close(&c);
    caller_close(&asked);
    office_close(&o);
}

static void who_waits_for_an_answer_is_not_idle(void **state)
{
    struct office o;
    struct caller c;
    struct producer_limits limits = office_limits();
    char json[128];
    (void)state;
    limits.idle_ms = SHORT_MS;
    office_open(&o, &limits, 100);
    caller_tcp(&c, &o);
    caller_say(&c, "{" MAIL "}\n");
    struct id id = desk_id(caller_hear(&c));
    (void)snprintf(json, sizeof(json),
                   "{\"op\":\"wait\",\"id\":\"%s\",\"timeout_ms\":%d}\n",
                   id.text, 4 * SHORT_MS);
    caller_say(&c, json);
    caller_expect(&c, "\"state\":\"queued\"");
    caller_expect_end(&c); /* now it is */
    caller_close(&c);
    office_close(&o);
}

static void a_byte_now_and_then_holds_no_connection(void **state)
{
    struct office o;
    struct caller c;
    struct producer_limits limits = office_limits();
    (void)state;
    limits.idle_ms = SHORT_MS;
    office_open(&o, &limits, 100);
    caller_tcp(&c, &o);
    int64_t begun = now_ms();
    caller_say(&c, "{");
    /* It never is silent for as long as that, but it gets nowhere. */
    while (recv(c.fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
        assert_true(now_ms() - begun < PATIENCE_MS);
        (void)send(c.fd, " ", 1, MSG_NOSIGNAL);
        (void)poll(NULL, 0, SHORT_MS / 10);
    }
    caller_expect(&c, "\"error\":\"bad_frame\"");
    caller_expect_end(&c);
    caller_close(&c);
    office_close(&o);
}

static void who_takes_no_replies_is_cut(void **state)
{
    struct office o;
    struct caller c;
    struct producer_limits limits = office_limits();
    char *text = mem_alloc(32 << 20);
    size_t len = 0;
    (void)state;
    limits.idle_ms = SHORT_MS;
    office_open(&o, &limits, 100);
    caller_unix(&c, &o);
    while (len < (32 << 20) - 32) {
        memcpy(text + len, "{\"op\":\"stats\"}\n", 15);
        len += 15;
    }
    /* Not all of it goes: it stops being read. */
    assert_true(caller_push(&c, text, len) < len);
    assert_true(metrics_get(&o.metrics, METRIC_REQUESTS) < 5000);
    expect_good_service(&o);
    expect_alone(&o);
    mem_free(text);
    caller_close(&c);
    office_close(&o);
}

/* ---- numbers ---- */

static void connections_are_bounded(void **state)
{
    struct office o;
    struct caller c[3];
    struct caller extra;
    struct producer_limits limits = office_limits();
    (void)state;
    limits.connections = 3;
    office_open(&o, &limits, 100);
    for (int i = 0; i < 3; i++) {
        caller_tcp(&c[i], &o);
        caller_say(&c[i], "{\"op\":\"ping\"}\n");
        caller_expect(&c[i], "\"ok\":true");
    }
    caller_tcp(&extra, &o);
    caller_say(&extra, "{\"op\":\"ping\"}\n{\"op\":\"ping\"}\n");
    const char *reply = caller_hear(&extra);
    assert_non_null(strstr(reply, "\"error\":\"rate_limited\""));
    assert_non_null(strstr(reply, "\"retry\":true,\"retry_after_ms\":"));
    caller_expect_end(&extra);
    caller_close(&extra);
    caller_unix(&extra, &o);
    caller_say_frame(&extra, "{\"op\":\"ping\"}");
    assert_non_null(strstr(caller_hear_frame(&extra), "\"rate_limited\""));
    caller_expect_end(&extra);
    caller_close(&extra);
    for (int i = 0; i < 3; i++) {
        caller_say(&c[i], "{\"op\":\"ping\"}\n");
        caller_expect(&c[i], "\"ok\":true");
        caller_close(&c[i]);
    }
    assert_int_equal(metrics_get(&o.metrics, METRIC_CONNECTIONS_REFUSED), 2);
    office_close(&o);
}

static void those_beyond_the_surplus_are_told_too(void **state)
{
    enum { COUNT = CONN_SET_SURPLUS + 5 };
    struct office o;
    struct caller c[COUNT];
    struct producer_limits limits = office_limits();
    (void)state;
    limits.connections = 1;
    office_open(&o, &limits, 100);
    for (int i = 0; i < COUNT; i++)
        caller_tcp(&c[i], &o);
    /* The last ones are told before they say anything. */
    caller_expect(&c[COUNT - 1], "\"error\":\"rate_limited\"");
    caller_expect_end(&c[COUNT - 1]);
    caller_say(&c[0], "{\"op\":\"ping\"}\n");
    caller_expect(&c[0], "\"ok\":true");
    for (int i = 0; i < COUNT; i++)
        caller_close(&c[i]);
    office_close(&o);
}

static void a_place_is_kept_for_unix_sockets(void **state)
{
    enum { COUNT = 4 + 2 * CONN_SET_SURPLUS };
    struct office o;
    struct caller tcp[COUNT];
    struct caller c;
    struct caller extra;
    struct producer_limits limits = office_limits();
    (void)state;
    limits.connections = 4;
    office_open(&o, &limits, 100);
    for (int i = 0; i < 3; i++) {
        caller_tcp(&tcp[i], &o);
        caller_say(&tcp[i], "{\"op\":\"ping\"}\n");
        caller_expect(&tcp[i], "\"ok\":true");
    }
    caller_tcp(&extra, &o);
    caller_say(&extra, "{\"op\":\"ping\"}\n");
    caller_expect(&extra, "\"error\":\"rate_limited\"");
    caller_close(&extra);
    /* Nor do those help who wait to be told so, and more. */
    for (int i = 3; i < COUNT; i++)
        caller_tcp(&tcp[i], &o);
    caller_unix(&c, &o);
    caller_say(&c, "{\"op\":\"ping\"}\n");
    caller_expect(&c, "\"ok\":true");
    caller_unix(&extra, &o);
    caller_expect(&extra, "\"error\":\"rate_limited\"");
    caller_close(&extra);
    caller_close(&c);
    for (int i = 0; i < COUNT; i++)
        caller_close(&tcp[i]);
    office_close(&o);
}

static void requests_in_flight_are_bounded(void **state)
{
    struct office o;
    struct caller c;
    struct producer_limits limits = office_limits();
    char json[128];
    (void)state;
    limits.requests_in_flight = 4;
    office_open(&o, &limits, 100);
    caller_tcp(&c, &o);
    caller_say(&c, "{" MAIL "}\n");
    struct id id = desk_id(caller_hear(&c));
    int64_t before = metrics_get(&o.metrics, METRIC_REQUESTS);
    (void)snprintf(json, sizeof(json), "{\"op\":\"wait\",\"id\":\"%s\"}\n",
                   id.text);
    for (int i = 0; i < 10; i++)
        caller_say(&c, json);
    caller_expect_silence(&c, 100);
    assert_int_equal(metrics_get(&o.metrics, METRIC_REQUESTS) - before, 4);
    (void)desk_deliver(o.spool, clock_real_ms(clock_system()), 1);
    for (int i = 0; i < 10; i++)
        caller_expect(&c, "\"state\":\"delivered\"");
    caller_close(&c);
    office_close(&o);
}

/* All have asked before the producer runs, the modest one last. */
static void who_asks_much_does_not_make_the_others_wait(void **state)
{
    enum { BUSY = 8, EACH = 3000 };
    struct office o;
    struct caller busy[BUSY];
    struct caller modest;
    struct buf all;
    (void)state;
    buf_init(&all, 1 << 20);
    for (int i = 0; i < EACH; i++)
        buf_add_text(&all, "{\"op\":\"ping\"}\n");
    office_prepare(&o, NULL, 100);
    for (int i = 0; i < BUSY; i++) {
        caller_tcp(&busy[i], &o);
        caller_say_bytes(&busy[i], all.data, all.len);
    }
    caller_tcp(&modest, &o);
    caller_say(&modest, "{\"op\":\"stats\"}\n");
    office_start(&o);
    const char *found = strstr(caller_hear(&modest), "\"requests\":");
    assert_non_null(found);
    long before = strtol(found + strlen("\"requests\":"), NULL, 10);
    /* Two rounds, in case that it was not seen in the first. */
    assert_true(before <= 2 * BUSY * CONN_TURN_REQUESTS + 1);
    caller_close(&modest);
    for (int i = 0; i < BUSY; i++) {
        for (int k = 0; k < EACH; k++)
            caller_expect(&busy[i], "\"ok\":true");
        caller_close(&busy[i]);
    }
    buf_fini(&all);
    office_close(&o);
}

/* What is left over for another turn is not lost at the end of the stream. */
static void all_that_came_before_the_end_is_answered(void **state)
{
    enum { COUNT = 5 * CONN_TURN_REQUESTS };
    struct office o;
    struct caller c;
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        office_prepare(&o, NULL, 100);
        caller_tcp(&c, &o);
        for (int i = 0; i < COUNT + extra; i++)
            caller_say(&c, "{\"op\":\"ping\"}\n");
        caller_finish(&c);
        office_start(&o);
        for (int i = 0; i < COUNT + extra; i++)
            caller_expect(&c, "\"ok\":true");
        caller_expect_clean_end(&c);
        caller_close(&c);
        office_close(&o);
    }
}

static void who_goes_while_waiting_leaves_nothing(void **state)
{
    struct office o;
    struct caller c;
    char json[128];
    (void)state;
    office_open(&o, NULL, 1);
    for (int i = 0; i < 20; i++) {
        caller_unix(&c, &o);
        caller_say(&c, "{" MAIL "}\n");
        struct id id = desk_id(caller_hear(&c));
        (void)snprintf(json, sizeof(json),
                       "{\"op\":\"wait\",\"id\":\"%s\"}\n{" MAIL "}\n",
                       id.text);
        caller_say(&c, json);
        if (i % 2 == 0) /* now it is sure to wait */
            caller_expect_silence(&c, 10);
        caller_close(&c);
        while (desk_deliver(o.spool, clock_real_ms(clock_system()), 2) == 0)
            ;
        expect_good_service(&o);
        (void)desk_deliver(o.spool, clock_real_ms(clock_system()), 2);
    }
    office_close(&o);
}

static void who_goes_while_a_job_is_not_settled_is_forgotten(void **state)
{
    struct office o;
    struct caller c;
    const struct linger reset = {.l_onoff = 1};
    char json[128];
    (void)state;
    office_open(&o, NULL, 10);
    caller_tcp(&c, &o);
    caller_say(&c, "{" MAIL "}\n");
    struct id id = desk_id(caller_hear(&c));
    (void)snprintf(json, sizeof(json), "{\"op\":\"wait\",\"id\":\"%s\"}\n",
                   id.text);
    caller_say(&c, json);
    caller_expect_silence(&c, 50);
    assert_int_equal(
        setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    caller_close(&c);
    expect_alone(&o);
    int64_t begun = now_ms();
    office_close(&o);
    assert_true(now_ms() - begun < PATIENCE_MS / 2);
}

/* ---- back-pressure ---- */

static void a_full_spool_stops_the_stream_until_there_is_room(void **state)
{
    enum { JOBS = 500 };
    struct office o;
    struct caller c;
    struct buf all;
    (void)state;
    office_open(&o, NULL, 10);
    caller_tcp(&c, &o);
    buf_init(&all, 1 << 20);
    for (int i = 0; i < JOBS; i++)
        buf_add_text(&all, "{" MAIL "}\n");
    caller_say_bytes(&c, all.data, all.len);
    for (int i = 0; i < 10; i++)
        caller_expect(&c, "\"ok\":true");
    caller_expect_silence(&c, 50);
    /* Ten, and the one that waits: the others are not even looked at. */
    assert_int_equal(metrics_get(&o.metrics, METRIC_REQUESTS), 11);
    expect_good_service(&o);
    size_t delivered = 0;
    for (int i = 10; i < JOBS; i++) {
        while (delivered + 10 <= (size_t)i)
            delivered +=
                desk_deliver(o.spool, clock_real_ms(clock_system()), 3);
        caller_expect(&c, "\"ok\":true");
    }
    assert_int_equal(office_accepted(&o), JOBS);
    buf_fini(&all);
    caller_close(&c);
    office_close(&o);
}

static void a_full_spool_refuses_after_a_bounded_wait(void **state)
{
    struct office o;
    struct caller c;
    struct producer_limits limits = office_limits();
    (void)state;
    limits.full_wait_ms = SHORT_MS;
    office_open(&o, &limits, 1);
    caller_tcp(&c, &o);
    caller_say(&c, "{" MAIL ",\"ref\":1}\n");
    caller_expect(&c, "\"ok\":true,\"ref\":1,");
    int64_t begun = now_ms();
    caller_say(&c, "{" MAIL ",\"ref\":2}\n{\"op\":\"ping\",\"ref\":3}\n");
    caller_expect(&c, "\"ref\":2,\"error\":\"spool_full\"");
    assert_true(now_ms() - begun >= SHORT_MS);
    caller_expect(&c, "\"ok\":true,\"ref\":3,");
    caller_close(&c);
    office_close(&o);
}

/* ---- memory ---- */

/*
 * All together larger than the budget of 32 MiB, and than what it may be
 * passed by.
 */
enum { LARGE_COUNT = 8 };
#define LARGE_BYTES ((size_t)6 << 20)

/* Each says all of a request but its end, as far as that is taken. */
static void begin_large(struct office *o, struct caller *c, const char *text,
                        size_t *said)
{
    for (int i = 0; i < LARGE_COUNT; i++) {
        caller_tcp(&c[i], o);
        said[i] = caller_push(&c[i], text, LARGE_BYTES);
    }
}

static char *large_ping(void)
{
    char *text = mem_alloc(LARGE_BYTES);
    memset(text, ' ', LARGE_BYTES);
    memcpy(text, "{\"op\":\"ping\"}", 13);
    return text;
}

static void large_requests_wait_for_each_other(void **state)
{
    struct office o;
    struct caller c[LARGE_COUNT];
    size_t said[LARGE_COUNT];
    char *text = large_ping();
    (void)state;
    office_open(&o, NULL, 100); /* frames of 8 MiB: a budget of 32 MiB */
    begin_large(&o, c, text, said);
    expect_good_service(&o);
    for (int i = 0; i < LARGE_COUNT; i++) {
        caller_say_bytes(&c[i], text + said[i], LARGE_BYTES - said[i]);
        caller_say(&c[i], "\n");
        caller_expect(&c[i], "\"ok\":true");
    }
    /* They are as good as before. */
    for (int i = 0; i < LARGE_COUNT; i++) {
        caller_say(&c[i], "{\"op\":\"ping\",\"ref\":1}\n");
        caller_expect(&c[i], "\"ref\":1,");
        caller_close(&c[i]);
    }
    mem_free(text);
    office_close(&o);
}

static void a_slow_large_request_makes_way(void **state)
{
    struct office o;
    struct caller c[LARGE_COUNT];
    size_t said[LARGE_COUNT];
    struct producer_limits limits = office_limits();
    char *text = large_ping();
    int last = LARGE_COUNT - 1;
    (void)state;
    limits.full_wait_ms = SHORT_MS;
    office_open(&o, &limits, 100);
    begin_large(&o, c, text, said);
    caller_expect(&c[0], "\"error\":\"rate_limited\"");
    caller_expect_end(&c[0]);
    expect_good_service(&o);
    caller_say_bytes(&c[last], text + said[last], LARGE_BYTES - said[last]);
    caller_say(&c[last], "\n");
    caller_expect(&c[last], "\"ok\":true");
    for (int i = 0; i < LARGE_COUNT; i++)
        caller_close(&c[i]);
    mem_free(text);
    office_close(&o);
}

static void one_who_is_gone_while_waiting_leaves_nothing(void **state)
{
    struct office o;
    struct caller c[LARGE_COUNT];
    size_t said[LARGE_COUNT];
    char *text = large_ping();
    (void)state;
    office_open(&o, NULL, 100);
    begin_large(&o, c, text, said);
    for (int i = LARGE_COUNT - 1; i >= 0; i--)
        caller_close(&c[i]);
    expect_alone(&o);
    expect_good_service(&o);
    mem_free(text);
    office_close(&o);
}

static void it_stops_while_large_requests_wait(void **state)
{
    struct office o;
    struct caller c[LARGE_COUNT];
    size_t said[LARGE_COUNT];
    char *text = large_ping();
    (void)state;
    office_open(&o, NULL, 100);
    begin_large(&o, c, text, said);
    office_close(&o);
    for (int i = 0; i < LARGE_COUNT; i++)
        caller_close(&c[i]);
    mem_free(text);
}

/* ---- descriptors ---- */

static void without_descriptors_it_pauses_and_goes_on(void **state)
{
    struct office o;
    struct caller c;
    struct caller first;
    struct rlimit old;
    struct rlimit none;
    int taken[64];
    size_t count = 0;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&first, &o);
    caller_say(&first, "{\"op\":\"ping\"}\n");
    caller_expect(&first, "\"ok\":true");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = (rlim_t)fd + 1; /* what is open stays open */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (count < 64 && (taken[count] = dup(0)) >= 0)
        count++;
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    assert_int_equal(
        getsockname(o.listeners[0].fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    c.fd = fd;
    c.shown = 0;
    buf_init(&c.in, 1 << 20);
    caller_say(&c, "{\"op\":\"ping\",\"ref\":2}\n");
    caller_expect_silence(&c, 50);
    caller_say(&first, "{\"op\":\"ping\"}\n"); /* others are served */
    caller_expect(&first, "\"ok\":true");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    while (count > 0)
        (void)close(taken[--count]);
    caller_expect(&c, "\"ref\":2,");
    caller_close(&c);
    caller_close(&first);
    office_close(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_over_the_limit_end_the_connection),
        cmocka_unit_test(raw_bytes_end_the_connection),
        cmocka_unit_test(half_a_request_at_the_end_is_refused),
        cmocka_unit_test(the_last_line_needs_no_line_end),
        cmocka_unit_test(garbage_harms_nobody),
        cmocka_unit_test(who_says_nothing_is_let_go),
        cmocka_unit_test(who_waits_for_an_answer_is_not_idle),
        cmocka_unit_test(a_byte_now_and_then_holds_no_connection),
        cmocka_unit_test(who_takes_no_replies_is_cut),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(those_beyond_the_surplus_are_told_too),
        cmocka_unit_test(a_place_is_kept_for_unix_sockets),
        cmocka_unit_test(requests_in_flight_are_bounded),
        cmocka_unit_test(who_asks_much_does_not_make_the_others_wait),
        cmocka_unit_test(all_that_came_before_the_end_is_answered),
        cmocka_unit_test(who_goes_while_waiting_leaves_nothing),
        cmocka_unit_test(who_goes_while_a_job_is_not_settled_is_forgotten),
        cmocka_unit_test(a_full_spool_stops_the_stream_until_there_is_room),
        cmocka_unit_test(a_full_spool_refuses_after_a_bounded_wait),
        cmocka_unit_test(large_requests_wait_for_each_other),
        cmocka_unit_test(a_slow_large_request_makes_way),
        cmocka_unit_test(one_who_is_gone_while_waiting_leaves_nothing),
        cmocka_unit_test(it_stops_while_large_requests_wait),
        cmocka_unit_test(without_descriptors_it_pauses_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
