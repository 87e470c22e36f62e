#include "tests/unit/smtp/chaos_answer.h"

/* ---- words ---- */

static const char *enhanced_of(int code)
{
    switch (code / 100) {
    case 2:
        return "2.0.0 ";
    case 4:
        return "4.3.0 ";
    case 5:
        return "5.7.1 ";
    default:
        return "";
    }
}

static const char *words_of(struct chaos_relay *x, int code, bool fast)
{
    static const char *const fasts[] = {
        "too many messages, slow down",
        "Throttling failure: Maximum sending rate exceeded.",
        "Error: too much mail from 127.0.0.1",
        "our system has detected an unusual rate of mail",
    };
    static const char *const others[] = {
        "not now", "no", "mailbox busy / try later", "(and no more)"};
    if (fast)
        return fasts[random_below(&x->random, 4)];
    return code < 400 ? "fine" : others[random_below(&x->random, 4)];
}

static struct chaos_reply *note(struct chaos_relay *x, int code, size_t answers)
{
    struct chaos_record *r = x->record;
    if (r->reply_count == CHAOS_COMMANDS) {
        chaos_complain(r, "too many replies");
        r->reply_count--;
    }
    struct chaos_reply *reply = &r->replies[r->reply_count++];
    *reply = (struct chaos_reply){
        .code = code, .answers = answers, .start = x->said};
    return reply;
}

static void add_lines(struct chaos_relay *x, int code, bool fast)
{
    static const char wide[] = "0123456789012345678901234567890123456789";
    struct random *random = &x->random;
    const char *enhanced =
        x->plan->enhanced && chaos_chance(random, 900) ? enhanced_of(code) : "";
    size_t lines = chaos_chance(random, 100) ? random_below(random, 4) : 0;
    buf_add_format(&x->out, "%d%s%s#%zu %s", code, lines > 0 ? "-" : " ",
                   enhanced, x->record->reply_count - 1,
                   words_of(x, code, fast));
    if (chaos_chance(random, 5))
        for (size_t i = 0; i < 80; i++)
            buf_add_text(&x->out, wide);
    buf_add_text(&x->out, "\r\n");
    for (; lines > 0; lines--)
        buf_add_format(&x->out, "%d%s%smore\r\n", code, lines > 1 ? "-" : " ",
                       enhanced);
}

static void say(struct chaos_relay *x, int code, bool fast, size_t answers)
{
    size_t before = x->out.len;
    struct chaos_reply *reply = note(x, code, answers);
    reply->fast = fast;
    add_lines(x, code, fast);
    x->said += x->out.len - before;
    reply->end = x->said;
}

/* What a client must see that it is no reply. */
static void garble(struct chaos_relay *x, size_t answers)
{
    static const char *const texts[] = {
        "nonsense\r\n",
        "HTTP/1.1 200 OK\r\n",
        "2x0 hm\r\n",
        "650 high\r\n",
        "\r\n",
        "25\r\n",
        "150 not yet\r\n",
        "250-one\r\n550 two\r\n",
        "250:fine\r\n",
    };
    size_t before = x->out.len;
    struct chaos_reply *reply = note(x, 0, answers);
    buf_add_text(&x->out, texts[random_below(&x->random, 9)]);
    x->said += x->out.len - before;
    reply->end = x->said;
}

/* ---- choices ---- */

static size_t asked(const struct chaos_relay *x)
{
    return x->record->command_count - 1;
}

static int code_later(struct random *random)
{
    static const int codes[] = {450, 451, 452, 454, 499};
    return codes[random_below(random, 5)];
}

static int code_never(struct random *random)
{
    static const int codes[] = {550, 552, 553, 554, 500, 501, 503};
    return codes[random_below(random, 7)];
}

static int code_login(struct random *random)
{
    static const int codes[] = {530, 534, 535, 538};
    return codes[random_below(random, 4)];
}

