#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/body.h"
#include "core/mem.h"
#include "tests/unit/consumer/stand.h"

/* Sessions of so many jobs each, all connected. */
static struct stand *stand_with(size_t sessions, size_t window)
{
    struct stand *stand = stand_new();
    stand->share = sessions;
    stand_open(stand);
    assert_int_equal(stand_fill(stand, sessions), sessions);
    assert_int_equal(fake_opened(), sessions);
    for (size_t i = 0; i < sessions; i++)
        stand_ready(i, window);
    for (size_t i = 0; i < sessions; i++)
        fake_answer(fake_session(i), OUTCOME_DELIVERED);
    return stand;
}

/* ---- who gets a job ---- */

static void the_session_used_last_is_used_next(void **state)
{
    (void)state;
    struct stand *stand = stand_with(3, 1);
    /* All idle: 2 was the last to become so. */
    assert_int_equal(stand_fill(stand, 1), 1);
    assert_int_equal(fake_session(2)->count, 1);
    assert_int_equal(stand_fill(stand, 1), 1);
    assert_int_equal(fake_session(1)->count, 1);
    fake_answer(fake_session(2), OUTCOME_DELIVERED);
    assert_int_equal(stand_fill(stand, 1), 1);
    assert_int_equal(fake_session(2)->count, 1);
    assert_int_equal(fake_session(0)->sent, 1);
    stand_free(stand);
}

static void sessions_are_opened_before_rooms_are_filled(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->share = 2;
    stand_open(stand);
    /* One job waits for each that connects, and no more is wanted. */
    assert_int_equal(stand_fill(stand, 100), 2);
    assert_int_equal(fake_opened(), 2);
    stand_ready(0, 2);
    assert_int_equal(fake_session(0)->count, 1);
    /* No more sessions may be opened: the room of the first is used. */
    assert_int_equal(stand_fill(stand, 100), 1);
    assert_int_equal(fake_session(0)->count, 2);
    stand_ready(1, 2);
    assert_int_equal(stand_fill(stand, 100), 1);
    assert_int_equal(fake_session(1)->count, 2);
    stand_free(stand);
}

static void
who_waits_for_a_connection_takes_a_room_when_it_is_there(void **state)
{
    (void)state;
    struct stand *stand = stand_with(2, 1);
    fake_break(fake_session(1), OUTCOME_NONE);
    /* One is at work, one connects. */
    assert_int_equal(stand_fill(stand, 100), 2);
    assert_int_equal(fake_opened(), 3);
    assert_int_equal(stand->outlet.waiting_count, 1);
    fake_answer(fake_session(0), OUTCOME_DELIVERED);
    assert_int_equal(stand->outlet.waiting_count, 0);
    assert_int_equal(fake_session(0)->count, 1);
    stand_free(stand);
}

static void who_waits_for_a_slow_connection_takes_a_room(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->share = 2;
    stand_open(stand);
    assert_int_equal(stand_fill(stand, 2), 2);
    stand_ready(0, 2);
    assert_int_equal(stand_turn(stand, 99), 1);
    assert_int_equal(fake_session(0)->count, 1);
    (void)stand_turn(stand, 1);
    assert_int_equal(fake_session(0)->count, 2);
    assert_int_equal(stand->outlet.waiting_count, 0);
    stand_free(stand);
}

static void rooms_are_filled_in_turn(void **state)
{
    (void)state;
    struct stand *stand = stand_with(3, 4);
    for (size_t n = 1; n <= 4; n++) {
        assert_int_equal(stand_fill(stand, 3), 3);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(fake_session(i)->count, n);
    }
    assert_int_equal(stand_fill(stand, 100), 0);
    stand_free(stand);
}

