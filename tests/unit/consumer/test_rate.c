#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "consumer/rate.h"
#include "core/random.h"

#define TAKEN_MAX 3000

/* When tokens were taken, in order. */
struct taken {
    int64_t at_ms[TAKEN_MAX];
    size_t count;
};

/* In every window between two tokens: no more than was earned and saved. */
static void check_windows(const struct taken *t, double per_s, unsigned burst,
                          uint64_t seed)
{
    for (size_t i = 0; i < t->count; i++) {
        for (size_t k = i; k < t->count; k++) {
            double earned = per_s * (double)(t->at_ms[k] - t->at_ms[i]) / 1000;
            double number = (double)(k - i + 1);
            if (number > earned + burst + 1e-6)
                fail_msg("seed %llu: %g tokens in %lld ms at %g/s, burst %u",
                         (unsigned long long)seed, number,
                         (long long)(t->at_ms[k] - t->at_ms[i]), per_s, burst);
        }
    }
}

/* Takes, waits, idles and complaints at random. */
static void play(uint64_t seed, bool complains)
{
    static const double rates[] = {1.0 / 3600, 0.5,  1.0,   14.0,
                                   20.0,       99.7, 333.3, 12345.6};
    static struct taken t;
    struct random random;
    struct rate r;
    random_init(&random, seed);
    double per_s = rates[random_below(&random, 8)];
    unsigned burst = 1 + (unsigned)random_below(&random, 40);
    int64_t now_ms = (int64_t)random_below(&random, 1000000);
    t.count = 0;
    rate_init(&r, per_s, burst);
    while (t.count < 400) {
        int64_t wait_ms = rate_take(&r, now_ms);
        uint64_t dice = random_below(&random, 100);
        if (wait_ms == 0)
            t.at_ms[t.count++] = now_ms;
        else if (dice < 80)
            now_ms += wait_ms;
        else if (dice < 90)
            now_ms += (int64_t)random_below(&random, (uint64_t)wait_ms + 1);
        else
            now_ms += (int64_t)random_below(&random, 100000);
        if (complains && dice == 7)
            (void)rate_slow_down(&r, now_ms, 0);
    }
    check_windows(&t, per_s, burst, seed);
}

static void no_window_ever_has_more_than_rate_and_burst(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++)
        play(seed, false);
}

static void nor_has_it_with_a_relay_that_complains(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 1300; seed++)
        play(seed, true);
}

/* Who asks in time gets all that there is. */
static void nothing_is_lost_to_who_asks_in_time(void **state)
{
    (void)state;
    static const struct {
        double per_s;
        unsigned burst;
        int64_t ms;
        size_t least;
        size_t most;
    } rows[] = {
        {14.0, 1, 10000, 138, 141},    {14.0, 5, 10000, 144, 145},
        {20.0, 1, 10000, 200, 201},    {0.5, 1, 60000, 30, 31},
        {999.0, 10, 2000, 2007, 2008}, {1.0 / 3600, 1, 7200001, 2, 3},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rate r;
        size_t taken = 0;
        int64_t now_ms = 77;
        rate_init(&r, rows[i].per_s, rows[i].burst);
        while (now_ms < 77 + rows[i].ms) {
            int64_t wait_ms = rate_take(&r, now_ms);
            taken += wait_ms == 0 ? 1 : 0;
            now_ms += wait_ms;
        }
        if (taken < rows[i].least || taken > rows[i].most)
            fail_msg("row %zu: %zu", i, taken);
    }
}

static void the_wait_is_exact(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 5);
    for (int i = 0; i < 2000; i++) {
        struct rate r;
        int64_t now_ms = (int64_t)random_below(&random, 1000);
        rate_init(&r, 0.01 + random_unit(&random) * 900, 1);
        assert_int_equal(rate_take(&r, now_ms), 0);
        int64_t wait_ms = rate_take(&r, now_ms);
        assert_true(wait_ms >= 1);
        assert_int_equal(rate_wait_ms(&r, now_ms), wait_ms);
        if (wait_ms > 1)
            assert_int_equal(rate_take(&r, now_ms + wait_ms - 1), 1);
        assert_int_equal(rate_wait_ms(&r, now_ms + wait_ms), 0);
        assert_int_equal(rate_take(&r, now_ms + wait_ms), 0);
    }
}

static void without_a_rate_there_is_always_a_token(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 0.0, 1);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rate_take(&r, 5), 0);
    rate_charge(&r, 5);
    rate_give_back(&r, 5);
    assert_int_equal(rate_take(&r, 5), 0);
    assert_true(rate_per_s(&r) == 0.0);
}

static void a_token_given_back_can_be_taken_again(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 10.0, 2);
    assert_int_equal(rate_take(&r, 0), 0);
    assert_int_equal(rate_take(&r, 0), 0);
    assert_int_equal(rate_take(&r, 0), 100);
    rate_give_back(&r, 0);
    assert_int_equal(rate_take(&r, 0), 0);
    assert_int_equal(rate_take(&r, 0), 100);
    /* never more than can be saved up */
    rate_give_back(&r, 10000);
    rate_give_back(&r, 10000);
    assert_int_equal(rate_take(&r, 10000), 0);
    assert_int_equal(rate_take(&r, 10000), 0);
    assert_int_equal(rate_take(&r, 10000), 100);
}

