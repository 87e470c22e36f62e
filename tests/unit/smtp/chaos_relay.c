#include "tests/unit/smtp/chaos_relay.h"

#include <string.h>

#include "tests/unit/smtp/chaos_answer.h"

#define BYTES_MAX (64U << 20)

static void choose_conduct(struct chaos_relay *x)
{
    static const unsigned faults[] = {0, 0, 10, 30, 100, 300};
    struct random *random = &x->random;
    struct chaos_conduct *c = &x->conduct;
    c->faults = faults[random_below(random, 6)];
    c->lies = chaos_chance(random, 60) ? 30 : 0;
    c->pauses = chaos_chance(random, 500) ? 200 : 0;
    c->keeps_failed = chaos_chance(random, 500);
    c->goes_on = !chaos_plan_chunks(x->plan) && chaos_chance(random, 150);
    c->may_garble = chaos_chance(random, 300);
}

void chaos_relay_init(struct chaos_relay *x, struct chaos_plan *plan,
                      struct chaos_record *record)
{
    *x = (struct chaos_relay){.plan = plan, .record = record};
    random_init(&x->random, random_next(&plan->random));
    buf_init(&x->in, BYTES_MAX);
    buf_init(&x->out, BYTES_MAX);
    buf_init(&x->message, BYTES_MAX);
    choose_conduct(x);
    while (x->next_mail < plan->count &&
           !chaos_plan_is_said(plan, x->next_mail))
        x->next_mail++;
    buf_add_text(&x->out, "220 relay\r\n");
}

void chaos_relay_fini(struct chaos_relay *x)
{
    buf_fini(&x->in);
    buf_fini(&x->out);
    buf_fini(&x->message);
}

/* ---- commands ---- */

/* What may not be, if all replies so far were answers. */
#define COMPLAIN(x, ...)                                                       \
    do {                                                                       \
        if ((x)->record->lie == CHAOS_NONE)                                    \
            chaos_complain((x)->record, __VA_ARGS__);                          \
    } while (0)

static void note(struct chaos_relay *x, enum chaos_kind kind, size_t recipient,
                 uint64_t start, uint64_t end)
{
    struct chaos_record *r = x->record;
    bool is_next = kind == CHAOS_RSET || kind == CHAOS_MAIL;
    if (r->command_count == CHAOS_COMMANDS) {
        chaos_complain(r, "too many commands");
        return;
    }
    r->commands[r->command_count++] = (struct chaos_command){
        .kind = kind,
        .mail = is_next ? x->next_mail : x->mail,
        .recipient = recipient,
        .chunk = kind == CHAOS_FINAL && x->in_chunk,
        .start = start,
        .end = end,
    };
}

static void check_mail_line(struct chaos_relay *x, struct str line)
{
    const struct chaos_plan *plan = x->plan;
    const struct chaos_mail *m = &plan->mails[x->next_mail];
    struct buf want;
    buf_init(&want, 256);
    buf_add_format(&want, "MAIL FROM:<%s>", m->sender);
    if (plan->size)
        buf_add_format(&want, " SIZE=%llu",
                       (unsigned long long)body_size(m->body));
    if (m->is_8bit)
        buf_add_text(&want, " BODY=8BITMIME");
    if (!str_equal(buf_str(&want), line))
        chaos_complain(x->record, "\"%.*s\" instead of \"%.*s\"", STR_ARG(line),
                       STR_ARG(buf_str(&want)));
    buf_fini(&want);
}

static void move_to_next_mail(struct chaos_relay *x)
{
    x->mail = x->next_mail;
    x->next_recipient = 0;
    do
        x->next_mail++;
    while (x->next_mail < x->plan->count &&
           !chaos_plan_is_said(x->plan, x->next_mail));
}

static void on_mail(struct chaos_relay *x, struct str line, uint64_t end)
{
    struct chaos_envelope *e = &x->envelope;
    if (x->next_mail >= x->plan->count || x->next_mail >= x->record->sent) {
        chaos_complain(x->record, "\"%.*s\": no such mail was handed over",
                       STR_ARG(line));
        return;
    }
    check_mail_line(x, line);
    note(x, CHAOS_MAIL, 0, x->place, end);
    move_to_next_mail(x);
    if (x->over)
        return;
    if (x->conduct.goes_on)
        e->open = false;
    if (e->open && !x->poisoned)
        COMPLAIN(x, "MAIL of mail %zu inside the transaction of mail %zu",
                 x->mail, e->mail);
    enum chaos_answer said =
        chaos_answer(x, CHAOS_MAIL, e->open || x->poisoned ? 503 : 250);
    if (e->open || x->poisoned)
        return;
    *e = (struct chaos_envelope){.mail = x->mail};
    e->open = said == CHAOS_ANSWER_YES ||
              (said == CHAOS_ANSWER_NO && x->conduct.goes_on);
}