static void every_session_has_the_next_job_in_hand(void **state)
{
    (void)state;
    enum { SESSIONS = 64 };
    struct stand *stand = stand_with(SESSIONS, 2);
    assert_int_equal(stand_fill(stand, 1000), SESSIONS * 2);
    for (size_t round = 0; round < 5; round++)
        for (size_t i = 0; i < SESSIONS; i++) {
            assert_int_equal(fake_session(i)->count, 2);
            fake_answer(fake_session(i), OUTCOME_DELIVERED);
            assert_int_equal(stand_fill(stand, 1000), 1);
        }
    assert_int_equal(fake_opened(), SESSIONS);
    stand_free(stand);
}

static void nothing_goes_behind_a_large_message(void **state)
{
    (void)state;
    struct stand *stand = stand_with(2, 4);
    struct stand_job *large = stand_job(stand);
    char *bytes = mem_calloc(1, SENDER_LARGE_BYTES);
    large->job.body = body_from_memory(bytes, SENDER_LARGE_BYTES);
    stand_give(stand, large);
    assert_int_equal(fake_session(1)->count, 1);
    /* All go to the other one, though this one has room. */
    assert_int_equal(stand_fill(stand, 100), 4);
    assert_int_equal(fake_session(0)->count, 4);
    assert_int_equal(fake_session(1)->count, 1);
    assert_false(stand_wants(stand));
    fake_answer(fake_session(1), OUTCOME_DELIVERED);
    assert_int_equal(stand_fill(stand, 100), 4);
    assert_int_equal(fake_session(1)->count, 4);
    stand_free(stand);
}

/* ---- how many ---- */

static void a_crash_can_double_no_more_than_was_promised(void **state)
{
    (void)state;
    static const struct {
        unsigned unconfirmed;
        size_t jobs;
    } rows[] = {{0, 4}, {1, 4}, {2, 6}, {16, 34}, {64, 130}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stand *stand = stand_new();
        size_t jobs = rows[i].jobs;
        size_t window = jobs < FAKE_WINDOW_MAX ? jobs : FAKE_WINDOW_MAX;
        stand->relay.smtp.unconfirmed = rows[i].unconfirmed;
        stand->late_settles = true;
        stand_open(stand);
        assert_int_equal(stand_fill(stand, 1), 1);
        stand_ready(0, window);
        (void)stand_fill(stand, 1000);
        /* Answered by the relay, not yet by the spool. */
        for (size_t k = 0; k < 1000 && fake_session(0)->count > 0; k++) {
            fake_answer(fake_session(0), OUTCOME_DELIVERED);
            (void)stand_fill(stand, 1000);
        }
        assert_int_equal(fake_session(0)->sent, jobs);
        assert_false(stand_wants(stand));
        stand_answer_settles(stand);
        assert_true(stand_wants(stand));
        assert_int_equal(stand_fill(stand, 1000), window);
        stand_free(stand);
    }
}

static void a_session_ends_after_so_many_jobs(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->relay.jobs_per_connection = 3;
    stand->late_settles = true;
    stand_open(stand);
    assert_int_equal(stand_fill(stand, 1), 1);
    stand_ready(0, 4);
    assert_int_equal(stand_fill(stand, 100), 2);
    for (size_t i = 0; i < 3; i++) {
        assert_false(fake_session(0)->quit);
        fake_answer(fake_session(0), OUTCOME_DELIVERED);
    }
    /* Not before the spool has answered: the next one could double more. */
    assert_false(fake_session(0)->quit);
    stand_answer_settles(stand);
    assert_true(fake_session(0)->quit);
    assert_int_equal(stand_fill(stand, 100), 0);
    fake_obey();
    assert_int_equal(stand_fill(stand, 100), 1);
    assert_int_equal(fake_opened(), 2);
    stand_free(stand);
}

/* ---- time ---- */

