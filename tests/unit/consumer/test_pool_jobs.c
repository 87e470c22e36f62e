#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "tests/unit/consumer/rig.h"

static void many_jobs_go_over_few_sessions_once_each(void **state)
{
    (void)state;
    enum { JOBS = 2000 };
    struct rig rig;
    static unsigned seen[JOBS];
    memset(seen, 0, sizeof(seen));
    rig_init(&rig, 1);
    rig.options.consumers = 2;
    rig.relays[0].connections = 5;
    rig.relays[0].jobs_per_connection = 300;
    rig_open(&rig);
    rig_start(&rig);
    for (unsigned i = 0; i < JOBS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "r%u", i);
        struct rig_job job = {.recipients = name,
                              .priority = (enum job_priority)(i % 3)};
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
    /* Retired after 300 each, and never more than five at a time. */
    assert_true(mini_relay_connections(rig.mini[0]) >= JOBS / 300);
    assert_true(mini_relay_connections(rig.mini[0]) <= 16);
    struct pool_relay_stats stats;
    pool_relay_stats(rig.pool, 0, &stats);
    assert_int_equal(stats.delivered, JOBS);
    assert_string_equal(stats.state, "ready");
    assert_int_equal(metrics_get(&rig.metrics, METRIC_ATTEMPTS), JOBS);
    rig_close(&rig);
}

static void each_recipient_has_its_own_end(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.recipients = "a b 550-gone c 451-later"};
    rig_init(&rig, 1);
    rig.options.retry.first_ms = 30000;
    rig.options.retry.longest_ms = 30000;
    rig_open(&rig);
    rig_start(&rig);
    int64_t before_ms = clock_real_ms(clock_system());
    struct id id = rig_put(&rig, &job);
    rig_wait_state(&rig, &id, JOB_DEFERRED);
    rig_expect(&rig, &id, 0, RECIPIENT_DELIVERED, "250");
    rig_expect(&rig, &id, 1, RECIPIENT_DELIVERED, "250");
    rig_expect(&rig, &id, 2, RECIPIENT_FAILED, "550");
    rig_expect(&rig, &id, 3, RECIPIENT_DELIVERED, "250");
    rig_expect(&rig, &id, 4, RECIPIENT_DEFERRED, "451");
    assert_int_equal(mini_relay_mails(rig.mini[0]), 1);
    assert_string_equal(mini_relay_mail(rig.mini[0], 0).recipients, "a b c ");
    struct spool_status *status = rig_find(&rig, &id);
    assert_int_equal(status->attempts, 1);
    /* the pause, a tenth more or less */
    assert_true(status->next_attempt_ms >= before_ms + 26000);
    assert_true(status->next_attempt_ms <= before_ms + 10000 + 33000);
    assert_string_equal(status->recipients[4].relay, "first");
    spool_status_destroy(status);
    rig_close(&rig);
}

static void only_who_was_deferred_is_sent_to_again(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.recipients = "a 451-later b", .give_up_in_ms = 1500};
    rig_init(&rig, 1);
    rig.options.retry.first_ms = 200;
    rig_open(&rig);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait_state(&rig, &id, JOB_FAILED);
    assert_int_equal(mini_relay_mails(rig.mini[0]), 1);
    rig_expect(&rig, &id, 0, RECIPIENT_DELIVERED, "250");
    rig_expect(&rig, &id, 1, RECIPIENT_FAILED, "451");
    struct spool_status *status = rig_find(&rig, &id);
    assert_true(status->attempts >= 2);
    assert_int_equal(status->recipients[0].attempts, 1);
    assert_int_equal(status->recipients[1].attempts, status->attempts);
    spool_status_destroy(status);
    rig_close(&rig);
}

static void too_many_recipients_go_in_further_transactions(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.recipients = "a b c d e f g"};
    rig_init(&rig, 1);
    rig.relays[0].recipients_per_message = 5;
    rig_open(&rig);
    mini_relay_limit_recipients(rig.mini[0], 3);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait_state(&rig, &id, JOB_DELIVERED);
    assert_int_equal(mini_relay_mails(rig.mini[0]), 3);
    assert_string_equal(mini_relay_mail(rig.mini[0], 0).recipients, "a b c ");
    assert_string_equal(mini_relay_mail(rig.mini[0], 1).recipients, "d e f ");
    assert_string_equal(mini_relay_mail(rig.mini[0], 2).recipients, "g ");
    struct spool_status *status = rig_find(&rig, &id);
    assert_int_equal(status->attempts, 1);
    spool_status_destroy(status);
    rig_close(&rig);
}

