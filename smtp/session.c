#include "smtp/session.h"

#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"
#include "core/utf8.h"
#include "smtp/dialogue.h"
#include "smtp/trouble.h"

#define QUIT_TIMEOUT_MS 2000

/* libcurl's own timeout comes first; this is in case that it does not. */
#define CONNECT_GRACE_MS 5000

static const struct state_info {
    const char *name;
    enum smtp_stage stage;
} states[SMTP_STATE_COUNT] = {
    [SMTP_STATE_CONNECTING] = {"connecting", SMTP_STAGE_CONNECT},
    [SMTP_STATE_IDLE] = {"idle", SMTP_STAGE_IDLE},
    [SMTP_STATE_RSET] = {"rset", SMTP_STAGE_RSET},
    [SMTP_STATE_MAIL] = {"mail", SMTP_STAGE_MAIL},
    [SMTP_STATE_RCPT] = {"rcpt", SMTP_STAGE_RCPT},
    [SMTP_STATE_DATA] = {"data", SMTP_STAGE_DATA},
    [SMTP_STATE_BODY] = {"body", SMTP_STAGE_BODY},
    [SMTP_STATE_FINAL] = {"final", SMTP_STAGE_FINAL},
    [SMTP_STATE_QUIT] = {"quit", SMTP_STAGE_QUIT},
    [SMTP_STATE_CLOSED] = {"closed", SMTP_STAGE_IDLE},
};

enum smtp_stage smtp_session_stage(const struct smtp_session *s)
{
    return states[s->state].stage;
}

int64_t smtp_session_timeout_ms(const struct smtp_session *s)
{
    const struct smtp_relay *relay = s->relay;
    switch (s->state) {
    case SMTP_STATE_CONNECTING:
        return relay->connect_timeout_ms + CONNECT_GRACE_MS;
    case SMTP_STATE_RSET:
    case SMTP_STATE_MAIL:
        return relay->mail_timeout_ms;
    case SMTP_STATE_RCPT:
        return relay->rcpt_timeout_ms;
    case SMTP_STATE_DATA:
        return relay->data_timeout_ms;
    case SMTP_STATE_BODY:
        return relay->body_timeout_ms;
    case SMTP_STATE_FINAL:
        return relay->final_timeout_ms;
    case SMTP_STATE_QUIT:
        return QUIT_TIMEOUT_MS;
    case SMTP_STATE_IDLE:
    case SMTP_STATE_CLOSED:
    case SMTP_STATE_COUNT:
        break;
    }
    return 0;
}

void smtp_session_touch(struct smtp_session *s)
{
    int64_t timeout_ms = smtp_session_timeout_ms(s);
    int64_t deadline_ms =
        timeout_ms == 0 ? 0 : clock_mono_ms(s->engine->clock) + timeout_ms;
    smtp_engine_set_deadline(s->engine, &s->client, deadline_ms);
}

void smtp_session_set_state(struct smtp_session *s, enum smtp_state state)
{
    log_event(LOG_LEVEL_DEBUG, "smtp.state", LOG_TEXT("relay", s->relay->name),
              LOG_INT("session", s->number),
              LOG_TEXT("from", states[s->state].name),
              LOG_TEXT("to", states[state].name));
    s->state = state;
    smtp_session_touch(s);
}

void smtp_session_cut(struct smtp_session *s,
                      const struct smtp_closing *closing)
{
    s->closing = *closing;
    s->closing.stage = smtp_session_stage(s);
    smtp_link_close(&s->link);
    smtp_connect_close(&s->connect);
    smtp_session_set_state(s, SMTP_STATE_CLOSED);
}

static void free_session(struct smtp_session *s)
{
    smtp_engine_remove(s->engine, &s->client);
    smtp_fifo_fini(&s->expected);
    smtp_transaction_fini(&s->transaction);
    mem_free(s);
}

/*
 * Tells what there is to tell; the last thing that every entry from the loop
 * does, because the callbacks may do anything to s and closed ends it.
 */
static void report(struct smtp_session *s)
{
    if (s->result_due) {
        const struct smtp_result result = {
            .recipients = s->transaction.results,
            .count = s->transaction.mail->recipient_count,
        };
        s->result_due = false;
        s->events->result(s->ctx, s, s->transaction.mail, &result);
    }
    /* A mail sent in the callback and refused at once: its turn is next. */
    if (s->result_due)
        return;
    if (s->quit_wanted && s->state == SMTP_STATE_IDLE)
        smtp_dialogue_quit(s);
    if (s->state == SMTP_STATE_CLOSED) {
        s->events->closed(s->ctx, s, &s->closing);
        free_session(s);
    }
}

static void on_readable(void *ctx)
{
    struct smtp_session *s = ctx;
    smtp_dialogue_read(s);
    report(s);
}

static void on_writable(void *ctx)
{
    struct smtp_session *s = ctx;
    smtp_dialogue_write(s);
    report(s);
}

