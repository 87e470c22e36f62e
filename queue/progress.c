#include "queue/progress.h"

#include <string.h>

#include "core/mem.h"
#include "core/panic.h"

/* Of an attempt's words in the trail; the whole reply is the recipient's. */
#define EVENT_TEXT_MAX 400

/* ---- texts ---- */

/* Up to the first NUL, and max; NULL when nothing is left. */
static char *text_new(struct str s, size_t max)
{
    if (s.len > max)
        s.len = max;
    if (s.len > 0)
        s.len = strnlen(s.data, s.len);
    return s.len == 0 ? NULL : mem_strdup(s);
}

static void set_text(char **text, struct str to)
{
    mem_free(*text);
    *text = text_new(to, SPOOL_TEXT_MAX);
}

/* One line that is put together. */
struct line {
    char data[EVENT_TEXT_MAX];
    size_t len;
};

static void line_add(struct line *line, struct str s)
{
    for (size_t i = 0; i < s.len && line->len < sizeof(line->data); i++) {
        unsigned char c = (unsigned char)s.data[i];
        line->data[line->len++] = c < ' ' ? ' ' : s.data[i];
    }
}

static void line_add_number(struct line *line, size_t number)
{
    char digits[24];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    line_add(line, str_of(digits + at, sizeof(digits) - at));
}

/* ---- the trail ---- */

static void event_fini(struct progress_event *event)
{
    mem_free(event->relay);
    mem_free(event->text);
}

/* Of a full trail the second goes: how it began is always told. */
static struct progress_event *add_event(struct progress *p, int64_t at_ms,
                                        enum spool_event_kind kind)
{
    if (p->event_count == SPOOL_EVENTS_MAX) {
        event_fini(&p->events[1]);
        p->event_count--;
        memmove(&p->events[1], &p->events[2],
                (p->event_count - 1) * sizeof(*p->events));
    } else {
        p->events =
            mem_realloc(p->events, (p->event_count + 1) * sizeof(*p->events));
    }
    struct progress_event *event = &p->events[p->event_count++];
    *event = (struct progress_event){.at_ms = at_ms, .kind = kind};
    return event;
}

static void add_event_text(struct progress *p, int64_t at_ms,
                           enum spool_event_kind kind, struct str text)
{
    add_event(p, at_ms, kind)->text = text_new(text, EVENT_TEXT_MAX);
}

/* ---- making ---- */

void progress_init(struct progress *p, const struct job *job, int64_t now_ms)
{
    *p = (struct progress){
        .state = JOB_QUEUED,
        .due_ms = job->send_at_ms != 0 ? job->send_at_ms : now_ms,
        .expires_at_ms = job->expires_at_ms,
        .give_up_at_ms = job->give_up_at_ms,
        .recipient_count = job->recipient_count,
    };
    p->recipients = mem_calloc(p->recipient_count, sizeof(*p->recipients));
    (void)add_event(p, now_ms, SPOOL_EVENT_ACCEPTED);
}

void progress_fini(struct progress *p)
{
    for (size_t i = 0; i < p->recipient_count; i++) {
        mem_free(p->recipients[i].reply);
        mem_free(p->recipients[i].relay);
    }
    for (size_t i = 0; i < p->event_count; i++)
        event_fini(&p->events[i]);
    mem_free(p->recipients);
    mem_free(p->events);
    mem_free(p->note);
    mem_free(p->relay);
    *p = (struct progress){.state = p->state};
}

/* ---- asking ---- */

bool progress_is_waiting(const struct progress *p)
{
    return p->state == JOB_QUEUED || p->state == JOB_DEFERRED;
}

int64_t progress_limit_ms(const struct progress *p)
{
    int64_t limit = SPOOL_NEVER;
    if (p->give_up_at_ms != 0)
        limit = p->give_up_at_ms;
    if (p->expires_at_ms != 0 && p->expires_at_ms < limit)
        limit = p->expires_at_ms;
    return limit;
}

