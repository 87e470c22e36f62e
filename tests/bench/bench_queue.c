#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/panic.h"
#include "core/thread.h"
#include "queue/queue.h"
#include "queue/spool.h"

/*
 * What the queue and the memory spool cost. Fails when a job's way through
 * the spool (accept, claim, settle) takes more than SPOOL_BUDGET_NS of CPU.
 */
#define SPOOL_JOBS      400000
#define SPOOL_BATCH     64
#define SPOOL_BUDGET_NS 3000
#define QUEUE_ITEMS     2000000

static int64_t cpu_ns(void)
{
    struct rusage u;
    PANIC_IF(getrusage(RUSAGE_SELF, &u) != 0);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
           (int64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static int64_t thread_cpu_ns(void)
{
    struct timespec ts;
    PANIC_IF(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) != 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t resident_kib(void)
{
    struct rusage u;
    PANIC_IF(getrusage(RUSAGE_SELF, &u) != 0);
    return u.ru_maxrss;
}

/* ---- spool ---- */

static struct job *make_job(bool with_key, unsigned number)
{
    char key[32];
    struct job *job = job_new();
    id_new(&job->id, clock_real_ms(clock_system()));
    job->client = mem_strdup(STR("uid:1000"));
    job->route = mem_strdup(STR("default"));
    job->priority = JOB_PRIORITY_NORMAL;
    job->created_ms = clock_real_ms(clock_system());
    job->give_up_at_ms = job->created_ms + 432000000;
    job->sender = mem_strdup(STR("shop@example.org"));
    job->recipients = mem_calloc(1, sizeof(char *));
    job->recipient_count = 1;
    job->recipients[0] = mem_strdup(STR("customer@example.com"));
    job->body = body_from_memory(mem_alloc(2048), 2048);
    (void)snprintf(key, sizeof(key), "order-%u", number);
    if (with_key)
        job->key = mem_strdup(str_from(key));
    return job;
}

static void accepted(void *ctx, const struct spool_accepted *a)
{
    (void)ctx;
    PANIC_IF(a->answer != SPOOL_ACCEPTED);
}

static void settle_all(void *ctx, struct spool_lane lane,
                       struct claim_list *claims, int64_t next_due_ms)
{
    struct claim *claim;
    (void)lane;
    (void)next_due_ms;
    while ((claim = STAILQ_FIRST(claims)) != NULL) {
        STAILQ_REMOVE_HEAD(claims, next);
        const struct settle_recipient said = {
            0, RECIPIENT_DELIVERED, STR("250 2.0.0 Ok: queued as 4XyZ1234567")};
        const struct settlement settlement = {
            .recipients = &said,
            .count = 1,
            .relay = STR("main"),
            .at_ms = clock_real_ms(clock_system())};
        PANIC_IF(!claim_start(claim));
        spool_settle(ctx, claim, &settlement, NULL, NULL);
    }
}

/* Returns ns of CPU a job. waiting: how many others lie in the spool. */
static int64_t spool_cycle(bool with_key, unsigned waiting)
{
    static const char *const routes[] = {"default", "other"};
    const struct spool_options options = {
        .routes = routes,
        .route_count = 2,
        .max_jobs = 1000000,
        .max_bytes = INT64_C(4) << 30,
        .history_keep_ms = 3600000,
        .history_keep_failed_ms = 3600000,
        .history_max_jobs = 20000,
        .key_window_ms = 3600000,
        .key_max = 20000,
        .clock = clock_system(),
    };
    const struct spool_lane lane = {0, JOB_PRIORITY_NORMAL};
    struct job **jobs = mem_calloc(SPOOL_BATCH, sizeof(*jobs));
    struct spool *spool = NULL;
    int64_t before_kib = resident_kib();
    int64_t spent_ns = 0;
    PANIC_IF(spool_create_memory(&spool, &options, NULL) != ERR_NONE);
    for (unsigned i = 0; i < waiting; i++) {
        struct job *job = make_job(false, i);
        job->send_at_ms = job->give_up_at_ms;
        spool_accept(spool, job, accepted, NULL);
        job_unref(job);
    }
    if (waiting > 0) {
        struct spool_stats n;
        spool_stats(spool, &n);
        (void)printf(
            "spool: %lld bytes counted, %lld bytes of memory used, a "
            "job waiting\n",
            (long long)(n.bytes / waiting),
            (long long)((resident_kib() - before_kib) * 1024 / waiting));
    }
    for (unsigned done = 0; done < SPOOL_JOBS; done += SPOOL_BATCH) {
        for (unsigned i = 0; i < SPOOL_BATCH; i++)
            jobs[i] = make_job(with_key, done + i);
        int64_t start_ns = thread_cpu_ns();
        for (unsigned i = 0; i < SPOOL_BATCH; i++) {
            spool_accept(spool, jobs[i], accepted, NULL);
            job_unref(jobs[i]);
        }
        spool_claim(spool, lane, SPOOL_BATCH, clock_real_ms(clock_system()),
                    settle_all, spool);
        spent_ns += thread_cpu_ns() - start_ns;
    }
    spool_destroy(spool);
    mem_free(jobs);
    return spent_ns / SPOOL_JOBS;
}

static bool bench_spool(void)
{
    static const struct {
        bool with_key;
        unsigned waiting;
    } table[] = {{false, 0}, {true, 0}, {false, 100000}};
    bool good = true;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        int64_t ns = spool_cycle(table[i].with_key, table[i].waiting);
        (void)printf(
            "spool: accept + claim + settle %lld ns of CPU a job (%s, %u "
            "others waiting)\n",
            (long long)ns, table[i].with_key ? "key" : "no key",
            table[i].waiting);
        good = good && ns <= SPOOL_BUDGET_NS;
    }
    (void)printf("peak memory %lld KiB\n", (long long)resident_kib());
    return good;
}

/* ---- queue ---- */

struct line {
    struct queue *q;
    struct claim *items; /* used again and again */
    size_t count;
    unsigned lanes;
    struct thread thread;
};

static void consume(void *arg)
{
    struct line *line = arg;
    struct claim *claim;
    while (queue_get(line->q, QUEUE_ALL_LANES, &claim) == ERR_NONE)
        ;
}

static void bench_queue(unsigned lanes, size_t capacity)
{
    const struct queue_options options = {
        .capacity = capacity, .max_bytes = UINT64_MAX, .lanes = lanes};
    struct line line = {.count = QUEUE_ITEMS, .lanes = lanes};
    struct line consumers[2];
    struct job *job = job_new();
    PANIC_IF(queue_create(&line.q, &options, NULL) != ERR_NONE);
    line.items = mem_calloc(QUEUE_ITEMS, sizeof(*line.items));
    consumers[0] = line;
    consumers[1] = line;
    for (size_t i = 0; i < QUEUE_ITEMS; i++)
        line.items[i].job = job;
    int64_t start_ns = clock_mono_ns();
    int64_t start_cpu_ns = cpu_ns();
    for (unsigned i = 0; i < 2; i++)
        PANIC_IF(thread_start(&consumers[i].thread, "consumer", consume,
                              &consumers[i], NULL) != ERR_NONE);
    for (size_t i = 0; i < QUEUE_ITEMS; i++)
        PANIC_IF(queue_put(line.q, (unsigned)(i % lanes), &line.items[i]) !=
                 ERR_NONE);
    queue_close(line.q);
    for (unsigned i = 0; i < 2; i++)
        thread_join(&consumers[i].thread);
    int64_t took_ns = clock_mono_ns() - start_ns;
    (void)printf("queue: %lld records/s, %lld ns of CPU each (1 producer, 2 "
                 "consumers, %u lanes, capacity %zu)\n",
                 (long long)(INT64_C(1000000000) * QUEUE_ITEMS / took_ns),
                 (long long)((cpu_ns() - start_cpu_ns) / QUEUE_ITEMS), lanes,
                 capacity);
    queue_destroy(line.q);
    mem_free(line.items);
    job_unref(job);
}

/* One thread, nobody waits: what the lock and the lists cost. */
static void bench_pair(void)
{
    const struct queue_options options = {
        .capacity = 1024, .max_bytes = UINT64_MAX, .lanes = 4};
    struct queue *q = NULL;
    struct claim item = {.job = job_new()};
    struct claim *got;
    PANIC_IF(queue_create(&q, &options, NULL) != ERR_NONE);
    int64_t start_ns = clock_mono_ns();
    for (size_t i = 0; i < QUEUE_ITEMS; i++) {
        PANIC_IF(queue_try_put(q, (unsigned)(i % 4), &item) != ERR_NONE);
        PANIC_IF(queue_try_get(q, QUEUE_ALL_LANES, &got) != ERR_NONE);
    }
    (void)printf("queue: put + get %lld ns (one thread)\n",
                 (long long)((clock_mono_ns() - start_ns) / QUEUE_ITEMS));
    queue_destroy(q);
    job_unref(item.job);
}

int main(void)
{
    bool good = bench_spool();
    bench_pair();
    bench_queue(1, 1024);
    bench_queue(4, 1024);
    bench_queue(4, 16);
    if (!good)
        (void)fprintf(stderr, "the spool is over its budget of %d ns\n",
                      SPOOL_BUDGET_NS);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