static const struct smtp_link_hooks link_hooks = {
    .readable = on_readable,
    .writable = on_writable,
};

static void fail_connect(struct smtp_session *s, const struct err *err)
{
    const struct smtp_closing closing = {.relay_failed = true, .err = *err};
    smtp_session_cut(s, &closing);
}

/* Takes over the connection that libcurl made. */
static void take_over(struct smtp_session *s)
{
    int fd = smtp_connect_socket(&s->connect);
    enum err_code rc = ERR_SYSTEM;
    if (fd >= 0)
        rc = smtp_link_open(&s->link, s->engine->base, s->connect.easy, fd);
    if (rc != ERR_NONE) {
        struct err err;
        char who[SMTP_TROUBLE_NAME_MAX];
        smtp_trouble_relay(s->relay, who);
        err_set(&err, rc, "%s: cannot watch the connection", who);
        fail_connect(s, &err);
        return;
    }
    smtp_session_set_state(s, SMTP_STATE_IDLE);
    /*
     * Reading pins the connection to the handle: else libcurl closes it after
     * 118 idle seconds. A relay that is gone by now has not let us in.
     */
    smtp_dialogue_read(s);
    if (s->state == SMTP_STATE_CLOSED)
        s->closing.relay_failed = true;
}

static void on_connected(struct smtp_engine_client *c, CURLcode code)
{
    struct smtp_session *s = c->owner;
    struct err err = {0};
    if (s->state != SMTP_STATE_CONNECTING)
        return;
    if (smtp_connect_tries_another(&s->connect, code))
        return;
    if (smtp_connect_check(&s->connect, code, &err) == ERR_NONE)
        take_over(s);
    else
        fail_connect(s, &err);
    if (s->state == SMTP_STATE_IDLE)
        s->events->ready(s->ctx, s);
    report(s);
}

static void on_deadline(struct smtp_engine_client *c)
{
    struct smtp_session *s = c->owner;
    struct err err = {0};
    if (s->state == SMTP_STATE_CONNECTING) {
        smtp_connect_explain_timeout(&s->connect, &err);
        fail_connect(s, &err);
    } else {
        /* If it was us who were late, the answer may lie there. */
        smtp_dialogue_read(s);
    }
    if (c->deadline_ms == 0 && smtp_session_timeout_ms(s) != 0)
        smtp_dialogue_silence(s, SMTP_EVENT_TIMEOUT);
    report(s);
}

static void on_due(struct smtp_engine_client *c)
{
    struct smtp_session *s = c->owner;
    if (s->write_failed) {
        /* A relay that hangs up on us may have said why. */
        smtp_dialogue_read(s);
        if (s->state != SMTP_STATE_CLOSED)
            smtp_dialogue_silence(s, SMTP_EVENT_LOST);
    }
    report(s);
}

static const struct smtp_engine_hooks engine_hooks = {
    .connected = on_connected,
    .deadline = on_deadline,
    .due = on_due,
};

enum err_code smtp_session_open(struct smtp_session **out,
                                struct smtp_engine *engine,
                                const struct smtp_relay *relay,
                                const struct smtp_session_events *events,
                                void *ctx)
{
    struct smtp_session *s;
    MEM_NEW(s);
    s->client.hooks = &engine_hooks;
    s->client.owner = s;
    s->engine = engine;
    s->relay = relay;
    s->events = events;
    s->ctx = ctx;
    s->number = ++engine->sessions_made;
    s->link.hooks = &link_hooks;
    s->link.ctx = s;
    smtp_reply_parser_init(&s->parser);
    smtp_fifo_init(&s->expected);
    smtp_transaction_init(&s->transaction);
    smtp_engine_add(engine, &s->client);
    enum err_code rc =
        smtp_connect_start(&s->connect, engine, relay, &s->client);
    if (rc != ERR_NONE) {
        free_session(s);
        return rc;
    }
    smtp_session_set_state(s, SMTP_STATE_CONNECTING);
    *out = s;
    return ERR_NONE;
}

size_t smtp_session_room(const struct smtp_session *s)
{
    return smtp_session_is_idle(s) && !s->quit_wanted ? 1 : 0;
}

bool smtp_session_is_idle(const struct smtp_session *s)
{
    return s->state == SMTP_STATE_IDLE && !s->result_due;
}

bool smtp_session_wants_7bit(const struct smtp_session *s)
{
    return !smtp_caps_has(&s->connect.caps, SMTP_EXTENSION_8BITMIME);
}

static enum err_code check_mail(const struct smtp_mail *mail, struct err *err)
{
    struct str sender = str_from(mail->sender);
    if (mail->recipient_count == 0)
        return err_set(err, ERR_INVALID, "a mail has no recipient");
    if (sender.len > 0 && !smtp_command_address_ok(sender))
        return err_set(err, ERR_INVALID,
                       "not sent: the sender is over %d bytes, or has a byte "
                       "that no SMTP command may hold",
                       SMTP_ADDRESS_MAX);
    return ERR_NONE;
}