bool progress_keeps_body(const struct progress *p)
{
    return p->state != JOB_DELIVERED && p->state != JOB_CANCELLED;
}

static bool met(const struct progress *p, const char *relay)
{
    if (p->relay != NULL && strcmp(p->relay, relay) == 0)
        return true;
    for (size_t i = 0; i < p->recipient_count; i++) {
        const char *last = p->recipients[i].relay;
        if (last != NULL && strcmp(last, relay) == 0)
            return true;
    }
    return false;
}

bool progress_passes(const struct progress *p, const struct job *job,
                     enum job_state state, const struct spool_filter *filter)
{
    if (filter->states != 0 && (filter->states & (1U << state)) == 0)
        return false;
    if (filter->created_before_ms != 0 &&
        job->created_ms >= filter->created_before_ms)
        return false;
    if (filter->tag != NULL &&
        (job->tag == NULL || strcmp(job->tag, filter->tag) != 0))
        return false;
    return filter->relay == NULL || met(p, filter->relay);
}

static size_t text_cost(const char *text)
{
    return text == NULL ? 0 : mem_block_bytes(strlen(text) + 1);
}

size_t progress_size_bytes(const struct progress *p)
{
    size_t bytes = text_cost(p->note) + text_cost(p->relay);
    bytes += mem_block_bytes(p->recipient_count * sizeof(*p->recipients));
    bytes += mem_block_bytes(p->event_count * sizeof(*p->events));
    for (size_t i = 0; i < p->recipient_count; i++)
        bytes += text_cost(p->recipients[i].reply) +
                 text_cost(p->recipients[i].relay);
    for (size_t i = 0; i < p->event_count; i++)
        bytes += text_cost(p->events[i].relay) + text_cost(p->events[i].text);
    return bytes;
}

/* ---- an attempt ---- */

static bool is_final(enum recipient_state state)
{
    return state == RECIPIENT_DELIVERED || state == RECIPIENT_FAILED;
}

void progress_claim(const struct progress *p, struct claim *claim)
{
    claim->attempt = p->attempts + 1;
    claim->expires_at_ms = p->expires_at_ms;
    claim->give_up_at_ms = p->give_up_at_ms;
    claim->pending_count = 0;
    for (uint32_t i = 0; i < p->recipient_count; i++)
        if (!is_final(p->recipients[i].state))
            claim->pending[claim->pending_count++] = i;
}

static void record(struct progress *p, const struct settlement *settlement)
{
    p->attempts++;
    for (size_t i = 0; i < settlement->count; i++) {
        const struct settle_recipient *said = &settlement->recipients[i];
        PANIC_IF(said->index >= p->recipient_count);
        struct progress_recipient *kept = &p->recipients[said->index];
        kept->state = said->state;
        kept->attempts++;
        set_text(&kept->reply, said->reply);
        set_text(&kept->relay, settlement->relay);
    }
}

/* In the order in which they matter to who reads the trail. */
static const struct {
    enum recipient_state state;
    struct str one;
    struct str many;
} outcomes[] = {
    {RECIPIENT_FAILED, {"refused", 7}, {"refused ", 8}},
    {RECIPIENT_UNKNOWN, {"answer lost", 11}, {"answer lost for ", 16}},
    {RECIPIENT_DEFERRED, {"deferred", 8}, {"deferred ", 9}},
    {RECIPIENT_DELIVERED, {"delivered", 9}, {"delivered to ", 13}},
    {RECIPIENT_PENDING, {"not tried", 9}, {"not tried ", 10}},
};

#define OUTCOMES (sizeof(outcomes) / sizeof(outcomes[0]))

/*
 * "deferred: 451 4.7.1 Greylisted", or "refused 1, delivered to 3: 550 No such
 * user": the words are those of the first recipient of the worst outcome.
 */
