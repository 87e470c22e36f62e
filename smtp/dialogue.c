#include "smtp/dialogue.h"

#include "core/panic.h"
#include "smtp/throttle.h"
#include "smtp/trouble.h"

/* What is owed after a 421, and the answer to QUIT. */
#define FAREWELL_TIMEOUT_MS 2000

/* libcurl's own timeout comes first; this is in case that it does not. */
#define CONNECT_GRACE_MS 5000

/* ---- where it stands ---- */

/* The mail whose reply is the next, or that is being written; NULL: none. */
static struct smtp_transaction *under_way(const struct smtp_session *s)
{
    const struct smtp_expected *front = smtp_fifo_front(&s->expected);
    if (front != NULL)
        return front->of;
    for (size_t i = s->cursor; i < s->count; i++) {
        struct smtp_transaction *t = smtp_session_mail(s, i);
        if (t->step == SMTP_STEP_BEGIN)
            return NULL;
        if (t->step != SMTP_STEP_DONE)
            return t;
    }
    return NULL;
}

static enum smtp_stage stage_of_step(enum smtp_step step)
{
    static const enum smtp_stage stages[SMTP_STEP_COUNT] = {
        [SMTP_STEP_BEGIN] = SMTP_STAGE_IDLE, [SMTP_STEP_RSET] = SMTP_STAGE_RSET,
        [SMTP_STEP_MAIL] = SMTP_STAGE_MAIL,  [SMTP_STEP_RCPT] = SMTP_STAGE_RCPT,
        [SMTP_STEP_DATA] = SMTP_STAGE_DATA,  [SMTP_STEP_GO] = SMTP_STAGE_DATA,
        [SMTP_STEP_BODY] = SMTP_STAGE_BODY,  [SMTP_STEP_DOT] = SMTP_STAGE_BODY,
        [SMTP_STEP_TAIL] = SMTP_STAGE_BODY,  [SMTP_STEP_DONE] = SMTP_STAGE_IDLE,
    };
    return stages[step];
}

enum smtp_stage smtp_dialogue_stage(const struct smtp_session *s)
{
    const struct smtp_expected *front = smtp_fifo_front(&s->expected);
    if (s->state == SMTP_STATE_CONNECTING)
        return SMTP_STAGE_CONNECT;
    if (s->state == SMTP_STATE_QUIT)
        return SMTP_STAGE_QUIT;
    if (front == NULL) {
        const struct smtp_transaction *t = under_way(s);
        return t == NULL ? SMTP_STAGE_IDLE : stage_of_step(t->step);
    }
    if (front->kind == SMTP_STAGE_FINAL &&
        front->end > smtp_link_accepted(&s->link))
        return SMTP_STAGE_BODY;
    return front->kind;
}

static int64_t stage_timeout_ms(const struct smtp_session *s)
{
    const struct smtp_relay *relay = s->relay;
    switch (smtp_dialogue_stage(s)) {
    case SMTP_STAGE_RSET:
    case SMTP_STAGE_MAIL:
        return relay->mail_timeout_ms;
    case SMTP_STAGE_RCPT:
        return relay->rcpt_timeout_ms;
    case SMTP_STAGE_DATA:
        return relay->data_timeout_ms;
    case SMTP_STAGE_BODY:
        return relay->body_timeout_ms;
    case SMTP_STAGE_FINAL:
        return relay->final_timeout_ms;
    case SMTP_STAGE_CONNECT:
    case SMTP_STAGE_IDLE:
    case SMTP_STAGE_QUIT:
    case SMTP_STAGE_COUNT:
        break;
    }
    return 0;
}

int64_t smtp_dialogue_timeout_ms(const struct smtp_session *s)
{
    switch (s->state) {
    case SMTP_STATE_CONNECTING:
        return s->relay->connect_timeout_ms + CONNECT_GRACE_MS;
    case SMTP_STATE_OPEN:
        return stage_timeout_ms(s);
    case SMTP_STATE_ENDING:
    case SMTP_STATE_QUIT:
        return FAREWELL_TIMEOUT_MS;
    case SMTP_STATE_CLOSED:
    case SMTP_STATE_COUNT:
        break;
    }
    return 0;
}

