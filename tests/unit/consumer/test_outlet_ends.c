#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "message/downgrade.h"
#include "tests/unit/consumer/stand.h"

/* What becomes of jobs when sessions end before their time, and of relays. */

static struct stand *stand_of(size_t sessions)
{
    struct stand *stand = stand_new();
    stand->share = sessions;
    stand_open(stand);
    return stand;
}

/* A session of that window that has delivered one mail. */
static size_t used_session(struct stand *stand, size_t window)
{
    size_t n = fake_opened();
    assert_int_equal(stand_fill(stand, 1), 1);
    assert_int_equal(fake_opened(), n + 1);
    stand_ready(n, window);
    fake_answer(fake_session(n), OUTCOME_DELIVERED);
    return n;
}

static struct stand_job *give_one(struct stand *stand)
{
    struct stand_job *job = stand_job(stand);
    stand_give(stand, job);
    return job;
}

/* ---- sessions that end ---- */

static void a_job_whose_session_ended_goes_to_another_at_once(void **state)
{
    (void)state;
    struct stand *stand = stand_of(2);
    size_t first = used_session(stand, 1);
    struct stand_job *other = give_one(stand);
    size_t second = used_session(stand, 1);
    assert_ptr_equal(stand_job_at(stand, first, 0), other);
    fake_answer(fake_session(first), OUTCOME_DELIVERED);
    struct stand_job *job = give_one(stand);
    assert_ptr_equal(stand_job_at(stand, first, 0), job);
    fake_break(fake_session(first), OUTCOME_UNTRIED);
    assert_ptr_equal(stand_job_at(stand, second, 0), job);
    fake_answer(fake_session(second), OUTCOME_DELIVERED);
    assert_int_equal(job->end, STAND_SETTLED);
    assert_int_equal(metrics_get(&stand->metrics, METRIC_ATTEMPTS), 4);
    stand_free(stand);
}

/* Nor is any other job held up, or taken for the one to blame. */
static void a_mail_that_ends_sessions_gets_one_of_its_own(void **state)
{
    (void)state;
    struct stand *stand = stand_of(3);
    size_t first = used_session(stand, 4);
    struct stand_job *poison = give_one(stand);
    struct stand_job *good = give_one(stand);
    /* On a used session that is no word about the mail. */
    fake_break(fake_session(first), OUTCOME_UNTRIED);
    size_t second = fake_opened() - 2;
    assert_int_equal(stand->outlet.waiting_count, 2);
    stand_ready(second, 1);
    assert_ptr_equal(stand_job_at(stand, second, 0), poison);
    stand_ready(second + 1, 1);
    assert_ptr_equal(stand_job_at(stand, second + 1, 0), good);
    fake_answer(fake_session(second + 1), OUTCOME_DELIVERED);
    /* It was the first there: it costs an attempt, by smtp's rules. */
    fake_break(fake_session(second), OUTCOME_DEFERRED);
    assert_int_equal(poison->end, STAND_SETTLED);
    assert_int_equal(poison->states[0], RECIPIENT_DEFERRED);
    assert_int_equal(good->end, STAND_SETTLED);
    stand_free(stand);
}

static void the_second_time_a_job_waits_for_a_session_of_its_own(void **state)
{
    (void)state;
    struct stand *stand = stand_of(2);
    size_t first = used_session(stand, 1);
    struct stand_job *blocker = give_one(stand);
    size_t second = used_session(stand, 1);
    fake_answer(fake_session(first), OUTCOME_DELIVERED);
    assert_int_equal(blocker->end, STAND_SETTLED);
    struct stand_job *poison = give_one(stand);
    fake_break(fake_session(first), OUTCOME_UNTRIED);
    assert_ptr_equal(stand_job_at(stand, second, 0), poison);
    fake_break(fake_session(second), OUTCOME_UNTRIED);
    /* A new one is opened for it; another job may be the first to use it, */
    assert_int_equal(stand->outlet.waiting_count, 1);
    size_t third = fake_opened() - 1;
    struct stand_job *good = give_one(stand);
    size_t fourth = fake_opened() - 1;
    assert_int_not_equal(third, fourth);
    stand_ready(fourth, 4);
    assert_ptr_equal(stand_job_at(stand, fourth, 0), poison);
    assert_int_equal(fake_session(fourth)->count, 1);
    stand_ready(third, 4);
    assert_ptr_equal(stand_job_at(stand, third, 0), good);
    fake_break(fake_session(fourth), OUTCOME_DEFERRED);
    assert_int_equal(poison->end, STAND_SETTLED);
    assert_int_equal(poison->states[0], RECIPIENT_DEFERRED);
    stand_free(stand);
}

