#include "tests/unit/smtp/chaos_model.h"

#include <string.h>

#define DELIVERED CHAOS_BIT(OUTCOME_DELIVERED)
#define DEFERRED  CHAOS_BIT(OUTCOME_DEFERRED)
#define REJECTED  CHAOS_BIT(OUTCOME_REJECTED)
#define UNKNOWN   CHAOS_BIT(OUTCOME_UNKNOWN)
#define UNTRIED   CHAOS_BIT(OUTCOME_UNTRIED)
#define AGAIN     CHAOS_BIT(OUTCOME_AGAIN)
#define THROTTLED CHAOS_BIT(OUTCOME_THROTTLED)

/* ---- recipients ---- */

static size_t count_of(const struct chaos_model *m, size_t k)
{
    return m->plan->mails[k].mail.recipient_count;
}

static void decide(struct chaos_model *m, size_t k, size_t i, unsigned allowed,
                   size_t reply)
{
    struct chaos_recipient *recipient = &m->mails[k].of[i];
    if (recipient->allowed == 0)
        *recipient = (struct chaos_recipient){allowed, reply, m->now};
}

/* Who was not asked for waits for another transaction, if there is one. */
static bool is_left_out(const struct chaos_model *m, size_t k, size_t i)
{
    return m->mails[k].again_by != CHAOS_NONE && !m->mails[k].asked[i];
}

static void decide_all(struct chaos_model *m, size_t k, unsigned allowed,
                       size_t reply)
{
    for (size_t i = 0; i < count_of(m, k); i++)
        if (!is_left_out(m, k, i))
            decide(m, k, i, allowed, reply);
        else
            m->mails[k].left_out |= allowed;
}

static bool is_open(const struct chaos_model *m, size_t k)
{
    for (size_t i = 0; i < count_of(m, k); i++)
        if (m->mails[k].of[i].allowed == 0 && !is_left_out(m, k, i))
            return true;
    return false;
}

/* ---- before anything is said ---- */

static void prepare_mail(struct chaos_model *m, size_t k)
{
    const struct chaos_mail *mail = &m->plan->mails[k];
    m->mails[k].final = CHAOS_NONE;
    m->mails[k].again_by = CHAOS_NONE;
    for (size_t i = 0; i < count_of(m, k); i++)
        if (mail->unfit || mail->bad[i])
            decide(m, k, i, REJECTED, CHAOS_NONE);
}

static void prepare(struct chaos_model *m)
{
    const struct chaos_record *r = m->record;
    m->first = CHAOS_NONE;
    for (size_t k = 0; k < r->sent; k++)
        prepare_mail(m, k);
    for (size_t k = r->sent; k > 0; k--)
        if (chaos_plan_is_said(m->plan, k - 1))
            m->first = k - 1;
    for (size_t i = 0; i < r->command_count; i++) {
        const struct chaos_command *c = &r->commands[i];
        struct chaos_expected *e = &m->mails[c->mail];
        m->answered[i] = UINT64_MAX;
        if (c->kind == CHAOS_QUIT)
            continue;
        if (c->kind == CHAOS_RCPT)
            e->asked[c->recipient] = true;
        if (c->kind == CHAOS_DATA || c->kind == CHAOS_FINAL)
            e->message_begun = true;
        if (c->kind == CHAOS_FINAL)
            e->final = i;
    }
}

/* ---- the end ---- */

/* What it means for a mail that the end comes where it waits at c. */
static unsigned end_at_command(const struct chaos_model *m,
                               const struct chaos_command *c)
{
    if (c->kind == CHAOS_RSET || (c->kind == CHAOS_MAIL && c->mail != m->first))
        return UNTRIED;
    return DEFERRED;
}

/* The mail whose turn it is; CHAOS_NONE: none. */
static size_t front_mail(const struct chaos_model *m)
{
    const struct chaos_record *r = m->record;
    if (m->next < r->command_count)
        return r->commands[m->next].kind == CHAOS_QUIT
                   ? CHAOS_NONE
                   : r->commands[m->next].mail;
    if (r->in_body < r->accepted)
        return r->commands[r->command_count - 1].mail;
    for (size_t k = 0; k < r->sent; k++)
        if (is_open(m, k))
            return k;
    return CHAOS_NONE;
}

/* The same, where the command may not be whole. */
static unsigned end_at_front(const struct chaos_model *m, size_t k)
{
    const struct chaos_record *r = m->record;
    if (m->next < r->command_count)
        return end_at_command(m, &r->commands[m->next]);
    if (m->mails[k].mail_answered)
        return DEFERRED;
    return k == m->first ? DEFERRED | UNTRIED : UNTRIED;
}

