#include "smtp/flight.h"

#include "core/panic.h"

/* Slices in one go, so that other sessions get their turn. */
#define SLICES_AT_ONCE 16

/* A reply of that kind is owed, to what ends here. */
static void expect(struct smtp_session *s, struct smtp_transaction *t,
                   enum smtp_stage kind, size_t recipient)
{
    const struct smtp_expected expected = {
        .kind = kind,
        .of = t,
        .recipient = recipient,
        .end = smtp_link_end(&s->link),
    };
    smtp_fifo_push(&s->expected, &expected);
    if (t != NULL)
        t->owed++;
}

static bool is_large(const struct smtp_transaction *t)
{
    return body_size(t->mail->body) > SMTP_FLIGHT_BODY_MAX;
}

/*
 * One step of a mail: adds to out, or not, and moves on. False: it has to
 * wait.
 */
typedef bool (*step_fn)(struct smtp_session *s, struct smtp_transaction *t,
                        struct buf *out);

static bool begin(struct smtp_session *s, struct smtp_transaction *t,
                  struct buf *out)
{
    bool always = s->mode == SMTP_MODE_BDAT && s->window > 1 && s->mails > 0;
    (void)out;
    t->reused = s->mails > 0;
    t->waits_for_rset = s->needs_reset;
    s->mails++;
    t->step = s->needs_reset || always ? SMTP_STEP_RSET : SMTP_STEP_MAIL;
    return true;
}

static bool add_rset(struct smtp_session *s, struct smtp_transaction *t,
                     struct buf *out)
{
    smtp_command_rset(out);
    expect(s, t, SMTP_STAGE_RSET, 0);
    s->needs_reset = false;
    t->step = SMTP_STEP_MAIL;
    return true;
}

/*
 * A relay that is known to hold a transaction, and that would not let go of
 * it, would take this message for that one's recipients.
 */
static bool add_mail(struct smtp_session *s, struct smtp_transaction *t,
                     struct buf *out)
{
    if (t->waits_for_rset && t->owed > 0)
        return false;
    smtp_command_mail(out, &t->command);
    expect(s, t, SMTP_STAGE_MAIL, 0);
    t->step = SMTP_STEP_RCPT;
    return true;
}

static bool add_rcpt(struct smtp_session *s, struct smtp_transaction *t,
                     struct buf *out)
{
    size_t recipient;
    if (t->undecided == 0) {
        t->step = SMTP_STEP_DONE;
    } else if (smtp_transaction_next(t, &recipient)) {
        smtp_command_rcpt(out, str_from(t->mail->recipients[recipient]));
        expect(s, t, SMTP_STAGE_RCPT, recipient);
    } else {
        t->step = SMTP_STEP_DATA;
    }
    return true;
}

/* The message cannot be read to its end: it must not look finished. */
static void give_up(struct smtp_session *s, struct smtp_transaction *t)
{
    struct smtp_reply reply;
    smtp_reply_set_own(&reply, "",
                       "the stored message could not be read while it was "
                       "being sent");
    smtp_transaction_decide_rest(t, OUTCOME_DEFERRED, &reply);
    s->gave_up = true;
}

static bool add_bdat(struct smtp_session *s, struct smtp_transaction *t,
                     struct buf *out)
{
    if (is_large(t) && smtp_fifo_front(&s->expected) != NULL)
        return false;
    if (smtp_content_begin_raw(&t->content, t->mail->body) != ERR_NONE) {
        give_up(s, t);
        return false;
    }
    uint64_t size = smtp_content_raw_size(&t->content);
    smtp_command_bdat(out, size);
    t->end = smtp_link_end(&s->link) + size;
    const struct smtp_expected expected = {
        .kind = SMTP_STAGE_FINAL, .of = t, .end = t->end};
    smtp_fifo_push(&s->expected, &expected);
    t->owed++;
    t->step = SMTP_STEP_BODY;
    return true;
}

static bool add_data(struct smtp_session *s, struct smtp_transaction *t,
                     struct buf *out)
{
    if (t->undecided == 0) {
        t->step = SMTP_STEP_DONE;
        return true;
    }
    if (s->mode == SMTP_MODE_BDAT)
        return add_bdat(s, t, out);
    smtp_command_data(out);
    expect(s, t, SMTP_STAGE_DATA, 0);
    t->step = SMTP_STEP_GO;
    return true;
}

static bool wait_for_go(struct smtp_session *s, struct smtp_transaction *t,
                        struct buf *out)
{
    (void)s;
    (void)t;
    (void)out;
    return false;
}

