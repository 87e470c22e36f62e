#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/heap.h"
#include "core/mem.h"
#include "core/panic.h"

/* What a child says on stderr before it dies of SIGABRT. */
static void assert_aborts(void (*fn)(void), const char *words)
{
    const struct rlimit no_core = {0, 0};
    char text[4096];
    size_t len = 0;
    int ends[2];
    int status = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL},
                        NULL);
        fn();
        _exit(0);
    }
    (void)close(ends[1]);
    for (;;) {
        ssize_t n = read(ends[0], text + len, sizeof(text) - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    if (strstr(text, words) == NULL)
        fail_msg("said: %s", text);
}

static void panic_with_words(void)
{
    PANIC("%d wrong", 3);
}

static void panic_on_condition(void)
{
    int three = 3;
    PANIC_IF(three == 4);
    PANIC_IF(three == 3);
}

static void consume_too_much(void)
{
    struct buf b;
    buf_init(&b, 10);
    buf_consume(&b, 1);
}

static void push_twice(void)
{
    struct heap h;
    struct heap_item item;
    heap_init(&h);
    heap_item_init(&item);
    heap_push(&h, &item, 1);
    heap_push(&h, &item, 1);
}

static void strdup_with_nul(void)
{
    mem_free(mem_strdup(STR("a\0b")));
}

static void panic_says_where_and_aborts(void **state)
{
    (void)state;
    assert_aborts(panic_with_words, "3 wrong\n");
    assert_aborts(panic_with_words, "postrider: bug at ");
    assert_aborts(panic_with_words, "test_panic.c:");
    assert_aborts(panic_on_condition, ": three == 3\n");
}

static void misuse_of_core_is_a_panic(void **state)
{
    (void)state;
    assert_aborts(consume_too_much, "core/buf.c:");
    assert_aborts(push_twice, "core/heap.c:");
    assert_aborts(strdup_with_nul, "core/mem.c:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panic_says_where_and_aborts),
        cmocka_unit_test(misuse_of_core_is_a_panic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