static void lost_answer_is_retried_or_held_as_the_job_wants(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job retried = {.sender = "drop-dot", .give_up_in_ms = 2000};
    struct rig_job held = {.sender = "drop-dot",
                           .on_unknown = JOB_ON_UNKNOWN_HOLD};
    struct pool_relay_stats stats;
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_start(&rig);
    struct id held_id = rig_put(&rig, &held);
    rig_wait_state(&rig, &held_id, JOB_HELD);
    rig_expect(&rig, &held_id, 0, RECIPIENT_UNKNOWN, "");
    struct id id = rig_put(&rig, &retried);
    rig_wait_state(&rig, &id, JOB_FAILED);
    struct spool_status *status = rig_find(&rig, &id);
    assert_true(status->attempts >= 2);
    spool_status_destroy(status);
    pool_relay_stats(rig.pool, 0, &stats);
    assert_true(stats.unknown >= 3);
    /* A mail like that never shuts the relay. */
    assert_string_equal(stats.state, "ready");
    rig_close(&rig);
}

static void check_mail_that_breaks_connections(const char *sender)
{
    struct rig rig;
    struct rig_job poison = {.sender = sender, .give_up_in_ms = 1500};
    struct rig_job good = {0};
    rig_init(&rig, 2);
    rig.relays[0].connections = 2;
    rig_open(&rig);
    rig_start(&rig);
    struct id poison_id = rig_put(&rig, &poison);
    for (unsigned i = 0; i < 20; i++) {
        struct id id = rig_put(&rig, &good);
        rig_wait_state(&rig, &id, JOB_DELIVERED);
    }
    rig_wait_state(&rig, &poison_id, JOB_FAILED);
    struct spool_status *status = rig_find(&rig, &poison_id);
    assert_true(status->attempts >= 2);
    spool_status_destroy(status);
    /* All through the first relay: its breaker stayed closed. */
    assert_int_equal(mini_relay_mails(rig.mini[0]), 20);
    assert_int_equal(mini_relay_connections(rig.mini[1]), 0);
    rig_close(&rig);
}

static void mail_that_breaks_connections_harms_only_itself(void **state)
{
    (void)state;
    check_mail_that_breaks_connections("drop-mail");
    check_mail_that_breaks_connections("mail-421");
}

static void refused_message_fails_with_the_relays_words(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.sender = "final-554", .recipients = "a b"};
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait_state(&rig, &id, JOB_FAILED);
    rig_expect(&rig, &id, 0, RECIPIENT_FAILED, "554 as you wish");
    rig_expect(&rig, &id, 1, RECIPIENT_FAILED, "554 as you wish");
    rig_close(&rig);
}

static void address_no_command_can_hold_fails_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job mixed = {.recipients = "a b\r\nDATA c"};
    struct rig_job sender = {.sender = "s\r\nDATA"};
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_start(&rig);
    struct id id = rig_put(&rig, &mixed);
    rig_wait_state(&rig, &id, JOB_FAILED);
    rig_expect(&rig, &id, 0, RECIPIENT_DELIVERED, "250");
    rig_expect(&rig, &id, 1, RECIPIENT_FAILED, "5.1.3 not sent");
    rig_expect(&rig, &id, 2, RECIPIENT_DELIVERED, "250");
    id = rig_put(&rig, &sender);
    rig_wait_state(&rig, &id, JOB_FAILED);
    rig_expect(&rig, &id, 0, RECIPIENT_FAILED, "not sent: the sender");
    assert_int_equal(mini_relay_mails(rig.mini[0]), 1);
    assert_string_equal(mini_relay_mail(rig.mini[0], 0).recipients, "a c ");
    rig_close(&rig);
}

/* One session that is held up: what is behind waits in the queue. */
static struct id put_held_up(struct rig *rig)
{
    struct rig_job job = {0};
    mini_relay_hold(rig->mini[0], true);
    struct id id = rig_put(rig, &job);
    rig_wait_number(rig->mini[0], mini_relay_held, 1, "a mail that waits");
    return id;
}

static void job_cancelled_in_the_queue_is_not_sent(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.recipients = "never"};
    rig_init(&rig, 1);
    rig.relays[0].connections = 1;
    rig_open(&rig);
    rig_start(&rig);
    struct id first = put_held_up(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait_queued(&rig, 1);
    assert_false(rig_cancel(&rig, &first));
    assert_true(rig_cancel(&rig, &id));
    mini_relay_hold(rig.mini[0], false);
    rig_wait_state(&rig, &first, JOB_DELIVERED);
    rig_stop(&rig, 5000);
    struct spool_status *status = rig_find(&rig, &id);
    assert_int_equal(status->state, JOB_CANCELLED);
    assert_int_equal(status->attempts, 0);
    spool_status_destroy(status);
    assert_int_equal(mini_relay_mails(rig.mini[0]), 1);
    rig_close(&rig);
}

