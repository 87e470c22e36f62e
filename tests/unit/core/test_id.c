#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/id.h"

static void ids_sort_by_their_time(void **state)
{
    static const int64_t times[] = {
        0, 1, 1000, 1795173753456, 1795173753457, (1LL << 48) - 1};
    struct id before = {""};
    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct id id;
        id_new(&id, times[i]);
        assert_int_equal(strlen(id.text), ID_LEN);
        assert_true(strcmp(before.text, id.text) < 0);
        before = id;
    }
}

static void time_has_its_known_characters(void **state)
{
    struct id id;
    (void)state;
    /* 1469918176385 ms is the example of the ULID specification. */
    id_new(&id, 1469918176385);
    assert_memory_equal(id.text, "01aryz6s41", 10);
}

static void ids_of_one_moment_differ(void **state)
{
    enum { COUNT = 2000 };
    static struct id ids[COUNT];
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        id_new(&ids[i], 5);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(ids[i].text, ids[k].text);
}

static void what_was_made_can_be_read(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct id id;
        struct id again;
        id_new(&id, i * 1000003LL);
        assert_true(id_parse(str_of(id.text, ID_LEN), &again));
        assert_string_equal(id.text, again.text);
    }
}

static void other_text_is_no_id(void **state)
{
    static const char *const table[] = {
        "",
        "01arz3ndektsv4rrffq69g5fa",   /* 25 */
        "01arz3ndektsv4rrffq69g5favv", /* 27 */
        "81arz3ndektsv4rrffq69g5fav",  /* more than 48 bits of time */
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "01arz3ndektsv4rrffq69g5fai",
        "01arz3ndektsv4rrffq69g5fal",
        "01arz3ndektsv4rrffq69g5fao",
        "01arz3ndektsv4rrffq69g5fau",
        "01arz3ndektsv4rrffq69g5fa ",
        "!1arz3ndektsv4rrffq69g5fav",
        "01arz3ndektsv4rrffq69g5fa\xe4",
    };
    struct id id = {"untouched"};
    (void)state;
    assert_true(id_parse(STR("01arz3ndektsv4rrffq69g5fav"), &id));
    id = (struct id){"untouched"};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (id_parse(str_from(table[i]), &id))
            fail_msg("\"%s\"", table[i]);
    assert_false(id_parse(STR("01arz3ndektsv4rrffq69g5fa\0"), &id));
    assert_false(id_parse(str_from(NULL), &id));
    assert_string_equal(id.text, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_sort_by_their_time),
        cmocka_unit_test(time_has_its_known_characters),
        cmocka_unit_test(ids_of_one_moment_differ),
        cmocka_unit_test(what_was_made_can_be_read),
        cmocka_unit_test(other_text_is_no_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
