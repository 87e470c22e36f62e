#include <poll.h>
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
#include "queue/queue.h"
#include "queue/spool.h"
#include "tests/unit/queue/spools.h"

/*
 * The spool and the queue as the daemon uses them, from all sides at once:
 * producers accept and watch, a scheduler that trusts on_due alone claims and
 * puts, consumers get, settle and release, others cancel, expire, retry, drop,
 * list and ask. Each job must end once, and once more for each time that it was
 * retried, each watch be called once, the ledger must add up at every look, and
 * nothing may be left lying.
 */
#define PRODUCERS   2
#define JOBS_EACH   15000
#define JOBS        (PRODUCERS * JOBS_EACH)
#define LOOK_BACK   200 /* who interferes looks at the newest jobs */
#define PATIENCE_MS 120000

struct tracked {
    struct id id;
    struct spool_watch watch;
    atomic_uint calls;     /* of the watch */
    atomic_uint starts;    /* attempts running now: never above one */
    atomic_uint ends;      /* settlements and cancellations that ended it */
    atomic_uint unwatched; /* times that unwatching was true */
    atomic_uint reopened;  /* times it was settled and then retried */
    atomic_bool retried;   /* somebody tries to */
    atomic_bool dropped;   /* before its end */
};

struct town {
    struct spool *spool;
    struct spooled disk; /* its directory */
    struct queue *queue;
    struct clock clock;
    struct tracked *jobs;
    atomic_uint wrong;
    atomic_bool calm; /* nobody interferes any more */
    atomic_bool done;
    size_t expired;
    atomic_uint_least64_t produced[PRODUCERS];

    struct mutex lock;
    struct cond due;
    int64_t next_ms;          /* guarded by lock: earliest told since asking */
    bool asking;              /* likewise */
    struct claim_list claims; /* likewise: what the answer gave */
};

struct actor {
    struct town *town;
    struct thread thread;
    unsigned index;
};

static void wrong_if(struct town *town, bool condition)
{
    if (condition)
        atomic_fetch_add(&town->wrong, 1);
}

/* cond_wait_until() wants monotonic time: here real time is the same. */
static int64_t one_time(const struct clock *clock)
{
    (void)clock;
    return clock_mono_ms(clock_system());
}

/* ---- producers ---- */

static void told(void *ctx, struct spool_status *status, bool cancelled,
                 const struct err *err)
{
    struct tracked *t = ctx;
    (void)err;
    (void)cancelled;
    atomic_fetch_add(&t->calls, 1);
    spool_status_destroy(status);
}

static void unwatch(struct town *town, struct tracked *t)
{
    if (spool_unwatch(town->spool, &t->watch))
        atomic_fetch_add(&t->unwatched, 1);
}

static void count_cancelled(void *ctx, struct spool_status *status,
                            bool cancelled, const struct err *err)
{
    struct tracked *t = ctx;
    (void)err;
    if (cancelled)
        atomic_fetch_add(&t->ends, 1);
    spool_status_destroy(status);
}

static struct job *make_job(struct town *town, struct random *random,
                            size_t number)
{
    struct job *job = job_new();
    int64_t now_ms = one_time(NULL);
    id_new(&job->id, now_ms);
    job->client = mem_strdup(STR("app"));
    job->route = mem_strdup(STR("default"));
    job->priority = JOB_PRIORITY_NORMAL;
    job->created_ms = now_ms;
    job->sender = mem_strdup(STR("from@example.org"));
    job->recipients = mem_calloc(1, sizeof(char *));
    job->recipient_count = 1;
    job->recipients[0] = mem_strdup(STR("to@example.org"));
    job->tag = mem_calloc(1, 16);
    (void)snprintf(job->tag, 16, "%zu", number);
    job->body = body_from_memory(mem_calloc(1, 64), 64);
    if (random_below(random, 8) == 0)
        job->send_at_ms = now_ms + (int64_t)random_below(random, 5);
    if (random_below(random, 8) == 0)
        job->expires_at_ms = now_ms + 1 + (int64_t)random_below(random, 20);
    if (random_below(random, 8) == 0) {
        job->key = mem_strdup(STR("one"));
        job->key[0] = (char)('a' + random_below(random, 20));
    }
    town->jobs[number].id = job->id;
    return job;
}

