#include "consumer/errand.h"

#include "consumer/report.h"
#include "consumer/settle.h"
#include "core/mem.h"
#include "core/panic.h"
#include "message/downgrade.h"

/* Errands kept for the next claims, with the arrays of their attempts. */
#define SPARE_MAX 256U

/* How far the spool is with a settlement. */
enum errand_asked { ASKED, ANSWERED, AWAITED };

void errand_env_init(struct errand_env *env)
{
    TAILQ_INIT(&env->spare);
    env->spare_count = 0;
    env->asked = 0;
}

static void destroy(struct errand *e)
{
    attempt_fini(&e->attempt);
    mem_free(e);
}

void errand_env_fini(struct errand_env *env)
{
    struct errand *e;
    while ((e = TAILQ_FIRST(&env->spare)) != NULL) {
        TAILQ_REMOVE(&env->spare, e, next);
        destroy(e);
    }
}

struct errand *errand_new(struct errand_env *env,
                          const struct pool_relay *relay, size_t relay_index,
                          struct claim *claim)
{
    struct errand *e = TAILQ_FIRST(&env->spare);
    if (e != NULL) {
        TAILQ_REMOVE(&env->spare, e, next);
        env->spare_count--;
    } else {
        MEM_NEW(e);
        attempt_init(&e->attempt);
    }
    e->env = env;
    e->relay = relay;
    e->relay_index = relay_index;
    e->sender = NULL;
    e->claim = claim;
    e->state = ERRAND_WAITING;
    e->converted = false;
    e->started = false;
    e->marked = false;
    e->begun = false;
    e->sent = false;
    e->has_token = false;
    e->since_ms = clock_mono_ms(env->clock);
    e->returns = 0;
    e->slower_pause_ms = 0;
    return e;
}

static void free_errand(struct errand *e)
{
    struct errand_env *env = e->env;
    body_unref(e->body_7bit);
    e->body_7bit = NULL;
    if (env->spare_count >= SPARE_MAX) {
        destroy(e);
        return;
    }
    TAILQ_INSERT_HEAD(&env->spare, e, next);
    env->spare_count++;
}

/* ---- tokens ---- */

bool errand_take_token(struct errand *e, int64_t now_ms)
{
    if (e->has_token)
        return true;
    if (relay_rate_take(e->env->rates, e->relay_index, now_ms) > 0)
        return false;
    e->has_token = true;
    e->token_ms = now_ms;
    return true;
}

void errand_return_token(struct errand *e, int64_t now_ms)
{
    if (!e->has_token)
        return;
    e->has_token = false;
    relay_rate_give_back(e->env->rates, e->relay_index, now_ms);
}

/* ---- the beginning ---- */

void errand_release(struct errand *e, int64_t due_ms, struct str note)
{
    errand_return_token(e, clock_mono_ms(e->env->clock));
    report_release(e->env->spool, e->claim, e->relay->smtp.name, due_ms, note);
    free_errand(e);
}

/* The job's time is over before it could be sent. */
static void end_unsent(struct errand *e, enum settle_rest rest, int64_t now_ms)
{
    struct settlement settlement = {
        .relay = str_from(e->relay->smtp.name),
        .at_ms = now_ms,
        .rest = rest,
        .note = rest == SETTLE_REST_EXPIRE
                    ? STR("expires_at passed before it could be sent")
                    : STR("given up before it could be sent"),
    };
    errand_return_token(e, clock_mono_ms(e->env->clock));
    report_settle(e->env->spool, e->claim, &settlement, NULL, NULL);
    free_errand(e);
}

bool errand_start(struct errand *e)
{
    int64_t now_ms = clock_real_ms(e->env->clock);
    enum settle_rest rest;
    bool waits = !e->marked && !spool_may_send(e->env->spool);
    if (waits || (!e->started && !claim_start(e->claim))) {
        errand_release(e, now_ms, STR(""));
        return false;
    }
    e->started = true;
    if (settle_is_over(e->claim, now_ms, &rest)) {
        end_unsent(e, rest, now_ms);
        return false;
    }
    return true;
}

/* On any thread. */
static void on_marked(void *ctx, const struct err *err)
{
    struct errand *e = ctx;
    e->mark_err = *err;
    mailbox_post(&e->env->answers, &e->item);
}

bool errand_mark(struct errand *e)
{
    if (e->marked || e->claim->job->on_unknown != JOB_ON_UNKNOWN_HOLD)
        return false;
    e->state = ERRAND_MARKING;
    e->env->asked++;
    spool_mark(e->env->spool, e->claim, str_from(e->relay->smtp.name),
               on_marked, e);
    return true;
}

/* ---- sending ---- */

void errand_begin(struct errand *e)
{
    e->state = ERRAND_SENDING;
    e->begun = true;
    e->sent = false;
    e->slower_pause_ms = 0;
    if (e->returns == 0) {
        report_attempt(e->claim, e->relay->smtp.name);
        metrics_add(e->env->metrics, METRIC_ATTEMPTS, 1);
    }
    attempt_begin(&e->attempt, e->claim, e->relay->recipients_per_message);
}

/* Once for all transactions of the attempt. */
static enum err_code convert(struct errand *e, struct err *err)
{
    struct body *body = e->claim->job->body;
    struct err why;
    bool is_8bit = false;
    if (e->converted)
        return ERR_NONE;
    enum err_code code = body_is_8bit(body, &is_8bit);
    if (code != ERR_NONE)
        return err_set(err, code, "the stored message could not be read");
    if (is_8bit)
        code = message_to_7bit(body, &e->body_7bit, &why);
    if (code != ERR_NONE)
        return err_set(err, code,
                       "not sent: relay %.60s does not offer 8BITMIME: %s",
                       e->relay->smtp.name, why.text);
    e->converted = true;
    return ERR_NONE;
}

