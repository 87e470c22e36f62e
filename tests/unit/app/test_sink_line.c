#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/sink/sink_line.h"

static void bytes_come_out_when_they_are_due(void **state)
{
    struct sink_line l;
    (void)state;
    sink_line_init(&l);
    assert_true(sink_line_is_empty(&l));
    assert_true(sink_line_next_ns(&l) == INT64_MAX);
    sink_line_put(&l, STR("abc"), 100);
    sink_line_put(&l, STR("de"), 100);
    sink_line_put(&l, STR("f"), 200);
    assert_int_equal(l.bytes, 6);
    assert_int_equal(sink_line_ready(&l, 99).len, 0);
    assert_int_equal(sink_line_next_ns(&l), 100);
    assert_true(str_equal(sink_line_ready(&l, 100), STR("abc")));
    sink_line_take(&l, 2);
    assert_true(str_equal(sink_line_ready(&l, 100), STR("c")));
    sink_line_take(&l, 1);
    /* In flight together, out together. */
    assert_true(str_equal(sink_line_ready(&l, 100), STR("de")));
    sink_line_take(&l, 2);
    assert_int_equal(sink_line_ready(&l, 199).len, 0);
    assert_int_equal(sink_line_next_ns(&l), 200);
    assert_true(str_equal(sink_line_ready(&l, 1000), STR("f")));
    sink_line_take(&l, 1);
    assert_true(sink_line_is_empty(&l));
    sink_line_fini(&l);
}

static void order_is_kept_when_time_is_not(void **state)
{
    struct sink_line l;
    (void)state;
    sink_line_init(&l);
    sink_line_put(&l, STR("first"), 300);
    sink_line_put(&l, STR("second"), 200);
    assert_int_equal(sink_line_ready(&l, 299).len, 0);
    sink_line_take(&l, sink_line_ready(&l, 300).len);
    assert_true(str_equal(sink_line_ready(&l, 300), STR("second")));
    /* What is still on the way is freed. */
    sink_line_fini(&l);
}

static void the_end_comes_behind_the_bytes(void **state)
{
    struct sink_line l;
    (void)state;
    sink_line_init(&l);
    assert_false(sink_line_is_over(&l, 1000));
    sink_line_put(&l, STR("a"), 100);
    sink_line_end(&l, 150);
    sink_line_end(&l, 50);
    assert_false(sink_line_is_over(&l, 200));
    sink_line_take(&l, 1);
    assert_int_equal(sink_line_next_ns(&l), 150);
    assert_false(sink_line_is_over(&l, 149));
    assert_true(sink_line_is_over(&l, 150));
    sink_line_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_when_they_are_due),
        cmocka_unit_test(order_is_kept_when_time_is_not),
        cmocka_unit_test(the_end_comes_behind_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