struct submit {
    struct waiter waiter;
    enum spool_answer answer;
};

static void keep_answer(void *ctx, const struct spool_accepted *accepted)
{
    struct submit *submit = ctx;
    submit->answer = accepted->answer;
    waiter_done(&submit->waiter);
}

static enum spool_answer submit(struct town *town, struct job *job)
{
    struct submit to;
    waiter_init(&to.waiter);
    spool_accept(town->spool, job, keep_answer, &to);
    waiter_wait(&to.waiter);
    waiter_fini(&to.waiter);
    return to.answer;
}

static void produce(void *arg)
{
    struct actor *me = arg;
    struct town *town = me->town;
    struct random random;
    random_init(&random, me->index);
    for (unsigned i = 0; i < JOBS_EACH; i++) {
        struct tracked *t = &town->jobs[me->index * JOBS_EACH + i];
        struct job *job = make_job(town, &random, me->index * JOBS_EACH + i);
        enum spool_answer answer;
        while ((answer = submit(town, job)) == SPOOL_FULL)
            (void)sched_yield();
        job_unref(job);
        wrong_if(town, answer == SPOOL_ERROR);
        spool_watch(town->spool, &t->id, "app", &t->watch, told, t);
        if (random_below(&random, 4) == 0)
            unwatch(town, t);
        if (random_below(&random, 16) == 0)
            spool_cancel(town->spool, &t->id, "app", count_cancelled, t);
        atomic_fetch_add(&town->produced[me->index], 1);
        /* No such job: told at once. */
        if (answer != SPOOL_ACCEPTED && !spools_are_durable())
            wrong_if(town, atomic_load(&t->calls) != 1);
    }
}

/* ---- scheduler ---- */

static void on_due(void *ctx, struct spool_lane lane, int64_t due_ms)
{
    struct town *town = ctx;
    (void)lane;
    mutex_lock(&town->lock);
    if (due_ms < town->next_ms) {
        town->next_ms = due_ms;
        cond_signal(&town->due);
    }
    mutex_unlock(&town->lock);
}

static void keep_claims(void *ctx, struct spool_lane lane,
                        struct claim_list *claims, int64_t next_due_ms)
{
    struct town *town = ctx;
    on_due(ctx, lane, next_due_ms);
    mutex_lock(&town->lock);
    STAILQ_CONCAT(&town->claims, claims);
    town->asking = false;
    cond_signal(&town->due);
    mutex_unlock(&town->lock);
}

static void pass_on(struct town *town, struct claim_list *claims)
{
    struct claim *claim;
    while ((claim = STAILQ_FIRST(claims)) != NULL) {
        STAILQ_REMOVE_HEAD(claims, next);
        if (queue_put(town->queue, 0, claim) != ERR_NONE) {
            wrong_if(town, true);
            spool_release(town->spool, claim, 0, STR(""), STR(""));
        }
    }
}

static void schedule(void *arg)
{
    struct actor *me = arg;
    struct town *town = me->town;
    const struct spool_lane lane = {0, JOB_PRIORITY_NORMAL};
    while (!atomic_load(&town->done)) {
        struct claim_list claims = STAILQ_HEAD_INITIALIZER(claims);
        mutex_lock(&town->lock);
        town->next_ms = SPOOL_NEVER;
        town->asking = true;
        mutex_unlock(&town->lock);
        spool_claim(town->spool, lane, 20, one_time(NULL), keep_claims, town);
        mutex_lock(&town->lock);
        while (town->asking)
            cond_wait(&town->due, &town->lock);
        STAILQ_CONCAT(&claims, &town->claims);
        mutex_unlock(&town->lock);
        pass_on(town, &claims);
        mutex_lock(&town->lock);
        while (town->next_ms > one_time(NULL) && !atomic_load(&town->done)) {
            if (town->next_ms == SPOOL_NEVER)
                cond_wait(&town->due, &town->lock);
            else
                (void)!cond_wait_until(&town->due, &town->lock, town->next_ms);
        }
        mutex_unlock(&town->lock);
    }
}

