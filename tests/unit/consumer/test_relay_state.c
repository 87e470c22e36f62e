#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumer/relay_state.h"
#include "core/log.h"
#include "core/thread.h"

struct fixture {
    struct metrics metrics;
    struct relay_states *states;
    unsigned changes;
};

static void on_change(void *ctx)
{
    struct fixture *f = ctx;
    f->changes++;
}

static void open_fixture(struct fixture *f)
{
    static const struct relay_limits limits[] = {{"a", 1000, 4000},
                                                 {"b", 1000, 4000}};
    struct relay_states_options options = {
        .relays = limits,
        .count = 2,
        .metrics = &f->metrics,
        .seed = 3,
        .on_change = on_change,
        .ctx = f,
    };
    f->changes = 0;
    metrics_init(&f->metrics);
    relay_states_create(&f->states, &options);
}

static int64_t until(struct fixture *f, size_t relay, int64_t now_ms)
{
    int64_t until_ms = -1;
    assert_int_equal(relay_state_mode(f->states, relay, now_ms, &until_ms),
                     RELAY_SHUT);
    return until_ms;
}

static void failure_shuts_one_relay_and_tells(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass pass;
    struct relay_figures figures;
    open_fixture(&f);
    assert_true(relay_state_ask(f.states, 0, 100, &pass));
    relay_state_failed(f.states, 0, 100, &pass, STR("refused"));
    assert_int_equal(f.changes, 1);
    int64_t until_ms = until(&f, 0, 100);
    assert_true(until_ms >= 900 && until_ms <= 1300);
    assert_false(relay_state_may_ask(f.states, 0, until_ms - 1));
    assert_int_equal(relay_state_mode(f.states, 0, until_ms, NULL),
                     RELAY_HALF_OPEN);
    assert_int_equal(relay_state_mode(f.states, 1, 100, NULL), RELAY_READY);
    relay_state_figures(f.states, 0, 150, &figures);
    assert_string_equal(figures.state, "backing_off");
    assert_string_equal(figures.last_error, "refused");
    assert_int_equal(figures.retry_in_ms, until_ms - 150);
    assert_int_equal(metrics_get(&f.metrics, METRIC_SESSIONS_FAILED), 1);
    relay_states_destroy(f.states);
}

static void probe_decides(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass pass;
    struct relay_pass other;
    open_fixture(&f);
    assert_true(relay_state_ask(f.states, 0, 0, &pass));
    relay_state_failed(f.states, 0, 0, &pass, STR("refused"));
    int64_t now_ms = until(&f, 0, 0);
    assert_true(relay_state_ask(f.states, 0, now_ms, &pass));
    assert_false(relay_state_ask(f.states, 0, now_ms, &other));
    assert_int_equal(relay_state_mode(f.states, 0, now_ms, NULL),
                     RELAY_PROBING);
    assert_int_equal(f.changes, 1);
    relay_state_established(f.states, 0, &pass);
    assert_int_equal(f.changes, 2);
    assert_int_equal(relay_state_mode(f.states, 0, now_ms, NULL), RELAY_TRIAL);
    assert_false(relay_state_may_ask(f.states, 0, now_ms));
    assert_false(relay_state_ask(f.states, 0, now_ms + 99999, &other));
    relay_state_carries(f.states, 0, &pass);
    assert_int_equal(relay_state_mode(f.states, 0, now_ms, NULL),
                     RELAY_PROBING);
    relay_state_worked(f.states, 0, now_ms, &pass);
    assert_int_equal(f.changes, 4);
    assert_int_equal(relay_state_mode(f.states, 0, now_ms, NULL), RELAY_READY);
    assert_int_equal(metrics_get(&f.metrics, METRIC_SESSIONS_OPEN), 1);
    relay_state_lost(f.states, 0, now_ms, &pass, STR("gone"));
    assert_int_equal(relay_state_mode(f.states, 0, now_ms, NULL), RELAY_READY);
    assert_int_equal(metrics_get(&f.metrics, METRIC_SESSIONS_OPEN), 0);
    assert_int_equal(metrics_get(&f.metrics, METRIC_SESSIONS_LOST), 1);
    relay_states_destroy(f.states);
}

