#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/panic.h"
#include "core/thread.h"
#include "queue/queue.h"
#include "tests/unit/queue/claims.h"

static struct queue *queue_of(unsigned lanes, size_t capacity,
                              uint64_t max_bytes)
{
    struct queue *q = NULL;
    const struct queue_options options = {
        .capacity = capacity, .max_bytes = max_bytes, .lanes = lanes};
    assert_int_equal(queue_create(&q, &options, NULL), ERR_NONE);
    return q;
}

static struct queue_waiter *waiter(struct queue *q, enum queue_wait kind)
{
    struct queue_waiter *w = NULL;
    assert_int_equal(queue_waiter_create(&w, q, kind, NULL), ERR_NONE);
    return w;
}

static bool readable(const struct queue_waiter *w)
{
    struct pollfd p = {.fd = queue_waiter_fd(w), .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

static void put(struct queue *q, unsigned lane, size_t body_bytes)
{
    struct claim *claim = numbered_new(lane, 0, body_bytes);
    assert_int_equal(queue_try_put(q, lane, claim), ERR_NONE);
}

static void take(struct queue *q, uint64_t lanes)
{
    struct claim *claim;
    assert_int_equal(queue_try_get(q, lanes, &claim), ERR_NONE);
    numbered_free(claim);
}

/* Ends with nothing in q and no waiter on it. */
static void finish(struct queue *q, struct queue_waiter **w, unsigned count)
{
    struct claim *claim;
    for (unsigned i = 0; i < count; i++)
        queue_waiter_destroy(w[i]);
    while (queue_try_get(q, QUEUE_ALL_LANES, &claim) == ERR_NONE)
        numbered_free(claim);
    queue_destroy(q);
}

static void an_armed_one_is_told_of_an_item(void **state)
{
    struct queue *q = queue_of(2, 8, 100000);
    struct queue_waiter *w = waiter(q, QUEUE_WAIT_ITEMS);
    (void)state;
    assert_false(readable(w));
    put(q, 0, 0);
    assert_false(readable(w)); /* not armed */
    queue_waiter_arm(w, QUEUE_LANE(1));
    assert_false(readable(w));
    put(q, 0, 0);
    assert_false(readable(w)); /* not its lane */
    put(q, 1, 0);
    assert_true(readable(w));
    assert_true(readable(w)); /* until armed again */
    take(q, QUEUE_LANE(1));
    queue_waiter_arm(w, QUEUE_LANE(1));
    assert_false(readable(w));
    queue_waiter_arm(w, 3);
    assert_true(readable(w)); /* lane 0 had some before */
    finish(q, &w, 1);
    queue_waiter_destroy(NULL);
}

static void each_item_wakes_one(void **state)
{
    struct queue *q = queue_of(1, 8, 100000);
    struct queue_waiter *w[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        w[i] = waiter(q, QUEUE_WAIT_ITEMS);
        queue_waiter_arm(w[i], 1);
    }
    for (unsigned n = 1; n <= 3; n++) {
        unsigned woken = 0;
        put(q, 0, 0);
        for (unsigned i = 0; i < 3; i++)
            woken += readable(w[i]);
        assert_int_equal(woken, n);
    }
    finish(q, w, 3);
}

/* Two items for one armed waiter: what he leaves, the next one is told of. */
static void arming_passes_on_what_is_left(void **state)
{
    struct queue *q = queue_of(2, 8, 100000);
    struct queue_waiter *w[2] = {waiter(q, QUEUE_WAIT_ITEMS),
                                 waiter(q, QUEUE_WAIT_ITEMS)};
    (void)state;
    queue_waiter_arm(w[0], 3);
    put(q, 0, 0);
    put(q, 1, 0);
    assert_true(readable(w[0]));
    queue_waiter_arm(w[1], QUEUE_LANE(1)); /* there already */
    assert_true(readable(w[1]));
    take(q, QUEUE_LANE(1));
    queue_waiter_arm(w[1], 3); /* lane 0 is there too */
    assert_true(readable(w[1]));
    take(q, QUEUE_LANE(0));
    queue_waiter_arm(w[1], 3);
    put(q, 0, 0); /* wakes w[1], who has a slot for lane 1 only */
    assert_true(readable(w[1]));
    queue_waiter_arm(w[0], 3);
    assert_true(readable(w[0]));
    take(q, QUEUE_LANE(0));
    queue_waiter_arm(w[0], QUEUE_LANE(0));
    assert_false(readable(w[0]));
    put(q, 0, 0); /* w[0] is told, takes nothing, wants lane 1 now */
    queue_waiter_arm(w[1], QUEUE_LANE(1));
    assert_true(readable(w[0]));
    finish(q, w, 2);
}

static void who_has_no_slot_passes_it_to_who_has(void **state)
{
    struct queue *q = queue_of(2, 8, 100000);
    struct queue_waiter *w[2] = {waiter(q, QUEUE_WAIT_ITEMS),
                                 waiter(q, QUEUE_WAIT_ITEMS)};
    (void)state;
    for (unsigned destroyed = 0; destroyed < 2; destroyed++) {
        queue_waiter_arm(w[0], 3);
        queue_waiter_arm(w[1], 3);
        put(q, 0, 0);
        assert_true(readable(w[0]));
        assert_false(readable(w[1]));
        if (destroyed == 0) {
            queue_waiter_arm(w[0], QUEUE_LANE(1));
            assert_false(readable(w[0]));
        } else {
            queue_waiter_destroy(w[0]);
        }
        assert_true(readable(w[1]));
        take(q, QUEUE_LANE(0));
    }
    finish(q, &w[1], 1);
}

static void one_woken_for_two_lanes_hands_back_both(void **state)
{
    struct queue *q = queue_of(2, 8, 100000);
    struct queue_waiter *w[3] = {waiter(q, QUEUE_WAIT_ITEMS),
                                 waiter(q, QUEUE_WAIT_ITEMS),
                                 waiter(q, QUEUE_WAIT_ITEMS)};
    (void)state;
    queue_waiter_arm(w[0], 3);
    put(q, 0, 0);
    put(q, 1, 0);
    take(q, QUEUE_LANE(0)); /* somebody else's */
    take(q, QUEUE_LANE(1));
    queue_waiter_arm(w[1], QUEUE_LANE(0));
    queue_waiter_arm(w[2], QUEUE_LANE(1));
    assert_false(readable(w[1]) || readable(w[2]));
    put(q, 0, 0);
    put(q, 1, 0);
    assert_true(readable(w[1]) && readable(w[2]));
    queue_waiter_arm(w[0], 0);
    finish(q, w, 3);
}

static void block_in_put(void *arg)
{
    struct queue *q = arg;
    if (queue_put(q, 0, numbered_new(0, 0, 9000)) != ERR_NONE)
        PANIC("the queue was closed");
}

static void a_record_that_had_to_wait_wakes_one_too(void **state)
{
    struct queue *q = queue_of(1, 10, 10000);
    struct queue_waiter *w[2] = {waiter(q, QUEUE_WAIT_ITEMS),
                                 waiter(q, QUEUE_WAIT_ITEMS)};
    struct thread putter = {.started = false};
    (void)state;
    queue_waiter_arm(w[0], 1);
    queue_waiter_arm(w[1], 1);
    put(q, 0, 5000);
    assert_false(readable(w[1]));
    assert_int_equal(thread_start(&putter, "putter", block_in_put, q, NULL),
                     ERR_NONE);
    /* Who waits for room leaves none to those behind him. */
    for (unsigned i = 0; queue_lanes_with_room(q) != 0; i++) {
        assert_true(i < 20000);
        (void)poll(NULL, 0, 1);
    }
    take(q, 1);
    thread_join(&putter);
    assert_true(readable(w[1]));
    finish(q, w, 2);
}

static void an_armed_one_is_told_of_room(void **state)
{
    struct queue *q = queue_of(2, 4, 100000);
    struct queue_waiter *w = waiter(q, QUEUE_WAIT_ROOM);
    (void)state;
    queue_waiter_arm(w, QUEUE_LANE(0));
    assert_true(readable(w));
    put(q, 0, 0);
    put(q, 0, 0);
    queue_waiter_arm(w, QUEUE_LANE(0));
    assert_false(readable(w));
    put(q, 1, 0);
    take(q, QUEUE_LANE(1));
    assert_false(readable(w));
    take(q, QUEUE_LANE(0));
    assert_true(readable(w));
    finish(q, &w, 1);
}

static void each_place_wakes_one(void **state)
{
    struct queue *q = queue_of(1, 3, 100000);
    struct queue_waiter *w[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        put(q, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        w[i] = waiter(q, QUEUE_WAIT_ROOM);
        queue_waiter_arm(w[i], 1);
    }
    for (unsigned n = 1; n <= 3; n++) {
        unsigned woken = 0;
        take(q, 1);
        for (unsigned i = 0; i < 3; i++)
            woken += readable(w[i]);
        assert_int_equal(woken, n);
    }
    finish(q, w, 3);
}

/* Told when the refused record fits, not for every byte. */
static void room_means_room_for_the_refused_record(void **state)
{
    struct queue *q = queue_of(1, 100, 10000);
    struct queue_waiter *w = waiter(q, QUEUE_WAIT_ROOM);
    struct claim *large = numbered_new(0, 0, 7000);
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        put(q, 0, 2000);
    assert_int_equal(queue_try_put(q, 0, large), ERR_AGAIN);
    queue_waiter_arm(w, 1);
    assert_false(readable(w));
    take(q, 1);
    take(q, 1);
    assert_false(readable(w));
    take(q, 1);
    assert_true(readable(w));
    assert_int_equal(queue_try_put(q, 0, large), ERR_NONE);
    finish(q, &w, 1);
}

static void closing_tells_all_and_always(void **state)
{
    struct queue *q = queue_of(1, 1, 100000);
    struct queue_waiter *w[3] = {waiter(q, QUEUE_WAIT_ITEMS),
                                 waiter(q, QUEUE_WAIT_ROOM),
                                 waiter(q, QUEUE_WAIT_ITEMS)};
    (void)state;
    queue_waiter_arm(w[0], 1);
    put(q, 0, 0);
    queue_waiter_arm(w[1], 1);
    queue_waiter_arm(w[2], 0); /* for closing only */
    assert_false(readable(w[1]) || readable(w[2]));
    queue_close(q);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(readable(w[i]));
        queue_waiter_arm(w[i], 0);
        assert_true(readable(w[i]));
    }
    finish(q, w, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_armed_one_is_told_of_an_item),
        cmocka_unit_test(each_item_wakes_one),
        cmocka_unit_test(arming_passes_on_what_is_left),
        cmocka_unit_test(who_has_no_slot_passes_it_to_who_has),
        cmocka_unit_test(one_woken_for_two_lanes_hands_back_both),
        cmocka_unit_test(a_record_that_had_to_wait_wakes_one_too),
        cmocka_unit_test(an_armed_one_is_told_of_room),
        cmocka_unit_test(each_place_wakes_one),
        cmocka_unit_test(room_means_room_for_the_refused_record),
        cmocka_unit_test(closing_tells_all_and_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
