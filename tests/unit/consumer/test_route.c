#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/route.h"

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
        struct route_choice choice;
    } rows[] = {
        {{0, 1, 2}, 3, {{O, 0}, {O, 0}, {O, 0}}, {ROUTE_TAKE, 0, EVER}},
        {{2, 1, 0}, 3, {{O, 0}, {O, 0}, {O, 0}}, {ROUTE_TAKE, 2, EVER}},
        {{0, 1}, 2, {{F, 0}, {O, 0}, {O, 0}}, {ROUTE_TAKE, 1, EVER}},
        {{0, 1}, 2, {{S, 9}, {O, 0}, {O, 0}}, {ROUTE_TAKE, 1, 9}},
        /* the third is not of this route */
        {{0, 1}, 2, {{F, 0}, {F, 0}, {O, 0}}, {ROUTE_NO_ROOM, 0, EVER}},
        {{0, 1}, 2, {{S, 7}, {F, 0}, {O, 0}}, {ROUTE_NO_ROOM, 0, 7}},
        {{0, 1}, 2, {{F, 0}, {S, 7}, {O, 0}}, {ROUTE_NO_ROOM, 0, 7}},
        {{0, 1, 2}, 3, {{S, 9}, {S, 7}, {S, 8}}, {ROUTE_WAIT, 0, 7}},
        {{1}, 1, {{O, 0}, {S, 7}, {O, 0}}, {ROUTE_WAIT, 0, 7}},
        {{0}, 0, {{O, 0}, {O, 0}, {O, 0}}, {ROUTE_WAIT, 0, EVER}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct route_choice got =
            route_choose(rows[i].relays, rows[i].count, rows[i].views);
        if (got.verdict != rows[i].choice.verdict ||
            got.relay != rows[i].choice.relay ||
            got.until_ms != rows[i].choice.until_ms)
            fail_msg("row %zu: verdict %d relay %zu until %lld", i,
                     (int)got.verdict, got.relay, (long long)got.until_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_open_relay_in_order_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