static void who_is_charged_leaves_a_longer_wait_behind(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 10.0, 1);
    assert_int_equal(rate_take(&r, 0), 0);
    for (int i = 0; i < 9; i++)
        rate_charge(&r, 0);
    assert_int_equal(rate_take(&r, 0), 1000);
    assert_int_equal(rate_take(&r, 999), 1);
    assert_int_equal(rate_take(&r, 1000), 0);
    /* also if that is more than can be counted */
    for (int i = 0; i < 10000000; i++)
        rate_charge(&r, 1000);
    assert_true(rate_take(&r, 1000) > 400000000);
    assert_true(rate_take(&r, INT64_MAX / 2) == 0);
}

static void a_clock_that_goes_back_gives_nothing(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 10.0, 1);
    assert_int_equal(rate_take(&r, 1000), 0);
    assert_int_equal(rate_take(&r, 500), 100);
    assert_int_equal(rate_take(&r, 1000), 100);
    assert_int_equal(rate_take(&r, 1050), 50);
    assert_int_equal(rate_take(&r, 1100), 0);
}

/* The rate as of then, in thousandths. */
static long rate_at(struct rate *r, int64_t now_ms)
{
    (void)rate_wait_ms(r, now_ms);
    return lround(rate_per_s(r) * 1000);
}

static void a_complaint_halves_and_ten_good_seconds_mend(void **state)
{
    (void)state;
    static const long steps[] = {7000,  7700,  8400,  9100,  9800, 10500,
                                 11200, 11900, 12600, 13300, 14000};
    struct rate r;
    rate_init(&r, 14.0, 1);
    assert_false(r.slowed);
    assert_true(rate_slow_down(&r, 5000, 999));
    assert_true(r.slowed);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(rate_at(&r, 5000 + i * 1000), steps[i]);
        assert_int_equal(rate_at(&r, 5999 + i * 1000), steps[i]);
        assert_true(r.slowed);
    }
    /* whether it is 14 after ten or eleven is a matter of one part in 10^12 */
    assert_true(rate_at(&r, 15000) == steps[10]);
    assert_int_equal(rate_at(&r, 16000), 14000);
    assert_false(r.slowed);
    assert_int_equal(rate_at(&r, 1000000), 14000);
}

static void what_was_saved_up_is_lost_and_the_burst_falls_too(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 100.0, 20);
    assert_true(rate_slow_down(&r, 0, 0));
    assert_int_equal(rate_take(&r, 0), 20); /* 50/s */
    int taken = 0;
    while (rate_take(&r, 999) == 0)
        taken++;
    assert_int_equal(taken, 10);
}

static void it_is_halved_once_a_second_at_most(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 800.0, 1);
    assert_true(rate_slow_down(&r, 0, 0));
    for (int64_t ms = 0; ms < 1000; ms += 37)
        assert_false(rate_slow_down(&r, ms, 0));
    assert_int_equal(rate_at(&r, 1000), 400000);
    assert_true(rate_slow_down(&r, 1000, 0));
    assert_int_equal(rate_at(&r, 1000), 200000);
    /* a good second is one after the last complaint, not the last cut */
    assert_false(rate_slow_down(&r, 1999, 0));
    assert_int_equal(rate_at(&r, 2998), 200000);
    assert_int_equal(rate_at(&r, 2999), 220000);
    assert_int_equal(r.complaints, 31);
}

static void it_falls_no_lower_than_the_floor(void **state)
{
    (void)state;
    static const struct {
        double per_s;
        long floor;
    } rows[] = {{1000.0, 1000}, {14.0, 1000}, {5.0, 500}, {0.1, 10}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rate r;
        rate_init(&r, rows[i].per_s, 1);
        for (int k = 0; k < 40; k++)
            (void)rate_slow_down(&r, k * 1000, 0);
        assert_int_equal(rate_at(&r, 39000), rows[i].floor);
        assert_false(rate_slow_down(&r, 39999 + 1, 0));
        /* and is back in some minutes, however far it fell */
        assert_int_equal(rate_at(&r, 40000 + 180000),
                         lround(rows[i].per_s * 1000));
        assert_false(r.slowed);
    }
}

static void without_a_rate_half_of_what_was_given_is_the_limit(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 0.0, 1);
    assert_true(rate_slow_down(&r, 0, 1000.0));
    assert_int_equal(rate_at(&r, 0), 500000);
    assert_true(rate_wait_ms(&r, 0) > 0);
    assert_int_equal(rate_at(&r, 10000), 1000000);
    assert_true(r.slowed);
    /* lifted at twice as much */
    int64_t ms = 10000;
    while (rate_at(&r, ms) != 0) {
        assert_true(rate_at(&r, ms) < 2000000);
        assert_true(ms < 60000);
        ms += 1000;
    }
    assert_false(r.slowed);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rate_take(&r, ms), 0);
    /* the next time is as the first */
    assert_true(rate_slow_down(&r, ms, 60.0));
    assert_int_equal(rate_at(&r, ms), 30000);
}

