#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "consumer/relay_rate.h"
#include "core/log.h"
#include "core/random.h"
#include "core/thread.h"

#define THREADS        4
#define TAKEN_TOO_MANY 100000

static const struct relay_rate_limits limits[] = {
    {"main", 14.0, 2}, {"free", 0.0, 1}, {"quick", 1000.0, 1000}};

enum { MAIN, FREE, QUICK };

static struct relay_rates *create(void)
{
    struct relay_rates *rates;
    relay_rates_create(&rates, limits, 3);
    return rates;
}

static struct relay_rate_figures figures(struct relay_rates *rates,
                                         size_t relay, int64_t now_ms)
{
    struct relay_rate_figures out;
    relay_rate_figures(rates, relay, now_ms, &out);
    return out;
}

static void each_relay_has_its_own_rate(void **state)
{
    (void)state;
    struct relay_rates *rates = create();
    assert_int_equal(relay_rate_take(rates, MAIN, 0), 0);
    assert_int_equal(relay_rate_take(rates, MAIN, 0), 0);
    assert_int_equal(relay_rate_take(rates, MAIN, 0), 72);
    assert_int_equal(relay_rate_wait_ms(rates, MAIN, 10), 62);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(relay_rate_take(rates, FREE, 0), 0);
        assert_int_equal(relay_rate_take(rates, QUICK, 0), 0);
    }
    assert_int_equal(relay_rate_wait_ms(rates, FREE, 0), 0);
    assert_int_equal(relay_rate_wait_ms(rates, QUICK, 0), 1);
    relay_rate_give_back(rates, MAIN, 10);
    assert_int_equal(relay_rate_take(rates, MAIN, 10), 0);
    relay_rate_charge(rates, MAIN, 10);
    assert_int_equal(relay_rate_take(rates, MAIN, 10), 133);
    assert_true(figures(rates, MAIN, 10).per_s == 14.0);
    assert_true(figures(rates, FREE, 10).per_s == 0.0);
    assert_false(figures(rates, MAIN, 10).slowed);
    assert_int_equal(figures(rates, MAIN, 10).throttled, 0);
    relay_rates_destroy(rates);
    relay_rates_destroy(NULL);
}

static void a_complaint_slows_its_relay_only(void **state)
{
    (void)state;
    struct relay_rates *rates = create();
    int64_t pause_ms = relay_rate_slow_down(rates, MAIN, 0, STR("454 slow"));
    assert_in_range(pause_ms, 700, 1300);
    assert_true(figures(rates, MAIN, 0).slowed);
    assert_true(figures(rates, MAIN, 0).per_s == 7.0);
    assert_int_equal(figures(rates, MAIN, 0).throttled, 1);
    assert_true(figures(rates, QUICK, 0).per_s == 1000.0);
    assert_int_equal(relay_rate_take(rates, QUICK, 0), 0);
    assert_int_equal(relay_rate_take(rates, FREE, 0), 0);
    assert_int_equal(relay_rate_take(rates, MAIN, 0), 143);
    assert_true(figures(rates, MAIN, 60000).per_s == 14.0);
    assert_false(figures(rates, MAIN, 60000).slowed);
    relay_rates_destroy(rates);
}

/* Half of what it was given in the last five seconds, whoever gave it. */
static void a_free_relay_is_limited_by_what_it_was_given(void **state)
{
    (void)state;
    static const struct {
        int64_t from_ms; /* 50 tokens a second, evenly, until... */
        int64_t to_ms;
        int64_t at_ms; /* ... it complains */
        double least;
        double most;
    } rows[] = {
        {0, 10000, 10000, 24, 26},
        {10000000, 10003500, 10003500, 24, 26},
        /* in less than a second: as if it had been one */
        {3000, 3200, 3200, 4.9, 5.1},
        /* what is long gone counts no more, and a pause does */
        {0, 1000, 9000, 1, 1},
        {0, 10000, 12500, 10, 18},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct relay_rates *rates = create();
        for (int64_t ms = rows[i].from_ms; ms < rows[i].to_ms; ms += 20)
            assert_int_equal(relay_rate_take(rates, FREE, ms), 0);
        (void)relay_rate_slow_down(rates, FREE, rows[i].at_ms, STR("x"));
        double per_s = figures(rates, FREE, rows[i].at_ms).per_s;
        if (per_s < rows[i].least || per_s > rows[i].most)
            fail_msg("row %zu: %g", i, per_s);
        assert_true(relay_rate_wait_ms(rates, FREE, rows[i].at_ms) > 0);
        assert_int_equal(
            relay_rate_wait_ms(rates, FREE, rows[i].at_ms + 600000), 0);
        assert_false(figures(rates, FREE, rows[i].at_ms + 600000).slowed);
        relay_rates_destroy(rates);
    }
}

