#include "smtp/session.h"

#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"
#include "smtp/dialogue.h"
#include "smtp/envelope.h"
#include "smtp/flight.h"
#include "smtp/trouble.h"

void smtp_session_set_state(struct smtp_session *s, enum smtp_state state)
{
    static const char *const names[SMTP_STATE_COUNT] = {
        [SMTP_STATE_CONNECTING] = "connecting", [SMTP_STATE_OPEN] = "open",
        [SMTP_STATE_ENDING] = "ending",         [SMTP_STATE_QUIT] = "quit",
        [SMTP_STATE_CLOSED] = "closed",
    };
    log_event(LOG_LEVEL_DEBUG, "smtp.state", LOG_TEXT("relay", s->relay->name),
              LOG_INT("session", s->number), LOG_TEXT("from", names[s->state]),
              LOG_TEXT("to", names[state]));
    s->state = state;
    smtp_dialogue_touch(s);
}

void smtp_session_cut(struct smtp_session *s)
{
    smtp_link_close(&s->link);
    smtp_connect_close(&s->connect);
    smtp_session_set_state(s, SMTP_STATE_CLOSED);
}

static void free_session(struct smtp_session *s)
{
    smtp_engine_remove(s->engine, &s->client);
    smtp_fifo_fini(&s->expected);
    for (size_t i = 0; i < s->window; i++)
        smtp_transaction_fini(&s->ring[i]);
    mem_free(s->ring);
    mem_free(s);
}

/* ---- what the loop brings ---- */

/* The result of the oldest mail; its place is free from here on. */
static void tell_result(struct smtp_session *s)
{
    struct smtp_transaction *t = smtp_session_mail(s, 0);
    const struct smtp_result result = {
        .recipients = t->results,
        .count = t->mail->recipient_count,
    };
    s->first = (s->first + 1) % s->window;
    s->count--;
    if (s->cursor > 0)
        s->cursor--;
    s->events->result(s->ctx, s, t->mail, &result);
}

static bool has_result(const struct smtp_session *s)
{
    return s->count > 0 && smtp_transaction_is_over(smtp_session_mail(s, 0));
}

/*
 * Tells what there is to tell; the last thing that every entry from the loop
 * does, because the callbacks may do anything to s and closed ends it. A mail
 * sent in a callback and refused at once has its turn later.
 */
static void report(struct smtp_session *s)
{
    for (size_t left = s->count; left > 0 && has_result(s); left--)
        tell_result(s);
    if (has_result(s)) {
        smtp_engine_set_due(s->engine, &s->client);
    } else if (s->state == SMTP_STATE_CLOSED) {
        PANIC_IF(s->count > 0);
        s->events->closed(s->ctx, s, &s->closing);
        free_session(s);
    } else if (s->quit_wanted && s->count == 0) {
        smtp_engine_set_speaking(s->engine, &s->client);
    }
}

static bool waits_for_more(const struct smtp_session *s)
{
    return s->state == SMTP_STATE_OPEN && smtp_fifo_front(&s->expected) != NULL;
}

static void on_readable(void *ctx)
{
    struct smtp_session *s = ctx;
    smtp_dialogue_read(s);
    if (waits_for_more(s)) {
        s->heard_part = true;
        smtp_engine_set_speaking(s->engine, &s->client);
    }
    report(s);
}

static void on_writable(void *ctx)
{
    struct smtp_session *s = ctx;
    smtp_engine_set_speaking(s->engine, &s->client);
}

static const struct smtp_link_hooks link_hooks = {
    .readable = on_readable,
    .writable = on_writable,
};

static void fail_connect(struct smtp_session *s, const struct err *err)
{
    s->closing = (struct smtp_closing){
        .relay_failed = true, .stage = SMTP_STAGE_CONNECT, .err = *err};
    smtp_session_cut(s);
}

