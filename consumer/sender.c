#include "consumer/sender.h"

#include <stdatomic.h>

#include "consumer/report.h"
#include "consumer/settle.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"

/* A disk that failed is not asked again at once. */
#define MARK_PAUSE_MS 1000

/* What comes back through env->marks. */
struct sender_answer {
    struct mailbox_item item;
    bool is_record; /* of a sender_record, else of a sender_mark */
};

/* One spool_mark() under way; its own, because the session may end first. */
struct sender_mark {
    struct sender_answer answer;
    struct sender_env *env;
    const char *relay;
    struct sender *sender; /* NULL: gone */
    struct claim *claim;
    struct err err;
};

enum record_state { RECORD_ASKED, RECORD_ANSWERED, RECORD_AWAITED };

/* One settlement under way. */
struct sender_record {
    struct sender_answer answer;
    TAILQ_ENTRY(sender_record) next;
    struct sender_env *env;
    struct sender *sender; /* NULL: gone */
    atomic_int state;
};

static const char *state_name(enum sender_state state)
{
    switch (state) {
    case SENDER_CONNECTING:
        return "connecting";
    case SENDER_IDLE:
        return "idle";
    case SENDER_MARKING:
        return "marking";
    case SENDER_BUSY:
        return "busy";
    case SENDER_SETTLING:
        return "settling";
    case SENDER_ENDING:
        return "ending";
    }
    PANIC("sender state %d", (int)state);
}

static void set_state(struct sender *x, enum sender_state state)
{
    if (x->state == state)
        return;
    log_event(LOG_LEVEL_DEBUG, "session.state",
              LOG_TEXT("relay", x->relay->smtp.name),
              LOG_TEXT("from", state_name(x->state)),
              LOG_TEXT("to", state_name(state)));
    x->state = state;
}

/* ---- settling ---- */

/* On any thread. A memory spool has answered before anybody waits. */
static void on_recorded(void *ctx)
{
    struct sender_record *r = ctx;
    if (atomic_exchange(&r->state, RECORD_ANSWERED) == RECORD_AWAITED)
        mailbox_post(&r->env->marks, &r->answer.item);
}

/* The spool's answer is awaited, unless it was there already. */
static void await_record(struct sender *x, struct sender_record *r)
{
    if (atomic_exchange(&r->state, RECORD_AWAITED) == RECORD_ANSWERED) {
        mem_free(r);
        return;
    }
    TAILQ_INSERT_TAIL(&x->unsettled, r, next);
    x->unsettled_count++;
    x->env->marking++;
}

static void record(struct sender *x, const struct settle_plan *plan,
                   int64_t now_ms)
{
    struct sender_record *r;
    MEM_NEW(r);
    r->answer.is_record = true;
    r->env = x->env;
    r->sender = x;
    atomic_init(&r->state, RECORD_ASKED);
    struct settlement settlement = {
        .relay = str_from(x->relay->smtp.name),
        .at_ms = now_ms,
        .rest = plan->rest,
        .next_attempt_ms = plan->next_attempt_ms,
    };
    settlement.recipients = attempt_decided(&x->attempt, &settlement.count);
    relay_state_count(x->env->states, x->relay_index, x->attempt.counts);
    report_settle(x->env->spool, x->claim, &settlement, on_recorded, r);
    await_record(x, r);
}

/* note: why recipients are untried, if any is. */
static void settle(struct sender *x, struct str note)
{
    const struct attempt *a = &x->attempt;
    int64_t now_ms = clock_real_ms(x->env->clock);
    struct settle_input input = {
        .claim = x->claim,
        .policy = x->env->retry,
        .attempt = x->claim->attempt,
        .delivered = a->counts[OUTCOME_DELIVERED],
        .deferred = a->counts[OUTCOME_DEFERRED],
        .rejected = a->counts[OUTCOME_REJECTED],
        .unknown = a->counts[OUTCOME_UNKNOWN],
        .untried = attempt_untried(a),
        .now_ms = now_ms,
        .unit = random_unit(&x->env->random),
    };
    struct settle_plan plan = settle_decide(&input);
    /* Who saw the relay fail goes behind the others: one of them probes. */
    int64_t due_ms = x->relay_failed ? now_ms + 1 : now_ms;
    if (plan.verdict == SETTLE_RELEASE)
        report_release(x->env->spool, x->claim, x->relay->smtp.name, due_ms,
                       note);
    else
        record(x, &plan, now_ms);
    x->claim = NULL;
    x->jobs++;
}

/* The job's time is over before it could be sent. */
static void settle_unsent(struct sender *x, struct claim *claim,
                          enum settle_rest rest, int64_t now_ms)
{
    struct settlement settlement = {
        .relay = str_from(x->relay->smtp.name),
        .at_ms = now_ms,
        .rest = rest,
        .note = rest == SETTLE_REST_EXPIRE
                    ? STR("expires_at passed before it could be sent")
                    : STR("given up before it could be sent"),
    };
    report_settle(x->env->spool, claim, &settlement, NULL, NULL);
}