/* ---- consumers ---- */

static struct tracked *tracked_of(struct town *town, const struct claim *claim)
{
    unsigned long long number = JOBS;
    if (!str_to_u64(str_from(claim->job->tag), JOBS - 1, &number))
        wrong_if(town, true);
    return &town->jobs[number % JOBS];
}

static void count_end(void *ctx, const struct spool_settled *settled)
{
    struct tracked *t = ctx;
    if (job_state_is_settled(settled->state))
        atomic_fetch_add(&t->ends, 1);
}

/* The event before says whether it was settled, or only waited. */
static void count_retried(void *ctx, struct spool_status *status, bool retried,
                          const struct err *err)
{
    struct tracked *t = ctx;
    (void)err;
    if (retried) {
        const struct spool_event *before =
            &status->events[status->event_count - 2];
        if (before->kind == SPOOL_EVENT_EXPIRED ||
            (before->text != NULL &&
             str_starts(str_from(before->text), STR("refused"))))
            atomic_fetch_add(&t->reopened, 1);
    }
    spool_status_destroy(status);
}

static void retry(struct town *town, struct tracked *t)
{
    atomic_store(&t->retried, true);
    spool_retry(town->spool, &t->id, count_retried, t);
}

static void attempt(struct town *town, struct claim *claim,
                    struct random *random)
{
    struct tracked *t = tracked_of(town, claim);
    unsigned char byte;
    size_t got;
    if (random_below(random, 16) == 0)
        spool_cancel(town->spool, &t->id, "app", count_cancelled, t);
    if (!claim_start(claim)) {
        wrong_if(town, claim->job->body == NULL);
        spool_release(town->spool, claim, 0, STR(""), STR(""));
        return;
    }
    wrong_if(town, atomic_fetch_add(&t->starts, 1) != 0);
    wrong_if(town, atomic_load(&t->ends) != 0 && !atomic_load(&t->retried));
    wrong_if(town, body_read(claim->job->body, 63, &byte, 1, &got) != ERR_NONE);
    uint64_t what = random_below(random, 8);
    atomic_fetch_sub(&t->starts, 1);
    if (what == 0) {
        spool_release(town->spool, claim,
                      one_time(NULL) + (int64_t)random_below(random, 3),
                      STR("main"), STR("released"));
        return;
    }
    const struct settle_recipient said = {0,
                                          what == 1   ? RECIPIENT_DEFERRED
                                          : what == 2 ? RECIPIENT_FAILED
                                                      : RECIPIENT_DELIVERED,
                                          STR("250 words")};
    const struct settlement settlement = {
        .recipients = &said,
        .count = 1,
        .relay = STR("main"),
        .at_ms = one_time(NULL),
        .rest = SETTLE_REST_RETRY,
        .next_attempt_ms = one_time(NULL) + (int64_t)random_below(random, 3)};
    spool_settle(town->spool, claim, &settlement, count_end, t);
    if (said.state == RECIPIENT_FAILED && random_below(random, 2) == 0)
        retry(town, t);
}

static void consume(void *arg)
{
    struct actor *me = arg;
    struct random random;
    struct claim *claim;
    random_init(&random, 100 + me->index);
    while (queue_get(me->town->queue, QUEUE_ALL_LANES, &claim) == ERR_NONE)
        attempt(me->town, claim, &random);
}

/* ---- those who interfere ---- */

static void drop_status(void *ctx, struct spool_status *status, bool cancelled,
                        const struct err *err)
{
    (void)err;
    (void)ctx;
    (void)cancelled;
    spool_status_destroy(status);
}

