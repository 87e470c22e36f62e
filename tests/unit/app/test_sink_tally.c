#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "app/sink/sink_tally.h"

static bool add(struct sink_tally *t, unsigned number)
{
    char id[32];
    (void)snprintf(id, sizeof(id), "<%u@x>", number);
    return sink_tally_add(t, str_from(id), STR("r@y"));
}

static void a_pair_is_a_duplicate_the_second_time(void **state)
{
    struct sink_tally t;
    (void)state;
    sink_tally_init(&t, 100);
    assert_false(sink_tally_add(&t, STR("<1@x>"), STR("a@y.org")));
    assert_false(sink_tally_add(&t, STR("<1@x>"), STR("b@y.org")));
    assert_false(sink_tally_add(&t, STR("<2@x>"), STR("a@y.org")));
    assert_true(sink_tally_add(&t, STR("<1@x>"), STR("a@y.org")));
    assert_true(sink_tally_add(&t, STR("<1@x>"), STR("a@Y.ORG")));
    assert_false(sink_tally_add(&t, STR("<1@x>"), STR("A@y.org")));
    /* Where one text ends and the other begins matters. */
    assert_false(sink_tally_add(&t, STR("<1@x>a"), STR("@y.org")));
    assert_false(sink_tally_add(&t, STR("<3@x>"), STR("postmaster")));
    assert_true(sink_tally_add(&t, STR("<3@x>"), STR("postmaster")));
    assert_int_equal(t.unique, 6);
    assert_int_equal(t.duplicates, 3);
    sink_tally_fini(&t);
}

static void growing_forgets_nothing(void **state)
{
    struct sink_tally t;
    (void)state;
    sink_tally_init(&t, 100000);
    for (unsigned i = 0; i < 50000; i++)
        assert_false(add(&t, i));
    for (unsigned i = 0; i < 50000; i++)
        assert_true(add(&t, i));
    assert_int_equal(t.forgotten, 0);
    sink_tally_fini(&t);
}

static void beyond_the_bound_the_oldest_is_forgotten(void **state)
{
    struct sink_tally t;
    (void)state;
    sink_tally_init(&t, 3000);
    for (unsigned i = 0; i < 20000; i++)
        assert_false(add(&t, i));
    assert_int_equal(t.pairs, 3000);
    assert_int_equal(t.forgotten, 17000);
    for (unsigned i = 17000; i < 20000; i++)
        assert_true(add(&t, i));
    assert_false(add(&t, 16999));
    assert_false(add(&t, 17000)); /* forgotten for the one before */
    assert_true(add(&t, 17002));
    sink_tally_fini(&t);
}

static void one_pair_is_bound_enough(void **state)
{
    struct sink_tally t;
    (void)state;
    sink_tally_init(&t, 1);
    assert_false(add(&t, 1));
    assert_true(add(&t, 1));
    assert_false(add(&t, 2));
    assert_false(add(&t, 1));
    sink_tally_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_a_duplicate_the_second_time),
        cmocka_unit_test(growing_forgets_nothing),
        cmocka_unit_test(beyond_the_bound_the_oldest_is_forgotten),
        cmocka_unit_test(one_pair_is_bound_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
