#include "tests/unit/consumer/fake_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

#define SESSIONS_MAX   8192
#define RECIPIENTS_MAX 16

static struct {
    struct smtp_session *sessions[SESSIONS_MAX];
    size_t count;
} fake;

struct smtp_session *fake_session(size_t number)
{
    assert_true(number < fake.count);
    return fake.sessions[number];
}

size_t fake_opened(void)
{
    return fake.count;
}

size_t fake_alive(void)
{
    size_t alive = 0;
    for (size_t i = 0; i < fake.count; i++) {
        const struct smtp_session *s = fake.sessions[i];
        alive += !s->gone && !s->quit && !s->abort;
    }
    return alive;
}

void fake_ready(struct smtp_session *s, size_t window)
{
    assert_int_equal(s->window, 0);
    assert_true(window >= 1 && window <= FAKE_WINDOW_MAX);
    s->window = window;
    s->events->ready(s->ctx, s);
}

static const struct smtp_mail *take_oldest(struct smtp_session *s)
{
    assert_true(s->count > 0);
    const struct smtp_mail *mail = s->mails[0];
    s->count--;
    memmove(s->mails, s->mails + 1, s->count * sizeof(s->mails[0]));
    return mail;
}

void fake_answer_each(struct smtp_session *s, const enum outcome *outcomes,
                      const char *reply)
{
    struct smtp_recipient_result results[RECIPIENTS_MAX] = {0};
    const struct smtp_mail *mail = take_oldest(s);
    assert_true(mail->recipient_count <= RECIPIENTS_MAX);
    for (size_t i = 0; i < mail->recipient_count; i++) {
        results[i].outcome = outcomes[i];
        results[i].reply.code = 250;
        (void)snprintf(results[i].reply.text, sizeof(results[i].reply.text),
                       "%s", reply);
    }
    const struct smtp_result result = {.recipients = results,
                                       .count = mail->recipient_count};
    s->events->result(s->ctx, s, mail, &result);
}

void fake_answer(struct smtp_session *s, enum outcome outcome)
{
    enum outcome outcomes[RECIPIENTS_MAX];
    for (size_t i = 0; i < RECIPIENTS_MAX; i++)
        outcomes[i] = outcome;
    fake_answer_each(s, outcomes, outcome_name(outcome));
}

void fake_close(struct smtp_session *s, const struct smtp_closing *why)
{
    assert_int_equal(s->count, 0);
    assert_false(s->gone);
    s->ending = true;
    s->gone = true;
    s->events->closed(s->ctx, s, why);
}

void fake_break(struct smtp_session *s, enum outcome oldest)
{
    struct smtp_closing why = {.stage = SMTP_STAGE_MAIL};
    (void)err_set(&why.err, ERR_CLOSED, "it hung up");
    s->ending = true;
    for (bool first = true; s->count > 0; first = false)
        fake_answer(s, first ? oldest : OUTCOME_UNTRIED);
    fake_close(s, &why);
}

void fake_obey(void)
{
    static const struct smtp_closing why = {.by_us = true,
                                            .stage = SMTP_STAGE_QUIT};
    for (size_t i = 0; i < fake.count; i++) {
        struct smtp_session *s = fake.sessions[i];
        if (s->gone || (!s->abort && !(s->quit && s->count == 0)))
            continue;
        s->ending = true;
        for (bool first = true; s->count > 0; first = false)
            fake_answer(s, first ? OUTCOME_UNKNOWN : OUTCOME_UNTRIED);
        fake_close(s, &why);
    }
}

void fake_forget(void)
{
    for (size_t i = 0; i < fake.count; i++)
        mem_free(fake.sessions[i]);
    fake.count = 0;
}

/* ---- smtp/session.h ---- */

enum err_code smtp_session_open(struct smtp_session **out,
                                struct smtp_engine *engine,
                                const struct smtp_relay *relay,
                                const struct smtp_session_events *events,
                                void *ctx)
{
    struct smtp_session *s;
    (void)engine;
    assert_true(fake.count < SESSIONS_MAX);
    MEM_NEW(s);
    s->number = fake.count;
    s->relay = relay;
    s->events = events;
    s->ctx = ctx;
    fake.sessions[fake.count++] = s;
    *out = s;
    return ERR_NONE;
}

size_t smtp_session_room(const struct smtp_session *s)
{
    return s->ending || s->quit || s->abort ? 0 : s->window - s->count;
}

bool smtp_session_is_idle(const struct smtp_session *s)
{
    return s->window > 0 && s->count == 0;
}

bool smtp_session_wants_7bit(const struct smtp_session *s)
{
    return s->wants_7bit;
}

enum err_code smtp_session_send(struct smtp_session *s,
                                const struct smtp_mail *mail, struct err *err)
{
    assert_true(smtp_session_room(s) > 0);
    assert_true(mail->recipient_count > 0);
    if (strcmp(mail->sender, "bad") == 0)
        return err_set(err, ERR_INVALID, "not sent: the sender is bad");
    s->mails[s->count++] = mail;
    s->sent++;
    return ERR_NONE;
}

void smtp_session_quit(struct smtp_session *s)
{
    assert_false(s->gone);
    s->quit = true;
}

void smtp_session_abort(struct smtp_session *s)
{
    assert_false(s->gone);
    s->abort = true;
}