/* Recipients come in their order, each once, and those that can be said. */
static size_t recipient_of(struct chaos_relay *x, struct str address)
{
    const struct chaos_mail *m = &x->plan->mails[x->mail];
    for (size_t i = x->next_recipient; i < m->mail.recipient_count; i++) {
        if (!str_equal(address, str_from(m->addresses[i])))
            continue;
        if (m->bad[i])
            break;
        x->next_recipient = i + 1;
        return i;
    }
    chaos_complain(x->record, "RCPT TO:<%.*s> in mail %zu", STR_ARG(address),
                   x->mail);
    return 0;
}

static void on_rcpt(struct chaos_relay *x, struct str line, uint64_t end)
{
    struct chaos_envelope *e = &x->envelope;
    struct str address = str_after(line, STR("RCPT TO:<").len);
    address.len -= address.len > 0 ? 1 : 0;
    size_t recipient = recipient_of(x, address);
    note(x, CHAOS_RCPT, recipient, x->place, end);
    if (x->over)
        return;
    bool may = e->open && !x->poisoned;
    if (chaos_answer(x, CHAOS_RCPT, may ? 250 : 503) != CHAOS_ANSWER_YES ||
        !may)
        return;
    e->accepted++;
    if (e->mail == x->mail)
        e->of[recipient] = true;
    else
        e->foreign++;
}

static bool has_somebody(const struct chaos_relay *x)
{
    return x->envelope.open && x->envelope.accepted > 0 && !x->poisoned;
}

static void on_data(struct chaos_relay *x, uint64_t end)
{
    bool may = has_somebody(x);
    if (chaos_plan_chunks(x->plan))
        chaos_complain(x->record, "DATA where BDAT can be used");
    note(x, CHAOS_DATA, 0, x->place, end);
    if (x->over)
        return;
    /* RFC 2920 section 3.1: some say 354 although there is nobody. */
    if (!may && chaos_chance(&x->random, 200))
        may = true;
    x->in_data =
        chaos_answer(x, CHAOS_DATA, may ? 354 : 554) == CHAOS_ANSWER_YES && may;
    x->body_start = end;
}

static void on_bdat(struct chaos_relay *x, struct str line)
{
    struct str number = str_after(line, STR("BDAT ").len);
    struct str digits = str_of(number.data, str_find(number, ' '));
    unsigned long long size = 0;
    if (!chaos_plan_chunks(x->plan))
        chaos_complain(x->record, "BDAT where it may not be used");
    if (!str_equal(str_after(number, digits.len), STR(" LAST")) ||
        !str_to_u64(digits, BYTES_MAX, &size))
        chaos_complain(x->record, "\"%.*s\"", STR_ARG(line));
    x->chunk_left = size;
    x->in_chunk = true;
    x->body_start = x->place;
}

static void on_rset(struct chaos_relay *x, uint64_t end)
{
    note(x, CHAOS_RSET, 0, x->place, end);
    if (x->over)
        return;
    if (chaos_answer(x, CHAOS_RSET, 250) == CHAOS_ANSWER_YES ||
        chaos_chance(&x->random, 500))
        x->envelope.open = false;
    else
        x->poisoned = true;
}

static void on_quit(struct chaos_relay *x, uint64_t end)
{
    note(x, CHAOS_QUIT, 0, x->place, end);
    if (!x->record->quit)
        chaos_complain(x->record, "QUIT that nobody wanted");
    if (x->over)
        return;
    if (chaos_chance(&x->random, 900))
        (void)chaos_answer(x, CHAOS_QUIT, 221);
    x->closes = true;
}

static void on_command(struct chaos_relay *x, struct str line, uint64_t end)
{
    if (str_starts(line, STR("MAIL ")))
        on_mail(x, line, end);
    else if (str_starts(line, STR("RCPT TO:<")))
        on_rcpt(x, line, end);
    else if (str_equal(line, STR("DATA")))
        on_data(x, end);
    else if (str_starts(line, STR("BDAT ")))
        on_bdat(x, line);
    else if (str_equal(line, STR("RSET")))
        on_rset(x, end);
    else if (str_equal(line, STR("QUIT")))
        on_quit(x, end);
    else
        chaos_complain(x->record, "no such command: \"%.60s\"", line.data);
}

/* ---- messages ---- */

static void take(struct chaos_relay *x)
{
    const struct chaos_envelope *e = &x->envelope;
    struct chaos_taken *taken = &x->record->taken[e->mail];
    if (e->foreign > 0 || e->mail != x->mail)
        COMPLAIN(x, "mail %zu under the envelope of mail %zu", x->mail,
                 e->mail);
    if (!str_equal(buf_str(&x->message), x->plan->mails[e->mail].text))
        COMPLAIN(x, "the message of mail %zu is not what came (%zu bytes)",
                 e->mail, x->message.len);
    if (taken->whole)
        chaos_complain(x->record, "mail %zu came twice", e->mail);
    taken->whole = true;
    memcpy(taken->accepted, e->of, sizeof(e->of));
}

