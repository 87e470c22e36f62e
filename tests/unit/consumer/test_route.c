#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/route.h"
#include "core/random.h"

#define O    ROUTE_RELAY_OPEN
#define F    ROUTE_RELAY_FULL
#define S    ROUTE_RELAY_SHUT
#define EVER INT64_MAX

static void first_open_relay_in_order_is_chosen(void **state)
{
    (void)state;
    static const struct {
        size_t relays[3];
        size_t count;
        struct route_relay views[3];
        enum route_verdict verdict;
        size_t relay;
        int64_t until_ms; /* not of TAKE */
    } rows[] = {
        {{0, 1, 2}, 3, {{O, 0}, {O, 0}, {O, 0}}, ROUTE_TAKE, 0, EVER},
        {{2, 1, 0}, 3, {{O, 0}, {O, 0}, {O, 0}}, ROUTE_TAKE, 2, EVER},
        {{0, 1}, 2, {{F, 0}, {O, 0}, {O, 0}}, ROUTE_TAKE, 1, EVER},
        {{0, 1}, 2, {{S, 9}, {O, 0}, {O, 0}}, ROUTE_TAKE, 1, 9},
        /* the third is not of this route */
        {{0, 1}, 2, {{F, 0}, {F, 0}, {O, 0}}, ROUTE_NO_ROOM, 0, EVER},
        {{0, 1}, 2, {{S, 7}, {F, 0}, {O, 0}}, ROUTE_NO_ROOM, 0, 7},
        {{0, 1}, 2, {{F, 0}, {S, 7}, {O, 0}}, ROUTE_NO_ROOM, 0, 7},
        {{0, 1, 2}, 3, {{S, 9}, {S, 7}, {S, 8}}, ROUTE_WAIT, 0, 7},
        {{1}, 1, {{O, 0}, {S, 7}, {O, 0}}, ROUTE_WAIT, 0, 7},
        {{0}, 0, {{O, 0}, {O, 0}, {O, 0}}, ROUTE_WAIT, 0, EVER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct route route = {.relays = rows[i].relays, .count = rows[i].count};
        struct route_choice got = route_choose(&route, rows[i].views);
        if (got.verdict != rows[i].verdict || got.relay != rows[i].relay ||
            (got.verdict != ROUTE_TAKE && got.until_ms != rows[i].until_ms))
            fail_msg("row %zu: verdict %d relay %zu until %lld", i,
                     (int)got.verdict, got.relay, (long long)got.until_ms);
    }
}

/* Deals out jobs to relays 0.. of these weights; letters in order. */
struct dealer {
    struct route route;
    struct route_relay views[4];
    size_t relays[4];
    int64_t credits[4];
    unsigned got[4];
};

static void open_dealer(struct dealer *d, const unsigned *weights, size_t count)
{
    *d = (struct dealer){.relays = {0, 1, 2, 3}};
    d->route = (struct route){.relays = d->relays,
                              .weights = weights,
                              .credits = d->credits,
                              .count = count};
}

/* Who got the job: "a", "b"; '-' nobody. */
static char deal(struct dealer *d)
{
    struct route_choice choice = route_choose(&d->route, d->views);
    if (choice.verdict != ROUTE_TAKE)
        return '-';
    assert_int_equal(d->views[choice.relay].state, O);
    route_taken(&d->route, d->views, &choice);
    d->got[choice.relay]++;
    return (char)('a' + choice.relay);
}

static void deal_many(struct dealer *d, unsigned jobs)
{
    memset(d->got, 0, sizeof(d->got));
    for (unsigned i = 0; i < jobs; i++)
        assert_true(deal(d) != '-');
}

static void turns_are_spread_as_weights_say(void **state)
{
    (void)state;
    static const struct {
        unsigned weights[4];
        size_t count;
        const char *states; /* a letter for each relay */
        const char *order;
    } rows[] = {
        {{1, 1}, 2, "OO", "abababab"},
        {{5, 1, 1}, 3, "OOO", "aabacaaaabacaa"},
        {{3, 2, 1}, 3, "OOO", "abacbaabacba"},
        {{1}, 1, "O", "aaa"},
        {{7}, 1, "S", "-"},
        {{1, 3}, 2, "FS", "-"},
        /* who is not open leaves its turns to the others, by their weights */
        {{5, 1, 1}, 3, "SOO", "bcbcbc"},
        {{5, 1, 1}, 3, "FOO", "bcbcbc"},
        {{3, 2, 1}, 3, "OSO", "aacaaaca"},
        {{3, 2, 1}, 3, "SFO", "cccc"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dealer d;
        char order[20] = "";
        open_dealer(&d, rows[i].weights, rows[i].count);
        for (size_t k = 0; k < rows[i].count; k++)
            d.views[k].state = rows[i].states[k] == 'O'   ? O
                               : rows[i].states[k] == 'F' ? F
                                                          : S;
        for (size_t k = 0; k < strlen(rows[i].order); k++)
            order[k] = deal(&d);
        assert_string_equal(order, rows[i].order);
    }
}

static void shares_are_exact_over_every_period(void **state)
{
    (void)state;
    static const unsigned weights[] = {70, 20, 7, 3};
    struct dealer d;
    open_dealer(&d, weights, 4);
    for (unsigned period = 0; period < 50; period++) {
        deal_many(&d, 100);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(d.got[i], weights[i]);
    }
    /* And nearly so within one. */
    deal_many(&d, 50);
    for (size_t i = 0; i < 4; i++)
        assert_in_range(d.got[i] * 100 + 100, weights[i] * 50,
                        weights[i] * 50 + 200);
}

static void relay_that_returns_gets_its_share_and_no_more(void **state)
{
    (void)state;
    static const unsigned weights[] = {5, 3, 2};
    static const enum route_relay_state away[] = {S, F};
    for (size_t i = 0; i < 2; i++) {
        for (unsigned at = 0; at < 10; at++) {
            struct dealer d;
            open_dealer(&d, weights, 3);
            deal_many(&d, at);
            d.views[0].state = away[i];
            deal_many(&d, 500);
            assert_int_equal(d.got[0], 0);
            /* By their weights; the period it left in is not over. */
            assert_in_range(d.got[1], 298, 302);
            d.views[0].state = O;
            deal_many(&d, 10);
            assert_in_range(d.got[0], 4, 6);
            deal_many(&d, 1000);
            assert_int_equal(d.got[0], 500);
            assert_int_equal(d.got[1], 300);
            assert_int_equal(d.got[2], 200);
        }
    }
}

/* Lanes that are full every other moment, as under load. */
static void relay_that_comes_and_goes_all_the_time_starves_nobody(void **state)
{
    (void)state;
    static const unsigned weights[] = {5, 3, 2};
    struct random random;
    struct dealer d;
    random_init(&random, 11);
    open_dealer(&d, weights, 3);
    for (unsigned i = 0; i < 100000; i++) {
        for (size_t k = 0; k < 3; k++)
            d.views[k].state = random_below(&random, 4) == 0 ? F : O;
        (void)deal(&d);
        for (size_t k = 0; k < 3; k++)
            assert_in_range(d.credits[k] + 30, 0, 60);
    }
    assert_true(d.got[0] > d.got[1] && d.got[1] > d.got[2]);
}

static void choice_not_followed_changes_nothing(void **state)
{
    (void)state;
    static const unsigned weights[] = {2, 1};
    struct dealer d;
    open_dealer(&d, weights, 2);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(route_choose(&d.route, d.views).relay, 0);
    assert_int_equal(deal(&d), 'a');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_open_relay_in_order_is_chosen),
        cmocka_unit_test(turns_are_spread_as_weights_say),
        cmocka_unit_test(shares_are_exact_over_every_period),
        cmocka_unit_test(relay_that_returns_gets_its_share_and_no_more),
        cmocka_unit_test(relay_that_comes_and_goes_all_the_time_starves_nobody),
        cmocka_unit_test(choice_not_followed_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
