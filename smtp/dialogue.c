#include "smtp/dialogue.h"

#include "core/panic.h"
#include "smtp/trouble.h"

/* Slices of a body in one go, so that other sessions get their turn. */
#define SLICES_AT_ONCE 16

/* A write that fails is looked at from the loop, whoever made it. */
static enum err_code flush(struct smtp_session *s)
{
    size_t before = s->link.written;
    enum err_code rc = smtp_link_flush(&s->link);
    if (s->state == SMTP_STATE_BODY && s->link.written > before)
        smtp_session_touch(s);
    if (rc == ERR_AGAIN)
        smtp_link_await_writable(&s->link);
    if (rc == ERR_CLOSED) {
        s->write_failed = true;
        smtp_engine_set_due(s->engine, &s->client);
    }
    return rc;
}

/* A reply of that kind is owed from now on; set_state() came before. */
static void expect(struct smtp_session *s, enum smtp_stage kind,
                   size_t recipient)
{
    const struct smtp_expected expected = {
        .kind = kind,
        .recipient = recipient,
        .deadline_ms = s->client.deadline_ms,
    };
    smtp_fifo_push(&s->expected, &expected);
}

/* One flight, one write. */
static void fly(struct smtp_session *s)
{
    PANIC_IF(!buf_ok(&s->link.out));
    if (!s->write_failed)
        (void)flush(s);
}

static void send_mail(struct smtp_session *s)
{
    smtp_session_set_state(s, SMTP_STATE_MAIL);
    smtp_command_mail(smtp_link_begin(&s->link), &s->command);
    expect(s, SMTP_STAGE_MAIL, 0);
    fly(s);
}

static void send_rcpt(struct smtp_session *s, size_t recipient)
{
    const char *address = s->transaction.mail->recipients[recipient];
    smtp_session_set_state(s, SMTP_STATE_RCPT);
    smtp_command_rcpt(smtp_link_begin(&s->link), str_from(address));
    expect(s, SMTP_STAGE_RCPT, recipient);
    fly(s);
}

static void send_data(struct smtp_session *s)
{
    smtp_session_set_state(s, SMTP_STATE_DATA);
    smtp_command_data(smtp_link_begin(&s->link));
    expect(s, SMTP_STAGE_DATA, 0);
    fly(s);
}

static void send_rset(struct smtp_session *s)
{
    smtp_session_set_state(s, SMTP_STATE_RSET);
    smtp_command_rset(smtp_link_begin(&s->link));
    expect(s, SMTP_STAGE_RSET, 0);
    fly(s);
}

void smtp_dialogue_begin(struct smtp_session *s)
{
    s->in_mail = true;
    s->reused = s->mails > 0;
    s->mails++;
    if (s->needs_reset)
        send_rset(s);
    else
        send_mail(s);
}

void smtp_dialogue_quit(struct smtp_session *s)
{
    smtp_session_set_state(s, SMTP_STATE_QUIT);
    smtp_command_quit(smtp_link_begin(&s->link));
    expect(s, SMTP_STAGE_QUIT, 0);
    fly(s);
}

static struct outcome_input input_of(const struct smtp_session *s,
                                     enum smtp_stage stage,
                                     enum smtp_event event)
{
    return (struct outcome_input){
        .stage = stage,
        .event = event,
        .code = event == SMTP_EVENT_REPLY ? s->reply.code : 0,
        .rcpt_accepted = s->transaction.accepted > 0,
        .reused = s->reused,
    };
}

/* The mail has its result; the session may be closed by now or not. */
static void finish_mail(struct smtp_session *s)
{
    s->in_mail = false;
    s->result_due = true;
    s->needs_reset = s->transaction.open;
    if (s->state != SMTP_STATE_CLOSED)
        smtp_session_set_state(s, SMTP_STATE_IDLE);
}

static void apply(struct smtp_session *s, const struct smtp_expected *answered,
                  const struct outcome_verdict *verdict)
{
    const struct smtp_transaction_event event = {
        .stage = answered->kind,
        .recipient = answered->recipient,
        .positive = verdict->outcome == OUTCOME_NONE &&
                    verdict->session == OUTCOME_SESSION_KEEP,
    };
    if (!s->in_mail)
        return;
    smtp_transaction_apply(&s->transaction, &event, verdict, &s->reply);
    if (s->transaction.undecided == 0)
        finish_mail(s);
    PANIC_IF(s->in_mail && s->state == SMTP_STATE_CLOSED);
}

static void cut(struct smtp_session *s, enum smtp_stage stage,
                enum smtp_event event, bool relay_failed)
{
    const struct smtp_trouble_dialogue trouble = {
        .relay = s->relay,
        .stage = stage,
        .event = event,
        .reply = &s->reply,
        .timeout_ms = smtp_session_timeout_ms(s),
    };
    struct smtp_closing closing = {
        .relay_failed = relay_failed,
        .by_us = s->state == SMTP_STATE_QUIT,
    };
    if (!closing.by_us)
        smtp_trouble_dialogue(&trouble, &closing.err);
    smtp_session_cut(s, &closing);
}