/* The body as the relay can take it. */
static enum err_code choose_body(struct errand *e,
                                 const struct smtp_session *session,
                                 struct err *err)
{
    e->mail.body = e->claim->job->body;
    if (!smtp_session_wants_7bit(session))
        return ERR_NONE;
    enum err_code code = convert(e, err);
    if (e->body_7bit != NULL)
        e->mail.body = e->body_7bit;
    return code;
}

static enum err_code try_to_send(struct errand *e, struct smtp_session *session,
                                 struct err *err)
{
    enum err_code code = choose_body(e, session, err);
    if (code == ERR_NONE)
        code = smtp_session_send(session, &e->mail, err);
    return code;
}

bool errand_send(struct errand *e, struct smtp_session *session)
{
    struct err err;
    if (!attempt_next(&e->attempt, &e->mail))
        return false;
    enum err_code code = try_to_send(e, session, &err);
    if (code != ERR_NONE) {
        /* What the mail is will not change; a disk may. */
        attempt_unsent(&e->attempt,
                       code == ERR_INVALID ? OUTCOME_REJECTED
                                           : OUTCOME_DEFERRED,
                       err.text);
        return false;
    }
    if (e->sent)
        relay_rate_charge(e->env->rates, e->relay_index,
                          clock_mono_ms(e->env->clock));
    e->sent = true;
    return true;
}

void errand_result(struct errand *e, const struct smtp_result *result)
{
    struct attempt *a = &e->attempt;
    size_t throttled = a->counts[OUTCOME_THROTTLED];
    attempt_result(a, result);
    if (a->counts[OUTCOME_THROTTLED] > throttled)
        e->slower_pause_ms = relay_rate_slow_down(e->env->rates, e->relay_index,
                                                  clock_mono_ms(e->env->clock),
                                                  attempt_slower_reply(a));
}

bool errand_was_answered(const struct errand *e)
{
    return e->begun && (e->attempt.decided_count > 0 ||
                        e->attempt.counts[OUTCOME_THROTTLED] > 0);
}

bool errand_is_untried(const struct errand *e)
{
    return e->attempt.counts[OUTCOME_THROTTLED] == 0 &&
           attempt_untried(&e->attempt) > 0;
}

void errand_return(struct errand *e)
{
    e->state = ERRAND_WAITING;
    e->sender = NULL;
    e->since_ms = clock_mono_ms(e->env->clock);
    /* If it was but waiting to be marked, no session ended because of it. */
    e->returns += e->sent ? 1 : 0;
    e->begun = false;
    e->sent = false;
}

/* ---- the end ---- */

/* On any thread. A memory spool has answered before anybody waits. */
static void on_recorded(void *ctx)
{
    struct errand *e = ctx;
    if (atomic_exchange(&e->asked, ANSWERED) == AWAITED)
        mailbox_post(&e->env->answers, &e->item);
}

static struct settle_plan plan_for(struct errand *e, int64_t now_ms)
{
    const struct attempt *a = &e->attempt;
    struct settle_input input = {
        .claim = e->claim,
        .policy = e->env->retry,
        .attempt = e->claim->attempt,
        .delivered = a->counts[OUTCOME_DELIVERED],
        .deferred = a->counts[OUTCOME_DEFERRED],
        .rejected = a->counts[OUTCOME_REJECTED],
        .unknown = a->counts[OUTCOME_UNKNOWN],
        .untried = attempt_untried(a),
        .throttled = a->counts[OUTCOME_THROTTLED],
        .throttle_pause_ms = e->slower_pause_ms,
        .now_ms = now_ms,
        .unit = random_unit(&e->env->random),
    };
    return settle_decide(&input);
}

/* False: the spool has answered already, e is gone. */
static bool record(struct errand *e, const struct settle_plan *plan,
                   int64_t now_ms)
{
    struct settlement settlement = {
        .relay = str_from(e->relay->smtp.name),
        .at_ms = now_ms,
        .rest = plan->rest,
        .next_attempt_ms = plan->next_attempt_ms,
    };
    struct claim *claim = e->claim;
    e->claim = NULL;
    e->state = ERRAND_SETTLING;
    atomic_init(&e->asked, ASKED);
    settlement.recipients = attempt_decided(&e->attempt, &settlement.count);
    relay_state_count(e->env->states, e->relay_index, e->attempt.counts);
    report_settle(e->env->spool, claim, &settlement, on_recorded, e);
    if (atomic_exchange(&e->asked, AWAITED) == ANSWERED) {
        free_errand(e);
        return false;
    }
    e->env->asked++;
    return true;
}

bool errand_settle(struct errand *e, int64_t due_ms, struct str note)
{
    int64_t now_ms = clock_real_ms(e->env->clock);
    if (!e->begun) {
        errand_release(e, due_ms, note);
        return false;
    }
    bool throttled = e->attempt.counts[OUTCOME_THROTTLED] > 0;
    struct settle_plan plan = plan_for(e, now_ms);
    /* The relay has seen it, and it counts in what the relay counts. */
    if (e->sent && (throttled || plan.verdict == SETTLE_RECORD))
        e->has_token = false;
    if (plan.verdict == SETTLE_RELEASE) {
        relay_state_count(e->env->states, e->relay_index, e->attempt.counts);
        errand_release(e, throttled ? plan.next_attempt_ms : due_ms,
                       throttled ? attempt_slower_reply(&e->attempt) : note);
        return false;
    }
    errand_return_token(e, clock_mono_ms(e->env->clock));
    return record(e, &plan, now_ms);
}

void errand_settled(struct errand *e)
{
    PANIC_IF(e->state != ERRAND_SETTLING);
    free_errand(e);
}