/* A relay that works must not look ill because of yesterday. */
static void figures_have_an_error_while_the_relay_is_not_ready(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass pass;
    struct relay_figures figures;
    char last[RELAY_ERROR_MAX];
    open_fixture(&f);
    assert_true(relay_state_ask(f.states, 0, 0, &pass));
    relay_state_failed(f.states, 0, 0, &pass, STR("refused"));
    int64_t now_ms = until(&f, 0, 0);
    assert_true(relay_state_ask(f.states, 0, now_ms, &pass));
    relay_state_figures(f.states, 0, now_ms, &figures);
    assert_string_equal(figures.state, "probing");
    assert_string_equal(figures.last_error, "refused");
    relay_state_established(f.states, 0, &pass);
    relay_state_worked(f.states, 0, now_ms, &pass);
    relay_state_figures(f.states, 0, now_ms, &figures);
    assert_string_equal(figures.state, "ready");
    assert_string_equal(figures.last_error, "");
    relay_state_lost(f.states, 0, now_ms, &pass, STR("gone"));
    relay_state_figures(f.states, 0, now_ms, &figures);
    assert_string_equal(figures.last_error, "");
    /* Jobs that wait are told all the same. */
    relay_state_last_error(f.states, 0, last);
    assert_string_equal(last, "gone");
    relay_states_destroy(f.states);
}

/* The relay is on trial: at now_ms with the probe's pass. */
static int64_t put_on_trial(struct fixture *f, struct relay_pass *pass)
{
    assert_true(relay_state_ask(f->states, 0, 0, pass));
    relay_state_failed(f->states, 0, 0, pass, STR("refused"));
    int64_t now_ms = until(f, 0, 0);
    assert_true(relay_state_ask(f->states, 0, now_ms, pass));
    relay_state_established(f->states, 0, pass);
    f->changes = 0;
    return now_ms;
}

static void trial_whose_mail_came_to_nothing_takes_another(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass pass;
    open_fixture(&f);
    int64_t now_ms = put_on_trial(&f, &pass);
    relay_state_carries(f.states, 0, &pass);
    relay_state_is_idle(f.states, 0, &pass);
    assert_int_equal(f.changes, 2);
    assert_int_equal(relay_state_mode(f.states, 0, now_ms, NULL), RELAY_TRIAL);
    relay_state_carries(f.states, 0, &pass);
    relay_state_failed(f.states, 0, now_ms, &pass, STR("reset"));
    assert_true(until(&f, 0, now_ms) >= now_ms + 1600);
    relay_states_destroy(f.states);
}

static void trial_without_a_mail_ends_well_unless_it_broke(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass pass;
    open_fixture(&f);
    int64_t now_ms = put_on_trial(&f, &pass);
    relay_state_lost(f.states, 0, now_ms + 8000, &pass, STR("reset"));
    assert_int_equal(f.changes, 1);
    assert_int_equal(relay_state_mode(f.states, 0, now_ms + 8000, NULL),
                     RELAY_HALF_OPEN);
    assert_true(relay_state_ask(f.states, 0, now_ms + 8000, &pass));
    relay_state_established(f.states, 0, &pass);
    relay_state_closed(f.states, 0, now_ms + 16000, &pass);
    assert_int_equal(f.changes, 3);
    assert_int_equal(relay_state_mode(f.states, 0, now_ms + 16000, NULL),
                     RELAY_READY);
    relay_states_destroy(f.states);
}