/* ---- the job ---- */

/* False: no transaction is left. */
static bool send_next(struct sender *x)
{
    while (attempt_next(&x->attempt, &x->mail)) {
        struct err err;
        if (smtp_session_send(x->session, &x->mail, &err) == ERR_NONE)
            return true;
        attempt_refused(&x->attempt, err.text);
    }
    return false;
}

bool sender_takes(const struct sender *x)
{
    return x->state == SENDER_IDLE && smtp_session_takes_mail(x->session);
}

static void become_idle(struct sender *x)
{
    set_state(x, SENDER_IDLE);
    x->idle_since_ms = clock_mono_ms(x->env->clock);
    x->events->idle(x->ctx, x);
}

static bool has_to_wait(const struct sender *x)
{
    return x->unsettled_count >= SENDER_UNSETTLED_MAX;
}

/* False: nothing was to be sent, and the claim is settled. */
static bool begin(struct sender *x, struct claim *claim)
{
    x->claim = claim;
    report_attempt(claim, x->relay->smtp.name);
    metrics_add(x->env->metrics, METRIC_ATTEMPTS, 1);
    attempt_begin(&x->attempt, claim, x->relay->recipients_per_message);
    if (send_next(x)) {
        set_state(x, SENDER_BUSY);
        return true;
    }
    settle(x, STR(""));
    if (!has_to_wait(x))
        return false;
    set_state(x, SENDER_SETTLING);
    return true;
}

/* On any thread. */
static void on_marked(void *ctx, const struct err *err)
{
    struct sender_mark *mark = ctx;
    mark->err = *err;
    mailbox_post(&mark->env->marks, &mark->answer.item);
}

static void start_mark(struct sender *x, struct claim *claim)
{
    struct sender_mark *mark;
    MEM_NEW(mark);
    mark->env = x->env;
    mark->relay = x->relay->smtp.name;
    mark->sender = x;
    mark->claim = claim;
    x->mark = mark;
    x->env->marking++;
    set_state(x, SENDER_MARKING);
    spool_mark(x->env->spool, claim, str_from(mark->relay), on_marked, mark);
}

bool sender_carry(struct sender *x, struct claim *claim)
{
    int64_t now_ms = clock_real_ms(x->env->clock);
    enum settle_rest rest;
    if (!claim_start(claim)) {
        report_release(x->env->spool, claim, x->relay->smtp.name, now_ms,
                       STR(""));
        return false;
    }
    if (settle_is_over(claim, now_ms, &rest)) {
        settle_unsent(x, claim, rest, now_ms);
        return false;
    }
    if (claim->job->on_unknown != JOB_ON_UNKNOWN_HOLD)
        return begin(x, claim);
    start_mark(x, claim);
    return true;
}

/* ---- the spool's answers ---- */

static void take_mark(struct sender_mark *mark)
{
    struct sender *x = mark->sender;
    struct sender_env *env = mark->env;
    bool sends = mark->err.code == ERR_NONE && x != NULL &&
                 x->state == SENDER_MARKING &&
                 smtp_session_takes_mail(x->session);
    if (x != NULL)
        x->mark = NULL;
    env->marking--;
    bool failed = mark->err.code != ERR_NONE;
    if (!sends)
        report_release(env->spool, mark->claim, mark->relay,
                       clock_real_ms(env->clock) + (failed ? MARK_PAUSE_MS : 0),
                       failed ? str_from(mark->err.text) : STR(""));
    if (x != NULL && x->state == SENDER_MARKING &&
        (!sends || !begin(x, mark->claim)))
        become_idle(x);
    mem_free(mark);
}

static void take_record(struct sender_record *r)
{
    struct sender *x = r->sender;
    r->env->marking--;
    if (x != NULL) {
        TAILQ_REMOVE(&x->unsettled, r, next);
        x->unsettled_count--;
        if (x->state == SENDER_SETTLING)
            become_idle(x);
    }
    mem_free(r);
}

void sender_take_marks(struct sender_env *env)
{
    struct mailbox_list list;
    if (!mailbox_take(&env->marks, &list))
        return;
    while (!STAILQ_EMPTY(&list)) {
        struct mailbox_item *item = STAILQ_FIRST(&list);
        STAILQ_REMOVE_HEAD(&list, next);
        struct sender_answer *answer =
            CONTAINER_OF(item, struct sender_answer, item);
        if (answer->is_record)
            take_record(CONTAINER_OF(answer, struct sender_record, answer));
        else
            take_mark(CONTAINER_OF(answer, struct sender_mark, answer));
    }
}

/* ---- the session's events ---- */

