#include "consumer/backlog.h"

#include <sys/queue.h>

#include "core/panic.h"

/* When more is asked for. */
#define HOLD_LOW (BACKLOG_HOLD_MAX / 2)

void backlog_init(struct backlog *in, struct spool *spool,
                  const struct clock *clock, unsigned route)
{
    *in = (struct backlog){.spool = spool, .clock = clock};
    mutex_init(&in->lock);
    share_init(&in->share);
    for (unsigned i = 0; i < JOB_PRIORITY_COUNT; i++) {
        struct backlog_class *c = &in->classes[i];
        c->backlog = in;
        c->lane.route = route;
        c->lane.priority = (enum job_priority)i;
        STAILQ_INIT(&c->arrived);
        STAILQ_INIT(&c->held);
    }
}

void backlog_fini(struct backlog *in)
{
    for (size_t i = 0; i < JOB_PRIORITY_COUNT; i++) {
        const struct backlog_class *c = &in->classes[i];
        PANIC_IF(c->asked || !STAILQ_EMPTY(&c->held) ||
                 !STAILQ_EMPTY(&c->arrived));
    }
    mutex_fini(&in->lock);
}

void backlog_due(struct backlog *in, enum job_priority priority, int64_t due_ms)
{
    struct backlog_class *c = &in->classes[priority];
    mutex_lock(&in->lock);
    if (due_ms < c->due_ms)
        c->due_ms = due_ms;
    mutex_unlock(&in->lock);
}

static void on_claimed(void *ctx, struct spool_lane lane,
                       struct claim_list *claims, int64_t next_due_ms)
{
    struct backlog_class *c = ctx;
    struct backlog *in = c->backlog;
    (void)lane;
    mutex_lock(&in->lock);
    STAILQ_CONCAT(&c->arrived, claims);
    if (next_due_ms < c->due_ms)
        c->due_ms = next_due_ms;
    c->asked = false;
    /*
     * Who is still in the call looks by himself. Under the lock, because the
     * backlog may be gone once it is seen that nothing is asked for.
     */
    if (!c->calling && in->on_answer != NULL)
        in->on_answer(in->ctx);
    mutex_unlock(&in->lock);
}

/* Lock held. */
static void take_over(struct backlog_class *c)
{
    struct claim *claim;
    STAILQ_FOREACH (claim, &c->arrived, next) {
        c->held_count++;
    }
    STAILQ_CONCAT(&c->held, &c->arrived);
    c->known_due_ms = c->due_ms;
    c->known_asked = c->asked;
}

void backlog_look(struct backlog *in)
{
    mutex_lock(&in->lock);
    for (size_t i = 0; i < JOB_PRIORITY_COUNT; i++)
        take_over(&in->classes[i]);
    mutex_unlock(&in->lock);
}

static void ask(struct backlog_class *c, size_t limit, int64_t now_real_ms)
{
    struct backlog *in = c->backlog;
    mutex_lock(&in->lock);
    c->asked = true;
    c->calling = true;
    /* All that is said about this class from now on is newer than the ask. */
    c->due_ms = SPOOL_NEVER;
    mutex_unlock(&in->lock);
    spool_claim(in->spool, c->lane, limit, now_real_ms, on_claimed, c);
    mutex_lock(&in->lock);
    c->calling = false;
    mutex_unlock(&in->lock);
}

void backlog_ask(struct backlog *in, bool one, int64_t now_real_ms)
{
    size_t low = one ? 0 : HOLD_LOW;
    size_t most = one ? 1 : BACKLOG_HOLD_MAX;
    bool asked = false;
    for (size_t i = 0; i < JOB_PRIORITY_COUNT; i++) {
        struct backlog_class *c = &in->classes[i];
        if (c->known_asked || c->known_due_ms > now_real_ms ||
            c->held_count > low)
            continue;
        ask(c, most - c->held_count, now_real_ms);
        asked = true;
    }
    if (asked)
        backlog_look(in);
}

/* Classes that have claims, or may have before the others are served. */
static unsigned classes_of(const struct backlog *in)
{
    unsigned classes = 0;
    for (unsigned i = 0; i < JOB_PRIORITY_COUNT; i++)
        if (in->classes[i].held_count > 0 || in->classes[i].known_asked)
            classes |= SHARE_CLASS(i);
    return classes;
}

struct claim *backlog_next(struct backlog *in, enum job_priority *turn)
{
    *turn = share_next(&in->share, classes_of(in));
    if (*turn == JOB_PRIORITY_COUNT)
        return NULL;
    struct claim_list *held = &in->classes[*turn].held;
    struct claim *claim = STAILQ_FIRST(held);
    /* Off the list: the queue uses the same links. */
    if (claim != NULL)
        STAILQ_REMOVE_HEAD(held, next);
    return claim;
}

void backlog_taken(struct backlog *in, enum job_priority turn)
{
    share_used(&in->share, classes_of(in), turn);
    in->classes[turn].held_count--;
}

void backlog_put_back(struct backlog *in, enum job_priority turn,
                      struct claim *claim)
{
    STAILQ_INSERT_HEAD(&in->classes[turn].held, claim, next);
}

void backlog_release(struct backlog *in, struct str relay, struct str note)
{
    int64_t now_ms = clock_real_ms(in->clock);
    for (size_t i = 0; i < JOB_PRIORITY_COUNT; i++) {
        struct backlog_class *c = &in->classes[i];
        struct claim *claim;
        while ((claim = STAILQ_FIRST(&c->held)) != NULL) {
            STAILQ_REMOVE_HEAD(&c->held, next);
            c->held_count--;
            spool_release(in->spool, claim, now_ms, relay, note);
        }
    }
}

int64_t backlog_due_ms(const struct backlog *in)
{
    int64_t due_ms = SPOOL_NEVER;
    for (size_t i = 0; i < JOB_PRIORITY_COUNT; i++) {
        const struct backlog_class *c = &in->classes[i];
        if (!c->known_asked && c->known_due_ms < due_ms)
            due_ms = c->known_due_ms;
    }
    return due_ms;
}

bool backlog_is_asking(struct backlog *in)
{
    bool asking = false;
    mutex_lock(&in->lock);
    for (size_t i = 0; i < JOB_PRIORITY_COUNT; i++)
        asking = asking || in->classes[i].asked;
    mutex_unlock(&in->lock);
    return asking;
}
