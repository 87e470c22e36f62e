#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "tests/unit/producer/desk.h"
#include "tests/unit/producer/office.h"

#define MAIL "\"from\":\"a@x.org\",\"to\":\"b@x.org\",\"text\":\"hi\""

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static size_t deliver(struct office *o, size_t limit)
{
    return desk_deliver(o->spool, clock_real_ms(clock_system()), limit);
}

static struct id submit(struct caller *c)
{
    caller_say(c, "{" MAIL "}\n");
    return desk_id(caller_hear(c));
}

static void say_op(struct caller *c, const char *op, const struct id *id,
                   const char *more)
{
    char json[256];
    (void)snprintf(json, sizeof(json), "{\"op\":\"%s\",\"id\":\"%s\"%s}\n", op,
                   id->text, more);
    caller_say(c, json);
}

/* ---- streams ---- */

static void every_operation_works_over_a_stream(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    for (int unix_too = 0; unix_too < 2; unix_too++) {
        if (unix_too)
            caller_unix(&c, &o);
        else
            caller_tcp(&c, &o);
        caller_say(&c, "{\"op\":\"ping\"}\n");
        caller_expect(&c, "{\"ok\":true,\"version\":\"1.2.3\",\"protocol\":1}");
        struct id id = submit(&c);
        say_op(&c, "status", &id, "");
        caller_expect(&c, "\"state\":\"queued\"");
        say_op(&c, "wait", &id, ",\"timeout_ms\":1");
        caller_expect(&c, "\"state\":\"queued\"");
        say_op(&c, "cancel", &id, "");
        caller_expect(&c, "\"state\":\"cancelled\"");
        say_op(&c, "wait", &id, "");
        caller_expect(&c, "\"state\":\"cancelled\"");
        caller_say(&c, "{\"op\":\"stats\"}\n");
        caller_expect(&c, "\"connections_open\":1,");
        caller_close(&c);
    }
    office_close(&o);
}

static void both_framings_work(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    caller_say_frame(&c, "{\"op\":\"ping\",\n\"ref\":1}");
    caller_say_frame(&c, "{" MAIL ",\"ref\":2}");
    caller_say_frame(&c, "[]");
    caller_say_frame(&c, "nonsense");
    caller_say_frame(&c, "{\"op\":\"ping\",\"ref\":5}");
    assert_non_null(strstr(caller_hear_frame(&c), "\"ref\":1,"));
    assert_non_null(strstr(caller_hear_frame(&c), "\"ref\":2,\"id\":"));
    assert_non_null(strstr(caller_hear_frame(&c), "\"bad_type\""));
    assert_non_null(strstr(caller_hear_frame(&c), "\"bad_json\""));
    assert_non_null(strstr(caller_hear_frame(&c), "\"ref\":5,"));
    caller_close(&c);
    caller_tcp(&c, &o);
    caller_say(&c, "{\"op\":\"ping\",\"ref\":1}\r\n\r\n\n[]\nnonsense\n"
                   "{\"op\":\"ping\",\"ref\":5}\n");
    caller_expect(&c, "\"ref\":1,");
    caller_expect(&c, "\"bad_type\"");
    caller_expect(&c, "\"bad_json\"");
    caller_expect(&c, "\"ref\":5,");
    caller_close(&c);
    office_close(&o);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    static const char json[] = "{" MAIL ",\"ref\":7}\n";
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    for (size_t i = 0; i < sizeof(json) - 1; i++)
        caller_say_bytes(&c, json + i, 1);
    caller_expect(&c, "\"ref\":7,\"id\":");
    caller_close(&c);
    office_close(&o);
}