/* A body for nobody is a waste, if that could be known. */
static void check_waste(struct chaos_relay *x)
{
    if (x->in_data && !has_somebody(x) && x->message.len > 0)
        COMPLAIN(x, "mail %zu was sent to nobody", x->mail);
}

static void on_message(struct chaos_relay *x, uint64_t end)
{
    struct chaos_envelope *e = &x->envelope;
    bool may = has_somebody(x);
    bool yes = false;
    note(x, CHAOS_FINAL, 0, x->body_start, end);
    check_waste(x);
    if (!x->over && !x->answered_early)
        yes = chaos_answer(x, CHAOS_FINAL, may ? 250 : 554) == CHAOS_ANSWER_YES;
    if (may && yes)
        take(x);
    if (yes || x->in_data || !x->conduct.keeps_failed)
        e->open = false;
    x->in_data = false;
    x->in_chunk = false;
    x->answered_early = false;
    buf_truncate(&x->message, 0);
}

static void on_line_of_data(struct chaos_relay *x, struct str line,
                            uint64_t end)
{
    if (str_equal(line, STR("."))) {
        on_message(x, end);
        return;
    }
    if (line.len > 0 && line.data[0] == '.')
        line = str_after(line, 1);
    buf_add_str(&x->message, line);
    buf_add_text(&x->message, "\r\n");
}

/* Some have seen enough before the end. */
static void answer_early(struct chaos_relay *x)
{
    bool may = !x->over && !x->answered_early && (x->in_chunk || x->in_data);
    if (!may || x->message.len < 50 || !chaos_chance(&x->random, 10) ||
        !chaos_chance(&x->random, x->conduct.faults * 2))
        return;
    chaos_answer_early(x);
    x->answered_early = true;
}

/* ---- bytes ---- */

static void on_hello(struct chaos_relay *x, struct str line)
{
    const struct chaos_plan *p = x->plan;
    if (!str_starts(line, STR("EHLO ")))
        chaos_complain(x->record, "no EHLO: \"%.*s\"", STR_ARG(line));
    buf_add_text(&x->out, "250-relay\r\n");
    if (p->pipelining)
        buf_add_text(&x->out, "250-PIPELINING\r\n");
    if (p->chunking)
        buf_add_text(&x->out, "250-CHUNKING\r\n");
    if (p->eight_bit)
        buf_add_text(&x->out, "250-8BITMIME\r\n");
    if (p->enhanced)
        buf_add_text(&x->out, "250-ENHANCEDSTATUSCODES\r\n");
    if (p->size && p->size_max > 0)
        buf_add_format(&x->out, "250-SIZE %llu\r\n",
                       (unsigned long long)p->size_max);
    else if (p->size)
        buf_add_text(&x->out, "250-SIZE\r\n");
    buf_add_text(&x->out, "250 HELP\r\n");
    x->preamble = x->out.len;
    x->greeted = true;
}

static bool take_line(struct chaos_relay *x, size_t *used)
{
    struct str rest = str_after(buf_str(&x->in), *used);
    const char *end =
        rest.len < 2 ? NULL : memmem(rest.data, rest.len, "\r\n", 2);
    if (end == NULL)
        return false;
    struct str line = str_of(rest.data, (size_t)(end - rest.data));
    uint64_t place = x->place + line.len + 2;
    if (!x->greeted) {
        on_hello(x, line);
        place = 0;
    } else if (x->in_data) {
        on_line_of_data(x, line, place);
    } else {
        on_command(x, line, place);
    }
    *used += line.len + 2;
    x->place = place;
    return true;
}

static bool take_chunk(struct chaos_relay *x, size_t *used)
{
    struct str rest = str_after(buf_str(&x->in), *used);
    size_t n = rest.len < x->chunk_left ? rest.len : (size_t)x->chunk_left;
    if (n > 0)
        buf_add(&x->message, rest.data, n);
    *used += n;
    x->place += n;
    x->chunk_left -= n;
    if (x->chunk_left > 0)
        return false;
    on_message(x, x->place);
    return true;
}

void chaos_relay_work(struct chaos_relay *x)
{
    size_t used = 0;
    while (!x->closes && (x->over || x->pause == 0) &&
           (x->in_chunk ? take_chunk(x, &used) : take_line(x, &used)))
        answer_early(x);
    buf_consume(&x->in, used);
    answer_early(x);
}

void chaos_relay_lie(struct chaos_relay *x)
{
    if (x->greeted && x->record->ready && !x->over && !x->closes)
        chaos_answer_lie(x);
}

void chaos_relay_overhear(struct chaos_relay *x, struct str rest)
{
    bool in_body;
    x->over = true;
    x->closes = false;
    buf_add_str(&x->in, rest);
    chaos_relay_work(x);
    in_body = x->in_chunk || x->in_data;
    if (in_body)
        x->record->in_body = x->body_start;
}
