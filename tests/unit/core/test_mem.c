#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

static void allocations_of_no_bytes_are_some(void **state)
{
    void *a = mem_alloc(0);
    void *b = mem_calloc(0, 8);
    void *c = mem_calloc(8, 0);
    void *d = mem_try_alloc(0);
    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_non_null(d);
    a = mem_realloc(a, 0);
    assert_non_null(a);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(d);
    mem_free(NULL);
}

static void calloc_gives_zeroes(void **state)
{
    static const char zeroes[4096];
    struct {
        char bytes[4096];
    } * object;
    char *memory = mem_calloc(64, 64);
    (void)state;
    assert_memory_equal(memory, zeroes, sizeof(zeroes));
    mem_free(memory);
    MEM_NEW(object);
    assert_memory_equal(object, zeroes, sizeof(zeroes));
    mem_free(object);
}

static void realloc_keeps_the_bytes(void **state)
{
    char *memory = mem_realloc(NULL, 4);
    (void)state;
    memcpy(memory, "abc", 4);
    memory = mem_realloc(memory, 100000);
    assert_string_equal(memory, "abc");
    mem_free(memory);
}

static void strdup_ends_with_nul(void **state)
{
    char *copy = mem_strdup(str_of("abcdef", 3));
    char *empty = mem_strdup(str_from(NULL));
    (void)state;
    assert_string_equal(copy, "abc");
    assert_string_equal(empty, "");
    mem_free(copy);
    mem_free(empty);
}

struct outer {
    int before;
    int member;
};

static void container_is_found_from_its_member(void **state)
{
    struct outer outer = {1, 2};
    (void)state;
    assert_ptr_equal(CONTAINER_OF(&outer.member, struct outer, member), &outer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_of_no_bytes_are_some),
        cmocka_unit_test(calloc_gives_zeroes),
        cmocka_unit_test(realloc_keeps_the_bytes),
        cmocka_unit_test(strdup_ends_with_nul),
        cmocka_unit_test(container_is_found_from_its_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
