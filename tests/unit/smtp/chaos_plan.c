#include "tests/unit/smtp/chaos_plan.h"

#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

#define SLICE  16384
#define LARGE  (128 << 10)
#define LINE   76
#define LETTER "abcdefghijklmnopqrstuvwxyz .,:-0"

bool chaos_chance(struct random *random, unsigned permille)
{
    return random_below(random, 1000) < permille;
}

uint64_t chaos_between(struct random *random, uint64_t from, uint64_t to)
{
    return from + random_below(random, to - from + 1);
}

bool chaos_plan_is_said(const struct chaos_plan *p, size_t k)
{
    const struct chaos_mail *m = &p->mails[k];
    if (m->unfit)
        return false;
    for (size_t i = 0; i < m->mail.recipient_count; i++)
        if (!m->bad[i])
            return true;
    return false;
}

/* ---- mails ---- */

static size_t some_size(struct random *random)
{
    uint64_t roll = random_below(random, 1000);
    if (roll < 700)
        return (size_t)chaos_between(random, 1, 300);
    if (roll < 880)
        return (size_t)chaos_between(random, 300, 5000);
    if (roll < 950)
        return (size_t)chaos_between(random, SLICE - 300, SLICE + 300);
    if (roll < 992)
        return (size_t)chaos_between(random, SLICE, 60000);
    return (size_t)chaos_between(random, LARGE - 50, LARGE + 60000);
}

static void add_line(struct buf *out, struct random *random)
{
    static const char letters[] = LETTER;
    char line[LINE];
    size_t len = (size_t)random_below(random, LINE);
    uint64_t bits = 0;
    if (chaos_chance(random, 100))
        len = (size_t)random_below(random, 3);
    for (size_t i = 0; i < len; i++, bits >>= 5) {
        if (i % 12 == 0)
            bits = random_next(random);
        line[i] = letters[bits & 31];
    }
    if (len > 0 && chaos_chance(random, 300))
        line[0] = '.';
    if (len == 2 && chaos_chance(random, 300))
        line[1] = '.';
    buf_add(out, line, len);
    buf_add_text(out, "\r\n");
}

static void make_text(struct chaos_mail *m, size_t k, struct random *random)
{
    static const char e_acute[] = "\xc3\xa9\r\n";
    size_t size = some_size(random);
    struct buf text;
    buf_init(&text, size + 1024);
    buf_add_format(&text, "X-Mail: %zu.\r\n", k);
    m->is_8bit = chaos_chance(random, 100);
    if (m->is_8bit)
        buf_add_text(&text, e_acute);
    while (text.len < size)
        add_line(&text, random);
    if (chaos_chance(random, 50))
        buf_add_text(&text, ".");
    else if (chaos_chance(random, 50))
        buf_truncate(&text, text.len - 2);
    bool lacks_end = text.data[text.len - 1] != '\n';
    size_t len = text.len;
    char *body = mem_alloc(len);
    memcpy(body, text.data, len);
    m->body = body_from_memory(body, len);
    if (lacks_end)
        buf_add_text(&text, "\r\n");
    m->memory = buf_take(&text, &len);
    m->text = str_of(m->memory, len);
}

static void make_mail(struct chaos_plan *p, size_t k, unsigned unfit)
{
    struct chaos_mail *m = &p->mails[k];
    struct random *random = &p->random;
    size_t count = 1;
    if (chaos_chance(random, 600))
        count = (size_t)chaos_between(random, 1, CHAOS_RECIPIENTS);
    make_text(m, k, random);
    (void)snprintf(m->sender, sizeof(m->sender), "s%zu@x", k);
    for (size_t i = 0; i < count; i++) {
        m->bad[i] = chaos_chance(random, unfit);
        (void)snprintf(m->addresses[i], CHAOS_ADDRESS, "r%zum%zu@x%s", i, k,
                       m->bad[i] ? " y" : "");
        m->recipients[i] = m->addresses[i];
    }
    m->mail = (struct smtp_mail){
        .sender = m->sender,
        .recipients = m->recipients,
        .recipient_count = count,
        .body = m->body,
    };
    m->unfit = (m->is_8bit && !p->eight_bit) ||
               (p->size_max > 0 && body_size(m->body) > p->size_max);
    p->total_bytes += m->text.len + 64 + 32 * count;
}

/* ---- the relay ---- */

static void offer(struct chaos_plan *p)
{
    struct random *random = &p->random;
    p->pipelining = chaos_chance(random, 850);
    p->chunking = chaos_chance(random, 550);
    p->size = chaos_chance(random, 500);
    p->eight_bit = chaos_chance(random, 800);
    p->enhanced = chaos_chance(random, 500);
    if (p->size && chaos_chance(random, 300))
        p->size_max = chaos_between(random, 200, 200000);
    p->may_pipeline = chaos_chance(random, 950);
    p->may_chunk = chaos_chance(random, 900);
    p->unconfirmed = 1;
    if (chaos_chance(random, 600))
        p->unconfirmed = (unsigned)chaos_between(random, 2, 16);
}

void chaos_plan_init(struct chaos_plan *out, uint64_t seed)
{
    struct random *random = &out->random;
    memset(out, 0, sizeof(*out));
    out->seed = seed;
    random_init(random, seed);
    offer(out);
    uint64_t most = 6;
    if (chaos_chance(random, 300))
        most = chaos_chance(random, 300) ? CHAOS_MAILS : 16;
    out->count = (size_t)chaos_between(random, 1, most);
    unsigned unfit = chaos_chance(random, 200) ? 150 : 0;
    for (size_t k = 0; k < out->count; k++)
        make_mail(out, k, unfit);
}

void chaos_plan_fini(struct chaos_plan *plan)
{
    for (size_t k = 0; k < plan->count; k++) {
        body_unref(plan->mails[k].body);
        mem_free(plan->mails[k].memory);
    }
}