/* A job that two sessions ended before, while a third is there for others. */
static struct stand_job *strand(struct stand *stand)
{
    stand->outlet.share = 3;
    assert_int_equal(stand_fill(stand, 3), 3);
    for (size_t i = 0; i < 3; i++)
        stand_ready(i, 2);
    for (size_t i = 0; i < 3; i++)
        fake_answer(fake_session(i), OUTCOME_DELIVERED);
    struct stand_job *job = give_one(stand);
    assert_ptr_equal(stand_job_at(stand, 2, 0), job);
    fake_break(fake_session(2), OUTCOME_UNTRIED);
    assert_ptr_equal(stand_job_at(stand, 1, 0), job);
    /* As if other workers had more of the connections. */
    stand->outlet.share = 1;
    fake_break(fake_session(1), OUTCOME_UNTRIED);
    assert_int_equal(stand->outlet.waiting_count, 1);
    return job;
}

static void a_job_that_waits_for_its_session_holds_up_no_other(void **state)
{
    (void)state;
    struct stand *stand = stand_of(1);
    struct stand_job *job = strand(stand);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(stand_fill(stand, 10), 2);
        fake_answer(fake_session(0), OUTCOME_DELIVERED);
        fake_answer(fake_session(0), OUTCOME_DELIVERED);
        assert_int_equal(stand_turn(stand, 100), 10000 - (i + 1) * 100);
    }
    assert_int_equal(job->end, STAND_OPEN);
    /* The next to come is its. */
    fake_break(fake_session(0), OUTCOME_NONE);
    assert_int_equal(fake_opened(), 4);
    stand_ready(3, 1);
    assert_ptr_equal(stand_job_at(stand, 3, 0), job);
    stand_free(stand);
}

static void a_job_that_gets_no_session_of_its_own_goes_back(void **state)
{
    (void)state;
    struct stand *stand = stand_of(1);
    struct stand_job *job = strand(stand);
    (void)stand_turn(stand, 9999);
    assert_int_equal(job->end, STAND_OPEN);
    (void)stand_turn(stand, 1);
    assert_int_equal(job->end, STAND_RELEASED);
    stand_free(stand);
}

static void
a_job_that_waits_for_its_session_goes_back_with_the_rest(void **state)
{
    (void)state;
    for (unsigned shut = 0; shut < 2; shut++) {
        struct stand *stand = stand_of(1);
        struct stand_job *job = strand(stand);
        if (shut)
            stand_shut(stand);
        else
            outlet_drain(&stand->outlet);
        assert_int_equal(job->end, STAND_RELEASED);
        stand_free(stand);
    }
}

static void jobs_of_a_session_that_we_cut_go_back(void **state)
{
    (void)state;
    struct stand *stand = stand_of(1);
    size_t n = used_session(stand, 2);
    struct stand_job *job = give_one(stand);
    struct stand_job *behind = give_one(stand);
    assert_int_equal(fake_session(n)->count, 2);
    outlet_abort(&stand->outlet);
    fake_obey();
    assert_int_equal(job->end, STAND_SETTLED);
    assert_int_equal(job->states[0], RECIPIENT_UNKNOWN);
    assert_int_equal(behind->end, STAND_RELEASED);
    stand_free(stand);
}

