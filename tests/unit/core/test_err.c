#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"

static void code_and_sentence_are_set(void **state)
{
    struct err err;
    (void)state;
    assert_int_equal(err_set(&err, ERR_FULL, "%d of %s", 5, "them"), ERR_FULL);
    assert_int_equal(err.code, ERR_FULL);
    assert_string_equal(err.text, "5 of them");
}

static void nobody_need_listen(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_FULL, "x"), ERR_FULL);
    assert_int_equal(err_system(NULL, ENOENT, "x"), ERR_NOT_FOUND);
}

static void errno_becomes_a_code_and_words(void **state)
{
    static const struct {
        int errno_value;
        enum err_code code;
    } table[] = {
        {EACCES, ERR_DENIED},       {EPERM, ERR_DENIED},
        {ENOENT, ERR_NOT_FOUND},    {EADDRINUSE, ERR_EXISTS},
        {EEXIST, ERR_EXISTS},       {EIO, ERR_SYSTEM},
        {ECONNREFUSED, ERR_SYSTEM},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct err err;
        assert_int_equal(err_system(&err, table[i].errno_value, "a %d", 1),
                         table[i].code);
        assert_int_equal(err.code, table[i].code);
        assert_memory_equal(err.text, "a 1: ", 5);
        assert_true(strlen(err.text) > 8);
    }
}

static void prefix_goes_in_front(void **state)
{
    struct err err;
    (void)state;
    (void)err_set(&err, ERR_DENIED, "no entry");
    assert_int_equal(err_prefix(&err, "door %d", 7), ERR_DENIED);
    assert_string_equal(err.text, "door 7: no entry");
}

static void text_is_cut_to_what_fits_and_is_one_line(void **state)
{
    struct err err;
    char large[1000];
    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    (void)err_set(&err, ERR_INVALID, "%s", large);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    (void)err_system(&err, EIO, "%s", large);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    (void)err_prefix(&err, "%s", large);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    (void)err_set(&err, ERR_INVALID, "a\nb\r\nc");
    assert_string_equal(err.text, "a b  c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_and_sentence_are_set),
        cmocka_unit_test(nobody_need_listen),
        cmocka_unit_test(errno_becomes_a_code_and_words),
        cmocka_unit_test(prefix_goes_in_front),
        cmocka_unit_test(text_is_cut_to_what_fits_and_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
