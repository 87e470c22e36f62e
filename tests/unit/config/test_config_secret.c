#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/secret.h"
#include "core/mem.h"
#include "tests/support/scratch.h"

/* A struct str in a static table. */
#define BYTES(literal)                                                         \
    {                                                                          \
        literal, sizeof(literal) - 1                                           \
    }

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

static void file_gives_its_one_line(void **state)
{
    static const struct {
        struct str file;
        mode_t mode;
        const char *secret; /* NULL: refused */
        const char *says;
    } table[] = {
        {BYTES("hunter2"), 0600, "hunter2", NULL},
        {BYTES("hunter2\n"), 0600, "hunter2", NULL},
        {BYTES(" hunter2\t\n"), 0640, " hunter2\t", NULL},
        {BYTES("p\xc3\xa4ss\n"), 0400, "p\xc3\xa4ss", NULL},
        {BYTES("hunter2\n\n"), 0600, NULL, "one line"},
        {BYTES("hunter2\r\n"), 0600, NULL, "one line"},
        {BYTES("hunter\0002"), 0600, NULL, "one line"},
        {BYTES("\nhunter2"), 0600, NULL, "one line"},
        {BYTES(""), 0600, NULL, "is empty"},
        {BYTES("\n"), 0600, NULL, "is empty"},
        {BYTES("hunter2"), 0644, NULL, "mode 0644): chmod 600"},
        {BYTES("hunter2"), 0602, NULL, "mode 0602): chmod 600"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct err err = {.code = ERR_NONE};
        char *secret = NULL;
        const char *path = scratch_write(*state, "secret", table[i].file.data,
                                         table[i].file.len, table[i].mode);
        enum err_code code = secret_from_file(path, &secret, &err);
        if (table[i].secret != NULL) {
            assert_int_equal(code, ERR_NONE);
            assert_string_equal(secret, table[i].secret);
        } else {
            assert_int_not_equal(code, ERR_NONE);
            assert_null(secret);
            assert_non_null(strstr(err.text, table[i].says));
            assert_null(strstr(err.text, "hunter"));
        }
        secret_free(secret);
        assert_int_equal(unlink(path), 0);
    }
}

static void file_has_a_limit(void **state)
{
    char bytes[SECRET_MAX_BYTES + 3];
    struct err err;
    char *secret = NULL;
    memset(bytes, 'x', sizeof(bytes));
    bytes[SECRET_MAX_BYTES] = '\n';
    const char *path =
        scratch_write(*state, "secret", bytes, SECRET_MAX_BYTES + 1, 0600);
    assert_int_equal(secret_from_file(path, &secret, &err), ERR_NONE);
    assert_int_equal(strlen(secret), SECRET_MAX_BYTES);
    secret_free(secret);
    secret = NULL;
    memset(bytes, 'x', sizeof(bytes));
    for (size_t len = SECRET_MAX_BYTES + 1; len <= sizeof(bytes); len++) {
        path = scratch_write(*state, "secret", bytes, len, 0600);
        assert_int_equal(secret_from_file(path, &secret, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "more than 1024 bytes"));
    }
    assert_null(secret);
}

static void what_is_no_plain_file_is_refused_at_once(void **state)
{
    struct scratch *scratch = *state;
    struct err err;
    char *secret = NULL;
    assert_int_equal(secret_from_file(scratch->folder, &secret, &err),
                     ERR_INVALID);
    assert_int_equal(
        secret_from_file(scratch_path(scratch, "gone"), &secret, &err),
        ERR_NOT_FOUND);
    const char *pipe = scratch_path(scratch, "pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(secret_from_file(pipe, &secret, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "no plain file"));
    assert_null(secret);
}

static void environment_gives_the_value(void **state)
{
    struct err err;
    char *secret = NULL;
    (void)state;
    assert_int_equal(setenv("POSTRIDER_TEST_SECRET", "a b", 1), 0);
    assert_int_equal(secret_from_env("POSTRIDER_TEST_SECRET", &secret, &err),
                     ERR_NONE);
    assert_string_equal(secret, "a b");
    secret_free(secret);
    secret = NULL;
    assert_int_equal(setenv("POSTRIDER_TEST_SECRET", "", 1), 0);
    assert_int_equal(secret_from_env("POSTRIDER_TEST_SECRET", &secret, &err),
                     ERR_INVALID);
    assert_int_equal(setenv("POSTRIDER_TEST_SECRET", "hunter\n2", 1), 0);
    assert_int_equal(secret_from_env("POSTRIDER_TEST_SECRET", &secret, &err),
                     ERR_INVALID);
    assert_null(strstr(err.text, "hunter"));
    assert_int_equal(unsetenv("POSTRIDER_TEST_SECRET"), 0);
    assert_int_equal(secret_from_env("POSTRIDER_TEST_SECRET", &secret, &err),
                     ERR_NOT_FOUND);
    assert_null(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_gives_its_one_line),
        cmocka_unit_test(file_has_a_limit),
        cmocka_unit_test(what_is_no_plain_file_is_refused_at_once),
        cmocka_unit_test(environment_gives_the_value),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