static void jobs_of_a_relay_that_failed_go_back_to_the_spool(void **state)
{
    (void)state;
    struct stand *stand = stand_of(1);
    size_t n = used_session(stand, 4);
    struct stand_job *jobs[3];
    for (size_t i = 0; i < 3; i++)
        jobs[i] = give_one(stand);
    struct smtp_session *s = fake_session(n);
    struct smtp_closing why = {.relay_failed = true, .stage = SMTP_STAGE_MAIL};
    (void)err_set(&why.err, ERR_DENIED, "530 log in first");
    s->ending = true;
    for (size_t i = 0; i < 3; i++)
        fake_answer(s, OUTCOME_UNTRIED);
    /* Not before it is known that the relay failed. */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(jobs[i]->end, STAND_OPEN);
    fake_close(s, &why);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(jobs[i]->end, STAND_RELEASED);
        assert_string_equal(jobs[i]->note, "530 log in first");
        assert_int_equal(jobs[i]->due_ms, stand->clock.now_ms + 1);
    }
    /* What is in the lane is wanted to be given back. */
    struct stand_job *late = give_one(stand);
    assert_int_equal(late->end, STAND_RELEASED);
    stand_free(stand);
}

static void a_relay_that_never_answers_a_mail_has_failed(void **state)
{
    (void)state;
    struct stand *stand = stand_of(1);
    struct stand_job *job = give_one(stand);
    stand_ready(0, 2);
    struct stand_job *behind = give_one(stand);
    fake_break(fake_session(0), OUTCOME_UNTRIED);
    assert_int_equal(job->end, STAND_RELEASED);
    assert_int_equal(behind->end, STAND_RELEASED);
    assert_int_equal(
        relay_state_mode(stand->env.states, 0, stand->clock.now_ms, NULL),
        RELAY_SHUT);
    stand_free(stand);
}

static void a_job_tried_in_part_is_recorded(void **state)
{
    (void)state;
    struct stand *stand = stand_of(1);
    stand->relay.recipients_per_message = 1;
    struct stand_job *job = stand_job(stand);
    stand_recipients(job, 3);
    stand_give(stand, job);
    stand_ready(0, 2);
    fake_answer(fake_session(0), OUTCOME_DELIVERED);
    fake_break(fake_session(0), OUTCOME_UNTRIED);
    assert_int_equal(job->end, STAND_SETTLED);
    assert_int_equal(job->states[0], RECIPIENT_DELIVERED);
    assert_int_equal(job->states[1], RECIPIENT_PENDING);
    /* The rest at once. */
    assert_int_equal(job->settlement.next_attempt_ms,
                     STAND_REAL_MS + stand->clock.now_ms);
    stand_free(stand);
}

static void draining_gives_back_what_waits_and_finishes_the_rest(void **state)
{
    (void)state;
    struct stand *stand = stand_of(3);
    size_t used = used_session(stand, 2);
    struct stand_job *sent = give_one(stand);
    struct stand_job *waits = give_one(stand);
    size_t connecting = fake_opened() - 1;
    outlet_drain(&stand->outlet);
    assert_int_equal(waits->end, STAND_RELEASED);
    assert_true(fake_session(connecting)->abort);
    assert_int_equal(sent->end, STAND_OPEN);
    assert_false(fake_session(used)->quit);
    fake_answer(fake_session(used), OUTCOME_DELIVERED);
    assert_int_equal(sent->end, STAND_SETTLED);
    assert_true(fake_session(used)->quit);
    assert_false(stand_wants(stand));
    stand_free(stand);
}

/* ---- marks ---- */

static void a_job_to_be_marked_keeps_its_place(void **state)
{
    (void)state;
    struct stand *stand = stand_of(1);
    size_t n = used_session(stand, 2);
    struct stand_job *held = stand_job(stand);
    held->job.on_unknown = JOB_ON_UNKNOWN_HOLD;
    stand_give(stand, held);
    assert_int_equal(fake_session(n)->count, 0);
    assert_int_equal(stand_fill(stand, 10), 1);
    stand_answer_marks(stand, ERR_NONE);
    assert_int_equal(fake_session(n)->count, 2);
    assert_ptr_equal(stand_job_at(stand, n, 1), held);
    /* Another session sends it without asking again. */
    fake_break(fake_session(n), OUTCOME_DELIVERED);
    stand_ready(fake_opened() - 1, 1);
    assert_ptr_equal(stand_job_at(stand, fake_opened() - 1, 0), held);
    assert_int_equal(held->marks, 1);
    stand_free(stand);
}

