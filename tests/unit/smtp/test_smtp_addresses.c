#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/thread.h"
#include "smtp/addresses.h"
#include "tests/unit/smtp/fake_dns.h"

#define WAIT_MS 10000
#define KEEP_MS SMTP_ADDRESSES_KEEP_MS
#define OLD_MS  SMTP_ADDRESSES_OLD_MS
#define SHUN_MS SMTP_ADDRESS_SHUN_FIRST_MS

static const char *const abc[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3", NULL};
static const char *const d_only[] = {"192.0.2.4", NULL};
static const char *const nothing[] = {NULL};

static atomic_uint stale;

static void on_stale(const char *relay, const char *error)
{
    if (strcmp(relay, "main") == 0 && strstr(error, "relay.example") != NULL)
        atomic_fetch_add(&stale, 1);
}

/* One who asks, and waits when he has to. */
struct asker {
    struct smtp_addresses *addresses;
    struct wake wake;
    struct smtp_addresses_wait wait;
    struct smtp_address_list list;
    struct err err;
};

static void open_asker(struct asker *k, struct smtp_addresses *addresses)
{
    *k = (struct asker){.addresses = addresses};
    assert_int_equal(wake_init(&k->wake, NULL), ERR_NONE);
    k->wait.wake = &k->wake;
}

static void close_asker(struct asker *k)
{
    smtp_addresses_cancel(k->addresses, &k->wait);
    wake_fini(&k->wake);
}

static enum err_code ask(struct asker *k, int64_t now_ms)
{
    return smtp_addresses_take(k->addresses, now_ms, &k->wait, &k->list,
                               &k->err);
}

static bool is_woken(const struct asker *k, int timeout_ms)
{
    struct pollfd fd = {.fd = k->wake.fd, .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1;
}

/* What a new asker gets, in the end. */
static enum err_code take(struct smtp_addresses *addresses, int64_t now_ms,
                          struct asker *k)
{
    open_asker(k, addresses);
    enum err_code code = ask(k, now_ms);
    while (code == ERR_AGAIN) {
        assert_true(is_woken(k, WAIT_MS));
        wake_clear(&k->wake);
        code = ask(k, now_ms);
    }
    close_asker(k);
    return code;
}

/* The last numbers of the addresses: "312". */
static void check(struct smtp_addresses *addresses, int64_t now_ms,
                  const char *order)
{
    struct asker k;
    char got[SMTP_ADDRESSES_MAX + 1] = "";
    assert_int_equal(take(addresses, now_ms, &k), ERR_NONE);
    for (size_t i = 0; i < k.list.count; i++)
        got[i] = k.list.texts[i][strlen(k.list.texts[i]) - 1];
    assert_string_equal(got, order);
}

static struct smtp_addresses *make(struct fake_dns *dns, const char *host)
{
    struct smtp_addresses *addresses;
    struct smtp_addresses_options options = {
        .relay = "main",
        .host = host,
        .resolve = fake_dns_resolve,
        .ctx = dns,
        .on_stale = on_stale,
    };
    atomic_store(&stale, 0);
    smtp_addresses_create(&addresses, &options);
    return addresses;
}

static void numeric_hosts_are_not_looked_up(void **state)
{
    (void)state;
    static const char *const hosts[] = {"192.0.2.1", "::1", "2001:db8::9"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct fake_dns dns;
        struct asker k;
        fake_dns_open(&dns, NULL);
        struct smtp_addresses *a = make(&dns, hosts[i]);
        for (int64_t now_ms = 0; now_ms < 5000000; now_ms += 1000000) {
            assert_int_equal(take(a, now_ms, &k), ERR_NONE);
            assert_int_equal(k.list.count, 1);
            assert_string_equal(k.list.texts[0], hosts[i]);
        }
        assert_int_equal(fake_dns_calls(&dns), 0);
        smtp_addresses_destroy(a);
        fake_dns_close(&dns);
    }
}

static void system_finds_localhost_and_says_what_it_does_not(void **state)
{
    (void)state;
    struct smtp_addresses *a;
    struct asker k;
    struct smtp_addresses_options options = {.relay = "main",
                                             .host = "localhost"};
    smtp_addresses_create(&a, &options);
    assert_int_equal(take(a, 0, &k), ERR_NONE);
    bool found = false;
    for (size_t i = 0; i < k.list.count; i++)
        found = found || strcmp(k.list.texts[i], "127.0.0.1") == 0;
    assert_true(found);
    smtp_addresses_destroy(a);
    options.host = "no-such-relay.invalid";
    smtp_addresses_create(&a, &options);
    enum err_code code = take(a, 0, &k);
    /* A machine without any DNS cannot even say that. */
    assert_true(code == ERR_NOT_FOUND || code == ERR_SYSTEM);
    assert_non_null(strstr(k.err.text, "\"no-such-relay.invalid\""));
    assert_non_null(strstr(k.err.text, "check the relay's host name"));
    smtp_addresses_destroy(a);
}

static void each_list_starts_at_the_next_address(void **state)
{
    (void)state;
    struct fake_dns dns;
    fake_dns_open(&dns, abc);
    struct smtp_addresses *a = make(&dns, "relay.example");
    static const char *const orders[] = {"123", "231", "312", "123"};
    for (size_t i = 0; i < 4; i++)
        check(a, 0, orders[i]);
    assert_int_equal(fake_dns_calls(&dns), 1);
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
}

static void failed_addresses_come_last_for_a_while(void **state)
{
    (void)state;
    struct fake_dns dns;
    fake_dns_open(&dns, abc);
    struct smtp_addresses *a = make(&dns, "relay.example");
    check(a, 0, "123");
    smtp_addresses_tell(a, "192.0.2.2", false, 0);
    /* The others take turns all the same. */
    check(a, 0, "312");
    check(a, 0, "132");
    check(a, SHUN_MS - 1, "312");
    check(a, SHUN_MS, "231");
    /* Twice as long the next time, however many sessions saw it. */
    for (unsigned i = 0; i < 5; i++)
        smtp_addresses_tell(a, "192.0.2.2", false, SHUN_MS);
    check(a, 3 * SHUN_MS - 1, "312");
    smtp_addresses_tell(a, "192.0.2.2", true, SHUN_MS);
    check(a, SHUN_MS, "123");
    smtp_addresses_tell(a, "192.0.2.2", false, SHUN_MS);
    check(a, 2 * SHUN_MS - 1, "312");
    /* All that failed are still tried. */
    for (size_t i = 0; i < 3; i++)
        smtp_addresses_tell(a, abc[i], false, 2 * SHUN_MS);
    check(a, 2 * SHUN_MS, "312");
    check(a, 2 * SHUN_MS, "123");
    smtp_addresses_tell(a, "192.0.2.77", false, 0);
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
}

static void shunning_has_an_end(void **state)
{
    (void)state;
    struct fake_dns dns;
    int64_t now_ms = 0;
    fake_dns_open(&dns, abc);
    struct smtp_addresses *a = make(&dns, "relay.example");
    check(a, 0, "123");
    for (unsigned i = 0; i < 100; i++) {
        smtp_addresses_tell(a, "192.0.2.1", false, now_ms);
        now_ms += SMTP_ADDRESS_SHUN_LONGEST_MS;
    }
    smtp_addresses_tell(a, "192.0.2.2", false, now_ms);
    struct asker k;
    assert_int_equal(take(a, now_ms, &k), ERR_NONE);
    assert_string_equal(k.list.texts[2], "192.0.2.2");
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
}

static void what_was_found_serves_while_it_is_looked_up_again(void **state)
{
    (void)state;
    struct fake_dns dns;
    struct asker k;
    fake_dns_open(&dns, abc);
    struct smtp_addresses *a = make(&dns, "relay.example");
    check(a, 0, "123");
    fake_dns_set(&dns, d_only, true);
    check(a, KEEP_MS - 1, "231");
    assert_int_equal(fake_dns_calls(&dns), 1);
    check(a, KEEP_MS, "312");
    check(a, KEEP_MS + OLD_MS - 1, "123");
    fake_dns_await(&dns, 2);
    /* Too old: who asks now waits for the new ones. */
    open_asker(&k, a);
    assert_int_equal(ask(&k, KEEP_MS + OLD_MS), ERR_AGAIN);
    assert_false(is_woken(&k, 0));
    fake_dns_set(&dns, d_only, false);
    assert_true(is_woken(&k, WAIT_MS));
    assert_int_equal(ask(&k, KEEP_MS + OLD_MS), ERR_NONE);
    assert_int_equal(k.list.count, 1);
    assert_string_equal(k.list.texts[0], "192.0.2.4");
    close_asker(&k);
    assert_int_equal(fake_dns_calls(&dns), 2);
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
}

static void address_that_stays_is_still_known_as_failed(void **state)
{
    (void)state;
    static const char *const cb[] = {"192.0.2.3", "192.0.2.2", NULL};
    struct fake_dns dns;
    struct asker k;
    int64_t now_ms = KEEP_MS + OLD_MS;
    fake_dns_open(&dns, abc);
    struct smtp_addresses *a = make(&dns, "relay.example");
    check(a, 0, "123");
    smtp_addresses_tell(a, "192.0.2.3", false, now_ms);
    fake_dns_set(&dns, cb, false);
    assert_int_equal(take(a, now_ms, &k), ERR_NONE);
    assert_int_equal(k.list.count, 2);
    assert_string_equal(k.list.texts[0], "192.0.2.2");
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
}

static void lookup_that_failed_is_tried_again_soon(void **state)
{
    (void)state;
    const char *const *const failures[] = {NULL, nothing};
    for (size_t i = 0; i < 2; i++) {
        struct fake_dns dns;
        struct asker k;
        fake_dns_open(&dns, failures[i]);
        struct smtp_addresses *a = make(&dns, "relay.example");
        assert_int_equal(take(a, 0, &k), ERR_NOT_FOUND);
        assert_non_null(strstr(k.err.text, "relay.example"));
        fake_dns_set(&dns, abc, false);
        assert_int_equal(take(a, SMTP_ADDRESSES_KEEP_ERROR_MS - 1, &k),
                         ERR_NOT_FOUND);
        assert_int_equal(fake_dns_calls(&dns), 1);
        check(a, SMTP_ADDRESSES_KEEP_ERROR_MS, "123");
        assert_int_equal(atomic_load(&stale), 0);
        smtp_addresses_destroy(a);
        fake_dns_close(&dns);
    }
}

static void failed_lookup_leaves_what_was_found_before(void **state)
{
    (void)state;
    struct fake_dns dns;
    int64_t now_ms = 10 * OLD_MS;
    fake_dns_open(&dns, abc);
    struct smtp_addresses *a = make(&dns, "relay.example");
    check(a, 0, "123");
    fake_dns_set(&dns, NULL, false);
    for (unsigned i = 1; i <= 3; i++) {
        struct asker k;
        assert_int_equal(take(a, now_ms, &k), ERR_NONE);
        assert_int_equal(k.list.count, 3);
        assert_int_equal(fake_dns_calls(&dns), 1 + i);
        now_ms += SMTP_ADDRESSES_KEEP_ERROR_MS;
    }
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
    /* Told by the lookups' threads, perhaps a moment later. */
    for (unsigned i = 0; i < WAIT_MS && atomic_load(&stale) < 3; i++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&stale), 3);
}

static void all_who_wait_are_woken_but_those_who_left(void **state)
{
    (void)state;
    enum { ASKERS = 4 };
    struct fake_dns dns;
    struct asker askers[ASKERS];
    fake_dns_open(&dns, abc);
    fake_dns_set(&dns, abc, true);
    struct smtp_addresses *a = make(&dns, "relay.example");
    for (size_t i = 0; i < ASKERS; i++) {
        open_asker(&askers[i], a);
        assert_int_equal(ask(&askers[i], 0), ERR_AGAIN);
    }
    /* One who only wanted to know. */
    assert_int_equal(
        smtp_addresses_take(a, 0, NULL, &askers[0].list, &askers[0].err),
        ERR_AGAIN);
    smtp_addresses_cancel(a, &askers[1].wait);
    smtp_addresses_cancel(a, &askers[1].wait);
    fake_dns_set(&dns, abc, false);
    for (size_t i = 0; i < ASKERS; i++) {
        if (i != 1)
            assert_true(is_woken(&askers[i], WAIT_MS));
        else
            assert_false(is_woken(&askers[i], 0));
        /* However long he took to ask again. */
        if (i != 1)
            assert_int_equal(ask(&askers[i], 50 * OLD_MS), ERR_NONE);
        close_asker(&askers[i]);
    }
    assert_int_equal(fake_dns_calls(&dns), 1);
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
}

static void lookup_outlives_who_asked(void **state)
{
    (void)state;
    struct fake_dns dns;
    struct asker k;
    fake_dns_open(&dns, abc);
    fake_dns_set(&dns, abc, true);
    struct smtp_addresses *a = make(&dns, "relay.example");
    open_asker(&k, a);
    assert_int_equal(ask(&k, 0), ERR_AGAIN);
    close_asker(&k);
    smtp_addresses_destroy(a);
    fake_dns_await(&dns, 1);
    fake_dns_close(&dns);
}

static void without_a_thread_the_lookup_has_failed(void **state)
{
    (void)state;
    struct fake_dns dns;
    struct asker k;
    fake_dns_open(&dns, abc);
    struct smtp_addresses *a = make(&dns, "relay.example");
    thread_fail_starts(0, 1);
    assert_int_equal(take(a, 0, &k), ERR_SYSTEM);
    assert_non_null(strstr(k.err.text, "cannot start the thread"));
    thread_fail_starts(0, 0);
    check(a, SMTP_ADDRESSES_KEEP_ERROR_MS, "123");
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
}

static void more_addresses_than_the_most_are_left_out(void **state)
{
    (void)state;
    static const char *const many[] = {
        "192.0.2.1",  "192.0.2.2",  "192.0.2.3",  "192.0.2.4",  "192.0.2.5",
        "192.0.2.6",  "192.0.2.7",  "192.0.2.8",  "192.0.2.9",  "192.0.2.10",
        "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15",
        "192.0.2.16", NULL};
    struct fake_dns dns;
    fake_dns_open(&dns, many);
    struct smtp_addresses *a = make(&dns, "relay.example");
    check(a, 0, "1234567890123456");
    check(a, 0, "2345678901234561");
    smtp_addresses_destroy(a);
    fake_dns_close(&dns);
}

struct crowd {
    struct fake_dns dns;
    struct smtp_addresses *addresses;
    atomic_uint failed;
};

#define TURNS 400

static void live(void *arg)
{
    struct crowd *c = arg;
    for (int64_t i = 0; i < TURNS; i++) {
        struct asker k;
        int64_t now_ms = i * 997;
        if (i % 5 == 0) {
            open_asker(&k, c->addresses);
            (void)ask(&k, now_ms);
            close_asker(&k);
            continue;
        }
        if (take(c->addresses, now_ms, &k) != ERR_NONE) {
            atomic_fetch_add(&c->failed, 1);
            continue;
        }
        smtp_addresses_tell(c->addresses, k.list.texts[0], i % 3 == 0, now_ms);
        if (i % 50 == 0)
            fake_dns_set(&c->dns, i % 100 == 0 ? abc : d_only, false);
    }
}

static void threads_share_it(void **state)
{
    (void)state;
    struct crowd c = {.addresses = NULL};
    struct thread threads[4] = {{0}};
    fake_dns_open(&c.dns, abc);
    c.addresses = make(&c.dns, "relay.example");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(thread_start(&threads[i], "asker", live, &c, NULL),
                         ERR_NONE);
    for (size_t i = 0; i < 4; i++)
        thread_join(&threads[i]);
    assert_int_equal(atomic_load(&c.failed), 0);
    assert_in_range(fake_dns_calls(&c.dns), 1, 4 * TURNS / 4);
    /* So that no lookup is under way, nor about to begin. */
    struct asker last;
    assert_int_equal(take(c.addresses, TURNS * OLD_MS, &last), ERR_NONE);
    smtp_addresses_destroy(c.addresses);
    fake_dns_close(&c.dns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numeric_hosts_are_not_looked_up),
        cmocka_unit_test(system_finds_localhost_and_says_what_it_does_not),
        cmocka_unit_test(each_list_starts_at_the_next_address),
        cmocka_unit_test(failed_addresses_come_last_for_a_while),
        cmocka_unit_test(shunning_has_an_end),
        cmocka_unit_test(what_was_found_serves_while_it_is_looked_up_again),
        cmocka_unit_test(address_that_stays_is_still_known_as_failed),
        cmocka_unit_test(lookup_that_failed_is_tried_again_soon),
        cmocka_unit_test(failed_lookup_leaves_what_was_found_before),
        cmocka_unit_test(all_who_wait_are_woken_but_those_who_left),
        cmocka_unit_test(lookup_outlives_who_asked),
        cmocka_unit_test(without_a_thread_the_lookup_has_failed),
        cmocka_unit_test(more_addresses_than_the_most_are_left_out),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