static bool has_passed(void *ctx)
{
    return clock_real_ms(clock_system()) > *(const int64_t *)ctx;
}

static void job_that_expires_in_the_queue_is_not_sent(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job expiring = {.expires_in_ms = 300};
    struct rig_job given_up = {.give_up_in_ms = 300};
    rig_init(&rig, 1);
    rig.relays[0].connections = 1;
    rig_open(&rig);
    rig_start(&rig);
    struct id first = put_held_up(&rig);
    struct id expired = rig_put(&rig, &expiring);
    struct id failed = rig_put(&rig, &given_up);
    int64_t until_ms = clock_real_ms(clock_system()) + 320;
    rig_wait_queued(&rig, 2);
    rig_wait("the end of their time", has_passed, &until_ms);
    mini_relay_hold(rig.mini[0], false);
    rig_wait_state(&rig, &first, JOB_DELIVERED);
    rig_wait_state(&rig, &expired, JOB_EXPIRED);
    rig_wait_state(&rig, &failed, JOB_FAILED);
    assert_int_equal(mini_relay_mails(rig.mini[0]), 1);
    rig_close(&rig);
}

static void job_that_waits_too_long_for_its_turn_expires(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.send_in_ms = 30000, .expires_in_ms = 200};
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_start(&rig);
    struct id id = rig_put(&rig, &job);
    rig_wait_state(&rig, &id, JOB_EXPIRED);
    rig_close(&rig);
}

static void send_at_is_kept(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_job job = {.send_in_ms = 400};
    rig_init(&rig, 1);
    rig_open(&rig);
    rig_start(&rig);
    int64_t due_ms = clock_real_ms(clock_system()) + 400;
    struct id id = rig_put(&rig, &job);
    rig_wait_number(rig.mini[0], mini_relay_mails, 1, "the mail");
    int64_t now_ms = clock_real_ms(clock_system());
    assert_true(now_ms >= due_ms);
    rig_wait_state(&rig, &id, JOB_DELIVERED);
    rig_close(&rig);
}

static void classes_share_the_wire_eight_four_one(void **state)
{
    (void)state;
    enum { EACH = 104 };
    struct rig rig;
    unsigned turns[JOB_PRIORITY_COUNT] = {0};
    rig_init(&rig, 1);
    rig.relays[0].connections = 1;
    rig_open(&rig);
    for (unsigned i = 0; i < EACH * JOB_PRIORITY_COUNT; i++) {
        static const char *const names[] = {"high", "normal", "low"};
        struct rig_job job = {.recipients = names[i % 3],
                              .priority = (enum job_priority)(i % 3)};
        (void)rig_put(&rig, &job);
    }
    rig_start(&rig);
    rig_wait_number(rig.mini[0], mini_relay_mails, EACH * JOB_PRIORITY_COUNT,
                    "all mails");
    /* As long as all three have work, each thirteen are 8, 4 and 1. */
    for (unsigned i = 0; i < EACH; i++) {
        struct mini_mail mail = mini_relay_mail(rig.mini[0], i);
        turns[mail.recipients[0] == 'h'   ? JOB_PRIORITY_HIGH
              : mail.recipients[0] == 'n' ? JOB_PRIORITY_NORMAL
                                          : JOB_PRIORITY_LOW]++;
        if (i % 13 == 12) {
            unsigned rounds = i / 13 + 1;
            assert_int_equal(turns[JOB_PRIORITY_HIGH], rounds * 8);
            assert_int_equal(turns[JOB_PRIORITY_NORMAL], rounds * 4);
            assert_int_equal(turns[JOB_PRIORITY_LOW], rounds);
        }
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_jobs_go_over_few_sessions_once_each),
        cmocka_unit_test(each_recipient_has_its_own_end),
        cmocka_unit_test(only_who_was_deferred_is_sent_to_again),
        cmocka_unit_test(too_many_recipients_go_in_further_transactions),
        cmocka_unit_test(lost_answer_is_retried_or_held_as_the_job_wants),
        cmocka_unit_test(mail_that_breaks_connections_harms_only_itself),
        cmocka_unit_test(refused_message_fails_with_the_relays_words),
        cmocka_unit_test(address_no_command_can_hold_fails_alone),
        cmocka_unit_test(job_cancelled_in_the_queue_is_not_sent),
        cmocka_unit_test(job_that_expires_in_the_queue_is_not_sent),
        cmocka_unit_test(job_that_waits_too_long_for_its_turn_expires),
        cmocka_unit_test(send_at_is_kept),
        cmocka_unit_test(classes_share_the_wire_eight_four_one),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