static void a_session_that_ends_before_the_mark_loses_nothing(void **state)
{
    (void)state;
    static const struct smtp_closing idle = {.stage = SMTP_STAGE_IDLE};
    for (unsigned answered = 0; answered < 2; answered++) {
        struct stand *stand = stand_of(1);
        struct stand_job *held = stand_job(stand);
        held->job.on_unknown = JOB_ON_UNKNOWN_HOLD;
        stand_give(stand, held);
        stand_ready(0, 2);
        fake_session(0)->ending = true;
        if (answered)
            stand_answer_marks(stand, ERR_NONE);
        fake_close(fake_session(0), &idle);
        if (answered) {
            /* It is marked: another session can have it. */
            stand_ready(1, 1);
            assert_ptr_equal(stand_job_at(stand, 1, 0), held);
            assert_int_equal(held->marks, 1);
            assert_int_equal(metrics_get(&stand->metrics, METRIC_ATTEMPTS), 1);
        } else {
            assert_int_equal(held->end, STAND_OPEN);
            stand_answer_marks(stand, ERR_NONE);
            assert_int_equal(held->end, STAND_RELEASED);
        }
        stand_free(stand);
    }
}

static void what_cannot_be_marked_leaves_its_place(void **state)
{
    (void)state;
    struct stand *stand = stand_of(1);
    size_t n = used_session(stand, 1);
    struct stand_job *held = stand_job(stand);
    held->job.on_unknown = JOB_ON_UNKNOWN_HOLD;
    stand_give(stand, held);
    assert_false(stand_wants(stand));
    stand_answer_marks(stand, ERR_FULL);
    assert_int_equal(held->end, STAND_RELEASED);
    assert_string_equal(held->note, "the disk is full");
    assert_int_equal(held->due_ms, stand->clock.now_ms + 1000);
    assert_int_equal(stand_fill(stand, 10), 1);
    assert_int_equal(fake_session(n)->count, 1);
    stand_free(stand);
}

/* ---- probes ---- */

/* The relay was shut, and may be probed: the probe's number. */
static size_t probe(struct stand *stand)
{
    size_t opened = fake_opened();
    stand_shut(stand);
    int64_t wait_ms = stand_turn(stand, 0);
    assert_true(wait_ms > 500 && wait_ms < 1500);
    assert_int_equal(fake_opened(), opened);
    (void)stand_turn(stand, wait_ms);
    assert_int_equal(fake_opened(), opened + 1);
    /* Only one, and jobs are given back meanwhile. */
    (void)stand_turn(stand, 0);
    assert_int_equal(fake_opened(), opened + 1);
    assert_int_equal(give_one(stand)->end, STAND_RELEASED);
    assert_int_equal(fake_opened(), opened + 1);
    return opened;
}

static enum relay_mode mode(struct stand *stand)
{
    return relay_state_mode(stand->env.states, 0, stand->clock.now_ms, NULL);
}

static void a_probe_carries_one_job_and_its_answer_opens_the_relay(void **state)
{
    (void)state;
    struct stand *stand = stand_of(4);
    size_t n = probe(stand);
    assert_int_equal(mode(stand), RELAY_PROBING);
    stand_ready(n, 8);
    assert_int_equal(mode(stand), RELAY_TRIAL);
    struct stand_job *job = give_one(stand);
    assert_ptr_equal(stand_job_at(stand, n, 0), job);
    assert_int_equal(mode(stand), RELAY_PROBING);
    /* One mail at stake, whatever room there is. */
    struct stand_job *other = give_one(stand);
    assert_int_equal(other->end, STAND_RELEASED);
    fake_answer(fake_session(n), OUTCOME_REJECTED);
    assert_int_equal(mode(stand), RELAY_READY);
    assert_int_equal(stand_fill(stand, 1), 1);
    assert_int_equal(fake_session(n)->count, 1);
    stand_free(stand);
}