void smtp_dialogue_silence(struct smtp_session *s, enum smtp_event event)
{
    const struct smtp_expected unanswered = {.kind = smtp_session_stage(s)};
    struct outcome_input input = input_of(s, unanswered.kind, event);
    struct outcome_verdict verdict = outcome_of(&input);
    cut(s, unanswered.kind, event, verdict.relay_failed);
    smtp_reply_set_own(&s->reply, "", s->closing.err.text);
    apply(s, &unanswered, &verdict);
}

/* The message cannot be read to its end: it must not look finished. */
static void give_up_body(struct smtp_session *s)
{
    const struct smtp_expected unanswered = {.kind = SMTP_STAGE_BODY};
    struct outcome_input input = input_of(s, SMTP_STAGE_BODY, SMTP_EVENT_LOST);
    struct outcome_verdict verdict = outcome_of(&input);
    struct smtp_closing closing = {.by_us = true};
    smtp_session_cut(s, &closing);
    smtp_reply_set_own(&s->reply, "",
                       "the stored message could not be read while it was "
                       "being sent");
    apply(s, &unanswered, &verdict);
}

/* Writes slices until the relay's side is full or the dot is out. */
static void pump_body(struct smtp_session *s)
{
    for (int i = 0; i < SLICES_AT_ONCE; i++) {
        if (flush(s) != ERR_NONE)
            return;
        if (s->content.done) {
            smtp_session_set_state(s, SMTP_STATE_FINAL);
            expect(s, SMTP_STAGE_FINAL, 0);
            return;
        }
        enum err_code rc = smtp_content_fill(
            &s->content, smtp_link_begin(&s->link), s->engine->scratch);
        if (rc != ERR_NONE) {
            give_up_body(s);
            return;
        }
    }
    smtp_link_await_writable(&s->link);
}

static void start_body(struct smtp_session *s)
{
    smtp_session_set_state(s, SMTP_STATE_BODY);
    smtp_content_begin(&s->content, s->transaction.mail->body);
    pump_body(s);
}

static void send_next(struct smtp_session *s, enum smtp_stage answered)
{
    size_t recipient;
    switch (answered) {
    case SMTP_STAGE_RSET:
        s->needs_reset = false;
        send_mail(s);
        return;
    case SMTP_STAGE_MAIL:
    case SMTP_STAGE_RCPT:
        if (smtp_transaction_next(&s->transaction, &recipient))
            send_rcpt(s, recipient);
        else
            send_data(s);
        return;
    case SMTP_STAGE_DATA:
        start_body(s);
        return;
    case SMTP_STAGE_CONNECT:
    case SMTP_STAGE_BODY:
    case SMTP_STAGE_FINAL:
    case SMTP_STAGE_IDLE:
    case SMTP_STAGE_QUIT:
    case SMTP_STAGE_COUNT:
        break;
    }
    PANIC("a mail cannot go on from stage %d", (int)answered);
}

/*
 * A yes to what had not left us when it came is none: believed, it would
 * stand for the answer to the next command, and a mail for delivered.
 */
static bool is_too_early(const struct smtp_session *s)
{
    if (s->state != SMTP_STATE_BODY && smtp_link_is_pending(&s->link))
        return true;
    return s->premature && s->in_mail && s->reply.code < 400;
}

static void take_reply(struct smtp_session *s)
{
    struct smtp_expected answered = {.kind = smtp_session_stage(s)};
    if (is_too_early(s)) {
        smtp_dialogue_silence(s, SMTP_EVENT_GARBAGE);
        return;
    }
    (void)smtp_fifo_pop(&s->expected, &answered);
    s->still_owed = s->expected.count;
    struct outcome_input input = input_of(s, answered.kind, SMTP_EVENT_REPLY);
    struct outcome_verdict verdict = outcome_of(&input);
    if (verdict.session == OUTCOME_SESSION_CLOSE)
        cut(s, answered.kind, SMTP_EVENT_REPLY, verdict.relay_failed);
    apply(s, &answered, &verdict);
    if (s->in_mail)
        send_next(s, answered.kind);
}

static void parse(struct smtp_session *s, struct str input)
{
    while (input.len > 0 && s->state != SMTP_STATE_CLOSED) {
        enum err_code rc = smtp_reply_parse(&s->parser, &input, &s->reply);
        if (rc == ERR_AGAIN)
            return;
        if (rc != ERR_NONE) {
            smtp_dialogue_silence(s, SMTP_EVENT_GARBAGE);
            return;
        }
        take_reply(s);
        s->premature = s->still_owed == 0 && input.len > 0;
    }
}

/*
 * Reads until there is nothing more: what libcurl has decrypted already shows
 * on no descriptor. Only when the last reply that was owed has come in whole
 * the next read is saved: nobody waits for what could be behind it, and it is
 * read before the next reply.
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
        s->still_owed = s->expected.count;
        parse(s, str_of(in, got));
        if (s->still_owed == 0 && smtp_reply_parser_is_empty(&s->parser))
            return;
    }
}

void smtp_dialogue_write(struct smtp_session *s)
{
    if (s->state == SMTP_STATE_BODY)
        pump_body(s);
    else if (s->state != SMTP_STATE_CLOSED)
        (void)flush(s);
}
