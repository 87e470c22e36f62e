#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/unit/consumer/stand.h"

/*
 * Thousands of random turns of one outlet: whatever relay, spool and time do,
 * every job has exactly one end (the stand checks that), and all limits hold.
 */
#define STEPS 3000
#define JOBS  3500U

struct trial {
    struct stand *stand;
    struct random random;
    size_t window_max;
};

static size_t below(struct trial *t, size_t n)
{
    size_t value = (size_t)(random_unit(&t->random) * (double)n);
    return value < n ? value : n - 1;
}

static void check_limits(struct trial *t)
{
    struct outlet *o = &t->stand->outlet;
    struct sender *x;
    size_t sessions = 0;
    size_t waiting = 0;
    size_t fresh = 0;
    struct errand *e;
    for (unsigned i = 0; i < OUTLET_PLACE_COUNT; i++) {
        size_t count = 0;
        TAILQ_FOREACH (x, &o->places[i], next) {
            assert_int_equal(x->place, i);
            assert_true(x->hand_count + x->unsettled_count <=
                        sender_jobs_max(o->relay));
            assert_true(x->jobs <= o->relay->jobs_per_connection);
            count++;
        }
        assert_int_equal(count, o->counts[i]);
        sessions += count;
    }
    assert_int_equal(sessions, o->sessions);
    assert_true(sessions <= o->share);
    TAILQ_FOREACH (e, &o->waiting, next) {
        waiting++;
        fresh += e->returns > 1;
    }
    assert_int_equal(waiting, o->waiting_count);
    assert_true(fresh <= waiting && waiting - fresh <= o->share);
}

static void give_some(struct trial *t)
{
    struct stand *stand = t->stand;
    size_t count = 1 + below(t, 8);
    while (count-- > 0 && stand->job_count < JOBS && stand_wants(stand)) {
        struct stand_job *job = stand_job(stand);
        stand_recipients(job, 1 + below(t, 3));
        if (below(t, 8) == 0)
            job->job.on_unknown = JOB_ON_UNKNOWN_HOLD;
        if (below(t, 50) == 0)
            atomic_store(&job->gate, CLAIM_GATE_CANCELLED);
        if (below(t, 50) == 0)
            job->claim.expires_at_ms = STAND_REAL_MS + stand->clock.now_ms + 5;
        stand_give(stand, job);
    }
}

/* What a relay may say to the oldest mail. */
static void answer(struct trial *t, struct smtp_session *s)
{
    static const enum outcome words[] = {
        OUTCOME_DELIVERED, OUTCOME_DELIVERED, OUTCOME_DELIVERED,
        OUTCOME_DEFERRED,  OUTCOME_REJECTED,  OUTCOME_AGAIN,
        OUTCOME_THROTTLED,
    };
    enum outcome outcomes[STAND_RECIPIENTS_MAX];
    static const size_t kinds[] = {3, 3, 3, 3, 3, 6, 6, 6};
    size_t count = below(t, 60) == 0 ? sizeof(words) / sizeof(words[0])
                                     : kinds[below(t, 8)];
    for (size_t i = 0; i < STAND_RECIPIENTS_MAX; i++)
        outcomes[i] = words[below(t, count)];
    fake_answer_each(s, outcomes, "so it is");
}

static void close_quietly(struct smtp_session *s)
{
    static const struct smtp_closing why = {.stage = SMTP_STAGE_IDLE};
    s->ending = true;
    fake_close(s, &why);
}

static void break_down(struct smtp_session *s)
{
    struct smtp_closing why = {.relay_failed = true,
                               .stage = SMTP_STAGE_CONNECT};
    (void)err_set(&why.err, ERR_SYSTEM, "no");
    s->ending = true;
    while (s->count > 0)
        fake_answer(s, OUTCOME_UNTRIED);
    fake_close(s, &why);
}

static void break_it(struct trial *t, struct smtp_session *s)
{
    static const enum outcome words[] = {OUTCOME_UNKNOWN, OUTCOME_DEFERRED,
                                         OUTCOME_UNTRIED, OUTCOME_UNTRIED,
                                         OUTCOME_DELIVERED};
    fake_break(s, words[below(t, sizeof(words) / sizeof(words[0]))]);
}

static void move_session(struct trial *t)
{
    size_t opened = fake_opened();
    /* The last are those that live. */
    size_t span = opened < 40 ? opened : 40;
    if (span == 0)
        return;
    struct smtp_session *s = fake_session(opened - 1 - below(t, span));
    if (s->gone || s->abort)
        return;
    if (s->window == 0) {
        if (below(t, 40) == 0)
            break_down(s);
        else
            fake_ready(s, 1 + below(t, t->window_max));
    } else if (s->count > 0 && below(t, 60) != 0) {
        answer(t, s);
    } else if (s->count > 0) {
        break_it(t, s);
    } else if (below(t, 30) == 0) {
        close_quietly(s);
    } else if (below(t, 400) == 0) {
        break_down(s);
    }
}

static void step(struct trial *t)
{
    struct stand *stand = t->stand;
    switch (below(t, 16)) {
    case 0:
        stand_answer_marks(stand, below(t, 10) == 0 ? ERR_FULL : ERR_NONE);
        break;
    case 1:
        stand_answer_settles(stand);
        break;
    case 2:
        fake_obey();
        break;
    case 3:
        stand->late_settles = below(t, 2) == 0;
        break;
    case 4:
        (void)stand_turn(stand, (int64_t)below(t, 2000));
        break;
    case 5:
    case 6:
    case 7:
        give_some(t);
        break;
    default:
        move_session(t);
        break;
    }
    (void)stand_turn(stand, (int64_t)below(t, 20));
    check_limits(t);
}

static void run(uint64_t seed)
{
    static const size_t shares[] = {1, 2, 5, 16, 64};
    static const unsigned unconfirmed[] = {1, 1, 2, 16, 64};
    struct trial t = {.stand = stand_new()};
    random_init(&t.random, seed);
    t.window_max = 1 + below(&t, FAKE_WINDOW_MAX);
    struct pool_relay *relay = &t.stand->relay;
    t.stand->share = shares[below(&t, 5)];
    relay->smtp.unconfirmed = unconfirmed[below(&t, 5)];
    relay->recipients_per_message = 1 + below(&t, 3);
    relay->jobs_per_connection = 1 + below(&t, 200);
    relay->connection_age_ms = below(&t, 2) == 0 ? 0 : 5000;
    relay->idle_timeout_ms = 1 + (int64_t)below(&t, 5000);
    relay->rate_per_s = below(&t, 3) == 0 ? 50.0 : 0.0;
    relay->burst = 1 + (unsigned)below(&t, 10);
    stand_open(t.stand);
    for (unsigned i = 0; i < STEPS; i++)
        step(&t);
    assert_true(t.stand->job_count > 50);
    stand_free(t.stand);
}

static void every_job_has_one_end_and_limits_hold(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++)
        run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_has_one_end_and_limits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
