/* Messages that do not fit in memory, and disks that fail. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"
#include "message/downgrade.h"

#define MIB ((size_t)1 << 20)

#define E    "\xc3\xa9"
#define HEAD "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
#define LINE_IN                                                                \
    "A line of text as there are many, with an " E " in it, of 62 bytes.\r\n"
#define LINE_OUT                                                               \
    "A line of text as there are many, with an =C3=A9 in it, of 62 bytes.\r\n"

static void append(int fd, const struct buf *b)
{
    assert_int_equal(write(fd, b->data, b->len), b->len);
}

/* A text of at least that many bytes, in a file, never all of it in memory. */
static struct body *text_in_a_file(size_t size_bytes)
{
    int fd = memfd_create("text", MFD_CLOEXEC);
    struct buf lines;
    size_t size = strlen(HEAD);
    assert_true(fd >= 0);
    buf_init(&lines, MIB);
    buf_add_text(&lines, HEAD);
    append(fd, &lines);
    buf_truncate(&lines, 0);
    for (int i = 0; i < 1000; i++)
        buf_add_text(&lines, LINE_IN);
    for (; size < size_bytes; size += lines.len)
        append(fd, &lines);
    buf_fini(&lines);
    return body_from_file(fd, size);
}

static void assert_last_line(const struct body *body, struct str wanted)
{
    char end[200];
    size_t got;
    assert_true(body_size(body) > wanted.len && wanted.len <= sizeof(end));
    assert_int_equal(
        body_read(body, body_size(body) - wanted.len, end, wanted.len, &got),
        ERR_NONE);
    assert_true(str_equal(str_of(end, got), wanted));
}

static size_t memory_peak_kib(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (size_t)usage.ru_maxrss;
}

static void large_messages_take_little_memory(void **state)
{
    (void)state;
    struct err err;
    struct body *in = text_in_a_file(25 * MIB);
    struct body *out = NULL;
    size_t before = memory_peak_kib();
    assert_int_equal(message_to_7bit(in, &out, &err), ERR_NONE);
    assert_true(memory_peak_kib() - before < 8 * 1024);
    assert_true(body_size(out) > body_size(in));
    assert_last_line(out, STR(LINE_OUT));
    body_unref(in);
    body_unref(out);
}

static void the_temporary_file_may_be_impossible(void **state)
{
    (void)state;
    struct body *in = text_in_a_file(2 * MIB);
    struct body *small = text_in_a_file(MIB / 2);
    struct body *out = NULL;
    struct err err = {.text = ""};
    const char *old = getenv("TMPDIR");
    char *kept = old == NULL ? NULL : mem_strdup(str_from(old));
    assert_int_equal(setenv("TMPDIR", "/nonexistent/folder", 1), 0);
    assert_int_equal(message_to_7bit(in, &out, &err), ERR_SYSTEM);
    assert_int_equal(err.code, ERR_SYSTEM);
    assert_non_null(strstr(err.text, "/nonexistent/folder"));
    assert_null(out);
    assert_int_equal(message_to_7bit(small, &out, &err), ERR_NONE);
    assert_int_equal(
        kept == NULL ? unsetenv("TMPDIR") : setenv("TMPDIR", kept, 1), 0);
    mem_free(kept);
    body_unref(out);
    body_unref(in);
    body_unref(small);
}

static void the_disk_may_be_full(void **state)
{
    (void)state;
    struct body *in = text_in_a_file(3 * MIB);
    struct body *out = NULL;
    struct err err = {.text = ""};
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit limit = {.rlim_cur = 2 * MIB, .rlim_max = old.rlim_max};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum err_code rc = message_to_7bit(in, &out, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(sigaction(SIGXFSZ, &before, NULL), 0);
    assert_int_equal(rc, ERR_SYSTEM);
    assert_non_null(strstr(err.text, "writing to a temporary file"));
    assert_null(out);
    body_unref(in);
}

static void the_message_may_be_unreadable(void **state)
{
    (void)state;
    struct body *out = NULL;
    struct err err = {.text = ""};
    int fd = memfd_create("short", MFD_CLOEXEC);
    assert_true(fd >= 0);
    struct body *in = body_from_file(fd, 100);
    assert_int_equal(message_to_7bit(in, &out, &err), ERR_SYSTEM);
    assert_true(err.text[0] != '\0');
    assert_null(out);
    body_unref(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_messages_take_little_memory),
        cmocka_unit_test(the_temporary_file_may_be_impossible),
        cmocka_unit_test(the_disk_may_be_full),
        cmocka_unit_test(the_message_may_be_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