/* The first drop ends it; one after its end, by whatever, forgets it. */
static void count_dropped(void *ctx, struct spool_status *status, bool dropped,
                          const struct err *err)
{
    struct tracked *t = ctx;
    bool ended = dropped && status->events[status->event_count - 1].kind ==
                                SPOOL_EVENT_DROPPED;
    if (ended)
        ended = !atomic_exchange(&t->dropped, true);
    count_cancelled(ctx, status, ended, err);
}

static void drop_list(void *ctx, struct spool_status **jobs, size_t count,
                      bool more, const struct id *last, const struct err *err)
{
    struct town *town = ctx;
    (void)err;
    wrong_if(town, more && last == NULL);
    for (size_t i = 0; i < count; i++)
        spool_status_destroy(jobs[i]);
    mem_free(jobs);
}

static void list_behind(struct town *town, const struct tracked *t,
                        struct random *random)
{
    const struct spool_filter filter = {
        .states = (unsigned)random_below(random, 1U << JOB_STATE_COUNT),
        .after = t->id,
        .has_after = random_below(random, 8) > 0,
        .limit = 1 + random_below(random, 30)};
    spool_list(town->spool, &filter, drop_list, town);
}

static void act_on(struct town *town, struct tracked *t, struct random *random)
{
    switch (random_below(random, 16)) {
    case 0:
    case 1:
        spool_cancel(town->spool, &t->id, "app", count_cancelled, t);
        return;
    case 2:
        spool_drop(town->spool, &t->id, count_dropped, t);
        return;
    case 3:
    case 4:
        unwatch(town, t);
        return;
    case 5:
    case 6:
    case 7:
    case 8:
        retry(town, t);
        return;
    case 9:
        list_behind(town, t, random);
        return;
    default:
        spool_find(town->spool, &t->id, "app", drop_status, NULL);
    }
}

static void interfere(void *arg)
{
    struct actor *me = arg;
    struct town *town = me->town;
    struct random random;
    random_init(&random, 200);
    for (unsigned acts = 1; !atomic_load(&town->calm); acts++) {
        /* As a client, who has so many requests under way. */
        if (acts % 16 == 0)
            spooled_rest(&town->disk);
        size_t producer = random_below(&random, PRODUCERS);
        uint64_t number = atomic_load(&town->produced[producer]);
        uint64_t back = 1 + random_below(&random, LOOK_BACK);
        if (number >= back)
            act_on(town, &town->jobs[producer * JOBS_EACH + number - back],
                   &random);
        (void)sched_yield();
    }
}

static void count_expired(void *ctx, const struct spool_expired *expired,
                          size_t count, int64_t next_ms)
{
    (void)expired;
    (void)next_ms;
    *(size_t *)ctx += count;
}

static bool ledger_adds_up(const struct spool_stats *n)
{
    return n->accepted == n->delivered + n->failed + n->expired + n->cancelled +
                              n->waiting + n->active + n->held;
}

static void keep_house(void *arg)
{
    struct actor *me = arg;
    struct town *town = me->town;
    while (!atomic_load(&town->done)) {
        struct spool_stats n;
        spool_expire(town->spool, one_time(NULL), 10, count_expired,
                     &town->expired);
        spool_stats(town->spool, &n);
        wrong_if(town, !ledger_adds_up(&n));
        (void)poll(NULL, 0, 1);
    }
}

/* ---- the run ---- */