static enum smtp_mode mode_of(const struct smtp_session *s)
{
    const struct smtp_caps *caps = &s->connect.caps;
    if (!s->relay->pipelining ||
        !smtp_caps_has(caps, SMTP_EXTENSION_PIPELINING))
        return SMTP_MODE_ONE_BY_ONE;
    if (!s->relay->chunking || !smtp_caps_has(caps, SMTP_EXTENSION_CHUNKING))
        return SMTP_MODE_PIPELINE;
    return SMTP_MODE_BDAT;
}

static size_t window_of(const struct smtp_session *s)
{
    size_t unconfirmed = s->relay->unconfirmed;
    if (s->mode == SMTP_MODE_ONE_BY_ONE)
        return 1;
    if (s->mode == SMTP_MODE_PIPELINE)
        return 2; /* one under way, and the next */
    if (unconfirmed > SMTP_UNCONFIRMED_MAX)
        return SMTP_UNCONFIRMED_MAX;
    return unconfirmed > 0 ? unconfirmed : 1;
}

static void open_for_mail(struct smtp_session *s)
{
    s->mode = mode_of(s);
    s->window = window_of(s);
    s->ring = mem_calloc(s->window, sizeof(*s->ring));
    for (size_t i = 0; i < s->window; i++)
        smtp_transaction_init(&s->ring[i]);
    smtp_session_set_state(s, SMTP_STATE_OPEN);
    /*
     * Reading pins the connection to the handle: else libcurl closes it after
     * 118 idle seconds. A relay that is gone by now has not let us in.
     */
    smtp_dialogue_read(s);
    if (s->state == SMTP_STATE_CLOSED)
        s->closing.relay_failed = true;
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
    open_for_mail(s);
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
    if (s->state == SMTP_STATE_OPEN)
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
        smtp_flight_write(s);
    }
    if (c->deadline_ms == 0 && smtp_dialogue_timeout_ms(s) != 0)
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

static void on_speak(struct smtp_engine_client *c)
{
    struct smtp_session *s = c->owner;
    uint64_t before = smtp_link_accepted(&s->link);
    smtp_flight_write(s);
    /* What we write carries the confirmation of what we read. */
    if (s->heard_part && waits_for_more(s) &&
        smtp_link_accepted(&s->link) == before)
        smtp_link_confirm(&s->link);
    s->heard_part = false;
}

static const struct smtp_engine_hooks engine_hooks = {
    .connected = on_connected,
    .deadline = on_deadline,
    .due = on_due,
    .speak = on_speak,
};

/* ---- for the owner ---- */

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
    if (s->state != SMTP_STATE_OPEN || s->quit_wanted || s->gave_up ||
        s->write_failed)
        return 0;
    return s->window - s->count;
}

bool smtp_session_is_idle(const struct smtp_session *s)
{
    return s->state == SMTP_STATE_OPEN && s->count == 0;
}

bool smtp_session_wants_7bit(const struct smtp_session *s)
{
    return !smtp_caps_has(&s->connect.caps, SMTP_EXTENSION_8BITMIME);
}

enum err_code smtp_session_send(struct smtp_session *s,
                                const struct smtp_mail *mail, struct err *err)
{
    PANIC_IF(smtp_session_room(s) == 0);
    enum err_code rc = smtp_envelope_check(mail, err);
    if (rc != ERR_NONE)
        return rc;
    struct smtp_transaction *t = smtp_session_mail(s, s->count++);
    smtp_transaction_begin(t, mail);
    smtp_envelope_prepare(t, &s->connect.caps, s->relay);
    if (t->undecided > 0) {
        smtp_engine_set_speaking(s->engine, &s->client);
    } else {
        t->step = SMTP_STEP_DONE;
        smtp_engine_set_due(s->engine, &s->client);
    }
    return ERR_NONE;
}

void smtp_session_quit(struct smtp_session *s)
{
    if (s->state == SMTP_STATE_CONNECTING) {
        smtp_session_abort(s);
        return;
    }
    s->quit_wanted = true;
    smtp_engine_set_speaking(s->engine, &s->client);
}

void smtp_session_abort(struct smtp_session *s)
{
    if (s->state != SMTP_STATE_CLOSED)
        smtp_dialogue_abort(s);
}