static void what_came_back_was_not_given(void **state)
{
    (void)state;
    struct relay_rates *rates = create();
    for (int i = 0; i < 100; i++)
        assert_int_equal(relay_rate_take(rates, FREE, 5000), 0);
    for (int i = 0; i < 80; i++)
        relay_rate_give_back(rates, FREE, 5000);
    for (int i = 0; i < 10; i++)
        relay_rate_charge(rates, FREE, 5000);
    (void)relay_rate_slow_down(rates, FREE, 5500, STR("x"));
    assert_true(figures(rates, FREE, 5500).per_s == 15.0);
    relay_rates_destroy(rates);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

static void the_log_says_each_cut_once_and_the_end(void **state)
{
    (void)state;
    static char text[65536];
    struct relay_rates *rates = create();
    struct str reply = STR("454 4.7.0 Throttling failure: too fast");
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    log_setup(fd, LOG_LEVEL_INFO);
    for (int ms = 0; ms < 1000; ms += 10)
        (void)relay_rate_slow_down(rates, MAIN, ms, reply);
    (void)relay_rate_slow_down(rates, MAIN, 1000, reply);
    (void)relay_rate_wait_ms(rates, MAIN, 60000);
    (void)relay_rate_wait_ms(rates, MAIN, 120000);
    (void)relay_rate_slow_down(rates, FREE, 0, (struct str){NULL, 0});
    (void)figures(rates, FREE, 120000);
    (void)figures(rates, FREE, 120000);
    log_setup(2, LOG_LEVEL_ERROR);
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(got > 0);
    text[got] = '\0';
    (void)close(fd);
    assert_int_equal(count_of(text, "event=relay.slowed relay=main"), 2);
    assert_int_equal(
        count_of(text, " warning event=relay.slowed relay=main rate=7/s "
                       "reply=\"454 4.7.0 Throttling failure: too fast\"\n"),
        1);
    assert_int_equal(count_of(text, "relay=main rate=3.5/s reply="), 1);
    assert_int_equal(
        count_of(text, " info event=relay.at_speed relay=main rate=14/s\n"), 1);
    assert_int_equal(
        count_of(text, "event=relay.slowed relay=free rate=1/s reply="), 1);
    assert_int_equal(
        count_of(text, "event=relay.at_speed relay=free rate=unlimited\n"), 1);
    assert_int_equal(count_of(text, "\n"), 5);
    relay_rates_destroy(rates);
}

struct crowd {
    struct relay_rates *rates;
    atomic_int_least64_t now_ms;
    atomic_int_least64_t taken;
    atomic_uint started;
    int64_t end_ms;
};

/* Time goes on when a thread finds nothing to take: no token is too many. */
static void take_all(void *arg)
{
    struct crowd *c = arg;
    int64_t now_ms;
    while ((now_ms = atomic_load(&c->now_ms)) < c->end_ms &&
           atomic_load(&c->taken) < TAKEN_TOO_MANY) {
        if (relay_rate_take(c->rates, QUICK, now_ms) == 0)
            atomic_fetch_add(&c->taken, 1);
        else
            (void)atomic_compare_exchange_strong(&c->now_ms, &now_ms,
                                                 now_ms + 1);
    }
}

static void all_threads_together_get_the_rate_and_not_one_more(void **state)
{
    (void)state;
    struct crowd c = {.rates = create(), .end_ms = 20000};
    struct thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(thread_start(&threads[i], "taker", take_all, &c, NULL),
                         ERR_NONE);
    for (size_t i = 0; i < THREADS; i++)
        thread_join(&threads[i]);
    while (c.taken < TAKEN_TOO_MANY &&
           relay_rate_take(c.rates, QUICK, c.end_ms) == 0)
        c.taken++;
    /* 1000 saved up, and 1 in each of 20000 ms */
    assert_int_equal(c.taken, 1000 + 20000);
    relay_rates_destroy(c.rates);
}

static void do_anything(void *arg)
{
    struct crowd *c = arg;
    struct random random;
    random_init(&random, atomic_fetch_add(&c->started, 1));
    for (int i = 0; i < 20000; i++) {
        int64_t now_ms = atomic_fetch_add(&c->now_ms, 1);
        size_t relay = (size_t)random_below(&random, 3);
        switch (random_below(&random, 8)) {
        case 0:
            relay_rate_give_back(c->rates, relay, now_ms);
            break;
        case 1:
            relay_rate_charge(c->rates, relay, now_ms);
            break;
        case 2:
            if (relay == FREE)
                atomic_fetch_add(&c->taken, 1);
            assert_in_range(
                relay_rate_slow_down(c->rates, relay, now_ms, STR("421 x")), 1,
                60000);
            break;
        case 3:
            assert_true(figures(c->rates, relay, now_ms).per_s < 1000.1);
            break;
        case 4:
            assert_true(relay_rate_wait_ms(c->rates, relay, now_ms) >= 0);
            break;
        default:
            (void)relay_rate_take(c->rates, relay, now_ms);
            break;
        }
    }
}

static void threads_may_do_anything_at_once(void **state)
{
    (void)state;
    struct crowd c = {.rates = create()};
    struct thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(
            thread_start(&threads[i], "any", do_anything, &c, NULL), ERR_NONE);
    for (size_t i = 0; i < THREADS; i++)
        thread_join(&threads[i]);
    assert_int_equal(figures(c.rates, FREE, c.now_ms).throttled, c.taken);
    assert_true(figures(c.rates, MAIN, c.now_ms + 300000).per_s == 14.0);
    relay_rates_destroy(c.rates);
}

static int be_quiet(void **state)
{
    (void)state;
    log_setup(2, LOG_LEVEL_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_relay_has_its_own_rate),
        cmocka_unit_test(a_complaint_slows_its_relay_only),
        cmocka_unit_test(a_free_relay_is_limited_by_what_it_was_given),
        cmocka_unit_test(what_came_back_was_not_given),
        cmocka_unit_test(the_log_says_each_cut_once_and_the_end),
        cmocka_unit_test(all_threads_together_get_the_rate_and_not_one_more),
        cmocka_unit_test(threads_may_do_anything_at_once),
    };
    return cmocka_run_group_tests(tests, be_quiet, NULL);
}