static bool add_body(struct smtp_session *s, struct smtp_transaction *t,
                     struct buf *out)
{
    enum err_code rc = smtp_content_fill(&t->content, out, s->engine->scratch);
    if (rc != ERR_NONE) {
        give_up(s, t);
        return false;
    }
    if (!t->content.done)
        return true;
    if (t->content.raw) {
        t->step = is_large(t) ? SMTP_STEP_TAIL : SMTP_STEP_DONE;
        return true;
    }
    t->end = smtp_link_end(&s->link);
    expect(s, t, SMTP_STAGE_FINAL, 0);
    s->needs_reset = false;
    t->step = SMTP_STEP_DONE;
    return true;
}

/* What the relay makes of it is not known: the next one begins with RSET. */
static bool add_dot(struct smtp_session *s, struct smtp_transaction *t,
                    struct buf *out)
{
    buf_add_text(out, ".\r\n");
    expect(s, t, SMTP_STAGE_FINAL, 0);
    s->needs_reset = true;
    t->step = SMTP_STEP_DONE;
    return true;
}

static bool wait_for_tail(struct smtp_session *s, struct smtp_transaction *t,
                          struct buf *out)
{
    (void)out;
    if (!smtp_transaction_is_sent(t, smtp_link_accepted(&s->link)))
        return false;
    t->step = SMTP_STEP_DONE;
    return true;
}

static const step_fn steps[SMTP_STEP_COUNT] = {
    [SMTP_STEP_BEGIN] = begin,       [SMTP_STEP_RSET] = add_rset,
    [SMTP_STEP_MAIL] = add_mail,     [SMTP_STEP_RCPT] = add_rcpt,
    [SMTP_STEP_DATA] = add_data,     [SMTP_STEP_GO] = wait_for_go,
    [SMTP_STEP_BODY] = add_body,     [SMTP_STEP_DOT] = add_dot,
    [SMTP_STEP_TAIL] = wait_for_tail};

static struct smtp_transaction *next_mail(struct smtp_session *s)
{
    while (s->cursor < s->count) {
        struct smtp_transaction *t = smtp_session_mail(s, s->cursor);
        if (t->step != SMTP_STEP_DONE)
            return t;
        s->cursor++;
    }
    return NULL;
}

static bool may_speak(const struct smtp_session *s)
{
    return s->state == SMTP_STATE_OPEN && !s->gave_up && !s->write_failed &&
           (s->mode != SMTP_MODE_ONE_BY_ONE ||
            smtp_fifo_front(&s->expected) == NULL);
}

static void add_quit(struct smtp_session *s, struct buf *out)
{
    if (!s->quit_wanted || s->count > 0 ||
        smtp_fifo_front(&s->expected) != NULL)
        return;
    smtp_command_quit(out);
    expect(s, NULL, SMTP_STAGE_QUIT, 0);
    smtp_session_set_state(s, SMTP_STATE_QUIT);
}

/* Fills a slice with what may be said. */
static void compose(struct smtp_session *s)
{
    struct buf *out = smtp_link_begin(&s->link);
    while (may_speak(s) && out->len + SMTP_COMMAND_MAX <= SMTP_CONTENT_SLICE) {
        struct smtp_transaction *t = next_mail(s);
        if (t == NULL) {
            add_quit(s, out);
            break;
        }
        if (!steps[t->step](s, t, out))
            break;
    }
    PANIC_IF(!buf_ok(out));
}

static enum err_code write_out(struct smtp_session *s)
{
    bool in_body = smtp_dialogue_stage(s) == SMTP_STAGE_BODY;
    uint64_t before = smtp_link_accepted(&s->link);
    enum err_code rc = smtp_link_flush(&s->link);
    if (in_body && smtp_link_accepted(&s->link) > before)
        smtp_dialogue_touch(s);
    if (rc == ERR_AGAIN)
        smtp_link_await_writable(&s->link);
    if (rc == ERR_CLOSED) {
        s->write_failed = true;
        smtp_engine_set_due(s->engine, &s->client);
    }
    return rc;
}

static bool compose_and_write(struct smtp_session *s)
{
    bool was_owed = smtp_fifo_front(&s->expected) != NULL;
    if (!smtp_link_is_pending(&s->link))
        compose(s);
    if (!was_owed && smtp_fifo_front(&s->expected) != NULL)
        smtp_dialogue_touch(s);
    return smtp_link_is_pending(&s->link) && write_out(s) == ERR_NONE;
}

void smtp_flight_write(struct smtp_session *s)
{
    int slices = 0;
    if (s->write_failed ||
        (s->state != SMTP_STATE_OPEN && s->state != SMTP_STATE_QUIT))
        return;
    while (compose_and_write(s))
        if (++slices == SLICES_AT_ONCE) {
            smtp_link_await_writable(&s->link);
            return;
        }
    if (s->gave_up && !smtp_link_is_pending(&s->link))
        smtp_dialogue_end(s);
}