void smtp_dialogue_touch(struct smtp_session *s)
{
    int64_t timeout_ms = smtp_dialogue_timeout_ms(s);
    int64_t deadline_ms =
        timeout_ms == 0 ? 0 : clock_mono_ms(s->engine->clock) + timeout_ms;
    smtp_engine_set_deadline(s->engine, &s->client, deadline_ms);
}

/* ---- the end ---- */

static struct outcome_verdict judge(const struct smtp_session *s,
                                    const struct smtp_transaction *t,
                                    enum smtp_stage stage,
                                    enum smtp_event event)
{
    bool reply = event == SMTP_EVENT_REPLY;
    const struct outcome_input input = {
        .stage = stage,
        .event = event,
        .code = reply ? s->reply.code : 0,
        .rcpt_accepted = t != NULL && t->accepted > 0,
        .reused = t != NULL && t->reused,
        .too_fast =
            reply && s->reply.code >= 400 && smtp_throttle_says(&s->reply),
    };
    return outcome_of(&input);
}

/* Why it ends; a session that was ending already keeps its reason. */
static void explain(struct smtp_session *s, enum smtp_stage stage,
                    enum smtp_event event, bool relay_failed)
{
    const struct smtp_trouble_dialogue trouble = {
        .relay = s->relay,
        .stage = stage,
        .event = event,
        .reply = &s->reply,
        .timeout_ms = smtp_dialogue_timeout_ms(s),
    };
    if (s->state == SMTP_STATE_ENDING)
        return;
    s->closing = (struct smtp_closing){
        .relay_failed = relay_failed,
        .by_us = s->state == SMTP_STATE_QUIT,
        .stage = stage,
    };
    if (!s->closing.by_us)
        smtp_trouble_dialogue(&trouble, &s->closing.err);
}

static void set_own_reply(const struct smtp_session *s,
                          const struct smtp_transaction *t,
                          struct smtp_reply *reply)
{
    bool sent = smtp_transaction_is_sent(t, smtp_link_accepted(&s->link));
    const char *words = s->closing.err.text;
    if (s->closing.by_us)
        words = sent ? "cut by us before the relay's answer"
                     : "cut by us before the message was sent";
    smtp_reply_set_own(reply, "", words);
}

/*
 * A message that left in full may have been taken. outcome: of a mail that
 * did not.
 */
static void decide_at_end(struct smtp_session *s, struct smtp_transaction *t,
                          enum outcome outcome)
{
    struct smtp_reply reply;
    if (t->undecided == 0)
        return;
    bool sent = smtp_transaction_is_sent(t, smtp_link_accepted(&s->link));
    /* After a 421 a relay takes nothing; after another no it may have. */
    if (t->fallback != OUTCOME_NONE &&
        (!sent || t->fallback_reply.code == 421)) {
        smtp_transaction_decide_rest(t, t->fallback, &t->fallback_reply);
        return;
    }
    if (sent)
        outcome = OUTCOME_UNKNOWN;
    set_own_reply(s, t, &reply);
    smtp_transaction_decide_rest(t, outcome, &reply);
}

/* outcome: of the mail at, NULL for none. closing is filled in. */
static void finish(struct smtp_session *s, const struct smtp_transaction *at,
                   enum outcome outcome)
{
    for (size_t i = 0; i < s->count; i++) {
        struct smtp_transaction *t = smtp_session_mail(s, i);
        bool is_at = at != NULL && t == at;
        decide_at_end(s, t, is_at ? outcome : OUTCOME_UNTRIED);
        t->owed = 0;
        t->step = SMTP_STEP_DONE;
    }
    s->cursor = s->count;
    smtp_fifo_clear(&s->expected);
    smtp_session_cut(s);
    smtp_engine_set_due(s->engine, &s->client);
}

