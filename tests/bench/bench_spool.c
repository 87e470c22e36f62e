#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/panic.h"
#include "core/thread.h"
#include "queue/spool_sqlite.h"
#include "queue/store_inner.h"

/*
 * What a durable spool gives: accepts with 1, 64 and 2048 in flight, and the
 * whole way of a job (accept, claim, settle). Beside it the same without
 * syncs, and the memory spool. Jobs of 2 KiB, one recipient.
 *
 * bench_spool [JOBS]; the spool is made in $TMPDIR or /var/tmp, so that it is
 * not in memory. Fails when the whole way takes more than BUDGET_NS of CPU.
 */
enum {
    JOBS = 60000,
    BODY_BYTES = 2048,
    CLAIM_MAX = 64,
    BUDGET_NS = 60000,
};

enum backend { MEMORY, DISK, UNSAFE };

static const char *const names[] = {"memory", "disk", "no sync"};

static int64_t cpu_ns(void)
{
    struct rusage u;
    PANIC_IF(getrusage(RUSAGE_SELF, &u) != 0);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
           (int64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

/* ---- one run ---- */

struct run {
    struct spool *spool;
    char path[256];
    size_t jobs;
    size_t window;
    bool whole_way;
    int64_t *taken_ns; /* from accept to answer */

    struct mutex lock; /* guards all below */
    struct cond moved;
    size_t in_flight;
    size_t answered;
    size_t settled;
    bool claiming;
    bool due;
    struct claim_list claims;
};

struct submit {
    struct run *run;
    int64_t start_ns;
};

static struct job *make_job(void)
{
    struct job *job = job_new();
    job->created_ms = clock_real_ms(clock_system());
    id_new(&job->id, job->created_ms);
    job->client = mem_strdup(STR("uid:1000"));
    job->route = mem_strdup(STR("default"));
    job->priority = JOB_PRIORITY_NORMAL;
    job->give_up_at_ms = job->created_ms + 432000000;
    job->sender = mem_strdup(STR("shop@example.org"));
    job->recipients = mem_calloc(1, sizeof(char *));
    job->recipient_count = 1;
    job->recipients[0] = mem_strdup(STR("customer@example.com"));
    job->body = body_from_memory(mem_calloc(1, BODY_BYTES), BODY_BYTES);
    job->size_bytes = BODY_BYTES;
    return job;
}

static void on_accepted(void *ctx, const struct spool_accepted *a)
{
    struct submit *submit = ctx;
    struct run *run = submit->run;
    PANIC_IF(a->answer != SPOOL_ACCEPTED);
    mutex_lock(&run->lock);
    run->taken_ns[run->answered++] = clock_mono_ns() - submit->start_ns;
    if (!run->whole_way)
        run->in_flight--;
    cond_signal(&run->moved);
    mutex_unlock(&run->lock);
    mem_free(submit);
}

static void on_due(void *ctx, struct spool_lane lane, int64_t due_ms)
{
    struct run *run = ctx;
    (void)lane;
    (void)due_ms;
    mutex_lock(&run->lock);
    run->due = true;
    cond_signal(&run->moved);
    mutex_unlock(&run->lock);
}

static void on_claims(void *ctx, struct spool_lane lane,
                      struct claim_list *claims, int64_t next_due_ms)
{
    struct run *run = ctx;
    (void)lane;
    mutex_lock(&run->lock);
    STAILQ_CONCAT(&run->claims, claims);
    run->claiming = false;
    run->due = run->due || next_due_ms <= clock_real_ms(clock_system());
    cond_signal(&run->moved);
    mutex_unlock(&run->lock);
}

static void on_settled(void *ctx, const struct spool_settled *settled)
{
    struct run *run = ctx;
    PANIC_IF(settled->state != JOB_DELIVERED);
    mutex_lock(&run->lock);
    run->settled++;
    run->in_flight--;
    cond_signal(&run->moved);
    mutex_unlock(&run->lock);
}

static void settle_all(struct run *run, struct claim_list *claims)
{
    struct claim *claim;
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
        spool_settle(run->spool, claim, &settlement, on_settled, run);
    }
}

static void submit_one(struct run *run)
{
    struct job *job = make_job();
    struct submit *submit = mem_alloc(sizeof(*submit));
    *submit = (struct submit){run, clock_mono_ns()};
    spool_accept(run->spool, job, on_accepted, submit);
    job_unref(job);
}

/* One thread is producer, scheduler and consumer. */
static void drive(struct run *run)
{
    const struct spool_lane lane = {0, JOB_PRIORITY_NORMAL};
    size_t sent = 0;
    for (;;) {
        struct claim_list claims = STAILQ_HEAD_INITIALIZER(claims);
        mutex_lock(&run->lock);
        size_t ends = run->whole_way ? run->settled : run->answered;
        bool asks = run->whole_way && run->due && !run->claiming;
        bool sends = sent < run->jobs && run->in_flight < run->window;
        STAILQ_CONCAT(&claims, &run->claims);
        if (asks) {
            run->due = false;
            run->claiming = true;
        }
        if (sends)
            run->in_flight++;
        bool rests =
            !asks && !sends && STAILQ_EMPTY(&claims) && ends < run->jobs;
        if (rests)
            cond_wait(&run->moved, &run->lock);
        mutex_unlock(&run->lock);
        if (ends == run->jobs)
            return;
        if (asks)
            spool_claim(run->spool, lane, CLAIM_MAX,
                        clock_real_ms(clock_system()), on_claims, run);
        if (sends) {
            submit_one(run);
            sent++;
        }
        settle_all(run, &claims);
    }
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void open_spool(struct run *run, enum backend backend)
{
    static const char *const routes[] = {"default"};
    const struct spool_options options = {
        .routes = routes,
        .route_count = 1,
        .max_jobs = 2000000,
        .max_bytes = INT64_C(8) << 30,
        .history_keep_ms = 3600000,
        .history_keep_failed_ms = 3600000,
        .history_max_jobs = 20000,
        .key_window_ms = 3600000,
        .key_max = 20000,
        .clock = clock_system(),
        .on_due = run->whole_way ? on_due : NULL,
        .ctx = run,
    };
    struct err err;
    const char *base = getenv("TMPDIR");
    (void)snprintf(run->path, sizeof(run->path), "%s/bench_spool.XXXXXX",
                   base == NULL ? "/var/tmp" : base);
    PANIC_IF(mkdtemp(run->path) == NULL);
    size_t len = strlen(run->path);
    (void)snprintf(run->path + len, sizeof(run->path) - len, "/spool.db");
    enum err_code code =
        backend == MEMORY
            ? spool_create_memory(&run->spool, &options, &err)
            : spool_create_sqlite(&run->spool, &options, run->path, &err);
    if (code != ERR_NONE)
        PANIC("%s", err.text);
    if (backend == UNSAFE)
        database_make_unsafe(spool_sqlite_of(run->spool)->store->db);
}

static void close_spool(struct run *run)
{
    spool_destroy(run->spool);
    char name[300];
    (void)unlink(run->path);
    (void)snprintf(name, sizeof(name), "%s-wal", run->path);
    (void)unlink(name);
    (void)snprintf(name, sizeof(name), "%s.bodies", run->path);
    (void)rmdir(name);
    *strrchr(run->path, '/') = '\0';
    (void)rmdir(run->path);
}

/* Returns ns of CPU a job, all threads. */
static int64_t measure(enum backend backend, size_t jobs, size_t window,
                       bool whole_way)
{
    struct run run = {.jobs = jobs, .window = window, .whole_way = whole_way};
    struct spool_stats stats;
    run.taken_ns = mem_calloc(jobs, sizeof(*run.taken_ns));
    mutex_init(&run.lock);
    cond_init(&run.moved);
    STAILQ_INIT(&run.claims);
    open_spool(&run, backend);
    int64_t start_ns = clock_mono_ns();
    int64_t start_cpu_ns = cpu_ns();
    drive(&run);
    int64_t spent_ns = clock_mono_ns() - start_ns;
    int64_t spent_cpu_ns = (cpu_ns() - start_cpu_ns) / (int64_t)jobs;
    spool_stats(run.spool, &stats);
    close_spool(&run);
    qsort(run.taken_ns, jobs, sizeof(*run.taken_ns), by_time);
    printf("%-8s %-9s %5zu in flight: %7.0f jobs/s, %5.1f us CPU, answer p50 "
           "%6.2f ms p99 %6.2f ms, %5.1f jobs a commit\n",
           names[backend], whole_way ? "whole way" : "accept", window,
           (double)jobs * 1e9 / (double)spent_ns, (double)spent_cpu_ns / 1e3,
           (double)run.taken_ns[jobs / 2] / 1e6,
           (double)run.taken_ns[jobs * 99 / 100] / 1e6,
           stats.commits == 0 ? 0.0 : (double)jobs / (double)stats.commits);
    mem_free(run.taken_ns);
    cond_fini(&run.moved);
    mutex_fini(&run.lock);
    return spent_cpu_ns;
}

int main(int argc, char **argv)
{
    static const size_t windows[] = {1, 64, 2048};
    static const enum backend backends[] = {DISK, UNSAFE, MEMORY};
    unsigned long long jobs = JOBS;
    int64_t way_ns = 0;
    if (argc > 1 && !str_to_u64(str_from(argv[1]), 100000000, &jobs))
        return EXIT_FAILURE;
    for (size_t b = 0; b < 3; b++) {
        for (size_t w = 0; w < 3; w++)
            (void)measure(backends[b], w == 0 ? jobs / 8 : jobs, windows[w],
                          false);
        int64_t ns = measure(backends[b], jobs, 512, true);
        if (backends[b] == DISK)
            way_ns = ns;
    }
    printf("a durable job's whole way: %lld ns of CPU, budget %d\n",
           (long long)way_ns, BUDGET_NS);
    return way_ns > BUDGET_NS ? EXIT_FAILURE : EXIT_SUCCESS;
}