static void open_town(struct town *town)
{
    static const char *const routes[] = {"default"};
    const struct spool_options options = {
        .routes = routes,
        .route_count = 1,
        .max_jobs = 500,
        .max_bytes = 100000000,
        .history_keep_ms = 60000,
        .history_keep_failed_ms = 60000,
        .history_max_jobs = 2000,
        .key_window_ms = 5,
        .key_max = 10,
        .clock = &town->clock,
        .on_due = on_due,
        .ctx = town,
    };
    const struct queue_options queue_options = {
        .capacity = 50, .max_bytes = 1000000, .lanes = 1};
    town->clock = (struct clock){one_time, one_time};
    town->next_ms = SPOOL_NEVER;
    town->jobs = mem_calloc(JOBS, sizeof(*town->jobs));
    mutex_init(&town->lock);
    cond_init(&town->due);
    STAILQ_INIT(&town->claims);
    spooled_make_directory(&town->disk);
    assert_int_equal(spooled_create(&town->disk, &town->spool, &options, NULL),
                     ERR_NONE);
    town->disk.spool = town->spool;
    assert_int_equal(queue_create(&town->queue, &queue_options, NULL),
                     ERR_NONE);
}

static void wait_until_all_is_settled(struct town *town)
{
    int64_t until_ms = one_time(NULL) + PATIENCE_MS;
    struct spool_stats n;
    do {
        assert_true(one_time(NULL) < until_ms);
        (void)poll(NULL, 0, 5);
        spool_stats(town->spool, &n);
    } while (n.waiting + n.active + n.held > 0);
}

static void forget_all(struct town *town)
{
    struct spool_stats n;
    for (size_t i = 0; i < JOBS; i++)
        spool_drop(town->spool, &town->jobs[i].id, drop_status, NULL);
    spooled_rest(&town->disk);
    spool_stats(town->spool, &n);
    assert_int_equal(n.bytes, 0);
    assert_int_equal(n.remembered, 0);
}

static void check_all(struct town *town)
{
    struct spool_stats n;
    int64_t ends = (int64_t)town->expired;
    int64_t reopened = 0;
    spool_stats(town->spool, &n);
    assert_true(ledger_adds_up(&n));
    assert_true(n.delivered > JOBS / 4);
    assert_true(n.cancelled > 0);
    assert_int_equal(atomic_load(&town->wrong), 0);
    for (size_t i = 0; i < JOBS; i++) {
        const struct tracked *t = &town->jobs[i];
        assert_int_equal(atomic_load(&t->calls) + atomic_load(&t->unwatched),
                         1);
        assert_in_range(atomic_load(&t->ends), 0,
                        1 + atomic_load(&t->reopened));
        ends += atomic_load(&t->ends);
        reopened += atomic_load(&t->reopened);
    }
    assert_true(reopened > JOBS / 100);
    assert_int_equal(ends - reopened,
                     n.delivered + n.failed + n.cancelled + n.expired);
    forget_all(town);
}

static void every_job_ends_once_whoever_interferes(void **state)
{
    static const thread_fn roles[] = {produce, produce,  interfere, consume,
                                      consume, schedule, keep_house};
    enum { ACTORS = sizeof(roles) / sizeof(roles[0]) };
    struct actor actors[ACTORS] = {{.index = 0}};
    struct town town = {.queue = NULL};
    (void)state;
    open_town(&town);
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i].town = &town;
        actors[i].index = i;
        assert_int_equal(thread_start(&actors[i].thread, "actor", roles[i],
                                      &actors[i], NULL),
                         ERR_NONE);
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        thread_join(&actors[i].thread);
    atomic_store(&town.calm, true);
    thread_join(&actors[PRODUCERS].thread);
    wait_until_all_is_settled(&town);
    queue_close(town.queue);
    mutex_lock(&town.lock);
    atomic_store(&town.done, true);
    cond_broadcast(&town.due);
    mutex_unlock(&town.lock);
    for (unsigned i = PRODUCERS + 1; i < ACTORS; i++)
        thread_join(&actors[i].thread);
    spooled_rest(&town.disk);
    check_all(&town);
    queue_destroy(town.queue);
    spool_destroy(town.spool);
    spooled_remove_directory(&town.disk);
    cond_fini(&town.due);
    mutex_fini(&town.lock);
    mem_free(town.jobs);
}

int main(int argc, char **argv)
{
    spools_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_ends_once_whoever_interferes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