static void who_was_given_little_is_given_less(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 0.0, 1);
    assert_true(rate_slow_down(&r, 0, 1000.0));
    assert_true(rate_slow_down(&r, 2000, 8.0));
    assert_int_equal(rate_at(&r, 2000), 4000);
    /* not less than 1/s */
    assert_true(rate_slow_down(&r, 3000, 0.0));
    assert_int_equal(rate_at(&r, 3000), 1000);
    assert_false(rate_slow_down(&r, 4000, 0.0));
    assert_int_equal(rate_at(&r, 4000), 1000);
}

/*
 * A relay that takes 14 mails in a second and throttles all others, and a
 * sender that never runs out of them, for ten minutes.
 */
static void check_it_finds_the_speed(double configured)
{
    static int64_t accepted[14];
    struct rate r;
    size_t count = 0;
    size_t complaints = 0;
    int64_t given_from_ms = 0;
    size_t given = 0;
    for (size_t i = 0; i < 14; i++)
        accepted[i] = -100000;
    rate_init(&r, configured, 1);
    for (int64_t ms = 0; ms < 600000; ms++) {
        if (ms - given_from_ms >= 1000) {
            given_from_ms = ms;
            given = 0;
        }
        for (int i = 0; i < 3 && rate_take(&r, ms) == 0; i++) {
            given++;
            if (ms - accepted[count % 14] >= 1000) {
                accepted[count++ % 14] = ms;
                continue;
            }
            complaints += ms > 30000 ? 1 : 0;
            (void)rate_slow_down(&r, ms,
                                 (double)given * 1000 /
                                     (double)(ms - given_from_ms + 100));
        }
    }
    /* 8400 would be all that it takes */
    if (count < 8400 * 60 / 100 || complaints > count / 50)
        fail_msg("configured %g: %zu taken, %zu complaints", configured, count,
                 complaints);
}

static void it_finds_what_a_relay_takes_and_stays_near(void **state)
{
    (void)state;
    check_it_finds_the_speed(0.0);
    check_it_finds_the_speed(20.0);
    check_it_finds_the_speed(1000.0);
}

static void jobs_pause_longer_the_longer_it_complains(void **state)
{
    (void)state;
    struct rate r;
    rate_init(&r, 14.0, 1);
    static const int64_t about_ms[] = {1000,  2000,  4000,  8000,
                                       16000, 32000, 48000, 48000};
    int64_t ms = 0;
    for (size_t i = 0; i < 8; i++, ms += 1000) {
        (void)rate_slow_down(&r, ms, 0);
        assert_in_range(rate_pause_ms(&r), about_ms[i] * 3 / 4,
                        about_ms[i] * 5 / 4);
        assert_in_range(rate_pause_ms(&r), 1, 60000);
    }
    /* all at once do not come back all at once */
    int64_t first = rate_pause_ms(&r);
    (void)rate_slow_down(&r, ms - 1000, 0);
    int64_t second = rate_pause_ms(&r);
    (void)rate_slow_down(&r, ms - 1000, 0);
    assert_true(first != second && second != rate_pause_ms(&r));
    /* time without complaints counts back, but not while jobs wait */
    (void)rate_slow_down(&r, ms - 1000 + 95000, 0);
    assert_in_range(rate_pause_ms(&r), 36000, 60000);
    ms += 94000 + 96000 + 64000 + 32000 + 10;
    (void)rate_slow_down(&r, ms, 0); /* strain 4, and this one */
    assert_in_range(rate_pause_ms(&r), 12000, 20000);
    (void)rate_slow_down(&r, ms + 600000, 0);
    assert_in_range(rate_pause_ms(&r), 750, 1250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_window_ever_has_more_than_rate_and_burst),
        cmocka_unit_test(nor_has_it_with_a_relay_that_complains),
        cmocka_unit_test(nothing_is_lost_to_who_asks_in_time),
        cmocka_unit_test(the_wait_is_exact),
        cmocka_unit_test(without_a_rate_there_is_always_a_token),
        cmocka_unit_test(a_token_given_back_can_be_taken_again),
        cmocka_unit_test(who_is_charged_leaves_a_longer_wait_behind),
        cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
        cmocka_unit_test(a_complaint_halves_and_ten_good_seconds_mend),
        cmocka_unit_test(what_was_saved_up_is_lost_and_the_burst_falls_too),
        cmocka_unit_test(it_is_halved_once_a_second_at_most),
        cmocka_unit_test(it_falls_no_lower_than_the_floor),
        cmocka_unit_test(without_a_rate_half_of_what_was_given_is_the_limit),
        cmocka_unit_test(who_was_given_little_is_given_less),
        cmocka_unit_test(it_finds_what_a_relay_takes_and_stays_near),
        cmocka_unit_test(jobs_pause_longer_the_longer_it_complains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
