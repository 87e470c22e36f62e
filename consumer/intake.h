#ifndef CONSUMER_INTAKE_H
#define CONSUMER_INTAKE_H

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
 * most INTAKE_HOLD_MAX claims of each priority class and gives them out by
 * their shares.
 *
 * Threads: the scheduler's, but for intake_due() (any) and the spool's
 * answers. Blocking: short locks only.
 */
#define INTAKE_HOLD_MAX 64U

struct intake_class {
    struct intake *intake;
    struct spool_lane lane;
    struct claim_list arrived; /* guarded by intake->lock, as the next three */
    int64_t due_ms;            /* real; SPOOL_NEVER: nothing known */
    bool asked;                /* a spool_claim() is under way */
    bool calling;              /* and has not returned yet */
    /* The scheduler's own. */
    struct claim_list held;
    size_t held_count;
    int64_t known_due_ms; /* copies of the last look */
    bool known_asked;
};

struct intake {
    struct spool *spool;
    const struct clock *clock;
    struct mutex lock;
    struct share share;
    struct intake_class classes[JOB_PRIORITY_COUNT];
    /*
     * An answer came after the call had returned: look again. On any thread,
     * with the intake's lock held: must not block or call back.
     */
    void (*on_answer)(void *ctx);
    void *ctx;
};

/* All classes count as due until the spool says otherwise. */
void intake_init(struct intake *in, struct spool *spool,
                 const struct clock *clock, unsigned route);

/* Nothing held, nothing under way. */
void intake_fini(struct intake *in);

/* A job of this class becomes due at due_ms. Any thread. */
void intake_due(struct intake *in, enum job_priority priority, int64_t due_ms);

/* Takes over what the spool answered meanwhile. */
void intake_look(struct intake *in);

/* Asks where something is due and little is held: one job a class, or many. */
void intake_ask(struct intake *in, bool one, int64_t now_real_ms);

/*
 * The claim whose turn it is; the caller puts it somewhere and says so with
 * intake_taken(), or gives it back with intake_put_back(), before the next
 * one. NULL: nothing is held, or the class whose turn it is has been asked
 * for and the answer is still to come.
 */
struct claim *intake_next(struct intake *in, enum job_priority *turn);
void intake_taken(struct intake *in, enum job_priority turn);
void intake_put_back(struct intake *in, enum job_priority turn,
                     struct claim *claim);

/* Releases all claims that are held. */
void intake_release(struct intake *in, struct str note);

/* When something not asked for yet is due: real time, or SPOOL_NEVER. */
int64_t intake_due_ms(const struct intake *in);

/* Whether an answer of the spool is still to come. */
bool intake_is_asking(struct intake *in);

#endif