/*
 * front: what becomes of the mail whose turn it was, if its message was not
 * sent; 0: of no mail in particular.
 */
static void end_mail(struct chaos_model *m, size_t k, unsigned front)
{
    const struct chaos_expected *e = &m->mails[k];
    unsigned at_end = front != 0 ? front : UNTRIED;
    bool sent = e->final != CHAOS_NONE;
    /* A relay that said 421 has done nothing more. */
    if (e->word != 0 && (!sent || m->record->replies[e->word_by].code == 421))
        decide_all(m, k, e->word, e->word_by);
    decide_all(m, k, sent ? UNKNOWN : at_end, CHAOS_NONE);
    for (size_t i = 0; i < count_of(m, k); i++)
        if (e->message_begun)
            decide(m, k, i, AGAIN, e->again_by);
        else
            decide(m, k, i, AGAIN | DEFERRED | e->left_out, CHAOS_ANY);
}

static void end_all(struct chaos_model *m, size_t at, unsigned front)
{
    for (size_t k = 0; k < m->record->sent; k++)
        end_mail(m, k, k == at ? front : 0);
    m->over = true;
}

/* Once it is ending: whether a reply can still decide something. */
static bool is_worth_hearing(const struct chaos_model *m)
{
    const struct chaos_record *r = m->record;
    for (size_t i = m->next; i < r->command_count; i++)
        if (r->commands[i].kind != CHAOS_QUIT &&
            is_open(m, r->commands[i].mail))
            return true;
    return false;
}

/* Nothing that fits will come: lost, too late, or nonsense. */
static void end_in_silence(struct chaos_model *m)
{
    const struct chaos_record *r = m->record;
    size_t at = front_mail(m);
    bool nobody = at == CHAOS_NONE || (r->aborted && r->closing.by_us) ||
                  (m->ending && !is_worth_hearing(m));
    unsigned front = nobody ? 0 : end_at_front(m, at);
    /* It may have ended by itself, and not at that mail. */
    if (front != 0 && m->ending)
        front |= UNTRIED;
    end_all(m, at, front);
    m->silence = true;
}

/* ---- replies ---- */

static bool is_login(int code)
{
    return code == 530 || code == 534 || code == 535 || code == 538;
}

static bool is_yes(const struct chaos_reply *y, enum chaos_kind kind)
{
    return kind == CHAOS_DATA ? y->code == 354
                              : y->code >= 200 && y->code < 300;
}

/* The relay goes, or is somewhere else than we are. */
static bool is_farewell(const struct chaos_command *c,
                        const struct chaos_reply *y)
{
    return y->code == 421 || (c->kind == CHAOS_MAIL && y->code == 503);
}

/* What a refusal means to those whom it concerns. */
static unsigned refusal(const struct chaos_model *m,
                        const struct chaos_command *c,
                        const struct chaos_reply *y)
{
    if (c->kind == CHAOS_RSET || is_login(y->code))
        return UNTRIED;
    if (y->fast)
        return THROTTLED;
    if (is_farewell(c, y))
        return end_at_command(m, c);
    if (c->kind == CHAOS_RCPT && m->mails[c->mail].accepted > 0 &&
        (y->code == 452 || y->code == 552))
        return AGAIN;
    return y->code < 500 ? DEFERRED : REJECTED;
}

static bool ends_session(const struct chaos_command *c,
                         const struct chaos_reply *y)
{
    return c->kind == CHAOS_RSET || is_farewell(c, y) || is_login(y->code);
}

static void take_yes(struct chaos_model *m, const struct chaos_command *c,
                     size_t j)
{
    struct chaos_expected *e = &m->mails[c->mail];
    if (c->kind == CHAOS_MAIL)
        e->mail_answered = true;
    if (c->kind == CHAOS_RCPT)
        e->accepted++;
    if (c->kind == CHAOS_FINAL)
        decide_all(m, c->mail, DELIVERED, j);
}

/*
 * A mail whose message is said behind the command that was refused: its last
 * word is to be heard.
 */
static bool has_message_behind(const struct chaos_model *m,
                               const struct chaos_command *c)
{
    return chaos_plan_chunks(m->plan) &&
           (c->kind == CHAOS_RSET || c->kind == CHAOS_RCPT) &&
           m->mails[c->mail].final != CHAOS_NONE;
}

