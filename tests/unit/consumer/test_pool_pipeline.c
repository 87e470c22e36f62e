#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "tests/unit/consumer/rig.h"

/* The whole sending side on sessions that take several mails, and on rates. */

static const struct way {
    const char *extensions;
    unsigned unconfirmed;
} ways[] = {
    {"250-PIPELINING\r\n", 1},
    {"250-PIPELINING\r\n250-CHUNKING\r\n", 1},
    {"250-PIPELINING\r\n250-CHUNKING\r\n", 16},
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void open_way(struct rig *rig, const struct way *way)
{
    for (size_t i = 0; i < RIG_RELAYS; i++) {
        rig->relays[i].smtp.pipelining = true;
        rig->relays[i].smtp.chunking = true;
        rig->relays[i].smtp.unconfirmed = way->unconfirmed;
        if (rig->mini[i] != NULL)
            mini_relay_offer(rig->mini[i], way->extensions);
    }
    rig_open(rig);
    rig_start(rig);
}

static void check_many_jobs(const struct way *way)
{
    enum { JOBS = 1500 };
    struct rig rig;
    static unsigned seen[JOBS];
    memset(seen, 0, sizeof(seen));
    rig_init(&rig, 1);
    rig.options.consumers = 2;
    rig.relays[0].connections = 5;
    rig.relays[0].jobs_per_connection = 100;
    open_way(&rig, way);
    for (unsigned i = 0; i < JOBS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "r%u", i);
        struct rig_job job = {.recipients = name,
                              .on_unknown = i % 16 == 0 ? JOB_ON_UNKNOWN_HOLD
                                                        : JOB_ON_UNKNOWN_RETRY};
        (void)rig_put(&rig, &job);
    }
    rig_wait_number(rig.mini[0], mini_relay_mails, JOBS, "all mails");
    rig_stop(&rig, 5000);
    for (unsigned i = 0; i < JOBS; i++) {
        unsigned who = JOBS;
        struct mini_mail mail = mini_relay_mail(rig.mini[0], i);
        assert_int_equal(sscanf(mail.recipients, "r%u ", &who), 1);
        assert_true(who < JOBS);
        seen[who]++;
    }
    for (unsigned i = 0; i < JOBS; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(rig_stats(&rig).delivered, JOBS);
    assert_true(mini_relay_connections(rig.mini[0]) >= JOBS / 100);
    assert_true(mini_relay_connections(rig.mini[0]) <= 5 + JOBS / 100);
    assert_int_equal(metrics_get(&rig.metrics, METRIC_ATTEMPTS), JOBS);
    rig_close(&rig);
}

static void many_jobs_go_over_few_sessions_once_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++)
        check_many_jobs(&ways[i]);
}

static void check_poison(const struct way *way, const char *sender)
{
    enum { GOOD = 200 };
    struct rig rig;
    struct rig_job poison = {.sender = sender, .give_up_in_ms = 2000};
    struct rig_job good = {0};
    struct id ids[GOOD];
    rig_init(&rig, 1);
    rig.relays[0].connections = 2;
    /* As many attempts as there is time for. */
    rig.options.retry.longest_ms = 100;
    open_way(&rig, way);
    for (unsigned i = 0; i < GOOD / 2; i++)
        ids[i] = rig_put(&rig, &good);
    struct id poison_id = rig_put(&rig, &poison);
    for (unsigned i = GOOD / 2; i < GOOD; i++)
        ids[i] = rig_put(&rig, &good);
    rig_wait_state(&rig, &poison_id, JOB_FAILED);
    struct spool_status *status = rig_find(&rig, &poison_id);
    assert_true(status->attempts >= 2);
    spool_status_destroy(status);
    for (unsigned i = 0; i < GOOD; i++) {
        rig_wait_state(&rig, &ids[i], JOB_DELIVERED);
        status = rig_find(&rig, &ids[i]);
        assert_int_equal(status->attempts, 1);
        spool_status_destroy(status);
    }
    assert_int_equal(mini_relay_mails(rig.mini[0]), GOOD);
    /* The breaker stayed closed. */
    assert_int_equal(metrics_get(&rig.metrics, METRIC_SESSIONS_FAILED), 0);
    rig_close(&rig);
}

/* With unconfirmed 16 what was sent behind it may be unknown, too. */
static void mail_that_breaks_connections_harms_only_itself(void **state)
{
    (void)state;
    check_poison(&ways[0], "drop-mail");
    check_poison(&ways[0], "mail-421");
    check_poison(&ways[1], "drop-mail");
    check_poison(&ways[1], "mail-421");
    check_poison(&ways[1], "drop-dot");
}

static bool rest_is_queued(void *ctx)
{
    struct rig *rig = ctx;
    return queue_size(rig->queue) == 50 - 32;
}

