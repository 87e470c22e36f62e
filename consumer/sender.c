#include "consumer/sender.h"

#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"

/* A disk that failed is not asked again at once. */
#define MARK_PAUSE_MS 1000

static const char *state_name(enum sender_state state)
{
    switch (state) {
    case SENDER_CONNECTING:
        return "connecting";
    case SENDER_OPEN:
        return "open";
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

/* ---- room ---- */

static size_t less(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

size_t sender_jobs_max(const struct pool_relay *relay)
{
    return SENDER_UNSETTLED_MAX + 2 * less(relay->smtp.unconfirmed, 1);
}

/* Its message takes a while, and other sessions may be free before. */
static bool carries_large(const struct sender *x)
{
    const struct errand *last = TAILQ_LAST(&x->hand, errand_list);
    const struct body *body = last == NULL ? NULL : last->claim->job->body;
    return body != NULL && body_size(body) >= SENDER_LARGE_BYTES;
}

size_t sender_room(const struct sender *x)
{
    if (x->state != SENDER_OPEN || x->retired || carries_large(x))
        return 0;
    size_t room = less(smtp_session_room(x->session), x->marking);
    size_t lifetime = less(x->relay->jobs_per_connection, x->jobs);
    size_t promise =
        less(sender_jobs_max(x->relay), x->unsettled_count + x->hand_count);
    if (room > lifetime)
        room = lifetime;
    return room < promise ? room : promise;
}

bool sender_is_idle(const struct sender *x)
{
    return x->state == SENDER_OPEN && x->hand_count == 0;
}

bool sender_is_done(const struct sender *x)
{
    return sender_is_idle(x) && x->unsettled_count == 0;
}

/* ---- jobs ---- */

static void take_in_hand(struct sender *x, struct errand *e)
{
    e->sender = x;
    TAILQ_INSERT_TAIL(&x->hand, e, next);
    x->hand_count++;
}

static void put_down(struct sender *x, struct errand *e)
{
    TAILQ_REMOVE(&x->hand, e, next);
    x->hand_count--;
    if (x->hand_count > 0)
        return;
    x->idle_since_ms = clock_mono_ms(x->env->clock);
    if (x->state == SENDER_OPEN)
        relay_state_is_idle(x->env->states, x->relay_index, &x->pass);
}

/* note: why recipients are untried, if any is. */
static void settle(struct sender *x, struct errand *e, struct str note)
{
    /* Who saw the relay fail goes behind the others. */
    int64_t due_ms = clock_real_ms(x->env->clock) + (x->relay_failed ? 1 : 0);
    if (!errand_settle(e, due_ms, note))
        return;
    TAILQ_INSERT_TAIL(&x->unsettled, e, next);
    x->unsettled_count++;
}

static void finish(struct sender *x, struct errand *e)
{
    put_down(x, e);
    settle(x, e, STR(""));
}

/* It is in hand, and the session has room. */
static void begin(struct sender *x, struct errand *e)
{
    errand_begin(e);
    if (!errand_send(e, x->session))
        finish(x, e);
}

void sender_carry(struct sender *x, struct errand *e)
{
    PANIC_IF(sender_room(x) == 0);
    if (!errand_start(e))
        return;
    x->jobs++;
    take_in_hand(x, e);
    relay_state_carries(x->env->states, x->relay_index, &x->pass);
    if (errand_mark(e))
        x->marking++;
    else
        begin(x, e);
}

/* Untried; what becomes of it is decided when the session is over. */
static void leave_untried(struct sender *x, struct errand *e)
{
    put_down(x, e);
    e->state = ERRAND_UNTRIED;
    TAILQ_INSERT_TAIL(&x->untried, e, next);
}

/* ---- the spool's answers ---- */

static void release_unmarked(struct errand *e)
{
    bool failed = e->mark_err.code != ERR_NONE;
    int64_t pause_ms = failed ? MARK_PAUSE_MS : 0;
    errand_release(e, clock_real_ms(e->env->clock) + pause_ms,
                   failed ? str_from(e->mark_err.text) : STR(""));
}

static void take_mark(struct errand *e)
{
    struct sender *x = e->sender;
    if (x == NULL) {
        release_unmarked(e);
        return;
    }
    x->marking--;
    if (e->mark_err.code != ERR_NONE) {
        put_down(x, e);
        release_unmarked(e);
    } else if (x->state != SENDER_OPEN || smtp_session_room(x->session) == 0) {
        e->marked = true;
        leave_untried(x, e);
    } else {
        e->marked = true;
        begin(x, e);
    }
    x->events->changed(x->ctx, x);
}

static void take_settled(struct errand *e)
{
    struct sender *x = e->sender;
    if (x != NULL) {
        TAILQ_REMOVE(&x->unsettled, e, next);
        x->unsettled_count--;
    }
    errand_settled(e);
    if (x != NULL)
        x->events->changed(x->ctx, x);
}

void sender_take_answers(struct errand_env *env)
{
    struct mailbox_list list;
    if (!mailbox_take(&env->answers, &list))
        return;
    while (!STAILQ_EMPTY(&list)) {
        struct mailbox_item *item = STAILQ_FIRST(&list);
        STAILQ_REMOVE_HEAD(&list, next);
        struct errand *e = CONTAINER_OF(item, struct errand, item);
        env->asked--;
        if (e->state == ERRAND_SETTLING)
            take_settled(e);
        else
            take_mark(e);
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
    set_state(x, SENDER_OPEN);
    x->open_ms = clock_mono_ms(x->env->clock);
    x->idle_since_ms = x->open_ms;
    x->events->changed(x->ctx, x);
}

static struct errand *errand_of(struct sender *x, const struct smtp_mail *mail)
{
    struct errand *e;
    TAILQ_FOREACH (e, &x->hand, next)
        if (&e->mail == mail)
            return e;
    PANIC("a result for a mail that was not sent");
}

static void on_result(void *ctx, struct smtp_session *session,
                      const struct smtp_mail *mail,
                      const struct smtp_result *result)
{
    struct sender *x = ctx;
    struct errand *e = errand_of(x, mail);
    /* The place that this mail had is free, unless all is over. */
    bool goes_on = smtp_session_room(session) > 0;
    errand_result(e, result);
    if (errand_was_answered(e)) {
        x->answered = true;
        relay_state_worked(x->env->states, x->relay_index,
                           clock_mono_ms(x->env->clock), &x->pass);
    }
    if (goes_on && errand_send(e, session))
        return;
    if (!goes_on)
        set_state(x, SENDER_ENDING);
    /* Decided when it is known what became of the relay. */
    if (!goes_on && errand_is_untried(e))
        leave_untried(x, e);
    else
        finish(x, e);
    x->events->changed(x->ctx, x);
}

static bool tried_in_vain(const struct sender *x)
{
    const struct errand *e;
    if (x->answered)
        return false;
    TAILQ_FOREACH (e, &x->untried, next)
        if (e->sent)
            return true;
    return false;
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
    return !x->pass.established || tried_in_vain(x);
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

/*
 * The others wait for the spool, or were sent and have no result: such a
 * session would be broken in another way, but no job may be lost by it.
 */
static void empty_hand(struct sender *x)
{
    struct errand *e;
    while ((e = TAILQ_FIRST(&x->hand)) != NULL) {
        if (e->state == ERRAND_SENDING) {
            attempt_stop(&e->attempt);
            leave_untried(x, e);
        } else {
            put_down(x, e);
            e->sender = NULL;
        }
    }
}

static void end_untried(struct sender *x, struct str error, bool others_may)
{
    struct errand *e;
    while ((e = TAILQ_LAST(&x->untried, errand_list)) != NULL) {
        TAILQ_REMOVE(&x->untried, e, next);
        if (!others_may || errand_was_answered(e)) {
            settle(x, e, error);
            continue;
        }
        errand_return(e);
        x->events->returned(x->ctx, e);
    }
}

static void on_closed(void *ctx, struct smtp_session *session,
                      const struct smtp_closing *why)
{
    struct sender *x = ctx;
    struct errand *e;
    (void)session;
    struct str error =
        why->err.code == ERR_NONE ? STR("") : str_from(why->err.text);
    log_event(LOG_LEVEL_DEBUG, "session.closed",
              LOG_TEXT("relay", x->relay->smtp.name), LOG_INT("jobs", x->jobs),
              LOG_TEXT("stage", smtp_stage_name(why->stage)),
              LOG_STR("error", error));
    set_state(x, SENDER_ENDING);
    empty_hand(x);
    /* First, so that the jobs do not come back to this relay. */
    tell_relay(x, why);
    end_untried(x, error, !x->relay_failed && !why->by_us);
    TAILQ_FOREACH (e, &x->unsettled, next)
        e->sender = NULL;
    x->events->gone(x->ctx, x);
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
    TAILQ_INIT(&x->hand);
    TAILQ_INIT(&x->untried);
    TAILQ_INIT(&x->unsettled);
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

void sender_retire(struct sender *x)
{
    x->retired = true;
}

void sender_quit(struct sender *x)
{
    PANIC_IF(!sender_is_idle(x));
    set_state(x, SENDER_ENDING);
    smtp_session_quit(x->session);
}

void sender_abort(struct sender *x)
{
    set_state(x, SENDER_ENDING);
    smtp_session_abort(x->session);
}
