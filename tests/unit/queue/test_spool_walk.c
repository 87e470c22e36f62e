#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/thread.h"
#include "queue/spool.h"

/*
 * A list that others drop jobs out of: while one thread forgets all but a few
 * jobs in random order, another lists, and must see those few each time, once
 * and in their order. The list lets go of its lock between batches, so that
 * now and then the very job goes that it would have looked at next.
 */
#define ROUNDS 8
#define JOBS   3000
#define KEPT   (JOBS / 10) /* every tenth */

struct walked {
    struct spool *spool;
    struct id ids[JOBS];
    atomic_bool done;
    atomic_uint lists;
    atomic_uint wrong;
};

static void keep_answer(void *ctx, const struct spool_accepted *accepted)
{
    *(enum spool_answer *)ctx = accepted->answer;
}

static void drop_status(void *ctx, struct spool_status *status, bool changed,
                        const struct err *err)
{
    bool *dropped = ctx;
    (void)err;
    *dropped = changed;
    spool_status_destroy(status);
}

static bool put(struct walked *w, size_t number)
{
    struct job *job = job_new();
    enum spool_answer answer = SPOOL_ERROR;
    id_new(&job->id, clock_real_ms(clock_system()));
    w->ids[number] = job->id;
    job->client = mem_strdup(STR("app"));
    job->route = mem_strdup(STR("default"));
    job->sender = mem_strdup(STR(""));
    if (number % 10 == 0)
        job->tag = mem_strdup(STR("kept"));
    spool_accept(w->spool, job, keep_answer, &answer);
    job_unref(job);
    return answer == SPOOL_ACCEPTED;
}

static void check_list(void *ctx, struct spool_status **jobs, size_t count,
                       bool more, const struct id *last, const struct err *err)
{
    struct walked *w = ctx;
    (void)err;
    (void)last;
    bool right = count == KEPT && !more;
    for (size_t i = 0; i < count; i++) {
        right = right && str_equal(str_from(jobs[i]->job->id.text),
                                   str_from(w->ids[10 * i].text));
        spool_status_destroy(jobs[i]);
    }
    mem_free(jobs);
    if (!right)
        atomic_fetch_add(&w->wrong, 1);
    atomic_fetch_add(&w->lists, 1);
}

static void list(void *arg)
{
    struct walked *w = arg;
    const struct spool_filter filter = {.tag = "kept", .limit = 1000};
    while (!atomic_load(&w->done))
        spool_list(w->spool, &filter, check_list, w);
}

/* Twice: the first drop cancels, the second forgets. */
static bool forget(struct walked *w, size_t number)
{
    bool cancelled = false;
    bool forgotten = false;
    spool_drop(w->spool, &w->ids[number], drop_status, &cancelled);
    spool_drop(w->spool, &w->ids[number], drop_status, &forgotten);
    return cancelled && forgotten;
}

static void shuffle(size_t *numbers, size_t count, uint64_t seed)
{
    struct random random;
    random_init(&random, seed);
    for (size_t i = count; i > 1; i--) {
        size_t j = random_below(&random, i);
        size_t other = numbers[j];
        numbers[j] = numbers[i - 1];
        numbers[i - 1] = other;
    }
}

static void round_of(struct walked *w, uint64_t seed)
{
    size_t numbers[JOBS];
    struct thread thread;
    size_t count = 0;
    for (size_t i = 0; i < JOBS; i++) {
        assert_true(put(w, i));
        if (i % 10 != 0)
            numbers[count++] = i;
    }
    shuffle(numbers, count, seed);
    atomic_store(&w->lists, 0);
    atomic_store(&w->done, false);
    assert_int_equal(thread_start(&thread, "list", list, w, NULL), ERR_NONE);
    while (atomic_load(&w->lists) == 0)
        (void)sched_yield();
    bool good = true;
    for (size_t i = 0; i < count; i++)
        good = forget(w, numbers[i]) && good;
    atomic_store(&w->done, true);
    thread_join(&thread);
    assert_true(good);
    assert_int_equal(atomic_load(&w->wrong), 0);
    for (size_t i = 0; i < JOBS; i += 10)
        assert_true(forget(w, i));
}

static void a_list_loses_nothing_while_jobs_are_forgotten(void **state)
{
    static const char *const routes[] = {"default"};
    const struct spool_options options = {
        .routes = routes,
        .route_count = 1,
        .max_jobs = JOBS,
        .max_bytes = 100000000,
        .history_keep_ms = 600000,
        .history_keep_failed_ms = 600000,
        .history_max_jobs = JOBS,
        .clock = clock_system(),
    };
    static struct walked w;
    (void)state;
    assert_int_equal(spool_create_memory(&w.spool, &options, NULL), ERR_NONE);
    for (unsigned i = 0; i < ROUNDS; i++)
        round_of(&w, i);
    spool_destroy(w.spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_loses_nothing_while_jobs_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
