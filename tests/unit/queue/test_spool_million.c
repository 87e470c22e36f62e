#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/queue/spools.h"

/*
 * A million jobs wait on the disk: that costs neither memory nor time, neither
 * when they come, nor when the spool is opened, nor when they are claimed.
 */
enum {
    MILLION = 1000000,
    BODY_BYTES = 2048,
    IN_FLIGHT = 1024,
    CLAIMS = 64,
    DELIVER = 50000,
    OPEN_MAX_MS = 2000,
    MEMORY_MAX_KIB = 64 << 10,
};

static void room(struct spool_options *o)
{
    o->max_jobs = 2 * MILLION;
    o->max_bytes = INT64_C(64) << 30;
}

/* Resident, in KiB. Sanitizers have no meaning here: label slow only. */
static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    (void)fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int64_t mono_ms(void)
{
    return clock_mono_ms(clock_system());
}

struct crowd {
    struct mutex lock;
    struct cond cond;
    size_t in_flight;
    size_t accepted;
};

static void on_accepted(void *ctx, const struct spool_accepted *accepted)
{
    struct crowd *crowd = ctx;
    mutex_lock(&crowd->lock);
    crowd->in_flight--;
    crowd->accepted += accepted->answer == SPOOL_ACCEPTED;
    cond_signal(&crowd->cond);
    mutex_unlock(&crowd->lock);
}

static struct job *small_job(struct spooled *s, int64_t number)
{
    struct job *job = a_job(s, 1);
    /* The clock stands still, but ids are in the order of time. */
    id_new(&job->id, START_MS + number / 20);
    body_unref(job->body);
    job->body = body_from_memory(mem_calloc(1, BODY_BYTES), BODY_BYTES);
    job->size_bytes = BODY_BYTES;
    /* Every fourth has its time later, in no order. */
    if (number % 4 == 0)
        job->send_at_ms = START_MS + 1 + number * 7919 % 100000;
    return job;
}

/* Returns jobs a second. numbers goes on from one call to the next. */
static int64_t fill(struct spooled *s, size_t count, int64_t *numbers)
{
    struct crowd crowd = {.in_flight = 0};
    int64_t start_ms = mono_ms();
    mutex_init(&crowd.lock);
    cond_init(&crowd.cond);
    for (size_t i = 0; i < count; i++) {
        struct job *job = small_job(s, (*numbers)++);
        mutex_lock(&crowd.lock);
        while (crowd.in_flight >= IN_FLIGHT)
            cond_wait(&crowd.cond, &crowd.lock);
        crowd.in_flight++;
        mutex_unlock(&crowd.lock);
        spool_accept(s->spool, job, on_accepted, &crowd);
        job_unref(job);
    }
    mutex_lock(&crowd.lock);
    while (crowd.in_flight > 0)
        cond_wait(&crowd.cond, &crowd.lock);
    mutex_unlock(&crowd.lock);
    assert_int_equal(crowd.accepted, count);
    cond_fini(&crowd.cond);
    mutex_fini(&crowd.lock);
    int64_t took_ms = mono_ms() - start_ms + 1;
    return (int64_t)count * 1000 / took_ms;
}

struct claiming {
    struct waiter waiter;
    struct claim_list claims;
};

static void on_claims(void *ctx, struct spool_lane lane,
                      struct claim_list *claims, int64_t next_due_ms)
{
    struct claiming *claiming = ctx;
    (void)lane;
    (void)next_due_ms;
    STAILQ_CONCAT(&claiming->claims, claims);
    waiter_done(&claiming->waiter);
}

static size_t deliver_some(struct spooled *s, struct claiming *claiming)
{
    struct claim *claim;
    size_t count = 0;
    spool_claim(s->spool, LANE_NORMAL, CLAIMS, atomic_load(&s->fake.now_ms),
                on_claims, claiming);
    waiter_wait(&claiming->waiter);
    while ((claim = STAILQ_FIRST(&claiming->claims)) != NULL) {
        const struct settle_recipient said = {0, RECIPIENT_DELIVERED,
                                              STR("250 ok")};
        const struct settlement settlement = {
            .recipients = &said, .count = 1, .at_ms = START_MS};
        STAILQ_REMOVE_HEAD(&claiming->claims, next);
        assert_int_equal(body_size(claim->job->body), BODY_BYTES);
        spool_settle(s->spool, claim, &settlement, NULL, NULL);
        count++;
    }
    return count;
}

static int64_t deliver(struct spooled *s, size_t count)
{
    struct claiming claiming;
    size_t delivered = 0;
    int64_t start_ms = mono_ms();
    waiter_init(&claiming.waiter);
    STAILQ_INIT(&claiming.claims);
    while (delivered < count) {
        size_t some = deliver_some(s, &claiming);
        assert_true(some > 0);
        delivered += some;
    }
    spooled_rest(s);
    waiter_fini(&claiming.waiter);
    int64_t took_ms = mono_ms() - start_ms + 1;
    return (int64_t)delivered * 1000 / took_ms;
}

static void memory_is_small(const char *when)
{
    long kib = resident_kib();
    print_message("%s: %ld KiB\n", when, kib);
    assert_in_range(kib, 1, MEMORY_MAX_KIB);
}

static void a_million_jobs_wait(void **state)
{
    struct spooled s;
    int64_t numbers = 0;
    (void)state;
    spooled_open(&s, room);
    int64_t first = fill(&s, DELIVER, &numbers);
    print_message("into an empty spool: %lld jobs/s\n", (long long)first);
    int64_t all = fill(&s, MILLION - 2 * DELIVER, &numbers);
    int64_t last = fill(&s, DELIVER, &numbers);
    print_message("up to a million: %lld jobs/s, the last %lld jobs/s\n",
                  (long long)all, (long long)last);
    memory_is_small("a million wait");

    int64_t start_ms = mono_ms();
    spooled_reopen(&s);
    (void)spooled_put_one(&s);
    int64_t took_ms = mono_ms() - start_ms;
    print_message("closed and opened, first accept: %lld ms\n",
                  (long long)took_ms);
    assert_in_range(took_ms, 0, OPEN_MAX_MS);
    assert_int_equal(spooled_stats(&s).waiting, MILLION + 1);
    memory_is_small("opened");

    print_message("claim and settle: %lld jobs/s\n",
                  (long long)deliver(&s, DELIVER));
    spooled_tick(&s, 50000);
    print_message("with those of later times: %lld jobs/s\n",
                  (long long)deliver(&s, DELIVER));
    memory_is_small("delivered");
    struct spool_stats n = spooled_stats(&s);
    assert_true(n.delivered >= 2 * DELIVER);
    assert_int_equal(n.accepted, MILLION + 1);
    spooled_close(&s);
}

int main(void)
{
    char *arguments[] = {NULL, (char[]){"sqlite"}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_jobs_wait),
    };
    spools_choose(2, arguments);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