static void describe(const struct progress *p,
                     const struct settlement *settlement, struct line *line)
{
    struct str words = settlement->note;
    bool found = false;
    for (size_t o = 0; o < OUTCOMES; o++) {
        size_t count = 0;
        for (size_t i = 0; i < settlement->count; i++) {
            if (settlement->recipients[i].state != outcomes[o].state)
                continue;
            if (!found && settlement->recipients[i].reply.len > 0)
                words = settlement->recipients[i].reply;
            found = true;
            count++;
        }
        if (count == 0)
            continue;
        if (line->len > 0)
            line_add(line, STR(", "));
        line_add(line,
                 p->recipient_count == 1 ? outcomes[o].one : outcomes[o].many);
        if (p->recipient_count > 1)
            line_add_number(line, count);
    }
    if (line->len > 0 && words.len > 0)
        line_add(line, STR(": "));
    line_add(line, words);
}

static void add_attempt(struct progress *p, const struct settlement *settlement)
{
    struct line line = {.len = 0};
    describe(p, settlement, &line);
    struct progress_event *event =
        add_event(p, settlement->at_ms, SPOOL_EVENT_ATTEMPT);
    event->attempt = p->attempts;
    event->relay = text_new(settlement->relay, SPOOL_TEXT_MAX);
    event->text = text_new(str_of(line.data, line.len), EVENT_TEXT_MAX);
}

/* ---- the end ---- */

static void fail_rest(struct progress *p)
{
    for (size_t i = 0; i < p->recipient_count; i++) {
        struct progress_recipient *r = &p->recipients[i];
        if (r->state == RECIPIENT_PENDING || r->state == RECIPIENT_DEFERRED)
            r->state = RECIPIENT_FAILED;
    }
}

static void settled(struct progress *p, enum job_state state, int64_t at_ms)
{
    p->state = state;
    p->settled_ms = at_ms;
    p->marked = false;
    if (state == JOB_FAILED || state == JOB_EXPIRED)
        fail_rest(p);
}

static void rest(struct progress *p, const struct settlement *settlement)
{
    int64_t at_ms = settlement->at_ms;
    switch (settlement->rest) {
    case SETTLE_REST_RETRY:
        p->state = JOB_DEFERRED;
        p->due_ms = settlement->next_attempt_ms;
        return;
    case SETTLE_REST_HOLD:
        p->state = JOB_HELD;
        add_event_text(p, at_ms, SPOOL_EVENT_HELD, settlement->note);
        return;
    case SETTLE_REST_FAIL:
        settled(p, JOB_FAILED, at_ms);
        (void)add_event(p, at_ms, SPOOL_EVENT_GIVEN_UP);
        return;
    case SETTLE_REST_EXPIRE:
        settled(p, JOB_EXPIRED, at_ms);
        (void)add_event(p, at_ms, SPOOL_EVENT_EXPIRED);
        return;
    }
    PANIC("no such rest: %u", (unsigned)settlement->rest);
}

void progress_settle(struct progress *p, const struct settlement *settlement)
{
    size_t delivered = 0;
    size_t final = 0;
    p->marked = false;
    record(p, settlement);
    set_text(&p->note, settlement->note);
    set_text(&p->relay, STR("")); /* who was tried is the recipients' */
    add_attempt(p, settlement);
    for (size_t i = 0; i < p->recipient_count; i++) {
        delivered += p->recipients[i].state == RECIPIENT_DELIVERED;
        final += is_final(p->recipients[i].state);
    }
    if (delivered == p->recipient_count)
        settled(p, JOB_DELIVERED, settlement->at_ms);
    else if (final == p->recipient_count)
        settled(p, JOB_FAILED, settlement->at_ms);
    else
        rest(p, settlement);
}

/* ---- without an attempt ---- */

static bool is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Among those that came back since the last attempt. */
static bool is_told(const struct progress *p, const char *relay,
                    const char *note)
{
    for (size_t i = p->event_count; i-- > 0;) {
        const struct progress_event *event = &p->events[i];
        if (event->kind != SPOOL_EVENT_RELEASED)
            return false;
        if (is_same(event->text, note) && is_same(event->relay, relay))
            return true;
    }
    return false;
}