static void replies_come_in_the_order_of_requests(void **state)
{
    struct office o;
    struct caller c;
    struct caller other;
    char part[32];
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    struct id id = submit(&c);
    say_op(&c, "wait", &id, ",\"ref\":1");
    caller_say(&c, "{\"op\":\"ping\",\"ref\":2}\n{" MAIL ",\"ref\":3}\n");
    say_op(&c, "wait", &id, ",\"ref\":4");
    caller_say(&c, "{\"op\":\"nope\",\"ref\":5}\n");
    caller_expect_silence(&c, 50);
    caller_tcp(&other, &o); /* another is not kept waiting */
    caller_say(&other, "{\"op\":\"ping\"}\n");
    caller_expect(&other, "\"ok\":true");
    caller_close(&other);
    assert_true(deliver(&o, 1) == 1);
    for (int i = 1; i <= 5; i++) {
        (void)snprintf(part, sizeof(part), "\"ref\":%d,", i);
        caller_expect(&c, part);
    }
    caller_close(&c);
    office_close(&o);
}

static void thousands_of_requests_may_be_pipelined(void **state)
{
    enum { COUNT = 5000 };
    struct office o;
    struct caller c;
    struct buf all;
    char part[32];
    (void)state;
    office_open(&o, NULL, COUNT);
    caller_tcp(&c, &o);
    buf_init(&all, 1 << 20);
    for (int i = 0; i < COUNT; i++)
        buf_add_format(&all, "{" MAIL ",\"ref\":%d}\n", i);
    size_t sent = 0;
    int heard = 0;
    while (sent < all.len) {
        /* Some of it, then the replies that are there. */
        sent += caller_push(&c, all.data + sent,
                            all.len - sent < 60000 ? all.len - sent : 60000);
        for (int i = 0; i < 300 && heard < COUNT && sent < all.len; i++) {
            (void)snprintf(part, sizeof(part), "\"ref\":%d,", heard++);
            caller_expect(&c, part);
        }
    }
    while (heard < COUNT) {
        (void)snprintf(part, sizeof(part), "\"ref\":%d,", heard++);
        caller_expect(&c, part);
    }
    assert_int_equal(office_accepted(&o), COUNT);
    buf_fini(&all);
    caller_close(&c);
    office_close(&o);
}

static void a_large_mail_goes_through(void **state)
{
    struct office o;
    struct caller c;
    struct buf json;
    (void)state;
    office_open(&o, NULL, 100);
    buf_init(&json, (size_t)16 << 20);
    buf_add_text(&json, "{" MAIL ",\"attachments\":[{\"filename\":\"a\","
                        "\"content\":\"");
    for (int i = 0; i < 7 * 1024 * 1024 / 16; i++)
        buf_add_text(&json, "QUJDREVGR0hJSktM");
    buf_add_text(&json, "\"}],\"ref\":\"large\"}\n");
    caller_unix(&c, &o);
    for (int i = 0; i < 2; i++) {
        caller_say_bytes(&c, json.data, json.len);
        caller_expect(&c, "\"ref\":\"large\",\"id\":");
        caller_say(&c, "{\"op\":\"ping\"}\n");
        caller_expect(&c, "\"ok\":true");
    }
    buf_fini(&json);
    caller_close(&c);
    office_close(&o);
}

static void a_client_may_close_its_half(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    struct id id = submit(&c);
    caller_say(&c, "{\"op\":\"ping\",\"ref\":1}\n");
    say_op(&c, "wait", &id, ",\"ref\":2");
    caller_finish(&c);
    caller_expect(&c, "\"ref\":1,");
    caller_expect_silence(&c, 50);
    assert_true(deliver(&o, 1) == 1);
    caller_expect(&c, "\"ref\":2,\"job\":");
    caller_expect_end(&c);
    caller_close(&c);
    office_close(&o);
}

static void wait_hears_of_a_settlement_from_another_thread(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    caller_unix(&c, &o);
    for (int i = 0; i < 20; i++) {
        struct id id = submit(&c);
        say_op(&c, "wait", &id, "");
        while (deliver(&o, 1) != 1)
            ;
        caller_expect(&c, "\"state\":\"delivered\"");
    }
    caller_close(&c);
    office_close(&o);
}

