#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/thread.h"
#include "queue/queue.h"
#include "tests/unit/queue/claims.h"

/* Far enough off for a loaded machine; no passing test waits that long. */
#define PATIENCE_MS 20000

static int64_t in_ms(int64_t ms)
{
    return clock_mono_ms(clock_system()) + ms;
}

static struct queue *queue_of(unsigned lanes, size_t capacity,
                              uint64_t max_bytes)
{
    struct queue *q = NULL;
    struct err err;
    const struct queue_options options = {
        .capacity = capacity, .max_bytes = max_bytes, .lanes = lanes};
    assert_int_equal(queue_create(&q, &options, &err), ERR_NONE);
    return q;
}

static struct queue *roomy(unsigned lanes, size_t capacity)
{
    return queue_of(lanes, capacity, UINT64_MAX);
}

static void put_number(struct queue *q, unsigned lane, uint64_t number)
{
    assert_int_equal(queue_try_put(q, lane, numbered_new(lane, number, 0)),
                     ERR_NONE);
}

static uint64_t get_number(struct queue *q, uint64_t lanes)
{
    struct claim *claim = NULL;
    assert_int_equal(queue_get_until(q, lanes, &claim, in_ms(PATIENCE_MS)),
                     ERR_NONE);
    uint64_t number = numbered_of(claim)->number;
    numbered_free(claim);
    return number;
}

static void refused(struct queue *q, unsigned lane, size_t body_bytes,
                    enum err_code expected)
{
    struct claim *claim = numbered_new(lane, 0, body_bytes);
    assert_int_equal(queue_try_put(q, lane, claim), expected);
    numbered_free(claim); /* still ours */
}

static void nothing_there(struct queue *q, uint64_t lanes,
                          enum err_code expected)
{
    struct claim *claim = NULL;
    assert_int_equal(queue_try_get(q, lanes, &claim), expected);
    assert_null(claim);
}

static void empty_out(struct queue *q)
{
    struct claim *claim;
    while (queue_try_get(q, QUEUE_ALL_LANES, &claim) == ERR_NONE)
        numbered_free(claim);
    queue_destroy(q);
}

/* ---- making ---- */