/* It ends here and now, which is an event at that stage. */
static void end_at(struct smtp_session *s, enum smtp_stage stage,
                   enum smtp_event event)
{
    struct smtp_transaction *t = under_way(s);
    struct outcome_verdict verdict = judge(s, t, stage, event);
    explain(s, stage, event, verdict.relay_failed);
    if (t != NULL && event == SMTP_EVENT_REPLY)
        smtp_transaction_decide_rest(t, verdict.outcome, &s->reply);
    finish(s, t, verdict.outcome);
}

void smtp_dialogue_silence(struct smtp_session *s, enum smtp_event event)
{
    end_at(s, smtp_dialogue_stage(s), event);
}

/* Whether a reply that may come would decide something. */
static bool has_to_hear(const struct smtp_session *s)
{
    for (size_t i = 0; i < s->expected.count; i++) {
        const struct smtp_expected *e = smtp_fifo_at(&s->expected, i);
        if (e->end > smtp_link_accepted(&s->link))
            return false;
        if (e->of != NULL && e->of->undecided > 0)
            return true;
    }
    return false;
}

/* closing is filled in. */
static void end_when_heard(struct smtp_session *s)
{
    if (!has_to_hear(s))
        finish(s, NULL, OUTCOME_UNTRIED);
    else if (s->state != SMTP_STATE_ENDING)
        smtp_session_set_state(s, SMTP_STATE_ENDING);
}

static void close_by_us(struct smtp_session *s)
{
    s->closing = (struct smtp_closing){
        .by_us = true,
        .stage = smtp_dialogue_stage(s),
    };
}

void smtp_dialogue_end(struct smtp_session *s)
{
    close_by_us(s);
    end_when_heard(s);
}

void smtp_dialogue_abort(struct smtp_session *s)
{
    close_by_us(s);
    finish(s, NULL, OUTCOME_UNTRIED);
}

/* ---- replies ---- */

/*
 * Nothing that it could answer was written when it began to come. Believed,
 * it would stand for the answer to something else, and a mail for delivered.
 */
static void take_stray(struct smtp_session *s)
{
    const struct smtp_expected *front = smtp_fifo_front(&s->expected);
    enum smtp_stage stage = smtp_dialogue_stage(s);
    /* Until it closes, the relay counts this connection among ours. */
    if (s->state == SMTP_STATE_QUIT && s->reply.code == 221)
        return;
    /* The end of a body may have left since. */
    if (front != NULL && front->kind == SMTP_STAGE_FINAL)
        stage = SMTP_STAGE_BODY;
    bool is_end = s->reply.code == 421 || stage == SMTP_STAGE_IDLE ||
                  stage == SMTP_STAGE_QUIT ||
                  (stage == SMTP_STAGE_BODY && s->reply.code >= 400);
    end_at(s, stage, is_end ? SMTP_EVENT_REPLY : SMTP_EVENT_GARBAGE);
}

/* Whether the relay may hold a transaction open after this reply. */
static void note_reset(struct smtp_session *s, enum smtp_stage kind,
                       const struct outcome_verdict *verdict)
{
    bool positive = s->reply.code < 400;
    if (verdict->session == OUTCOME_SESSION_RESET ||
        (kind == SMTP_STAGE_MAIL && positive))
        s->needs_reset = true;
    if (kind == SMTP_STAGE_FINAL && s->mode == SMTP_MODE_BDAT)
        s->needs_reset = !positive;
}

/* DATA was answered with 354. */
static void go_on_with_body(struct smtp_transaction *t)
{
    if (t->undecided > 0) {
        smtp_content_begin(&t->content, t->mail->body);
        t->step = SMTP_STEP_BODY;
    } else {
        t->step = SMTP_STEP_DOT;
    }
}