static void an_old_session_takes_no_more_and_ends(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->share = 2;
    stand->relay.connection_age_ms = 5000;
    stand_open(stand);
    assert_int_equal(stand_fill(stand, 2), 2);
    stand_ready(0, 4);
    (void)stand_turn(stand, 1000);
    assert_int_equal(fake_session(0)->count, 2);
    stand_ready(1, 2);
    /* 0 is at work and has room, 1 is idle and a second younger. */
    assert_int_equal(stand_turn(stand, 3999), 1);
    assert_int_equal(stand_turn(stand, 1), 1000);
    assert_false(fake_session(0)->quit);
    assert_int_equal(stand_fill(stand, 100), 2);
    assert_int_equal(fake_session(1)->count, 2);
    assert_int_equal(fake_session(0)->count, 2);
    fake_answer(fake_session(1), OUTCOME_DELIVERED);
    fake_answer(fake_session(1), OUTCOME_DELIVERED);
    (void)stand_turn(stand, 1000);
    assert_true(fake_session(1)->quit);
    fake_answer(fake_session(0), OUTCOME_DELIVERED);
    assert_false(fake_session(0)->quit);
    fake_answer(fake_session(0), OUTCOME_DELIVERED);
    assert_true(fake_session(0)->quit);
    fake_obey();
    assert_int_equal(stand_fill(stand, 1), 1);
    stand_free(stand);
}

static void idle_sessions_end_the_first_to_be_idle_first(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->share = 2;
    stand->relay.idle_timeout_ms = 100;
    stand_open(stand);
    assert_int_equal(stand_fill(stand, 2), 2);
    stand_ready(0, 1);
    stand_ready(1, 1);
    fake_answer(fake_session(0), OUTCOME_DELIVERED);
    (void)stand_turn(stand, 60);
    fake_answer(fake_session(1), OUTCOME_DELIVERED);
    assert_int_equal(stand_turn(stand, 39), 1);
    assert_int_equal(stand_turn(stand, 1), 60);
    assert_true(fake_session(0)->quit);
    assert_false(fake_session(1)->quit);
    (void)stand_turn(stand, 60);
    assert_true(fake_session(1)->quit);
    stand_free(stand);
}

/* ---- rates ---- */

static void jobs_are_wanted_as_tokens_come(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->share = 8;
    stand->relay.rate_per_s = 10;
    stand->relay.burst = 2;
    stand_open(stand);
    assert_int_equal(stand_fill(stand, 100), 2);
    assert_int_equal(fake_opened(), 2);
    stand_ready(0, 8);
    stand_ready(1, 8);
    assert_int_equal(stand_turn(stand, 0), 100);
    for (size_t i = 0; i < 20; i++) {
        int64_t next_ms = stand_turn(stand, 0);
        assert_true(next_ms > 0 && next_ms <= 100);
        assert_int_equal(stand_fill(stand, 100), 0);
        (void)stand_turn(stand, next_ms);
        assert_int_equal(stand_fill(stand, 100), 1);
        fake_answer(fake_session(i % 2), OUTCOME_DELIVERED);
    }
    stand_free(stand);
}

static void a_job_whose_token_went_to_another_waits_for_the_next(void **state)
{
    (void)state;
    struct stand *stand = stand_with(1, 2);
    stand_free(stand);
    stand = stand_new();
    stand->relay.rate_per_s = 10;
    stand->relay.burst = 1;
    stand_open(stand);
    assert_int_equal(stand_fill(stand, 100), 1);
    stand_ready(0, 4);
    (void)stand_turn(stand, 100);
    assert_true(stand_wants(stand));
    assert_int_equal(relay_rate_take(stand->env.rates, 0, stand->clock.now_ms),
                     0);
    struct stand_job *job = stand_job(stand);
    job->is_taken = true;
    outlet_take(&stand->outlet, &job->claim, stand->clock.now_ms);
    assert_false(stand_wants(stand));
    assert_int_equal(stand->outlet.waiting_count, 1);
    /* It comes back too late to be noticed: we look soon, and before more. */
    relay_rate_give_back(stand->env.rates, 0, stand->clock.now_ms);
    assert_false(stand_wants(stand));
    assert_int_equal(stand->outlet.look_ms, stand->clock.now_ms + 1);
    assert_int_equal(relay_rate_take(stand->env.rates, 0, stand->clock.now_ms),
                     0);
    (void)stand_turn(stand, 99);
    assert_int_equal(stand->outlet.waiting_count, 1);
    (void)stand_turn(stand, 1);
    assert_int_equal(stand->outlet.waiting_count, 0);
    assert_ptr_equal(stand_job_at(stand, 0, 1), job);
    assert_false(stand_wants(stand));
    stand_free(stand);
}