static void options_out_of_range_are_refused(void **state)
{
    static const struct queue_options bad[] = {
        {.lanes = 0, .capacity = 10, .max_bytes = 1000},
        {.lanes = 65, .capacity = 100, .max_bytes = 1000},
        {.lanes = 4, .capacity = 3, .max_bytes = 1000},
        {.lanes = 4, .capacity = 4, .max_bytes = 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct queue *q = NULL;
        struct err err = {.code = ERR_NONE};
        assert_int_equal(queue_create(&q, &bad[i], &err), ERR_INVALID);
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(q);
    }
    queue_destroy(NULL);
}

/* ---- order and numbers ---- */

static void a_lane_is_first_in_first_out(void **state)
{
    struct queue *q = roomy(1, 10);
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        put_number(q, 0, i);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(get_number(q, QUEUE_ALL_LANES), i);
    nothing_there(q, QUEUE_ALL_LANES, ERR_AGAIN);
    queue_destroy(q);
}

static void a_get_takes_lanes_in_turn(void **state)
{
    struct queue *q = roomy(3, 30);
    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        for (unsigned lane = 0; lane < 3; lane++)
            put_number(q, lane, lane * 10 + i);
    for (uint64_t i = 0; i < 4; i++)
        for (unsigned lane = 0; lane < 3; lane++)
            assert_int_equal(get_number(q, QUEUE_ALL_LANES), lane * 10 + i);
    queue_destroy(q);
}

/* Two who take from different pairs must not take turns for each other. */
static void turns_hold_for_each_set_of_lanes(void **state)
{
    struct queue *q = roomy(4, 40);
    unsigned taken[4] = {0};
    (void)state;
    for (unsigned lane = 0; lane < 4; lane++)
        for (unsigned i = 0; i < 10; i++)
            put_number(q, lane, lane);
    for (unsigned i = 0; i < 8; i++) {
        taken[get_number(q, QUEUE_LANE(0) | QUEUE_LANE(1))]++;
        taken[get_number(q, QUEUE_LANE(2) | QUEUE_LANE(3))]++;
    }
    for (unsigned lane = 0; lane < 4; lane++)
        assert_int_equal(taken[lane], 4);
    empty_out(q);
}

static void a_get_takes_only_from_its_lanes(void **state)
{
    struct queue *q = roomy(64, 64);
    (void)state;
    put_number(q, 5, 5);
    put_number(q, 63, 63);
    nothing_there(q, ~(QUEUE_LANE(5) | QUEUE_LANE(63)), ERR_AGAIN);
    nothing_there(q, 0, ERR_AGAIN);
    assert_int_equal(get_number(q, QUEUE_LANE(63)), 63);
    nothing_there(q, QUEUE_LANE(63), ERR_AGAIN);
    assert_int_equal(get_number(q, QUEUE_LANE(5)), 5);
    queue_destroy(q);
}

static void numbers_follow_puts_and_gets(void **state)
{
    struct queue *q = roomy(2, 4);
    (void)state;
    assert_true(queue_is_empty(q));
    assert_int_equal(queue_lanes_with_room(q), 3);
    put_number(q, 1, 0);
    put_number(q, 1, 1);
    assert_int_equal(queue_size(q), 2);
    assert_int_equal(queue_lane_size(q, 0), 0);
    assert_int_equal(queue_lane_size(q, 1), 2);
    assert_false(queue_is_empty(q));
    assert_false(queue_is_full(q));
    assert_int_equal(queue_lanes_with_room(q), 1);
    put_number(q, 0, 2);
    put_number(q, 0, 3);
    assert_true(queue_is_full(q));
    assert_int_equal(queue_lanes_with_room(q), 0);
    (void)get_number(q, 1);
    assert_false(queue_is_full(q));
    empty_out(q);
}

/* ---- limits ---- */

static void a_full_lane_leaves_the_others_their_share(void **state)
{
    struct queue *q = roomy(4, 42);
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        put_number(q, 2, i);
    refused(q, 2, 0, ERR_AGAIN);
    for (unsigned lane = 0; lane < 4; lane++)
        for (uint64_t i = 0; lane != 2 && i < 10; i++)
            put_number(q, lane, i);
    assert_true(queue_is_full(q));
    empty_out(q);
}

static void bytes_are_limited_for_each_lane(void **state)
{
    struct queue *q = queue_of(2, 1000, 20000);
    (void)state;
    assert_int_equal(queue_try_put(q, 0, numbered_new(0, 1, 6000)), ERR_NONE);
    refused(q, 0, 6000, ERR_AGAIN);
    assert_int_equal(queue_try_put(q, 1, numbered_new(1, 2, 6000)), ERR_NONE);
    assert_int_equal(queue_try_put(q, 0, numbered_new(0, 3, 2000)), ERR_NONE);
    refused(q, 0, 2000, ERR_AGAIN);
    assert_int_equal(get_number(q, 1), 1);
    assert_int_equal(queue_try_put(q, 0, numbered_new(0, 4, 6000)), ERR_NONE);
    empty_out(q);
}

static void an_empty_lane_takes_one_of_any_size(void **state)
{
    struct queue *q = queue_of(2, 1000, 2000);
    (void)state;
    assert_int_equal(queue_try_put(q, 0, numbered_new(0, 1, 500000)), ERR_NONE);
    refused(q, 0, 0, ERR_AGAIN);
    assert_int_equal(queue_lanes_with_room(q), QUEUE_LANE(1));
    assert_int_equal(get_number(q, 1), 1);
    assert_int_equal(queue_lanes_with_room(q), 3);
    queue_destroy(q);
}

/* Else who waits for room would be told at once, try and fail, for ever. */
static void a_lane_that_refused_a_large_one_has_room_when_it_fits(void **state)
{
    struct queue *q = queue_of(1, 1000, 10000);
    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(queue_try_put(q, 0, numbered_new(0, i, 2000)),
                         ERR_NONE);
    assert_int_equal(queue_lanes_with_room(q), 1);
    refused(q, 0, 6000, ERR_AGAIN);
    assert_int_equal(queue_lanes_with_room(q), 0);
    put_number(q, 0, 3); /* a small one still goes in */
    (void)get_number(q, 1);
    assert_int_equal(queue_lanes_with_room(q), 0);
    (void)get_number(q, 1);
    assert_int_equal(queue_lanes_with_room(q), 1);
    assert_int_equal(queue_try_put(q, 0, numbered_new(0, 4, 6000)), ERR_NONE);
    empty_out(q);
}

/* ---- deadlines ---- */

static void deadlines_pass(void **state)
{
    struct queue *q = roomy(1, 1);
    struct claim *claim = NULL;
    (void)state;
    int64_t start = in_ms(0);
    assert_int_equal(queue_get_until(q, 1, &claim, start + 30), ERR_TIMEOUT);
    assert_in_range(in_ms(0) - start, 30, PATIENCE_MS);
    put_number(q, 0, 1);
    struct claim *second = numbered_new(0, 2, 0);
    start = in_ms(0);
    assert_int_equal(queue_put_until(q, 0, second, start + 30), ERR_TIMEOUT);
    assert_in_range(in_ms(0) - start, 30, PATIENCE_MS);
    start = in_ms(0);
    assert_int_equal(queue_drain(q, start + 30), ERR_TIMEOUT);
    assert_in_range(in_ms(0) - start, 30, PATIENCE_MS);
    numbered_free(second);
    assert_int_equal(queue_lane_size(q, 0), 1);
    empty_out(q);
}

static void deadlines_long_past_do_not_block(void **state)
{
    static const int64_t past[] = {0, 1, -5, INT64_MIN};
    struct queue *q = roomy(1, 1);
    struct claim *claim = NULL;
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(queue_get_until(q, 1, &claim, past[i]), ERR_TIMEOUT);
    put_number(q, 0, 7);
    struct claim *second = numbered_new(0, 2, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(queue_put_until(q, 0, second, past[i]), ERR_TIMEOUT);
        assert_int_equal(queue_drain(q, past[i]), ERR_TIMEOUT);
    }
    numbered_free(second);
    assert_int_equal(queue_get_until(q, 1, &claim, 0), ERR_NONE);
    numbered_free(claim);
    assert_int_equal(queue_drain(q, 0), ERR_NONE);
    queue_destroy(q);
}

/* ---- closing ---- */

static void closing_keeps_what_is_in_and_lets_nothing_in(void **state)
{
    struct queue *q = roomy(2, 4);
    (void)state;
    put_number(q, 0, 1);
    put_number(q, 0, 2);
    assert_false(queue_is_closed(q));
    queue_close(q);
    queue_close(q);
    assert_true(queue_is_closed(q));
    assert_int_equal(queue_lanes_with_room(q), 0);
    refused(q, 1, 0, ERR_CLOSED);
    nothing_there(q, QUEUE_LANE(1), ERR_CLOSED);
    assert_int_equal(get_number(q, 1), 1);
    assert_int_equal(get_number(q, 3), 2);
    nothing_there(q, 3, ERR_CLOSED);
    struct claim *claim = NULL;
    assert_int_equal(queue_get(q, 3, &claim), ERR_CLOSED);
    assert_int_equal(queue_drain(q, INT64_MAX), ERR_NONE);
    queue_destroy(q);
}

/* ---- blocked threads ---- */

struct blocked {
    struct queue *q;
    struct thread thread;
    unsigned lane;
    struct claim *claim;
    enum err_code result;
};

static void block_in_get(void *arg)
{
    struct blocked *b = arg;
    b->result = queue_get(b->q, QUEUE_LANE(b->lane), &b->claim);
}

static void block_in_put(void *arg)
{
    struct blocked *b = arg;
    b->result = queue_put(b->q, b->lane, b->claim);
}

static void block_in_drain(void *arg)
{
    struct blocked *b = arg;
    b->result = queue_drain(b->q, in_ms(PATIENCE_MS));
}

static void start(struct blocked *b, thread_fn fn)
{
    b->result = ERR_INVALID;
    assert_int_equal(thread_start(&b->thread, "blocked", fn, b, NULL),
                     ERR_NONE);
}

/* Whether the other threads block already or not must make no difference. */
static void maybe_let_them_block(unsigned round)
{
    if (round % 2 == 1)
        (void)poll(NULL, 0, 2);
}

static void each_put_wakes_a_getter_of_its_lane(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct queue *q = roomy(4, 8);
        struct blocked getters[4];
        for (unsigned i = 0; i < 4; i++) {
            getters[i] = (struct blocked){.q = q, .lane = i};
            start(&getters[i], block_in_get);
        }
        maybe_let_them_block(round);
        for (unsigned i = 4; i-- > 0;)
            put_number(q, i, i);
        for (unsigned i = 0; i < 4; i++) {
            thread_join(&getters[i].thread);
            assert_int_equal(getters[i].result, ERR_NONE);
            assert_int_equal(numbered_of(getters[i].claim)->number, i);
            numbered_free(getters[i].claim);
        }
        queue_destroy(q);
    }
}