static void probe_that_shows_nothing_makes_room_for_another(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass pass;
    open_fixture(&f);
    assert_true(relay_state_ask(f.states, 0, 0, &pass));
    relay_state_failed(f.states, 0, 0, &pass, STR("refused"));
    int64_t now_ms = until(&f, 0, 0);
    assert_true(relay_state_ask(f.states, 0, now_ms, &pass));
    relay_state_closed(f.states, 0, now_ms, &pass);
    assert_int_equal(f.changes, 2);
    now_ms += 1000;
    assert_int_equal(until(&f, 0, now_ms - 1), now_ms);
    assert_int_equal(relay_state_mode(f.states, 0, now_ms, NULL),
                     RELAY_HALF_OPEN);
    assert_true(relay_state_ask(f.states, 0, now_ms, &pass));
    relay_state_failed(f.states, 0, now_ms, &pass, STR("still"));
    int64_t until_ms = until(&f, 0, now_ms);
    assert_true(until_ms - now_ms >= 1600 && until_ms - now_ms <= 2400);
    relay_states_destroy(f.states);
}

static void refused_while_others_work_only_stops_growing(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass works[2];
    struct relay_pass more;
    open_fixture(&f);
    for (size_t i = 0; i < 2; i++) {
        assert_true(relay_state_ask(f.states, 0, 1000, &works[i]));
        relay_state_established(f.states, 0, &works[i]);
        relay_state_worked(f.states, 0, 1100, &works[i]);
    }
    assert_true(relay_state_ask(f.states, 0, 1200, &more));
    relay_state_failed(f.states, 0, 1300, &more, STR("421 too many"));
    assert_int_equal(f.changes, 0);
    assert_int_equal(relay_state_mode(f.states, 0, 1300, NULL), RELAY_READY);
    assert_false(relay_state_may_ask(f.states, 0, 1300));
    assert_false(relay_state_ask(f.states, 0, 1300, &more));
    /* One that ends may be replaced at once. */
    relay_state_closed(f.states, 0, 1300, &works[1]);
    assert_true(relay_state_ask(f.states, 0, 1300, &works[1]));
    relay_state_established(f.states, 0, &works[1]);
    /* After a while one more is tried, and it works. */
    assert_true(relay_state_ask(f.states, 0, 1300 + 1200, &more));
    relay_state_established(f.states, 0, &more);
    assert_true(relay_state_may_ask(f.states, 0, 1300 + 1200));
    relay_state_closed(f.states, 0, 3000, &more);
    relay_state_closed(f.states, 0, 3000, &works[0]);
    relay_state_closed(f.states, 0, 3000, &works[1]);
    relay_states_destroy(f.states);
}

static void refused_while_others_are_silent_shuts_the_relay(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass hangs;
    struct relay_pass more;
    open_fixture(&f);
    assert_true(relay_state_ask(f.states, 0, 1000, &hangs));
    relay_state_established(f.states, 0, &hangs);
    relay_state_worked(f.states, 0, 1100, &hangs);
    assert_true(relay_state_ask(f.states, 0, 30000, &more));
    relay_state_failed(f.states, 0, 30100, &more, STR("timeout"));
    assert_int_equal(relay_state_mode(f.states, 0, 30100, NULL), RELAY_SHUT);
    relay_state_closed(f.states, 0, 30100, &hangs);
    relay_states_destroy(f.states);
}

static void outcomes_are_counted(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_figures figures;
    size_t counts[OUTCOME_COUNT] = {0};
    open_fixture(&f);
    counts[OUTCOME_DELIVERED] = 3;
    counts[OUTCOME_DEFERRED] = 2;
    counts[OUTCOME_REJECTED] = 1;
    counts[OUTCOME_UNKNOWN] = 4;
    counts[OUTCOME_UNTRIED] = 9;
    counts[OUTCOME_THROTTLED] = 5;
    relay_state_count(f.states, 1, counts);
    relay_state_count(f.states, 1, counts);
    relay_state_figures(f.states, 1, 0, &figures);
    assert_int_equal(figures.delivered, 6);
    assert_int_equal(figures.deferred, 4);
    assert_int_equal(figures.rejected, 2);
    assert_int_equal(figures.unknown, 8);
    assert_int_equal(metrics_get(&f.metrics, METRIC_RECIPIENTS_DELIVERED), 6);
    assert_int_equal(metrics_get(&f.metrics, METRIC_RECIPIENTS_UNKNOWN), 8);
    assert_int_equal(metrics_get(&f.metrics, METRIC_RECIPIENTS_THROTTLED), 10);
    relay_state_figures(f.states, 0, 0, &figures);
    assert_int_equal(figures.delivered, 0);
    relay_states_destroy(f.states);
}

