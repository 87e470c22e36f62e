#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/body.h"
#include "core/mem.h"
#include "core/thread.h"
#include "tests/support/scratch.h"

#define TEXT     "0123456789"
#define TEXT_LEN 10

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

static struct body *in_memory(void)
{
    return body_from_memory(mem_strdup(STR(TEXT)), TEXT_LEN);
}

/* A body whose file has len bytes and is said to have TEXT_LEN. */
static struct body *in_file(struct scratch *s, size_t len, int *fd)
{
    *fd = open(scratch_write(s, "body", TEXT, len, 0600), O_RDONLY | O_CLOEXEC);
    assert_true(*fd >= 0);
    return body_from_file(*fd, TEXT_LEN);
}

static void assert_reads(const struct body *body, uint64_t offset, size_t len,
                         const char *want)
{
    char out[64] = "";
    size_t got = 4711;
    assert_int_equal(body_read(body, offset, out, len, &got), ERR_NONE);
    assert_int_equal(got, strlen(want));
    assert_memory_equal(out, want, got);
    assert_int_equal(out[got], '\0'); /* and nothing behind */
}

static void check_all(const struct body *body)
{
    assert_int_equal(body_size(body), TEXT_LEN);
    assert_reads(body, 0, 10, TEXT);
    assert_reads(body, 0, 3, "012");
    assert_reads(body, 4, 3, "456");
    assert_reads(body, 8, 50, "89");
    assert_reads(body, 9, 1, "9");
    assert_reads(body, 10, 5, "");
    assert_reads(body, UINT64_MAX, 5, "");
    assert_reads(body, 5, 0, "");
}

static void memory_and_file_read_alike(void **state)
{
    int fd;
    struct body *body = in_memory();
    check_all(body);
    body_unref(body);
    body = in_file(*state, TEXT_LEN, &fd);
    check_all(body);
    body_unref(body);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed with it */
}

static void file_shorter_than_said_is_an_error(void **state)
{
    char out[TEXT_LEN];
    size_t got;
    int fd;
    struct body *body = in_file(*state, 4, &fd);
    assert_reads(body, 0, 4, "0123");
    assert_int_equal(body_read(body, 0, out, TEXT_LEN, &got), ERR_SYSTEM);
    assert_int_equal(body_read(body, 6, out, 2, &got), ERR_SYSTEM);
    body_unref(body);
}

static void file_that_cannot_be_read_is_an_error(void **state)
{
    char out[TEXT_LEN];
    size_t got;
    struct scratch *scratch = *state;
    int fd = open(scratch->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct body *body = body_from_file(fd, TEXT_LEN);
    assert_int_equal(body_read(body, 0, out, 2, &got), ERR_SYSTEM);
    body_unref(body);
}

static void empty_body_is_one(void **state)
{
    struct body *body = body_from_memory(NULL, 0);
    (void)state;
    assert_int_equal(body_size(body), 0);
    assert_reads(body, 0, 5, "");
    body_unref(body);
    body_unref(NULL);
}

#define LONG_LEN 20003

static void assert_bits(struct body *body, bool want)
{
    bool is_8bit = !want;
    assert_int_equal(body_is_8bit(body, &is_8bit), ERR_NONE);
    assert_int_equal(is_8bit, want);
    /* and when it is remembered */
    is_8bit = !want;
    assert_int_equal(body_is_8bit(body, &is_8bit), ERR_NONE);
    assert_int_equal(is_8bit, want);
    body_unref(body);
}

static void high_bytes_are_seen_wherever_they_are(void **state)
{
    static const size_t places[] = {0, 1, 7, 8, 16383, 16384, 20001, 20002};
    for (size_t i = 0; i <= 8; i++) {
        char *text = mem_alloc(LONG_LEN);
        memset(text, 0x7f, LONG_LEN);
        if (i < 8)
            text[places[i]] = (char)0x80;
        int fd = open(scratch_write(*state, "body", text, LONG_LEN, 0600),
                      O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_bits(body_from_file(fd, LONG_LEN), i < 8);
        assert_bits(body_from_memory(text, LONG_LEN), i < 8);
    }
    assert_bits(body_from_memory(NULL, 0), false);
}

static void an_unreadable_body_is_asked_again(void **state)
{
    bool is_8bit;
    int fd;
    struct body *body = in_file(*state, 4, &fd);
    assert_int_equal(body_is_8bit(body, &is_8bit), ERR_SYSTEM);
    assert_int_equal(body_is_8bit(body, &is_8bit), ERR_SYSTEM);
    (void)scratch_write(*state, "body", TEXT, TEXT_LEN, 0600);
    assert_bits(body, false);
}

static void read_and_drop(void *arg)
{
    struct body *body = arg;
    for (int i = 0; i < 10000; i++) {
        struct body *mine = body_ref(body);
        char out[TEXT_LEN];
        size_t got;
        bool is_8bit;
        if (body_read(mine, 0, out, TEXT_LEN, &got) != ERR_NONE ||
            memcmp(out, TEXT, TEXT_LEN) != 0)
            fail();
        if (body_is_8bit(mine, &is_8bit) != ERR_NONE || is_8bit)
            fail();
        body_unref(mine);
    }
    body_unref(body);
}

static void last_reference_frees_in_any_thread(void **state)
{
    struct thread threads[4] = {0};
    struct body *body = in_memory();
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(thread_start(&threads[i], "reader", read_and_drop,
                                      body_ref(body), NULL),
                         ERR_NONE);
    body_unref(body);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_file_read_alike),
        cmocka_unit_test(file_shorter_than_said_is_an_error),
        cmocka_unit_test(file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(empty_body_is_one),
        cmocka_unit_test(high_bytes_are_seen_wherever_they_are),
        cmocka_unit_test(an_unreadable_body_is_asked_again),
        cmocka_unit_test(last_reference_frees_in_any_thread),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