static void each_get_wakes_a_putter_of_its_lane(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct queue *q = roomy(3, 3);
        struct blocked putters[3];
        for (unsigned i = 0; i < 3; i++) {
            put_number(q, i, i);
            putters[i] = (struct blocked){
                .q = q, .lane = i, .claim = numbered_new(i, 10 + i, 0)};
            start(&putters[i], block_in_put);
        }
        maybe_let_them_block(round);
        for (unsigned i = 3; i-- > 0;) {
            assert_int_equal(get_number(q, QUEUE_LANE(i)), i);
            assert_int_equal(get_number(q, QUEUE_LANE(i)), 10 + i);
            thread_join(&putters[i].thread);
            assert_int_equal(putters[i].result, ERR_NONE);
        }
        queue_destroy(q);
    }
}

/* A large record at the head of those who wait is not overtaken for ever. */
static void putters_go_in_in_order(void **state)
{
    struct queue *q = queue_of(1, 100, 10000);
    struct blocked large = {.q = q, .claim = numbered_new(0, 2, 9000)};
    (void)state;
    assert_int_equal(queue_try_put(q, 0, numbered_new(0, 1, 5000)), ERR_NONE);
    start(&large, block_in_put);
    int64_t until = in_ms(PATIENCE_MS);
    while (queue_lanes_with_room(q) != 0) {
        assert_true(in_ms(0) < until);
        (void)poll(NULL, 0, 1);
    }
    refused(q, 0, 10, ERR_AGAIN);
    assert_int_equal(get_number(q, 1), 1);
    assert_int_equal(get_number(q, 1), 2);
    thread_join(&large.thread);
    assert_int_equal(large.result, ERR_NONE);
    queue_destroy(q);
}

