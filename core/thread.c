#include "core/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "core/panic.h"

#define CHECK(call)                                                            \
    do {                                                                       \
        int check_ = (call);                                                   \
        if (check_ != 0)                                                       \
            PANIC("%s gave error %d", #call, check_);                          \
    } while (0)

static atomic_uint starts_to_pass;
static atomic_uint starts_to_fail;

struct start {
    thread_fn fn;
    void *arg;
    char name[16];
};

void mutex_init(struct mutex *m)
{
    CHECK(pthread_mutex_init(&m->os, NULL));
}

void mutex_fini(struct mutex *m)
{
    CHECK(pthread_mutex_destroy(&m->os));
}

void mutex_lock(struct mutex *m)
{
    CHECK(pthread_mutex_lock(&m->os));
}

void mutex_unlock(struct mutex *m)
{
    CHECK(pthread_mutex_unlock(&m->os));
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes));
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    CHECK(pthread_cond_init(&c->os, &attributes));
    CHECK(pthread_condattr_destroy(&attributes));
}

void cond_fini(struct cond *c)
{
    CHECK(pthread_cond_destroy(&c->os));
}

void cond_signal(struct cond *c)
{
    CHECK(pthread_cond_signal(&c->os));
}

void cond_broadcast(struct cond *c)
{
    CHECK(pthread_cond_broadcast(&c->os));
}

void cond_wait(struct cond *c, struct mutex *m)
{
    CHECK(pthread_cond_wait(&c->os, &m->os));
}

bool cond_wait_until(struct cond *c, struct mutex *m, int64_t mono_ms)
{
    if (mono_ms < 0)
        mono_ms = 0;
    struct timespec until = {.tv_sec = mono_ms / 1000,
                             .tv_nsec = (mono_ms % 1000) * 1000000};
    int failed = pthread_cond_timedwait(&c->os, &m->os, &until);
    if (failed == ETIMEDOUT)
        return false;
    if (failed != 0)
        PANIC("pthread_cond_timedwait gave error %d", failed);
    return true;
}

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    mem_free(arg);
    (void)pthread_setname_np(pthread_self(), start.name);
    start.fn(start.arg);
    return NULL;
}

static bool must_fail(void)
{
    if (atomic_load(&starts_to_pass) > 0) {
        atomic_fetch_sub(&starts_to_pass, 1);
        return false;
    }
    if (atomic_load(&starts_to_fail) == 0)
        return false;
    atomic_fetch_sub(&starts_to_fail, 1);
    return true;
}

enum err_code thread_start(struct thread *t, const char *name, thread_fn fn,
                           void *arg, struct err *err)
{
    struct start *start;
    sigset_t all;
    sigset_t before;
    MEM_NEW(start);
    start->fn = fn;
    start->arg = arg;
    (void)snprintf(start->name, sizeof(start->name), "%s", name);
    (void)sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before));
    int failed =
        must_fail() ? EAGAIN : pthread_create(&t->os, NULL, run, start);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL));
    if (failed != 0) {
        mem_free(start);
        return err_system(err, failed, "cannot start the thread \"%s\"", name);
    }
    t->started = true;
    return ERR_NONE;
}

void thread_join(struct thread *t)
{
    if (!t->started)
        return;
    CHECK(pthread_join(t->os, NULL));
    t->started = false;
}

void thread_detach(struct thread *t)
{
    if (!t->started)
        return;
    CHECK(pthread_detach(t->os));
    t->started = false;
}

void thread_fail_starts(unsigned after, unsigned count)
{
    atomic_store(&starts_to_pass, after);
    atomic_store(&starts_to_fail, count);
}
