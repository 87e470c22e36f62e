#include "tests/unit/smtp/chaos_check.h"

#include <stdio.h>
#include <string.h>

#define LARGE (128 << 10)

/* ---- results ---- */

static void check_reply(const struct chaos_recipient *expected,
                        struct chaos_record *r, size_t k, size_t i)
{
    const struct smtp_reply *reply = &r->results[k].of[i].reply;
    char number[32];
    if (expected->reply == CHAOS_ANY)
        return;
    if (expected->reply == CHAOS_NONE) {
        if (reply->code != 0)
            chaos_complain(r, "mail %zu, recipient %zu has a reply: %d %s", k,
                           i, reply->code, reply->text);
        return;
    }
    (void)snprintf(number, sizeof(number), "#%zu ", expected->reply);
    if (reply->code != r->replies[expected->reply].code ||
        strncmp(reply->text, number, strlen(number)) != 0)
        chaos_complain(r,
                       "mail %zu, recipient %zu has \"%d %s\" instead of reply "
                       "%zu",
                       k, i, reply->code, reply->text, expected->reply);
}

/* A reply that came behind one that nobody asked for may be another's. */
static bool is_lie(const struct chaos_record *r, size_t reply)
{
    return reply < r->reply_count && reply >= r->lie;
}

static void check_truth(const struct chaos_recipient *expected,
                        struct chaos_record *r, size_t k, size_t i)
{
    enum outcome outcome = r->results[k].of[i].outcome;
    bool has = r->taken[k].whole && r->taken[k].accepted[i];
    if (is_lie(r, expected->reply) || is_lie(r, expected->since))
        return;
    if (outcome == OUTCOME_DELIVERED && !has)
        chaos_complain(r, "mail %zu, recipient %zu: the relay has it not", k,
                       i);
    if (has && outcome != OUTCOME_DELIVERED && outcome != OUTCOME_UNKNOWN)
        chaos_complain(r, "mail %zu, recipient %zu is %s: the relay has it", k,
                       i, outcome_name(outcome));
}

static void check_recipient(const struct chaos_model *m, struct chaos_record *r,
                            size_t k, size_t i)
{
    const struct chaos_recipient *expected = &m->mails[k].of[i];
    enum outcome outcome = r->results[k].of[i].outcome;
    if ((CHAOS_BIT(outcome) & expected->allowed) == 0) {
        char names[128] = "";
        size_t len = 0;
        for (int o = 0; o < OUTCOME_COUNT && len < sizeof(names); o++)
            if ((CHAOS_BIT(o) & expected->allowed) != 0)
                len += (size_t)snprintf(names + len, sizeof(names) - len,
                                        "%s%s", len > 0 ? " or " : "",
                                        outcome_name((enum outcome)o));
        chaos_complain(r, "mail %zu, recipient %zu is %s instead of %s", k, i,
                       outcome_name(outcome), names);
        return;
    }
    check_reply(expected, r, k, i);
    check_truth(expected, r, k, i);
}

static void check_results(const struct chaos_model *m, struct chaos_record *r)
{
    for (size_t k = 0; k < r->sent; k++)
        for (size_t i = 0; i < m->plan->mails[k].mail.recipient_count; i++)
            check_recipient(m, r, k, i);
}

/* ---- when commands were said ---- */

/* Whether the reply to command i was read when that place was taken. */
static bool was_read(const struct chaos_model *m, size_t i, uint64_t place)
{
    return m->answered[i] <= chaos_record_read_before(m->record, place);
}

static void check_one_by_one(const struct chaos_model *m,
                             struct chaos_record *r)
{
    for (size_t i = 1; i < r->command_count; i++)
        if (!was_read(m, i - 1, r->commands[i].start))
            chaos_complain(r,
                           "command %zu came before the answer to the one "
                           "before it",
                           i);
}