/* The large one gives up; the small one behind it fits. */
static void a_putter_that_gives_up_makes_way(void **state)
{
    struct queue *q = queue_of(1, 100, 10000);
    struct blocked small = {.q = q, .claim = numbered_new(0, 3, 10)};
    struct claim *large = numbered_new(0, 2, 9000);
    (void)state;
    assert_int_equal(queue_try_put(q, 0, numbered_new(0, 1, 5000)), ERR_NONE);
    start(&small, block_in_put);
    assert_int_equal(queue_put_until(q, 0, large, in_ms(30)), ERR_TIMEOUT);
    numbered_free(large);
    thread_join(&small.thread);
    assert_int_equal(small.result, ERR_NONE);
    assert_int_equal(queue_size(q), 2);
    empty_out(q);
}

static void closing_wakes_all_who_block(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct queue *q = roomy(2, 2);
        struct blocked b[6];
        put_number(q, 1, 0);
        for (unsigned i = 0; i < 6; i++) {
            b[i] = (struct blocked){.q = q, .lane = i % 2};
            if (i % 2 == 1)
                b[i].claim = numbered_new(1, i, 0);
            start(&b[i], i % 2 == 1 ? block_in_put : block_in_get);
        }
        maybe_let_them_block(round);
        queue_close(q);
        for (unsigned i = 0; i < 6; i++) {
            thread_join(&b[i].thread);
            assert_int_equal(b[i].result, ERR_CLOSED);
            if (i % 2 == 1)
                numbered_free(b[i].claim);
        }
        assert_int_equal(queue_size(q), 1);
        empty_out(q);
    }
}

static void drain_waits_for_the_last_get(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct queue *q = roomy(2, 4);
        struct blocked drainer = {.q = q};
        assert_int_equal(queue_drain(q, in_ms(PATIENCE_MS)), ERR_NONE);
        put_number(q, 0, 1);
        put_number(q, 1, 2);
        start(&drainer, block_in_drain);
        maybe_let_them_block(round);
        (void)get_number(q, 3);
        (void)get_number(q, 3);
        thread_join(&drainer.thread);
        assert_int_equal(drainer.result, ERR_NONE);
        queue_destroy(q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(a_lane_is_first_in_first_out),
        cmocka_unit_test(a_get_takes_lanes_in_turn),
        cmocka_unit_test(turns_hold_for_each_set_of_lanes),
        cmocka_unit_test(a_get_takes_only_from_its_lanes),
        cmocka_unit_test(numbers_follow_puts_and_gets),
        cmocka_unit_test(a_full_lane_leaves_the_others_their_share),
        cmocka_unit_test(bytes_are_limited_for_each_lane),
        cmocka_unit_test(an_empty_lane_takes_one_of_any_size),
        cmocka_unit_test(a_lane_that_refused_a_large_one_has_room_when_it_fits),
        cmocka_unit_test(deadlines_pass),
        cmocka_unit_test(deadlines_long_past_do_not_block),
        cmocka_unit_test(closing_keeps_what_is_in_and_lets_nothing_in),
        cmocka_unit_test(each_put_wakes_a_getter_of_its_lane),
        cmocka_unit_test(each_get_wakes_a_putter_of_its_lane),
        cmocka_unit_test(putters_go_in_in_order),
        cmocka_unit_test(a_putter_that_gives_up_makes_way),
        cmocka_unit_test(closing_wakes_all_who_block),
        cmocka_unit_test(drain_waits_for_the_last_get),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