static void go_on(struct smtp_session *s, struct smtp_transaction *t,
                  enum smtp_stage answered)
{
    if (answered == SMTP_STAGE_DATA && s->reply.code < 400)
        go_on_with_body(t);
    else if (answered == SMTP_STAGE_DATA || answered == SMTP_STAGE_FINAL ||
             (t->undecided == 0 && t->step < SMTP_STEP_GO))
        t->step = SMTP_STEP_DONE;
}

/* Not what can be said there, although it is a yes: nothing fits any more. */
static bool is_garbage(const struct smtp_session *s,
                       const struct smtp_expected *answered,
                       const struct outcome_verdict *verdict)
{
    const struct smtp_transaction *t = answered->of;
    if (s->reply.code >= 400)
        return false;
    if (verdict->session == OUTCOME_SESSION_CLOSE)
        return true;
    /* MAIL was refused, and yet there is somebody to send to: to whom? */
    return answered->kind == SMTP_STAGE_DATA && t->undecided == 0 &&
           t->accepted > 0;
}

static void take_answer(struct smtp_session *s,
                        const struct smtp_expected *answered,
                        const struct outcome_verdict *verdict)
{
    struct smtp_transaction *t = answered->of;
    const struct smtp_transaction_event event = {
        .stage = answered->kind,
        .recipient = answered->recipient,
        .positive = s->reply.code < 400,
    };
    if (verdict->session == OUTCOME_SESSION_CLOSE)
        explain(s, answered->kind, SMTP_EVENT_REPLY, verdict->relay_failed);
    t->owed--;
    smtp_transaction_apply(t, &event, verdict, &s->reply);
    note_reset(s, answered->kind, verdict);
    go_on(s, t, answered->kind);
    if (s->state == SMTP_STATE_ENDING ||
        verdict->session == OUTCOME_SESSION_CLOSE)
        end_when_heard(s);
}

static void take_reply(struct smtp_session *s)
{
    const struct smtp_expected *front = smtp_fifo_front(&s->expected);
    struct smtp_expected answered;
    if (front == NULL || front->end > s->heard_at || front->of == NULL) {
        take_stray(s);
        return;
    }
    struct outcome_verdict verdict =
        judge(s, front->of, front->kind, SMTP_EVENT_REPLY);
    if (is_garbage(s, front, &verdict)) {
        smtp_dialogue_silence(s, SMTP_EVENT_GARBAGE);
        return;
    }
    (void)smtp_fifo_pop(&s->expected, &answered);
    take_answer(s, &answered, &verdict);
}

static void parse(struct smtp_session *s, struct str input)
{
    bool any = false;
    while (input.len > 0 && s->state != SMTP_STATE_CLOSED) {
        if (smtp_reply_parser_is_empty(&s->parser))
            s->heard_at = smtp_link_accepted(&s->link);
        enum err_code rc = smtp_reply_parse(&s->parser, &input, &s->reply);
        if (rc == ERR_AGAIN)
            break;
        if (rc != ERR_NONE)
            smtp_dialogue_silence(s, SMTP_EVENT_GARBAGE);
        else
            take_reply(s);
        any = true;
    }
    if (any && s->state != SMTP_STATE_CLOSED) {
        smtp_dialogue_touch(s);
        smtp_engine_set_speaking(s->engine, &s->client);
    }
}

/*
 * Reads until there is nothing more: what libcurl has decrypted already shows
 * on no descriptor. Only when the last reply that was owed has come in whole
 * the next read is saved: nobody waits for what could be behind it.
 */
void smtp_dialogue_read(struct smtp_session *s)
{
    char *in = s->engine->in;
    while (s->state != SMTP_STATE_CLOSED) {
        size_t got;
        enum err_code rc =
            smtp_link_read(&s->link, in, sizeof(s->engine->in), &got);
        if (rc == ERR_AGAIN)
            return;
        if (rc != ERR_NONE) {
            smtp_dialogue_silence(s, SMTP_EVENT_LOST);
            return;
        }
        parse(s, str_of(in, got));
        if (smtp_fifo_front(&s->expected) == NULL &&
            smtp_reply_parser_is_empty(&s->parser))
            return;
    }
}