static void a_unix_client_has_its_uid_for_a_name(void **state)
{
    struct office o;
    struct caller local;
    struct caller remote;
    (void)state;
    office_open(&o, NULL, 100);
    caller_unix(&local, &o);
    caller_tcp(&remote, &o);
    struct id of_remote = submit(&remote);
    struct id of_local = submit(&local);
    /* The daemon's own uid sees everybody's jobs, anonymous its own only. */
    say_op(&local, "status", &of_remote, "");
    caller_expect(&local, "\"state\":\"queued\"");
    say_op(&remote, "status", &of_local, "");
    caller_expect(&remote, "\"error\":\"not_found\"");
    say_op(&remote, "cancel", &of_local, "");
    caller_expect(&remote, "\"error\":\"not_found\"");
    caller_close(&local);
    caller_close(&remote);
    office_close(&o);
}

/* ---- datagrams ---- */

static void datagrams_are_answered_one_by_one(void **state)
{
    struct office o;
    struct caller c;
    char json[128];
    (void)state;
    office_open(&o, NULL, 100);
    caller_udp(&c, &o);
    caller_say(&c, "{\"op\":\"ping\",\"ref\":\"a\"}");
    const char *reply = caller_hear_datagram(&c);
    assert_string_equal(reply, "{\"ok\":true,\"ref\":\"a\",\"version\":"
                               "\"1.2.3\",\"protocol\":1}");
    caller_say(&c, "{" MAIL "}\n");
    struct id id = desk_id(caller_hear_datagram(&c));
    (void)snprintf(json, sizeof(json), "{\"op\":\"status\",\"id\":\"%s\"}",
                   id.text);
    caller_say(&c, json);
    assert_non_null(strstr(caller_hear_datagram(&c), "\"state\":\"queued\""));
    caller_say(&c, "{\"op\":\"stats\"}");
    assert_non_null(strstr(caller_hear_datagram(&c), "\"unknown_op\""));
    caller_say(&c, "nonsense");
    assert_non_null(strstr(caller_hear_datagram(&c), "\"bad_json\""));
    assert_true(send(c.fd, "", 0, 0) == 0);
    assert_non_null(strstr(caller_hear_datagram(&c), "\"bad_frame\""));
    assert_int_equal(metrics_get(&o.metrics, METRIC_DATAGRAMS), 6);
    caller_close(&c);
    office_close(&o);
}

static void a_datagram_over_the_limit_is_too_large(void **state)
{
    struct office o;
    struct caller c;
    struct producer_limits limits = office_limits();
    char text[1002];
    (void)state;
    limits.frame_bytes = 1000;
    office_open(&o, &limits, 100);
    caller_udp(&c, &o);
    memset(text, ' ', sizeof(text));
    memcpy(text, "{\"op\":\"ping\"}", 13);
    caller_say_bytes(&c, text, 1000);
    assert_non_null(strstr(caller_hear_datagram(&c), "\"ok\":true"));
    caller_say_bytes(&c, text, 1001);
    assert_non_null(strstr(caller_hear_datagram(&c), "\"too_large\""));
    caller_close(&c);
    office_close(&o);
}

/* Of all the addresses of this machine, the one that was asked. */
static void a_datagram_is_answered_from_where_it_went(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open_at(&o, "*");
    caller_udp_at(&c, &o, "127.0.0.2");
    caller_say(&c, "{\"op\":\"ping\"}");
    assert_non_null(strstr(caller_hear_datagram(&c), "\"ok\":true"));
    caller_close(&c);
    office_close(&o);
}

static void a_full_spool_refuses_datagrams_at_once(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 1);
    caller_udp(&c, &o);
    caller_say(&c, "{" MAIL "}");
    assert_non_null(strstr(caller_hear_datagram(&c), "\"ok\":true"));
    caller_say(&c, "{" MAIL "}");
    assert_non_null(
        strstr(caller_hear_datagram(&c), "\"error\":\"spool_full\""));
    caller_close(&c);
    office_close(&o);
}

/* ---- the end ---- */