static void a_token_that_goes_to_another_is_waited_for(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->relay.rate_per_s = 10;
    stand->relay.burst = 1;
    stand_open(stand);
    /* It is there for outlet_tick(), not for outlet_wants(). */
    (void)outlet_tick(&stand->outlet, stand->clock.now_ms);
    assert_int_equal(relay_rate_take(stand->env.rates, 0, stand->clock.now_ms),
                     0);
    assert_false(stand_wants(stand));
    assert_int_equal(stand->outlet.look_ms, stand->clock.now_ms + 100);
    (void)stand_turn(stand, 100);
    assert_true(stand_wants(stand));
    assert_true(stand->outlet.look_ms == INT64_MAX);
    stand_free(stand);
}

static void the_token_of_a_job_that_is_not_sent_comes_back(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->relay.rate_per_s = 0.1;
    stand->relay.burst = 1;
    stand_open(stand);
    /* cancelled, over, refused by ourselves, given back */
    for (unsigned i = 0; i < 4; i++) {
        struct stand_job *job = stand_job(stand);
        if (i == 0)
            atomic_store(&job->gate, CLAIM_GATE_CANCELLED);
        if (i == 1)
            job->claim.expires_at_ms = 1;
        if (i == 2)
            (void)memcpy(job->sender, "bad", 4);
        stand_give(stand, job);
        if (i == 0)
            stand_ready(0, 1);
        if (i == 3) {
            assert_false(stand_wants(stand));
            fake_break(fake_session(0), OUTCOME_UNTRIED);
        }
        assert_int_equal(stand->outlet.waiting_count, 0);
        assert_int_equal(job->end,
                         i == 1 || i == 2 ? STAND_SETTLED : STAND_RELEASED);
    }
    assert_int_equal(
        relay_rate_wait_ms(stand->env.rates, 0, stand->clock.now_ms), 0);
    stand_free(stand);
}

static void a_long_connect_saves_up_no_more_than_the_burst(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->share = 64;
    stand->relay.rate_per_s = 100;
    stand->relay.burst = 5;
    stand_open(stand);
    for (unsigned i = 0; i < 500; i++) {
        (void)stand_turn(stand, 10);
        (void)stand_fill(stand, 100);
    }
    size_t sent = 0;
    assert_int_equal(fake_alive(), fake_opened());
    for (size_t i = 0; i < fake_opened(); i++) {
        stand_ready(i, 8);
        sent += fake_session(i)->count;
    }
    (void)stand_fill(stand, 100);
    assert_true(stand->outlet.waiting_count <= fake_opened());
    assert_int_equal(sent, 5);
    stand_free(stand);
}

static void further_transactions_are_charged(void **state)
{
    (void)state;
    struct stand *stand = stand_new();
    stand->relay.rate_per_s = 10;
    stand->relay.burst = 1;
    stand->relay.recipients_per_message = 1;
    stand_open(stand);
    struct stand_job *job = stand_job(stand);
    stand_recipients(job, 3);
    stand_give(stand, job);
    stand_ready(0, 1);
    for (unsigned i = 0; i < 3; i++)
        fake_answer(fake_session(0), OUTCOME_DELIVERED);
    assert_int_equal(job->end, STAND_SETTLED);
    /* Three transactions at 10/s, of which one was saved up. */
    int64_t wait_ms =
        relay_rate_wait_ms(stand->env.rates, 0, stand->clock.now_ms);
    assert_true(wait_ms > 200 && wait_ms <= 300);
    stand_free(stand);
}

