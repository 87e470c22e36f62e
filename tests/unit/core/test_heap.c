#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/heap.h"
#include "core/random.h"

enum { ITEMS = 300 };

/* What the heap should hold, found by looking at everything. */
struct model {
    struct heap_item items[ITEMS];
    int64_t keys[ITEMS];
    uint64_t orders[ITEMS];
    bool is_in[ITEMS];
    uint64_t pushed;
};

static size_t model_least(const struct model *m)
{
    size_t best = ITEMS;
    for (size_t i = 0; i < ITEMS; i++)
        if (m->is_in[i] &&
            (best == ITEMS || m->keys[i] < m->keys[best] ||
             (m->keys[i] == m->keys[best] && m->orders[i] < m->orders[best])))
            best = i;
    return best;
}

static void take_and_compare(struct heap *h, struct model *m)
{
    size_t least = model_least(m);
    const struct heap_item *want = least < ITEMS ? &m->items[least] : NULL;
    assert_ptr_equal(heap_peek(h), want);
    assert_ptr_equal(heap_pop(h), want);
    if (want == NULL)
        return;
    m->is_in[least] = false;
    assert_false(heap_has(want));
}

static void toggle(struct heap *h, struct model *m, size_t i, int64_t key)
{
    if (m->is_in[i]) {
        heap_remove(h, &m->items[i]);
        m->is_in[i] = false;
        return;
    }
    heap_push(h, &m->items[i], key);
    m->keys[i] = key;
    m->orders[i] = m->pushed++;
    m->is_in[i] = true;
}

static void random_use_agrees_with_a_list(void **state)
{
    static struct model m;
    struct heap h;
    struct random random;
    (void)state;
    heap_init(&h);
    random_init(&random, 42);
    for (size_t i = 0; i < ITEMS; i++)
        heap_item_init(&m.items[i]);
    for (int step = 0; step < 20000; step++) {
        if (random_below(&random, 4) == 0)
            take_and_compare(&h, &m);
        else
            toggle(&h, &m, random_below(&random, ITEMS),
                   (int64_t)random_below(&random, 20) - 10);
    }
    while (h.count > 0)
        take_and_compare(&h, &m);
    assert_int_equal(model_least(&m), ITEMS);
    heap_fini(&h);
}

static void equal_keys_leave_as_they_came(void **state)
{
    struct heap_item items[50];
    struct heap h;
    (void)state;
    heap_init(&h);
    for (size_t i = 0; i < 50; i++) {
        heap_item_init(&items[i]);
        heap_push(&h, &items[i], 7);
    }
    for (size_t i = 0; i < 50; i++)
        assert_ptr_equal(heap_pop(&h), &items[i]);
    heap_fini(&h);
}

static void item_put_back_keeps_its_place(void **state)
{
    struct heap_item items[3];
    struct heap h;
    (void)state;
    heap_init(&h);
    for (size_t i = 0; i < 3; i++) {
        heap_item_init(&items[i]);
        heap_push(&h, &items[i], INT64_MAX);
    }
    assert_ptr_equal(heap_pop(&h), &items[0]);
    heap_restore(&h, &items[0]);
    for (size_t i = 0; i < 3; i++)
        assert_ptr_equal(heap_pop(&h), &items[i]);
    heap_fini(&h);
}

static void empty_heap_gives_nothing(void **state)
{
    struct heap_item item;
    struct heap h;
    (void)state;
    heap_init(&h);
    heap_item_init(&item);
    assert_null(heap_peek(&h));
    assert_null(heap_pop(&h));
    heap_remove(&h, &item);
    heap_push(&h, &item, INT64_MIN);
    heap_remove(&h, &item);
    assert_false(heap_has(&item));
    assert_null(heap_pop(&h));
    heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_agrees_with_a_list),
        cmocka_unit_test(equal_keys_leave_as_they_came),
        cmocka_unit_test(item_put_back_keeps_its_place),
        cmocka_unit_test(empty_heap_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