static void draining_refuses_what_is_new_and_keeps_who_waits(void **state)
{
    struct office o;
    struct caller c;
    struct caller waiting;
    struct caller late;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    caller_tcp(&waiting, &o);
    struct id id = submit(&c);
    say_op(&waiting, "wait", &id, "");
    caller_expect_silence(&waiting, 50);
    producer_drain(o.producer);
    producer_drain(o.producer);
    caller_say(&c, "{" MAIL "}\n");
    caller_expect(&c, "\"error\":\"shutting_down\"");
    caller_tcp(&late, &o); /* the kernel takes it, nobody else */
    caller_say(&late, "{\"op\":\"ping\"}\n");
    caller_expect_silence(&late, 50);
    assert_true(deliver(&o, 1) == 1);
    caller_expect(&waiting, "\"state\":\"delivered\"");
    int64_t begun = now_ms();
    producer_stop(o.producer, begun + PATIENCE_MS);
    producer_stop(o.producer, begun);
    assert_true(now_ms() - begun < PATIENCE_MS / 2);
    caller_expect_end(&c);
    caller_expect_end(&waiting);
    caller_close(&c);
    caller_close(&waiting);
    caller_close(&late);
    office_close(&o);
}

static void stopping_answers_who_still_waits(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 1);
    caller_tcp(&c, &o);
    struct id id = submit(&c);
    say_op(&c, "wait", &id, ",\"ref\":1");
    caller_say(&c, "{" MAIL ",\"ref\":2}\n"); /* waits for room */
    caller_expect_silence(&c, 50);
    producer_stop(o.producer, now_ms() + PATIENCE_MS);
    caller_expect(&c, "\"ref\":1,\"job\":");
    caller_expect(&c, "\"ref\":2,\"error\":\"shutting_down\"");
    caller_expect_end(&c);
    caller_close(&c);
    office_close(&o);
}

static void stopping_cuts_when_its_time_is_over(void **state)
{
    struct office o;
    struct caller c;
    (void)state;
    office_open(&o, NULL, 100);
    caller_tcp(&c, &o);
    struct id id = submit(&c);
    say_op(&c, "wait", &id, "");
    caller_expect_silence(&c, 50);
    producer_stop(o.producer, now_ms() - 1);
    caller_close(&c);
    office_close(&o);
}

static void a_producer_need_not_be_started(void **state)
{
    struct office o;
    (void)state;
    office_prepare(&o, NULL, 100);
    producer_drain(o.producer);
    office_close(&o);
}

static void two_producers_live_in_one_process(void **state)
{
    struct office a;
    struct office b;
    struct caller c;
    (void)state;
    office_open(&a, NULL, 100);
    office_open(&b, NULL, 100);
    caller_tcp(&c, &b);
    (void)submit(&c);
    assert_int_equal(office_accepted(&a), 0);
    assert_int_equal(office_accepted(&b), 1);
    caller_close(&c);
    office_close(&a);
    office_close(&b);
}

static void options_without_limits_are_refused(void **state)
{
    struct producer *p = NULL;
    struct err err;
    const struct producer_options options = {.route_count = 1};
    (void)state;
    assert_int_equal(producer_create(&p, &options, &err), ERR_INVALID);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_works_over_a_stream),
        cmocka_unit_test(both_framings_work),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(replies_come_in_the_order_of_requests),
        cmocka_unit_test(thousands_of_requests_may_be_pipelined),
        cmocka_unit_test(a_large_mail_goes_through),
        cmocka_unit_test(a_client_may_close_its_half),
        cmocka_unit_test(wait_hears_of_a_settlement_from_another_thread),
        cmocka_unit_test(a_unix_client_has_its_uid_for_a_name),
        cmocka_unit_test(datagrams_are_answered_one_by_one),
        cmocka_unit_test(a_datagram_over_the_limit_is_too_large),
        cmocka_unit_test(a_datagram_is_answered_from_where_it_went),
        cmocka_unit_test(a_full_spool_refuses_datagrams_at_once),
        cmocka_unit_test(draining_refuses_what_is_new_and_keeps_who_waits),
        cmocka_unit_test(stopping_answers_who_still_waits),
        cmocka_unit_test(stopping_cuts_when_its_time_is_over),
        cmocka_unit_test(a_producer_need_not_be_started),
        cmocka_unit_test(two_producers_live_in_one_process),
        cmocka_unit_test(options_without_limits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