static void too_fast_costs_no_attempt_and_the_session_goes_on(void **state)
{
    (void)state;
    static const enum outcome slower[] = {OUTCOME_THROTTLED, OUTCOME_THROTTLED};
    static const enum outcome some[] = {OUTCOME_DELIVERED, OUTCOME_THROTTLED};
    struct stand *stand = stand_new();
    stand->relay.recipients_per_message = 2;
    stand_open(stand);
    struct stand_job *none = stand_job(stand);
    struct stand_job *part = stand_job(stand);
    stand_recipients(none, 4);
    stand_recipients(part, 4);
    stand_give(stand, none);
    stand_ready(0, 2);
    stand_give(stand, part);
    fake_answer_each(fake_session(0), slower, "4.7.28 slow down");
    /* Its second transaction is not begun. */
    assert_int_equal(none->end, STAND_RELEASED);
    assert_true(none->due_ms > stand->clock.now_ms);
    assert_non_null(strstr(none->note, "4.7.28 slow down"));
    assert_int_equal(fake_session(0)->count, 1);
    fake_answer_each(fake_session(0), some, "4.7.28 slow down");
    assert_int_equal(part->end, STAND_SETTLED);
    assert_int_equal(part->states[0], RECIPIENT_DELIVERED);
    assert_int_equal(part->states[1], RECIPIENT_PENDING);
    assert_int_equal(part->states[2], RECIPIENT_PENDING);
    assert_true(part->settlement.next_attempt_ms >
                STAND_REAL_MS + stand->clock.now_ms);
    assert_int_equal(fake_alive(), 1);
    struct relay_rate_figures figures;
    relay_rate_figures(stand->env.rates, 0, stand->clock.now_ms, &figures);
    assert_int_equal(figures.throttled, 2);
    stand_free(stand);
}

static void too_fast_and_goodbye_costs_no_attempt_either(void **state)
{
    (void)state;
    struct stand *stand = stand_with(1, 4);
    assert_int_equal(stand_fill(stand, 3), 3);
    size_t first = stand->job_count - 3;
    fake_break(fake_session(0), OUTCOME_THROTTLED);
    assert_int_equal(stand->jobs[first].end, STAND_RELEASED);
    assert_string_equal(stand->jobs[first].note, "250 throttled");
    /* The others go on at once. */
    assert_int_equal(fake_opened(), 2);
    assert_int_equal(stand->outlet.waiting_count, 1);
    stand_free(stand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_session_used_last_is_used_next),
        cmocka_unit_test(sessions_are_opened_before_rooms_are_filled),
        cmocka_unit_test(
            who_waits_for_a_connection_takes_a_room_when_it_is_there),
        cmocka_unit_test(who_waits_for_a_slow_connection_takes_a_room),
        cmocka_unit_test(rooms_are_filled_in_turn),
        cmocka_unit_test(nothing_goes_behind_a_large_message),
        cmocka_unit_test(every_session_has_the_next_job_in_hand),
        cmocka_unit_test(a_crash_can_double_no_more_than_was_promised),
        cmocka_unit_test(a_session_ends_after_so_many_jobs),
        cmocka_unit_test(an_old_session_takes_no_more_and_ends),
        cmocka_unit_test(idle_sessions_end_the_first_to_be_idle_first),
        cmocka_unit_test(jobs_are_wanted_as_tokens_come),
        cmocka_unit_test(a_job_whose_token_went_to_another_waits_for_the_next),
        cmocka_unit_test(a_token_that_goes_to_another_is_waited_for),
        cmocka_unit_test(the_token_of_a_job_that_is_not_sent_comes_back),
        cmocka_unit_test(a_long_connect_saves_up_no_more_than_the_burst),
        cmocka_unit_test(further_transactions_are_charged),
        cmocka_unit_test(too_fast_costs_no_attempt_and_the_session_goes_on),
        cmocka_unit_test(too_fast_and_goodbye_costs_no_attempt_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
