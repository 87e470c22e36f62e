#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/heap.h"
#include "core/map.h"
#include "core/mem.h"

struct thing {
    struct map_item item;
    unsigned number;
};

static struct thing *lookup(const struct map *m, unsigned number)
{
    struct map_item *item = map_first(m, map_hash(m, &number, sizeof(number)));
    for (; item != NULL; item = map_next(item)) {
        struct thing *thing = CONTAINER_OF(item, struct thing, item);
        if (thing->number == number)
            return thing;
    }
    return NULL;
}

/* The paper's example: bytes 0..14 under the key 00..0f. */
static void siphash_gives_the_published_value(void **state)
{
    const uint64_t secret[2] = {0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
    unsigned char message[15];
    (void)state;
    for (unsigned char i = 0; i < sizeof(message); i++)
        message[i] = i;
    assert_true(map_siphash(secret, message, sizeof(message)) ==
                0xa129ca6149be45e5U);
    assert_true(map_siphash(secret, message, 14) != 0xa129ca6149be45e5U);
}

static void two_maps_hash_differently(void **state)
{
    struct map a;
    struct map b;
    (void)state;
    map_init(&a);
    map_init(&b);
    assert_true(map_hash(&a, "x", 1) != map_hash(&b, "x", 1));
    map_fini(&a);
    map_fini(&b);
}

static void items_are_found_while_the_map_grows_and_shrinks(void **state)
{
    enum { COUNT = 3000 };
    struct thing *things = mem_calloc(COUNT, sizeof(*things));
    struct map m;
    (void)state;
    map_init(&m);
    for (unsigned i = 0; i < COUNT; i++) {
        things[i].number = i;
        map_add(&m, &things[i].item, map_hash(&m, &i, sizeof(i)));
        assert_ptr_equal(lookup(&m, i / 2), &things[i / 2]);
        assert_null(lookup(&m, i + 1));
    }
    assert_int_equal(m.count, COUNT);
    for (unsigned i = 0; i < COUNT; i += 2)
        map_remove(&m, &things[i].item);
    for (unsigned i = 0; i < COUNT; i++)
        assert_ptr_equal(lookup(&m, i), i % 2 == 0 ? NULL : &things[i]);
    for (unsigned i = 1; i < COUNT; i += 2)
        map_remove(&m, &things[i].item);
    assert_int_equal(m.count, 0);
    map_fini(&m);
    mem_free(things);
}

static void items_of_one_hash_are_all_walked(void **state)
{
    struct thing things[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    unsigned seen = 0;
    struct map m;
    (void)state;
    map_init(&m);
    for (unsigned i = 0; i < 3; i++)
        map_add(&m, &things[i].item, 42);
    for (struct map_item *item = map_first(&m, 42); item != NULL;
         item = map_next(item))
        seen |= 1U << CONTAINER_OF(item, struct thing, item)->number;
    assert_int_equal(seen, 7);
    assert_null(map_first(&m, 43));
    for (unsigned i = 0; i < 3; i++)
        map_remove(&m, &things[i].item);
    map_fini(&m);
}

static void free_thing(void *ctx, struct map_item *item)
{
    ++*(unsigned *)ctx;
    mem_free(CONTAINER_OF(item, struct thing, item));
}

static void clear_gives_every_item_once(void **state)
{
    unsigned freed = 0;
    struct map m;
    (void)state;
    map_init(&m);
    for (unsigned i = 0; i < 100; i++) {
        struct thing *thing;
        MEM_NEW(thing);
        map_add(&m, &thing->item, map_hash(&m, &i, sizeof(i)));
    }
    map_clear(&m, free_thing, &freed);
    assert_int_equal(freed, 100);
    map_fini(&m);
}

/* Here because the spool's release stands on it. */
static void a_restored_heap_item_keeps_its_place(void **state)
{
    struct heap_item items[4];
    struct heap h;
    (void)state;
    heap_init(&h);
    for (unsigned i = 0; i < 4; i++) {
        heap_item_init(&items[i]);
        heap_push(&h, &items[i], 5);
    }
    assert_ptr_equal(heap_pop(&h), &items[0]);
    assert_ptr_equal(heap_pop(&h), &items[1]);
    heap_restore(&h, &items[1]);
    heap_restore(&h, &items[0]);
    for (unsigned i = 0; i < 4; i++)
        assert_ptr_equal(heap_pop(&h), &items[i]);
    heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_published_value),
        cmocka_unit_test(two_maps_hash_differently),
        cmocka_unit_test(items_are_found_while_the_map_grows_and_shrinks),
        cmocka_unit_test(items_of_one_hash_are_all_walked),
        cmocka_unit_test(clear_gives_every_item_once),
        cmocka_unit_test(a_restored_heap_item_keeps_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
