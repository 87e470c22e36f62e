#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/panic.h"
#include "queue/codec.h"
#include "queue/store_inner.h"

/*
 * What a durable job costs: insert (2 KiB body, one recipient), read when due,
 * settled as delivered (the body goes), in groups of different sizes, each
 * group one commit; beside it with synchronous = OFF. Then an open with many
 * rows. Fails when groups of 50 take more than BUDGET_NS of CPU a job.
 *
 * bench_store [JOBS [WAITING]]; the spool is made in $TMPDIR or /var/tmp, so
 * that it is not in memory.
 */
enum {
    JOBS = 40000,
    WAITING = 200000,
    BODY_BYTES = 2048,
    GROUP_MAX = 200,
    BUDGET_NS = 20000,
    COMMITS_MAX = 1 << 20,
};

static int64_t cpu_ns(void)
{
    struct rusage u;
    PANIC_IF(getrusage(RUSAGE_SELF, &u) != 0);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
           (int64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static void must(enum err_code code, const struct err *err)
{
    if (code == ERR_NONE)
        return;
    (void)fprintf(stderr, "%s\n", err->text);
    exit(EXIT_FAILURE);
}

/* ---- jobs ---- */

struct bench {
    struct store *store;
    char path[256];
    char body[BODY_BYTES];
    struct buf accepted;  /* a record */
    struct buf delivered; /* the same, settled */
    struct spool_stats numbers;
    struct store_row rows[GROUP_MAX]; /* the group's, as they were due */
    size_t due;
    int64_t *commit_ns;
    size_t commits;
};

static void make_records(struct bench *b)
{
    const struct settle_recipient said = {
        0, RECIPIENT_DELIVERED, STR("250 2.0.0 Ok: queued as 4XyZ1234567")};
    int64_t now_ms = clock_real_ms(clock_system());
    const struct settlement settlement = {
        .recipients = &said, .count = 1, .relay = STR("main"), .at_ms = now_ms};
    struct progress progress;
    struct job *job = job_new();
    id_new(&job->id, now_ms);
    job->client = mem_strdup(STR("uid:1000"));
    job->route = mem_strdup(STR("default"));
    job->priority = JOB_PRIORITY_NORMAL;
    job->created_ms = now_ms;
    job->give_up_at_ms = now_ms + 432000000;
    job->sender = mem_strdup(STR("shop@example.org"));
    job->recipients = mem_calloc(1, sizeof(char *));
    job->recipient_count = 1;
    job->recipients[0] = mem_strdup(STR("customer@example.com"));
    job->size_bytes = BODY_BYTES;
    progress_init(&progress, job, now_ms);
    codec_put(job, &progress, &b->accepted);
    progress_settle(&progress, &settlement);
    codec_put(job, &progress, &b->delivered);
    progress_fini(&progress);
    job_unref(job);
}

static void insert_one(struct bench *b, int64_t due_ms)
{
    struct err err;
    struct store_row row = {
        .state = JOB_QUEUED,
        .lane = {0, JOB_PRIORITY_NORMAL},
        .due_ms = due_ms,
        .limit_ms = due_ms + 432000000,
        .cost_bytes = BODY_BYTES + 512,
        .record = buf_str(&b->accepted),
        .body_bytes = BODY_BYTES,
        .has_body = true,
    };
    id_new(&row.id, due_ms);
    must(store_insert(b->store, &row, str_of(b->body, sizeof(b->body)), &err),
         &err);
    b->numbers.accepted++;
    b->numbers.waiting++;
}

static bool take_due(void *ctx, const struct store_row *row, struct str body)
{
    struct bench *b = ctx;
    PANIC_IF(body.len != BODY_BYTES);
    b->rows[b->due++] = *row;
    return b->due < GROUP_MAX;
}

static void settle_one(struct bench *b, struct store_row *row)
{
    struct err err;
    row->state = JOB_DELIVERED;
    row->settled_ms = row->due_ms + 1;
    row->due_ms = SPOOL_NEVER;
    row->limit_ms = SPOOL_NEVER;
    row->has_body = false;
    row->record = buf_str(&b->delivered);
    must(store_update(b->store, row, &err), &err);
    b->numbers.waiting--;
    b->numbers.delivered++;
}

static void commit(struct bench *b)
{
    struct err err;
    must(store_numbers_put(b->store, &b->numbers, &err), &err);
    int64_t start_ns = clock_mono_ns();
    must(store_commit(b->store, &err), &err);
    b->commit_ns[b->commits++] = clock_mono_ns() - start_ns;
}

/* Accepts a group and settles the one that was accepted before it. */
static void one_group(struct bench *b, size_t group, struct store_cursor *at)
{
    const struct spool_lane lane = {0, JOB_PRIORITY_NORMAL};
    struct err err;
    size_t before = b->due;
    struct store_row rows[GROUP_MAX];
    memcpy(rows, b->rows, before * sizeof(*rows));
    must(store_begin(b->store, &err), &err);
    for (size_t i = 0; i < group; i++)
        insert_one(b, clock_real_ms(clock_system()));
    for (size_t i = 0; i < before; i++)
        settle_one(b, &rows[i]);
    commit(b);
    b->due = 0;
    int64_t now_ms = clock_real_ms(clock_system());
    must(store_due(b->store, lane, at, now_ms, take_due, b, &err), &err);
    PANIC_IF(b->due != group);
    at->due_ms = b->rows[b->due - 1].due_ms;
    at->seq = b->rows[b->due - 1].seq;
}

/* ---- runs ---- */

static void forget_files(const struct bench *b)
{
    char other[sizeof(b->path) + 8];
    (void)unlink(b->path);
    (void)snprintf(other, sizeof(other), "%s-wal", b->path);
    (void)unlink(other);
}

static void open_store(struct bench *b)
{
    static const char *const routes[] = {"default"};
    const struct store_options options = {b->path, routes, 1};
    struct err err;
    must(store_open(&b->store, &options, &err), &err);
}

static int by_size(const void *a, const void *b)
{
    const int64_t *left = a;
    const int64_t *right = b;
    return (*left > *right) - (*left < *right);
}

static double micro(int64_t ns)
{
    return (double)ns / 1000.0;
}

static int64_t run_group(struct bench *b, size_t jobs, size_t group, bool safe)
{
    struct store_cursor at = {0, 0};
    forget_files(b);
    open_store(b);
    if (!safe)
        database_make_unsafe(b->store->db);
    memset(&b->numbers, 0, sizeof(b->numbers));
    b->due = 0;
    b->commits = 0;
    int64_t start_ns = clock_mono_ns();
    int64_t start_cpu_ns = cpu_ns();
    for (size_t i = 0; i < jobs; i += group)
        one_group(b, group, &at);
    int64_t spent_ns = (cpu_ns() - start_cpu_ns) / (int64_t)jobs;
    int64_t took_ns = clock_mono_ns() - start_ns;
    qsort(b->commit_ns, b->commits, sizeof(*b->commit_ns), by_size);
    (void)printf("%-4s groups of %3zu: %7.0f jobs/s, %5.1f us of CPU a job, "
                 "commit p50 %6.0f us p99 %6.0f us max %6.0f us\n",
                 safe ? "FULL" : "OFF", group,
                 (double)jobs * 1e9 / (double)took_ns, micro(spent_ns),
                 micro(b->commit_ns[b->commits / 2]),
                 micro(b->commit_ns[b->commits * 99 / 100]),
                 micro(b->commit_ns[b->commits - 1]));
    store_close(b->store);
    return spent_ns;
}

static int64_t resident_kib(void)
{
    struct rusage u;
    PANIC_IF(getrusage(RUSAGE_SELF, &u) != 0);
    return u.ru_maxrss;
}

/* Many waiting rows: how long an open takes, and what a group costs then. */
static void run_waiting(struct bench *b, size_t waiting)
{
    const size_t group = 50;
    struct store_cursor at = {0, 0};
    struct err err;
    struct stat st;
    int64_t far_ms = clock_real_ms(clock_system()) + 1000000000;
    forget_files(b);
    open_store(b);
    memset(&b->numbers, 0, sizeof(b->numbers));
    int64_t start_ns = clock_mono_ns();
    for (size_t i = 0; i < waiting; i += group) {
        must(store_begin(b->store, &err), &err);
        for (size_t j = 0; j < group; j++)
            insert_one(b, far_ms);
        must(store_numbers_put(b->store, &b->numbers, &err), &err);
        must(store_commit(b->store, &err), &err);
    }
    (void)printf("%zu waiting rows in %.1f s, ", waiting,
                 (double)(clock_mono_ns() - start_ns) / 1e9);
    store_close(b->store);
    start_ns = clock_mono_ns();
    open_store(b);
    int64_t opened_ns = clock_mono_ns();
    int64_t next_ms = 0;
    must(store_next_due(b->store, (struct spool_lane){0, JOB_PRIORITY_NORMAL},
                        NULL, &next_ms, &err),
         &err);
    PANIC_IF(next_ms != far_ms || stat(b->path, &st) != 0);
    (void)printf("open %.1f ms, %lld bytes of file a job\n",
                 (double)(opened_ns - start_ns) / 1e6,
                 (long long)st.st_size / (long long)waiting);
    b->due = 0;
    b->commits = 0;
    start_ns = cpu_ns();
    for (size_t i = 0; i < JOBS; i += group) {
        const struct store_cursor before = at;
        one_group(b, group, &at);
        PANIC_IF(at.due_ms >= far_ms || at.due_ms < before.due_ms);
    }
    (void)printf("with them: %.1f us of CPU a job in groups of %zu, peak "
                 "memory %lld KiB\n",
                 micro((cpu_ns() - start_ns) / JOBS), group,
                 (long long)resident_kib());
    store_close(b->store);
}

static size_t number_of(int argc, char **argv, int at, size_t otherwise)
{
    unsigned long long n = 0;
    if (argc <= at)
        return otherwise;
    if (!str_to_u64(str_from(argv[at]), 100000000, &n) || n < GROUP_MAX) {
        (void)fprintf(stderr, "usage: bench_store [JOBS [WAITING]]\n");
        exit(EXIT_FAILURE);
    }
    return (size_t)n;
}

int main(int argc, char **argv)
{
    static const size_t groups[] = {1, 10, 50, 200};
    const char *folder = getenv("TMPDIR");
    struct bench *b;
    int64_t spent_ns = 0;
    size_t jobs = number_of(argc, argv, 1, JOBS);
    size_t waiting = number_of(argc, argv, 2, WAITING);
    MEM_NEW(b);
    (void)snprintf(b->path, sizeof(b->path), "%s/bench_store.%d",
                   folder == NULL ? "/var/tmp" : folder, (int)getpid());
    buf_init(&b->accepted, 4096);
    buf_init(&b->delivered, 4096);
    memset(b->body, 'x', sizeof(b->body));
    b->commit_ns = mem_calloc(COMMITS_MAX, sizeof(*b->commit_ns));
    make_records(b);
    (void)printf("record %zu bytes, %zu when settled, body %d\n",
                 b->accepted.len, b->delivered.len, BODY_BYTES);
    for (unsigned safe = 2; safe-- > 0;)
        for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
            size_t some = groups[i] == 1 ? jobs / 4 : jobs;
            some -= some % groups[i];
            int64_t ns = run_group(b, some, groups[i], safe == 1);
            if (safe == 1 && groups[i] == 50)
                spent_ns = ns;
        }
    run_waiting(b, waiting - waiting % 50);
    forget_files(b);
    mem_free(b->commit_ns);
    buf_fini(&b->accepted);
    buf_fini(&b->delivered);
    mem_free(b);
    if (spent_ns > BUDGET_NS)
        (void)fprintf(stderr, "groups of 50 are over %d ns\n", BUDGET_NS);
    return spent_ns > BUDGET_NS ? EXIT_FAILURE : EXIT_SUCCESS;
}