static void check_recipients(struct smtp_session *s)
{
    const struct smtp_mail *mail = s->transaction.mail;
    struct smtp_reply reply;
    smtp_reply_set_own(&reply, "5.1.3",
                       "not sent: the address is empty, too long, or has a "
                       "byte that no SMTP command may hold");
    for (size_t i = 0; i < mail->recipient_count; i++)
        if (!smtp_command_address_ok(str_from(mail->recipients[i])))
            smtp_transaction_decide(&s->transaction, i, OUTCOME_REJECTED,
                                    &reply);
}

/* RFC 1870 section 6.1: what is announced as too large is not sent. */
static void check_size(struct smtp_session *s)
{
    const struct smtp_caps *caps = &s->connect.caps;
    uint64_t size = s->command.size_bytes;
    struct smtp_reply reply;
    struct err words;
    if (caps->size_max == 0 || size <= caps->size_max)
        return;
    err_set(&words, ERR_TOO_LARGE,
            "not sent: the message has %llu bytes, relay %.60s takes %llu at "
            "most",
            (unsigned long long)size, s->relay->name,
            (unsigned long long)caps->size_max);
    smtp_reply_set_own(&reply, "5.3.4", words.text);
    smtp_transaction_decide_rest(&s->transaction, OUTCOME_REJECTED, &reply);
}

/* RFC 6531 section 3.2: an address in UTF-8 only where it is understood. */
static void check_utf8(struct smtp_session *s)
{
    const struct smtp_mail *mail = s->transaction.mail;
    bool offered = smtp_caps_has(&s->connect.caps, SMTP_EXTENSION_SMTPUTF8);
    bool sender = !utf8_is_ascii(s->command.sender);
    struct smtp_reply reply;
    s->command.utf8 = sender;
    smtp_reply_set_own(&reply, "5.6.7",
                       "not sent: the address is not ASCII, and the relay "
                       "does not offer SMTPUTF8");
    if (sender && !offered)
        smtp_transaction_decide_rest(&s->transaction, OUTCOME_REJECTED, &reply);
    for (size_t i = 0; i < mail->recipient_count; i++) {
        if (utf8_is_ascii(str_from(mail->recipients[i])))
            continue;
        s->command.utf8 = true;
        if (!offered)
            smtp_transaction_decide(&s->transaction, i, OUTCOME_REJECTED,
                                    &reply);
    }
    s->command.utf8 = s->command.utf8 && offered;
}

static void check_8bit(struct smtp_session *s)
{
    struct smtp_reply reply;
    if (!smtp_caps_has(&s->connect.caps, SMTP_EXTENSION_8BITMIME))
        return;
    if (body_is_8bit(s->transaction.mail->body, &s->command.body_8bit) ==
        ERR_NONE)
        return;
    smtp_reply_set_own(&reply, "", "the stored message could not be read");
    smtp_transaction_decide_rest(&s->transaction, OUTCOME_DEFERRED, &reply);
}

enum err_code smtp_session_send(struct smtp_session *s,
                                const struct smtp_mail *mail, struct err *err)
{
    PANIC_IF(smtp_session_room(s) == 0);
    enum err_code rc = check_mail(mail, err);
    if (rc != ERR_NONE)
        return rc;
    smtp_transaction_begin(&s->transaction, mail);
    s->command = (struct smtp_command_mail){
        .sender = str_from(mail->sender),
        .with_size = smtp_caps_has(&s->connect.caps, SMTP_EXTENSION_SIZE),
        .size_bytes = body_size(mail->body),
    };
    check_recipients(s);
    check_size(s);
    check_utf8(s);
    check_8bit(s);
    if (s->transaction.undecided > 0) {
        smtp_dialogue_begin(s);
        return ERR_NONE;
    }
    s->result_due = true;
    smtp_engine_set_due(s->engine, &s->client);
    return ERR_NONE;
}

void smtp_session_quit(struct smtp_session *s)
{
    if (s->state == SMTP_STATE_CONNECTING) {
        smtp_session_abort(s);
        return;
    }
    s->quit_wanted = true;
    if (s->state == SMTP_STATE_IDLE)
        smtp_engine_set_due(s->engine, &s->client);
}

void smtp_session_abort(struct smtp_session *s)
{
    const struct smtp_closing closing = {.by_us = true};
    struct smtp_reply reply;
    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (s->in_mail) {
        bool sent = s->state == SMTP_STATE_FINAL;
        smtp_reply_set_own(&reply, "",
                           sent ? "cut by us before the relay's answer"
                                : "cut by us before the message was sent");
        smtp_transaction_decide_rest(
            &s->transaction, sent ? OUTCOME_UNKNOWN : OUTCOME_UNTRIED, &reply);
        s->in_mail = false;
        s->result_due = true;
    }
    smtp_session_cut(s, &closing);
    smtp_engine_set_due(s->engine, &s->client);
}
