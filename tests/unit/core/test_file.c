#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "tests/support/scratch.h"

static int open_folder(void **state)
{
    static struct scratch scratch;
    scratch_open(&scratch);
    *state = &scratch;
    return 0;
}

static int close_folder(void **state)
{
    scratch_close(*state);
    return 0;
}

static void whole_file_is_added_up_to_the_cap(void **state)
{
    static char bytes[100000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i % 251);
    const char *path =
        scratch_write(*state, "file", bytes, sizeof(bytes), 0600);
    struct buf b;
    struct err err;
    buf_init(&b, sizeof(bytes) + 2);
    buf_add_text(&b, "->");
    assert_int_equal(file_read(path, &b, &err), ERR_NONE);
    assert_int_equal(b.len, sizeof(bytes) + 2);
    assert_memory_equal(b.data + 2, bytes, sizeof(bytes));
    buf_fini(&b);
    buf_init(&b, sizeof(bytes) - 1);
    assert_int_equal(file_read(path, &b, &err), ERR_TOO_LARGE);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "larger than 99999 bytes"));
    buf_fini(&b);
}

static void empty_file_adds_nothing(void **state)
{
    const char *path = scratch_write(*state, "empty", "", 0, 0600);
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(file_read(path, &b, NULL), ERR_NONE);
    assert_int_equal(b.len, 0);
    buf_fini(&b);
}

static void what_cannot_be_read_is_named(void **state)
{
    struct scratch *scratch = *state;
    struct buf b;
    struct err err;
    buf_init(&b, 100);
    const char *path = scratch_path(scratch, "gone");
    assert_int_equal(file_read(path, &b, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(file_read(scratch->folder, &b, &err), ERR_SYSTEM);
    assert_non_null(strstr(err.text, scratch->folder));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file_is_added_up_to_the_cap),
        cmocka_unit_test(empty_file_adds_nothing),
        cmocka_unit_test(what_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