static void a_relay_is_ready_when_no_job_comes_for_its_probe(void **state)
{
    (void)state;
    struct stand *stand = stand_of(4);
    /* Longer than the idle time. */
    stand->relay.idle_timeout_ms = 500;
    size_t n = probe(stand);
    stand_ready(n, 1);
    assert_int_equal(stand_turn(stand, 999), 1);
    assert_int_equal(mode(stand), RELAY_TRIAL);
    (void)stand_turn(stand, 1);
    assert_int_equal(mode(stand), RELAY_READY);
    stand_free(stand);
}

static void a_cancelled_job_leaves_the_probe_on_trial(void **state)
{
    (void)state;
    struct stand *stand = stand_of(4);
    size_t n = probe(stand);
    stand_ready(n, 1);
    struct stand_job *job = stand_job(stand);
    atomic_store(&job->gate, CLAIM_GATE_CANCELLED);
    stand_give(stand, job);
    assert_int_equal(job->end, STAND_RELEASED);
    assert_int_equal(mode(stand), RELAY_TRIAL);
    assert_true(stand_wants(stand));
    struct stand_job *refused = stand_job(stand);
    (void)memcpy(refused->sender, "bad", 4);
    stand_give(stand, refused);
    assert_int_equal(refused->end, STAND_SETTLED);
    assert_int_equal(mode(stand), RELAY_TRIAL);
    stand_free(stand);
}

static void a_probe_that_fails_costs_no_job_anything(void **state)
{
    (void)state;
    struct stand *stand = stand_of(4);
    size_t n = probe(stand);
    struct smtp_closing why = {.relay_failed = true,
                               .stage = SMTP_STAGE_CONNECT};
    (void)err_set(&why.err, ERR_SYSTEM, "refused");
    fake_close(fake_session(n), &why);
    assert_int_equal(mode(stand), RELAY_SHUT);
    int64_t wait_ms = stand_turn(stand, 0);
    assert_true(wait_ms > 500);
    (void)stand_turn(stand, wait_ms);
    assert_int_equal(fake_opened(), n + 2);
    stand_free(stand);
}

static void sessions_from_before_end_when_the_relay_is_shut(void **state)
{
    (void)state;
    struct stand *stand = stand_of(3);
    size_t busy = used_session(stand, 2);
    (void)give_one(stand);
    struct stand_job *waits = give_one(stand);
    stand_shut(stand);
    assert_int_equal(waits->end, STAND_RELEASED);
    assert_true(fake_session(busy + 1)->abort);
    assert_false(fake_session(busy)->quit);
    fake_answer(fake_session(busy), OUTCOME_DELIVERED);
    assert_true(fake_session(busy)->quit);
    stand_free(stand);
}

static void a_crowded_relay_is_asked_again_after_a_while(void **state)
{
    (void)state;
    struct stand *stand = stand_of(2);
    struct relay_pass elsewhere;
    int64_t now_ms = stand->clock.now_ms;
    /* Another worker's session is at work. */
    assert_true(relay_state_ask(stand->env.states, 0, now_ms, &elsewhere));
    relay_state_established(stand->env.states, 0, &elsewhere);
    relay_state_worked(stand->env.states, 0, now_ms, &elsewhere);
    struct stand_job *job = give_one(stand);
    struct smtp_closing why = {.relay_failed = true,
                               .stage = SMTP_STAGE_CONNECT};
    (void)err_set(&why.err, ERR_SYSTEM, "421 too many connections");
    fake_close(fake_session(0), &why);
    assert_int_equal(job->end, STAND_RELEASED);
    assert_int_equal(mode(stand), RELAY_READY);
    assert_false(stand_wants(stand));
    assert_int_equal(stand->outlet.look_ms, stand->clock.now_ms + 1000);
    (void)stand_turn(stand, 2000);
    assert_true(stand_wants(stand));
    relay_state_closed(stand->env.states, 0, stand->clock.now_ms, &elsewhere);
    stand_free(stand);
}