/* A yes, but not one that belongs there. */
static int code_odd(struct random *random, enum chaos_kind kind)
{
    if (kind == CHAOS_DATA)
        return (int)chaos_between(random, 200, 299);
    return chaos_chance(random, 500) ? 354 : 334;
}

static enum chaos_answer refuse(struct chaos_relay *x, int code, bool fast)
{
    say(x, code, fast, asked(x));
    if (code == 421 || chaos_chance(&x->random, 20))
        x->closes = true;
    return CHAOS_ANSWER_NO;
}

static enum chaos_answer garble_or_not(struct chaos_relay *x,
                                       enum chaos_kind kind)
{
    struct random *random = &x->random;
    if (!x->conduct.may_garble)
        return refuse(x, code_later(random), false);
    if (chaos_chance(random, 300))
        say(x, code_odd(random, kind), false, asked(x));
    else
        garble(x, asked(x));
    if (chaos_chance(random, 300))
        x->closes = true;
    /* Only the relay knows what it meant. */
    return chaos_chance(random, 500) && kind != CHAOS_DATA ? CHAOS_ANSWER_YES
                                                           : CHAOS_ANSWER_NO;
}

/* Not what it should be. */
static enum chaos_answer misbehave(struct chaos_relay *x, enum chaos_kind kind)
{
    struct random *random = &x->random;
    uint64_t roll = random_below(random, 100);
    if (kind == CHAOS_RCPT && roll < 30)
        return refuse(x, chaos_chance(random, 700) ? 452 : 552, false);
    if (roll < 45)
        return refuse(x, code_later(random), false);
    if (roll < 65)
        return refuse(x, code_never(random), false);
    if (roll < 77)
        return refuse(x, code_later(random), true);
    if (roll < 82)
        return refuse(x, 421, false);
    if (roll < 86)
        return refuse(x, 421, true);
    if (roll < 90)
        return refuse(x, code_login(random), false);
    return garble_or_not(x, kind);
}

static int some_yes(struct chaos_relay *x, enum chaos_kind kind, int usual)
{
    static const int yes[] = {250, 251, 252, 200, 299};
    bool varies = kind != CHAOS_DATA && kind != CHAOS_QUIT;
    if (varies && chaos_chance(&x->random, 50))
        return yes[random_below(&x->random, 5)];
    return usual;
}

enum chaos_answer chaos_answer(struct chaos_relay *x, enum chaos_kind kind,
                               int usual)
{
    struct random *random = &x->random;
    enum chaos_answer did = CHAOS_ANSWER_NO;
    bool lies = chaos_chance(random, x->conduct.lies);
    bool before = chaos_chance(random, 500);
    if (lies && before)
        chaos_answer_lie(x);
    if (usual >= 400) {
        say(x, usual, false, asked(x));
    } else if (chaos_chance(random, x->conduct.faults)) {
        did = misbehave(x, kind);
    } else {
        say(x, some_yes(x, kind, usual), false, asked(x));
        did = CHAOS_ANSWER_YES;
    }
    if (lies && !before)
        chaos_answer_lie(x);
    if (chaos_chance(random, x->conduct.pauses))
        x->pause = (unsigned)chaos_between(random, 1, 6);
    return did;
}

void chaos_answer_early(struct chaos_relay *x)
{
    struct random *random = &x->random;
    int code = chaos_chance(random, 400)   ? 421
               : chaos_chance(random, 100) ? code_login(random)
               : chaos_chance(random, 500) ? code_later(random)
                                           : code_never(random);
    bool fast = code < 500 && chaos_chance(random, 300);
    /* It is the next to be noted. */
    say(x, code, fast, x->record->command_count);
    if (code == 421 || chaos_chance(random, 700))
        x->closes = true;
}

void chaos_answer_lie(struct chaos_relay *x)
{
    static const int codes[] = {250, 250, 250, 220, 450, 550, 421, 530};
    struct chaos_record *r = x->record;
    if (r->lie == CHAOS_NONE)
        r->lie = r->reply_count;
    say(x, codes[random_below(&x->random, 8)], false, CHAOS_NONE);
}