static void on_ready(void *ctx, struct smtp_session *session)
{
    struct sender *x = ctx;
    (void)session;
    relay_state_established(x->env->states, x->relay_index, &x->pass);
    log_event(LOG_LEVEL_DEBUG, "session.opened",
              LOG_TEXT("relay", x->relay->smtp.name));
    /* A session on its way out has no more use for that. */
    if (x->state != SENDER_CONNECTING)
        return;
    x->events->ready(x->ctx, x);
    become_idle(x);
}

static void on_result(void *ctx, struct smtp_session *session,
                      const struct smtp_result *result)
{
    struct sender *x = ctx;
    attempt_result(&x->attempt, result);
    if (x->attempt.decided_count > 0)
        relay_state_worked(x->env->states, x->relay_index,
                           clock_mono_ms(x->env->clock), &x->pass);
    bool takes = smtp_session_takes_mail(session);
    if (takes && send_next(x))
        return;
    if (!takes && attempt_untried(&x->attempt) > 0) {
        /* Settled when it is known what became of the relay. */
        set_state(x, SENDER_ENDING);
        return;
    }
    settle(x, STR(""));
    if (!takes || x->state != SENDER_BUSY)
        set_state(x, SENDER_ENDING);
    else if (has_to_wait(x))
        set_state(x, SENDER_SETTLING);
    else
        become_idle(x);
}

/*
 * Whether the end of a session is a sign that its relay cannot be used: as
 * smtp/ says, and whenever a session ends without a single answer for a mail.
 */
static bool relay_failed(const struct sender *x, const struct smtp_closing *why)
{
    if (why->relay_failed)
        return true;
    if (why->by_us)
        return false;
    return !x->pass.established ||
           (x->jobs == 0 && x->claim != NULL && x->attempt.decided_count == 0);
}

static void tell_relay(struct sender *x, const struct smtp_closing *why)
{
    struct relay_states *states = x->env->states;
    int64_t now_ms = clock_mono_ms(x->env->clock);
    struct str error = str_from(why->err.text);
    bool quiet = why->by_us || why->err.code == ERR_NONE ||
                 why->stage == SMTP_STAGE_IDLE || why->stage == SMTP_STAGE_QUIT;
    x->relay_failed = relay_failed(x, why);
    if (x->relay_failed)
        relay_state_failed(states, x->relay_index, now_ms, &x->pass, error);
    else if (quiet)
        relay_state_closed(states, x->relay_index, now_ms, &x->pass);
    else
        relay_state_lost(states, x->relay_index, now_ms, &x->pass, error);
}

static void on_closed(void *ctx, struct smtp_session *session,
                      const struct smtp_closing *why)
{
    struct sender *x = ctx;
    (void)session;
    struct str error =
        why->err.code == ERR_NONE ? STR("") : str_from(why->err.text);
    log_event(LOG_LEVEL_DEBUG, "session.closed",
              LOG_TEXT("relay", x->relay->smtp.name), LOG_INT("jobs", x->jobs),
              LOG_TEXT("stage", smtp_stage_name(why->stage)),
              LOG_STR("error", error));
    /* First, so that the job does not come back to this relay. */
    tell_relay(x, why);
    if (x->claim != NULL) {
        attempt_stop(&x->attempt);
        settle(x, error);
    }
    if (x->mark != NULL)
        x->mark->sender = NULL;
    struct sender_record *r;
    TAILQ_FOREACH (r, &x->unsettled, next)
        r->sender = NULL;
    x->events->gone(x->ctx, x);
    attempt_fini(&x->attempt);
    mem_free(x);
}

static const struct smtp_session_events session_events = {
    .ready = on_ready,
    .result = on_result,
    .closed = on_closed,
};

/* ---- opening and ending ---- */

enum err_code sender_open(struct sender **out,
                          const struct sender_options *options,
                          const struct relay_pass *pass)
{
    struct sender *x;
    MEM_NEW(x);
    x->env = options->env;
    x->relay = options->relay;
    x->relay_index = options->relay_index;
    x->events = options->events;
    x->ctx = options->ctx;
    x->pass = *pass;
    x->state = SENDER_CONNECTING;
    TAILQ_INIT(&x->unsettled);
    attempt_init(&x->attempt);
    enum err_code code = smtp_session_open(&x->session, x->env->engine,
                                           &x->relay->smtp, &session_events, x);
    if (code != ERR_NONE) {
        struct str error = code == ERR_INVALID
                               ? STR("the relay's host is no host")
                               : STR("no connection could be prepared");
        relay_state_failed(x->env->states, x->relay_index,
                           clock_mono_ms(x->env->clock), &x->pass, error);
        mem_free(x);
        return code;
    }
    *out = x;
    return ERR_NONE;
}

void sender_quit(struct sender *x)
{
    PANIC_IF(x->state != SENDER_IDLE);
    set_state(x, SENDER_ENDING);
    smtp_session_quit(x->session);
}

void sender_abort(struct sender *x)
{
    if (x->state != SENDER_BUSY)
        set_state(x, SENDER_ENDING);
    smtp_session_abort(x->session);
}