/* ---- 7 bits ---- */

static unsigned conversions;
static bool converts;

/* The tests' own, in place of the real one. */
enum err_code message_to_7bit(const struct body *in, struct body **out,
                              struct err *err)
{
    (void)in;
    conversions++;
    if (!converts)
        return err_set(err, ERR_INVALID, "cannot be converted");
    char *data = mem_alloc(1);
    data[0] = 'x';
    *out = body_from_memory(data, 1);
    return ERR_NONE;
}

static struct body *body_of(const char *text)
{
    size_t len = strlen(text);
    char *data = mem_alloc(len);
    memcpy(data, text, len);
    return body_from_memory(data, len);
}

static void eight_bits_become_seven_once_an_attempt_where_needed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool wants_7bit;
        bool converts;
        unsigned conversions;
        bool is_sent;
        bool is_converted;
    } rows[] = {
        {"gr\303\274n", true, true, 1, true, true},
        {"gr\303\274n", true, false, 1, false, false},
        {"gr\303\274n", false, true, 0, true, false},
        {"green", true, true, 0, true, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stand *stand = stand_of(1);
        stand->relay.recipients_per_message = 1;
        conversions = 0;
        converts = rows[i].converts;
        struct stand_job *job = stand_job(stand);
        stand_recipients(job, 3);
        job->job.body = body_of(rows[i].text);
        stand_give(stand, job);
        fake_session(0)->wants_7bit = rows[i].wants_7bit;
        stand_ready(0, 1);
        for (unsigned k = 0; k < 3 && rows[i].is_sent; k++) {
            assert_int_equal(fake_session(0)->mails[0]->body != job->job.body,
                             rows[i].is_converted);
            fake_answer(fake_session(0), OUTCOME_DELIVERED);
        }
        assert_int_equal(job->end, STAND_SETTLED);
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(job->states[k], rows[i].is_sent
                                                 ? RECIPIENT_DELIVERED
                                                 : RECIPIENT_FAILED);
        assert_int_equal(conversions, rows[i].conversions);
        stand_free(stand);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_whose_session_ended_goes_to_another_at_once),
        cmocka_unit_test(a_mail_that_ends_sessions_gets_one_of_its_own),
        cmocka_unit_test(the_second_time_a_job_waits_for_a_session_of_its_own),
        cmocka_unit_test(a_job_that_waits_for_its_session_holds_up_no_other),
        cmocka_unit_test(a_job_that_gets_no_session_of_its_own_goes_back),
        cmocka_unit_test(
            a_job_that_waits_for_its_session_goes_back_with_the_rest),
        cmocka_unit_test(jobs_of_a_session_that_we_cut_go_back),
        cmocka_unit_test(jobs_of_a_relay_that_failed_go_back_to_the_spool),
        cmocka_unit_test(a_relay_that_never_answers_a_mail_has_failed),
        cmocka_unit_test(a_job_tried_in_part_is_recorded),
        cmocka_unit_test(draining_gives_back_what_waits_and_finishes_the_rest),
        cmocka_unit_test(a_job_to_be_marked_keeps_its_place),
        cmocka_unit_test(a_session_that_ends_before_the_mark_loses_nothing),
        cmocka_unit_test(what_cannot_be_marked_leaves_its_place),
        cmocka_unit_test(
            a_probe_carries_one_job_and_its_answer_opens_the_relay),
        cmocka_unit_test(a_relay_is_ready_when_no_job_comes_for_its_probe),
        cmocka_unit_test(a_cancelled_job_leaves_the_probe_on_trial),
        cmocka_unit_test(a_probe_that_fails_costs_no_job_anything),
        cmocka_unit_test(sessions_from_before_end_when_the_relay_is_shut),
        cmocka_unit_test(a_crowded_relay_is_asked_again_after_a_while),
        cmocka_unit_test(eight_bits_become_seven_once_an_attempt_where_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