static void sessions_have_mails_in_hand_beyond_the_one_under_way(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 1);
    rig.relays[0].connections = 2;
    mini_relay_hold(rig.mini[0], true);
    open_way(&rig, &ways[2]);
    for (unsigned i = 0; i < 50; i++)
        (void)rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_held, 2, "two mails");
    rig_wait("sixteen mails in each", rest_is_queued, &rig);
    rig_stop(&rig, 100);
    /* Sent in full and not answered. */
    struct spool_stats n = rig_stats(&rig);
    assert_true(n.waiting == 50);
    assert_int_equal(metrics_get(&rig.metrics, METRIC_RECIPIENTS_UNKNOWN), 32);
    rig_close(&rig);
}

static void a_stop_finishes_what_sessions_have_in_hand(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {0};
    for (size_t i = 0; i < WAYS; i++) {
        rig_init(&rig, 1);
        rig.relays[0].connections = 3;
        open_way(&rig, &ways[i]);
        for (unsigned k = 0; k < 500; k++)
            (void)rig_put(&rig, &job);
        rig_wait_number(rig.mini[0], mini_relay_mails, 100, "mails");
        rig_stop(&rig, 5000);
        struct spool_stats n = rig_stats(&rig);
        assert_int_equal(n.delivered, mini_relay_mails(rig.mini[0]));
        assert_int_equal(n.delivered + n.waiting, 500);
        /* One that is not ready yet is cut. */
        assert_int_equal(mini_relay_quits(rig.mini[0]),
                         metrics_get(&rig.metrics, METRIC_SESSIONS_OPENED));
        rig_close(&rig);
    }
}

/* ---- rates ---- */

static void a_rate_is_kept_over_all_consumers(void **state)
{
    (void)state;
    enum { JOBS = 30 };
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 1);
    rig.options.consumers = 3;
    rig.relays[0].rate_per_s = 25;
    rig.relays[0].burst = 5;
    int64_t start_ms = clock_mono_ms(clock_system());
    open_way(&rig, &ways[0]);
    for (unsigned i = 0; i < JOBS; i++)
        (void)rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_mails, JOBS, "all mails");
    int64_t took_ms = clock_mono_ms(clock_system()) - start_ms;
    /* Five at once, then one every 40 ms. */
    assert_true(took_ms >= (JOBS - 5) * 40);
    assert_true(took_ms < 5000);
    rig_close(&rig);
}

static void waiting_for_a_token_holds_up_no_other_relay(void **state)
{
    (void)state;
    enum { JOBS = 300 };
    struct rig rig;
    struct rig_job job = {0};
    rig_init(&rig, 2);
    rig.queue_options.capacity = 16; /* eight a lane */
    rig.relays[0].rate_per_s = 0.1;
    rig.relays[0].burst = 1;
    open_way(&rig, &ways[0]);
    for (unsigned i = 0; i < JOBS; i++)
        (void)rig_put(&rig, &job);
    /* One is sent, eight are in its lane, all others went on. */
    rig_wait_number(rig.mini[1], mini_relay_mails, JOBS - 9, "the others");
    rig_wait_number(rig.mini[0], mini_relay_mails, 1, "the one");
    assert_int_equal(mini_relay_mails(rig.mini[0]), 1);
    rig_close(&rig);
}

static void too_fast_is_tried_again_slower_and_costs_no_attempt(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.sender = "slow"};
    struct rig_job other = {0};
    struct pool_relay_stats stats;
    rig_init(&rig, 1);
    rig.relays[0].connections = 1;
    rig.relays[0].rate_per_s = 100;
    rig.relays[0].burst = 10;
    mini_relay_slow(rig.mini[0], 1);
    open_way(&rig, &ways[0]);
    struct id id = rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_told_slow, 1, "a word");
    struct id other_id = rig_put(&rig, &other);
    rig_wait_state(&rig, &other_id, JOB_DELIVERED);
    pool_relay_stats(rig.pool, 0, &stats);
    assert_int_equal(stats.throttled, 1);
    assert_true(stats.slowed);
    assert_true(stats.rate_per_s < 100);
    assert_string_equal(stats.state, "ready");
    struct spool_status *status = rig_find(&rig, &id);
    assert_int_equal(status->attempts, 0);
    assert_non_null(strstr(status->note, "slow down"));
    spool_status_destroy(status);
    rig_wait_state(&rig, &id, JOB_DELIVERED);
    status = rig_find(&rig, &id);
    assert_int_equal(status->attempts, 1);
    spool_status_destroy(status);
    /* The same session all the time. */
    assert_int_equal(mini_relay_connections(rig.mini[0]), 1);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_jobs_go_over_few_sessions_once_each),
        cmocka_unit_test(mail_that_breaks_connections_harms_only_itself),
        cmocka_unit_test(sessions_have_mails_in_hand_beyond_the_one_under_way),
        cmocka_unit_test(a_stop_finishes_what_sessions_have_in_hand),
        cmocka_unit_test(a_rate_is_kept_over_all_consumers),
        cmocka_unit_test(waiting_for_a_token_holds_up_no_other_relay),
        cmocka_unit_test(too_fast_is_tried_again_slower_and_costs_no_attempt),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