static void take_no(struct chaos_model *m, const struct chaos_command *c,
                    size_t j)
{
    const struct chaos_reply *y = &m->record->replies[j];
    struct chaos_expected *e = &m->mails[c->mail];
    bool ends = ends_session(c, y);
    bool rcpt = c->kind == CHAOS_RCPT;
    bool had_word = e->word != 0;
    unsigned word = had_word ? e->word : refusal(m, c, y);
    size_t by = had_word ? e->word_by : j;
    if (word == AGAIN && e->again_by == CHAOS_NONE)
        e->again_by = j;
    if (!had_word && ends && has_message_behind(m, c)) {
        e->word = word;
        e->word_by = j;
    }
    if (rcpt && (!ends || e->word != 0))
        decide(m, c->mail, c->recipient, word, by);
    else if (had_word || e->word == 0)
        decide_all(m, c->mail, word, by);
    if (ends && !m->ending) {
        m->ending = true;
        m->ending_taken = y->taken_then;
        m->relay_failed = is_login(y->code);
    }
}

/* A yes, but none that can be said there. */
static bool is_nonsense(const struct chaos_model *m,
                        const struct chaos_command *c,
                        const struct chaos_reply *y)
{
    const struct chaos_expected *e = &m->mails[c->mail];
    if (y->code >= 400)
        return false;
    if (!is_yes(y, c->kind))
        return true;
    return c->kind == CHAOS_DATA && e->accepted > 0 && !is_open(m, c->mail);
}

/*
 * It came before what it could answer had left. Only 421, and a refusal while
 * a message is on its way, can mean anything. body: 1 it is, 0 it is not, -1
 * nobody can tell.
 */
static unsigned stray_word(struct chaos_model *m, size_t at, int body,
                           const struct chaos_reply *y)
{
    const struct chaos_record *r = m->record;
    bool whole = m->next < r->command_count;
    unsigned end = end_at_front(m, at);
    if (body == 1)
        end = DEFERRED;
    if (y->code < 400 || (body == 0 && y->code != 421))
        return end;
    unsigned word = y->code < 500 ? DEFERRED : REJECTED;
    if (is_login(y->code))
        word = UNTRIED;
    else if (y->code == 421)
        word = end;
    if (y->fast && !(whole && r->commands[m->next].kind == CHAOS_RSET))
        word = THROTTLED;
    if (body == 1 || (whole && y->code == 421))
        return word;
    return word | end;
}

/* Whether the message of the mail at the front is on its way. */
static int in_body(const struct chaos_model *m, size_t at)
{
    const struct chaos_record *r = m->record;
    if (m->next < r->command_count)
        return r->commands[m->next].kind == CHAOS_FINAL ? 1 : 0;
    if (r->in_body < r->accepted)
        return 1;
    return m->mails[at].mail_answered ? -1 : 0;
}

static void take_stray(struct chaos_model *m, size_t j)
{
    const struct chaos_reply *y = &m->record->replies[j];
    size_t at = front_mail(m);
    if (at == CHAOS_NONE) {
        end_all(m, CHAOS_NONE, 0);
        return;
    }
    int body = in_body(m, at);
    unsigned word = stray_word(m, at, body, y);
    bool means = y->code == 421 || (body != 0 && y->code >= 400);
    if (means && is_login(y->code) && !m->ending) {
        m->relay_failed = body == 1;
        m->may_have_failed = body != 1;
    }
    /* Said while the message was not whole: it holds even if it is now. */
    if (means)
        decide_all(m, at, word, body == 1 ? j : CHAOS_ANY);
    end_all(m, at, word);
}

static void take_reply(struct chaos_model *m, size_t j)
{
    const struct chaos_record *r = m->record;
    const struct chaos_reply *y = &r->replies[j];
    const struct chaos_command *c = &r->commands[m->next];
    if (m->ending && !is_worth_hearing(m)) {
        end_all(m, CHAOS_NONE, 0);
    } else if (y->code == 0) {
        end_in_silence(m);
    } else if (m->next == r->command_count || c->end > y->taken_yet) {
        take_stray(m, j);
    } else if (c->kind == CHAOS_QUIT) {
        end_all(m, CHAOS_NONE, 0);
    } else if (is_nonsense(m, c, y)) {
        end_in_silence(m);
    } else {
        m->answered[m->next++] = y->end;
        if (y->code < 400)
            take_yes(m, c, j);
        else
            take_no(m, c, j);
    }
}

void chaos_model_run(struct chaos_model *m, const struct chaos_plan *plan,
                     const struct chaos_record *record)
{
    memset(m, 0, sizeof(*m));
    m->plan = plan;
    m->record = record;
    m->now = CHAOS_NONE;
    prepare(m);
    for (size_t j = 0; j < record->reply_count && !m->over; j++)
        if (record->replies[j].end <= record->heard) {
            m->now = j;
            take_reply(m, j);
        }
    m->now = CHAOS_NONE;
    if (!m->over)
        end_in_silence(m);
}
