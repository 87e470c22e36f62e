#ifndef CONSUMER_BACKLOG_H
#define CONSUMER_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/share.h"
#include "core/clock.h"
#include "core/str.h"
#include "core/thread.h"
#include "queue/claim.h"
#include "queue/spool.h"

/*
 * The due jobs of one route: asks the spool for them in batches, holds at
 * most BACKLOG_HOLD_MAX claims of each priority class and gives them out by
 * their shares.
 *
 * Threads: the scheduler's, but for backlog_due() (any) and the spool's
 * answers. Blocking: short locks only.
 */
#define BACKLOG_HOLD_MAX 64U

struct backlog_class {
    struct backlog *backlog;
    struct spool_lane lane;
    struct claim_list arrived; /* guarded by backlog->lock, as the next three */
    int64_t due_ms;            /* real; SPOOL_NEVER: nothing known */
    bool asked;                /* a spool_claim() is under way */
    bool calling;              /* and has not returned yet */
    /* The scheduler's own. */
    struct claim_list held;
    size_t held_count;
    int64_t known_due_ms; /* copies of the last look */
    bool known_asked;
};

struct backlog {
    struct spool *spool;
    const struct clock *clock;
    struct mutex lock;
    struct share share;
    struct backlog_class classes[JOB_PRIORITY_COUNT];
    /*
     * An answer came after the call had returned: look again. On any thread,
     * with the backlog's lock held: must not block or call back.
     */
    void (*on_answer)(void *ctx);
    void *ctx;
};

/* All classes count as due until the spool says otherwise. */
void backlog_init(struct backlog *in, struct spool *spool,
                  const struct clock *clock, unsigned route);

/* Nothing held, nothing under way. */
void backlog_fini(struct backlog *in);

/* A job of this class becomes due at due_ms. Any thread. */
void backlog_due(struct backlog *in, enum job_priority priority,
                 int64_t due_ms);

/* Takes over what the spool answered meanwhile. */
void backlog_look(struct backlog *in);

/* Asks where something is due and little is held: one job a class, or many. */
void backlog_ask(struct backlog *in, bool one, int64_t now_real_ms);

/*
 * The claim whose turn it is; the caller puts it somewhere and says so with
 * backlog_taken(), or gives it back with backlog_put_back(), before the next
 * one. NULL: nothing is held, or the class whose turn it is has been asked
 * for and the answer is still to come.
 */
struct claim *backlog_next(struct backlog *in, enum job_priority *turn);
void backlog_taken(struct backlog *in, enum job_priority turn);
void backlog_put_back(struct backlog *in, enum job_priority turn,
                      struct claim *claim);

/* Releases all claims that are held. */
void backlog_release(struct backlog *in, struct str relay, struct str note);

/* When something not asked for yet is due: real time, or SPOOL_NEVER. */
int64_t backlog_due_ms(const struct backlog *in);

/* Whether an answer of the spool is still to come. */
bool backlog_is_asking(struct backlog *in);

#endif