/* After 452 the rest is not asked for; all at once, it may have been before. */
static void check_left_out(const struct chaos_model *m, struct chaos_record *r)
{
    for (size_t i = 0; i < r->command_count; i++) {
        const struct chaos_command *c = &r->commands[i];
        size_t by = m->mails[c->mail].again_by;
        if (c->kind == CHAOS_RCPT && by < r->reply_count &&
            r->replies[by].end <= chaos_record_read_before(r, c->start))
            chaos_complain(r, "command %zu: RCPT in vain", i);
    }
}

/* Behind DATA comes what its reply allows. */
static void check_data(const struct chaos_model *m, struct chaos_record *r)
{
    for (size_t i = 0; i < r->command_count; i++)
        if (r->commands[i].kind == CHAOS_DATA &&
            r->commands[i].end < r->accepted &&
            !was_read(m, i, r->commands[i].end))
            chaos_complain(r,
                           "command %zu: something was said behind DATA "
                           "before its answer",
                           i);
}

/* So many messages without an answer, and that of command i. */
static void check_unconfirmed(const struct chaos_model *m,
                              struct chaos_record *r, size_t i, size_t most)
{
    size_t count = 1;
    for (size_t n = 0; n < i; n++)
        if (r->commands[n].kind == CHAOS_FINAL &&
            !was_read(m, n, r->commands[i].start))
            count++;
    if (count > most)
        chaos_complain(r, "%zu messages are unconfirmed, not %zu", count, most);
}

static void check_messages(const struct chaos_model *m, struct chaos_record *r)
{
    size_t most = chaos_plan_chunks(m->plan) ? m->plan->unconfirmed : 1;
    for (size_t i = 0; i < r->command_count; i++) {
        const struct chaos_command *c = &r->commands[i];
        if (c->kind != CHAOS_FINAL)
            continue;
        check_unconfirmed(m, r, i, most);
        if (c->chunk && body_size(m->plan->mails[c->mail].body) > LARGE &&
            !was_read(m, i - 1, c->start))
            chaos_complain(r, "a large message was begun for nobody");
    }
}

/* QUIT is the last word, when all is answered. */
static void check_quit(const struct chaos_model *m, struct chaos_record *r)
{
    for (size_t i = 0; i < r->command_count; i++) {
        const struct chaos_command *c = &r->commands[i];
        if (c->kind == CHAOS_QUIT &&
            (c->end != r->accepted || r->result_count != r->sent ||
             (i > 0 && !was_read(m, i - 1, c->start))))
            chaos_complain(r, "QUIT came too early");
    }
}

/* ---- the end ---- */

static void check_end(const struct chaos_model *m, struct chaos_record *r)
{
    const struct smtp_closing *why = &r->closing;
    if (!r->ready) {
        if (!why->relay_failed || why->by_us || r->sent > 0)
            chaos_complain(r, "a session that never was ended in another way");
        return;
    }
    if (why->by_us && !r->aborted && !r->quit)
        chaos_complain(r, "it says that we ended it");
    if (!r->aborted && !m->may_have_failed &&
        why->relay_failed != m->relay_failed)
        chaos_complain(r, "the relay failed: %d", why->relay_failed);
    if (m->ending && r->accepted != m->ending_taken)
        chaos_complain(r, "something was said behind the end");
    if (r->write_refused && !r->listened && !r->aborted)
        chaos_complain(r, "it did not listen why it may not write");
    /* What came before FIN must have been read, if the end was not before. */
    if (m->silence && why->err.code == ERR_CLOSED && !r->reset &&
        r->heard != r->replied && !m->ending)
        chaos_complain(r, "it ended before it heard all");
}

void chaos_check(const struct chaos_model *model, struct chaos_record *record)
{
    check_end(model, record);
    check_results(model, record);
    if (!chaos_plan_pipelines(model->plan)) {
        check_one_by_one(model, record);
        check_left_out(model, record);
    }
    check_data(model, record);
    check_messages(model, record);
    check_quit(model, record);
}
