#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/thread.h"

#define DEADLINE_MS 20000

struct meeting {
    struct mutex lock;
    struct cond changed;
    unsigned arrived; /* guarded by lock */
    bool is_open;     /* guarded by lock */
    char name[16];    /* guarded by lock */
    bool can_be_interrupted;
};

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static void meeting_init(struct meeting *m)
{
    memset(m, 0, sizeof(*m));
    mutex_init(&m->lock);
    cond_init(&m->changed);
}

static void meeting_fini(struct meeting *m)
{
    cond_fini(&m->changed);
    mutex_fini(&m->lock);
}

static void arrive_and_wait(void *arg)
{
    struct meeting *m = arg;
    sigset_t blocked;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    mutex_lock(&m->lock);
    (void)pthread_getname_np(pthread_self(), m->name, sizeof(m->name));
    m->can_be_interrupted = sigismember(&blocked, SIGTERM) == 0;
    m->arrived++;
    cond_broadcast(&m->changed);
    while (!m->is_open)
        cond_wait(&m->changed, &m->lock);
    mutex_unlock(&m->lock);
}

/* Under the lock, at most until the deadline. */
static bool wait_for_arrivals(struct meeting *m, unsigned count)
{
    int64_t until_ms = now_ms() + DEADLINE_MS;
    while (m->arrived < count)
        if (!cond_wait_until(&m->changed, &m->lock, until_ms))
            return m->arrived >= count;
    return true;
}

static void broadcast_wakes_every_waiter(void **state)
{
    enum { THREADS = 8 };
    struct meeting m;
    struct thread threads[THREADS] = {0};
    (void)state;
    meeting_init(&m);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(thread_start(&threads[i], "a-name-that-is-too-long",
                                      arrive_and_wait, &m, NULL),
                         ERR_NONE);
    mutex_lock(&m.lock);
    bool all = wait_for_arrivals(&m, THREADS);
    m.is_open = true;
    cond_broadcast(&m.changed);
    mutex_unlock(&m.lock);
    for (int i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
        thread_join(&threads[i]);
    }
    assert_true(all);
    assert_string_equal(m.name, "a-name-that-is-");
    assert_false(m.can_be_interrupted);
    meeting_fini(&m);
}

struct counter {
    struct mutex lock;
    unsigned long value; /* guarded by lock */
};

static void count_up(void *arg)
{
    struct counter *c = arg;
    for (int i = 0; i < 50000; i++) {
        mutex_lock(&c->lock);
        c->value++;
        mutex_unlock(&c->lock);
    }
}

static void lock_lets_one_in_at_a_time(void **state)
{
    struct counter c = {.value = 0};
    struct thread threads[4] = {0};
    (void)state;
    mutex_init(&c.lock);
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            thread_start(&threads[i], "counter", count_up, &c, NULL), ERR_NONE);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    assert_int_equal(c.value, 200000);
    mutex_fini(&c.lock);
}

static void wait_ends_at_its_deadline(void **state)
{
    struct meeting m;
    (void)state;
    meeting_init(&m);
    mutex_lock(&m.lock);
    int64_t before_ms = now_ms();
    while (cond_wait_until(&m.changed, &m.lock, before_ms + 30))
        continue; /* a wake-up without a reason is allowed */
    int64_t took_ms = now_ms() - before_ms;
    while (cond_wait_until(&m.changed, &m.lock, before_ms - 1))
        continue;
    while (cond_wait_until(&m.changed, &m.lock, -5))
        continue;
    mutex_unlock(&m.lock);
    assert_in_range(took_ms, 30, DEADLINE_MS);
    meeting_fini(&m);
}

static void do_nothing(void *arg)
{
    (void)arg;
}

static void starts_fail_where_a_test_says(void **state)
{
    static const bool works[] = {true, true, false, false, true};
    struct err err;
    (void)state;
    thread_fail_starts(2, 2);
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        struct thread t = {.started = false};
        err.text[0] = '\0';
        enum err_code code = thread_start(&t, "x", do_nothing, NULL, &err);
        assert_int_equal(code, works[i] ? ERR_NONE : ERR_SYSTEM);
        assert_int_equal(t.started, works[i]);
        if (!works[i])
            assert_non_null(strstr(err.text, "cannot start the thread \"x\""));
        thread_join(&t);
    }
    thread_fail_starts(0, 0);
}

static void monotonic_clock_never_goes_back(void **state)
{
    int64_t before_ns = clock_mono_ns();
    int64_t before_ms = now_ms();
    (void)state;
    for (int i = 0; i < 10000; i++) {
        int64_t ns = clock_mono_ns();
        assert_true(ns >= before_ns);
        before_ns = ns;
    }
    assert_true(now_ms() >= before_ms);
    assert_in_range(now_ms() - clock_mono_ns() / 1000000 + 1000, 0, 2000);
    /* 2026 or later */
    assert_true(clock_real_ms(clock_system()) > 1767225600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broadcast_wakes_every_waiter),
        cmocka_unit_test(lock_lets_one_in_at_a_time),
        cmocka_unit_test(wait_ends_at_its_deadline),
        cmocka_unit_test(starts_fail_where_a_test_says),
        cmocka_unit_test(monotonic_clock_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