void progress_release(struct progress *p, int64_t due_ms, struct str relay,
                      struct str note, int64_t now_ms)
{
    p->marked = false;
    if (due_ms > now_ms)
        p->due_ms = due_ms;
    if (note.len == 0)
        return;
    set_text(&p->note, note);
    char *text = text_new(note, EVENT_TEXT_MAX);
    char *name = text_new(relay, SPOOL_TEXT_MAX);
    if (name != NULL)
        set_text(&p->relay, relay);
    if (text == NULL || is_told(p, name, text)) {
        mem_free(text);
        mem_free(name);
        return;
    }
    struct progress_event *event = add_event(p, now_ms, SPOOL_EVENT_RELEASED);
    event->text = text;
    event->relay = name;
}

void progress_mark(struct progress *p, struct str relay)
{
    p->marked = true;
    set_text(&p->relay, relay);
}

void progress_cancel(struct progress *p, int64_t now_ms)
{
    settled(p, JOB_CANCELLED, now_ms);
    (void)add_event(p, now_ms, SPOOL_EVENT_CANCELLED);
}

void progress_drop(struct progress *p, int64_t now_ms)
{
    settled(p, JOB_CANCELLED, now_ms);
    (void)add_event(p, now_ms, SPOOL_EVENT_DROPPED);
}

void progress_expire(struct progress *p, int64_t now_ms)
{
    bool expired = p->expires_at_ms != 0 && p->expires_at_ms <= now_ms;
    if (p->give_up_at_ms != 0 && p->give_up_at_ms < p->expires_at_ms)
        expired = false;
    settled(p, expired ? JOB_EXPIRED : JOB_FAILED, now_ms);
    (void)add_event(p, now_ms,
                    expired ? SPOOL_EVENT_EXPIRED : SPOOL_EVENT_GIVEN_UP);
    set_text(&p->note, expired ? STR("expired before it was delivered")
                               : STR("given up: not delivered in time"));
}

bool progress_retry(struct progress *p, int64_t now_ms, int64_t give_up_ms)
{
    if (p->state == JOB_DELIVERED || p->state == JOB_QUEUED)
        return false;
    p->state = p->attempts == 0 ? JOB_QUEUED : JOB_DEFERRED;
    p->due_ms = now_ms;
    p->settled_ms = 0;
    p->marked = false;
    p->give_up_at_ms = give_up_ms == 0 ? 0 : now_ms + give_up_ms;
    if (p->expires_at_ms <= now_ms)
        p->expires_at_ms = 0;
    for (size_t i = 0; i < p->recipient_count; i++) {
        struct progress_recipient *r = &p->recipients[i];
        if (r->state == RECIPIENT_FAILED)
            r->state =
                r->attempts == 0 ? RECIPIENT_PENDING : RECIPIENT_DEFERRED;
    }
    set_text(&p->note, STR(""));
    (void)add_event(p, now_ms, SPOOL_EVENT_RETRIED);
    return true;
}

void progress_interrupt(struct progress *p, int64_t now_ms)
{
    const struct str why = STR("the process ended before the relay's answer");
    const struct str relay = p->relay == NULL ? STR("") : str_from(p->relay);
    p->attempts++;
    p->state = JOB_HELD;
    p->marked = false;
    for (size_t i = 0; i < p->recipient_count; i++) {
        struct progress_recipient *r = &p->recipients[i];
        if (is_final(r->state))
            continue;
        r->state = RECIPIENT_UNKNOWN;
        r->attempts++;
        set_text(&r->reply, why);
        if (relay.len > 0)
            set_text(&r->relay, relay);
    }
    set_text(&p->note, why);
    struct progress_event *event =
        add_event(p, now_ms, SPOOL_EVENT_INTERRUPTED);
    event->attempt = p->attempts;
    event->relay = text_new(relay, SPOOL_TEXT_MAX);
    set_text(&p->relay, STR(""));
    add_event_text(p, now_ms, SPOOL_EVENT_HELD, why);
}
