#include "consumer/attempt.h"

#include <string.h>

#include "core/mem.h"
#include "core/panic.h"

/* Replies of one attempt; beyond it recipients are settled without words. */
#define WORDS_MAX ((size_t)4 << 20)

/* What is kept from one claim to the next. */
#define WORDS_KEPT      ((size_t)16 << 10)
#define RECIPIENTS_KEPT 128U

#define REPLY_MAX (SMTP_REPLY_TEXT_MAX + 32)

void attempt_init(struct attempt *a)
{
    *a = (struct attempt){0};
    buf_init(&a->words, WORDS_MAX);
}

static void free_arrays(struct attempt *a)
{
    mem_free(a->todo);
    mem_free(a->batch);
    mem_free(a->decided);
    mem_free(a->places);
    a->todo = NULL;
    a->batch = NULL;
    a->decided = NULL;
    a->places = NULL;
    a->capacity = 0;
}

void attempt_fini(struct attempt *a)
{
    free_arrays(a);
    buf_fini(&a->words);
}

static void make_room(struct attempt *a, size_t count)
{
    bool wasteful = a->capacity > RECIPIENTS_KEPT && count <= RECIPIENTS_KEPT;
    if (count > a->capacity || wasteful) {
        free_arrays(a);
        a->capacity = count < 4 ? 4 : count;
        a->todo = mem_calloc(a->capacity, sizeof(*a->todo));
        a->batch = mem_calloc(a->capacity, sizeof(*a->batch));
        a->decided = mem_calloc(a->capacity, sizeof(*a->decided));
        a->places = mem_calloc(a->capacity, sizeof(*a->places));
    }
    if (a->words.capacity > WORDS_KEPT)
        buf_fini(&a->words);
    buf_truncate(&a->words, 0);
}

void attempt_begin(struct attempt *a, const struct claim *claim,
                   size_t recipients_per_message)
{
    make_room(a, claim->pending_count);
    a->claim = claim;
    a->per_message = recipients_per_message > 0 ? recipients_per_message : 1;
    a->todo_at = 0;
    a->batch_count = 0;
    a->decided_count = 0;
    a->slower = (struct attempt_words){0};
    a->stopped = false;
    memset(a->counts, 0, sizeof(a->counts));
    if (claim->pending_count > 0)
        memcpy(a->todo, claim->pending,
               claim->pending_count * sizeof(*a->todo));
}

bool attempt_has_next(const struct attempt *a)
{
    return !a->stopped && a->todo_at < a->claim->pending_count;
}

bool attempt_next(struct attempt *a, struct smtp_mail *mail)
{
    PANIC_IF(a->batch_count != 0);
    if (!attempt_has_next(a))
        return false;
    const struct job *job = a->claim->job;
    size_t left = a->claim->pending_count - a->todo_at;
    a->batch_count = left < a->per_message ? left : a->per_message;
    for (size_t i = 0; i < a->batch_count; i++)
        a->batch[i] = job->recipients[a->todo[a->todo_at + i]];
    *mail = (struct smtp_mail){
        .sender = job->sender,
        .recipients = a->batch,
        .recipient_count = a->batch_count,
        .body = job->body,
    };
    return true;
}

/* Most recipients of a mail have one reply: it is kept once. */
static struct attempt_words
keep_words(struct attempt *a, struct attempt_words last, const char *text)
{
    size_t len = strlen(text);
    if (last.len == len &&
        (len == 0 || memcmp(a->words.data + last.at, text, len) == 0))
        return last;
    struct attempt_words words = {.at = a->words.len, .len = len};
    if (len > a->words.max - a->words.len)
        words.len = 0;
    else
        buf_add(&a->words, text, len);
    return words;
}

static enum recipient_state state_of(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_DELIVERED:
        return RECIPIENT_DELIVERED;
    case OUTCOME_DEFERRED:
        return RECIPIENT_DEFERRED;
    case OUTCOME_REJECTED:
        return RECIPIENT_FAILED;
    case OUTCOME_UNKNOWN:
        return RECIPIENT_UNKNOWN;
    case OUTCOME_NONE:
    case OUTCOME_UNTRIED:
    case OUTCOME_AGAIN:
    case OUTCOME_THROTTLED:
    case OUTCOME_COUNT:
        break;
    }
    PANIC("outcome %d decides nothing", (int)outcome);
}

static void decide(struct attempt *a, uint32_t recipient, enum outcome outcome,
                   const char *reply)
{
    struct attempt_words last = {0};
    if (a->decided_count > 0)
        last = a->places[a->decided_count - 1];
    a->places[a->decided_count] = keep_words(a, last, reply);
    a->decided[a->decided_count] = (struct settle_recipient){
        .index = recipient,
        .state = state_of(outcome),
    };
    a->decided_count++;
    a->counts[outcome]++;
}

static void throttle(struct attempt *a, const char *reply)
{
    a->slower = keep_words(a, a->slower, reply);
    a->counts[OUTCOME_THROTTLED]++;
    a->stopped = true;
}

/* A transaction of which all are to be said again would never end. */
static bool decides_nothing(const struct smtp_result *result)
{
    for (size_t i = 0; i < result->count; i++)
        if (result->recipients[i].outcome != OUTCOME_AGAIN)
            return false;
    return true;
}

void attempt_result(struct attempt *a, const struct smtp_result *result)
{
    PANIC_IF(result->count != a->batch_count);
    bool stuck = decides_nothing(result);
    uint32_t *batch = a->todo + a->todo_at;
    size_t again = 0;
    for (size_t i = 0; i < result->count; i++) {
        const struct smtp_recipient_result *r = &result->recipients[i];
        enum outcome outcome = r->outcome;
        char reply[REPLY_MAX];
        if (outcome == OUTCOME_AGAIN && stuck)
            outcome = OUTCOME_DEFERRED;
        if (outcome == OUTCOME_UNTRIED)
            a->stopped = true;
        if (outcome == OUTCOME_AGAIN)
            batch[again++] = batch[i];
        if (outcome == OUTCOME_AGAIN || outcome == OUTCOME_UNTRIED)
            continue;
        smtp_reply_format(&r->reply, reply, sizeof(reply));
        if (outcome == OUTCOME_THROTTLED)
            throttle(a, reply);
        else
            decide(a, batch[i], outcome, reply);
    }
    /* Those to be said again come first in what is left. */
    a->todo_at += a->batch_count - again;
    memmove(a->todo + a->todo_at, batch, again * sizeof(*batch));
    a->batch_count = 0;
}

void attempt_unsent(struct attempt *a, enum outcome outcome, const char *why)
{
    for (; a->todo_at < a->claim->pending_count; a->todo_at++)
        decide(a, a->todo[a->todo_at], outcome, why);
    a->batch_count = 0;
}

void attempt_stop(struct attempt *a)
{
    a->stopped = true;
}

size_t attempt_untried(const struct attempt *a)
{
    return a->claim->pending_count - a->decided_count -
           a->counts[OUTCOME_THROTTLED];
}

struct str attempt_slower_reply(const struct attempt *a)
{
    return str_after(str_of(a->words.data, a->slower.at + a->slower.len),
                     a->slower.at);
}

const struct settle_recipient *attempt_decided(struct attempt *a, size_t *count)
{
    for (size_t i = 0; i < a->decided_count; i++)
        a->decided[i].reply =
            str_after(str_of(a->words.data, a->places[i].at + a->places[i].len),
                      a->places[i].at);
    *count = a->decided_count;
    return a->decided;
}