static void long_error_is_cut_between_characters(void **state)
{
    (void)state;
    struct fixture f;
    struct relay_pass pass;
    char out[RELAY_ERROR_MAX];
    char text[400];
    open_fixture(&f);
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    assert_true(relay_state_ask(f.states, 0, 0, &pass));
    relay_state_failed(f.states, 0, 0, &pass, str_of(text, sizeof(text)));
    relay_state_last_error(f.states, 0, out);
    assert_int_equal(strlen(out), 254);
    relay_states_destroy(f.states);
}

#define TRIES 20000

static void hammer(void *arg)
{
    struct relay_states *states = arg;
    for (int64_t i = 0; i < TRIES; i++) {
        struct relay_pass pass;
        struct relay_figures figures;
        if (i % 64 == 0)
            relay_state_figures(states, 0, i, &figures);
        (void)relay_state_mode(states, 0, i, NULL);
        if (!relay_state_ask(states, 0, i, &pass))
            continue;
        relay_state_established(states, 0, &pass);
        if (i % 3 != 0)
            relay_state_carries(states, 0, &pass);
        if (i % 5 == 0)
            relay_state_is_idle(states, 0, &pass);
        if (i % 7 == 0) {
            relay_state_failed(states, 0, i, &pass, STR("failed"));
            continue;
        }
        relay_state_worked(states, 0, i, &pass);
        relay_state_closed(states, 0, i, &pass);
    }
}

static void no_change(void *ctx)
{
    (void)ctx;
}

static void threads_leave_no_session_behind(void **state)
{
    (void)state;
    static const struct relay_limits limits[] = {{"a", 5, 20}};
    struct fixture f;
    struct relay_states_options options = {.relays = limits,
                                           .count = 1,
                                           .metrics = &f.metrics,
                                           .on_change = no_change};
    struct thread threads[3] = {{0}};
    struct relay_figures figures;
    struct err err;
    metrics_init(&f.metrics);
    relay_states_create(&f.states, &options);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            thread_start(&threads[i], "hammer", hammer, f.states, &err),
            ERR_NONE);
    for (size_t i = 0; i < 3; i++)
        thread_join(&threads[i]);
    relay_state_figures(f.states, 0, TRIES, &figures);
    assert_int_equal(figures.sessions, 0);
    assert_int_equal(metrics_get(&f.metrics, METRIC_SESSIONS_OPEN), 0);
    /* No probe is out: the way back is open. */
    assert_true(relay_state_may_ask(f.states, 0, TRIES + 1000));
    relay_states_destroy(f.states);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_shuts_one_relay_and_tells),
        cmocka_unit_test(probe_decides),
        cmocka_unit_test(figures_have_an_error_while_the_relay_is_not_ready),
        cmocka_unit_test(trial_whose_mail_came_to_nothing_takes_another),
        cmocka_unit_test(trial_without_a_mail_ends_well_unless_it_broke),
        cmocka_unit_test(probe_that_shows_nothing_makes_room_for_another),
        cmocka_unit_test(refused_while_others_work_only_stops_growing),
        cmocka_unit_test(refused_while_others_are_silent_shuts_the_relay),
        cmocka_unit_test(outcomes_are_counted),
        cmocka_unit_test(long_error_is_cut_between_characters),
        cmocka_unit_test(threads_leave_no_session_behind),
    };
    log_setup(2, LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
