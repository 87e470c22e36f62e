#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/random.h"
#include "core/thread.h"

static void same_seed_gives_the_same_numbers(void **state)
{
    /* splitmix64 from seed 1234567, as its authors' program prints it */
    static const uint64_t known[] = {6457827717110365317U, 3203168211198807973U,
                                     9817491932198370423U, 4593380528125082431U,
                                     16408922859458223821U};
    struct random r;
    (void)state;
    random_init(&r, 1234567);
    for (size_t i = 0; i < 5; i++)
        assert_true(random_next(&r) == known[i]);
}

static void numbers_stay_below_their_bound(void **state)
{
    struct random r;
    unsigned seen[6] = {0};
    (void)state;
    random_init(&r, 3);
    for (int i = 0; i < 6000; i++)
        seen[random_below(&r, 6)]++;
    for (size_t i = 0; i < 6; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(random_below(&r, 1), 0);
}

static void units_fill_zero_to_one(void **state)
{
    struct random r;
    double least = 1.0;
    double most = 0.0;
    (void)state;
    random_init(&r, 4);
    for (int i = 0; i < 10000; i++) {
        double u = random_unit(&r);
        least = u < least ? u : least;
        most = u > most ? u : most;
    }
    assert_true(least >= 0.0 && least < 0.01);
    assert_true(most < 1.0 && most > 0.99);
}

static void secure_bytes_do_not_repeat(void **state)
{
    enum { COUNT = 500, LEN = 16 };
    static unsigned char bytes[COUNT][LEN];
    unsigned char large[5000];
    unsigned ones = 0;
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        random_secure(bytes[i], LEN);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(bytes[i], bytes[k], LEN);
    memset(large, 0, sizeof(large));
    random_secure(large, sizeof(large));
    for (size_t i = 0; i < sizeof(large); i++)
        ones += (unsigned)__builtin_popcount(large[i]);
    assert_in_range(ones, 19000, 21000); /* of 40000 bits, within 10 sigma */
    random_secure(large, 0);
}

static void thread_gets_its_own(void *arg)
{
    random_secure(arg, 16);
}

static void threads_get_different_bytes(void **state)
{
    unsigned char a[16] = {0};
    unsigned char b[16] = {0};
    struct thread one = {.started = false};
    struct thread two = {.started = false};
    (void)state;
    assert_int_equal(thread_start(&one, "one", thread_gets_its_own, a, NULL),
                     ERR_NONE);
    assert_int_equal(thread_start(&two, "two", thread_gets_its_own, b, NULL),
                     ERR_NONE);
    thread_join(&one);
    thread_join(&two);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void child_does_not_get_its_parents_bytes(void **state)
{
    unsigned char mine[16];
    unsigned char its[16];
    int ends[2];
    int status = -1;
    (void)state;
    random_secure(mine, 1); /* so that there is something bought */
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        random_secure(its, sizeof(its));
        _exit(write(ends[1], its, sizeof(its)) == sizeof(its) ? 0 : 1);
    }
    random_secure(mine, sizeof(mine));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], its, sizeof(its)), sizeof(its));
    assert_memory_not_equal(mine, its, sizeof(mine));
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_gives_the_same_numbers),
        cmocka_unit_test(numbers_stay_below_their_bound),
        cmocka_unit_test(units_fill_zero_to_one),
        cmocka_unit_test(secure_bytes_do_not_repeat),
        cmocka_unit_test(threads_get_different_bytes),
        cmocka_unit_test(child_does_not_get_its_parents_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
