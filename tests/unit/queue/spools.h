#ifndef TESTS_UNIT_QUEUE_SPOOLS_H
#define TESTS_UNIT_QUEUE_SPOOLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/thread.h"
#include "queue/spool.h"

/*
 * A spool with a clock that stands still, and its requests as plain calls,
 * which wait until the spool has done all that follows from them. Two routes,
 * "default" and "other".
 *
 * Which backend is chosen once for the program: spools_choose() in main().
 */
#define START_MS INT64_C(1000000)
#define DAY_MS   INT64_C(86400000)

struct fake_clock {
    struct clock clock;
    atomic_int_least64_t now_ms;
};

void fake_clock_init(struct fake_clock *fake);

struct due_call {
    struct spool_lane lane;
    int64_t due_ms;
};

/* "memory" (without an argument) or "sqlite". */
void spools_choose(int argc, char **argv);
bool spools_are_durable(void);

/* What a callback said, handed to the thread that waits for it. */
struct waiter {
    struct mutex lock;
    struct cond cond;
    bool done;
};

void waiter_init(struct waiter *w);
void waiter_fini(struct waiter *w);

/* Fails the test after a minute. It can then be used again. */
void waiter_wait(struct waiter *w);
void waiter_done(struct waiter *w);

struct spooled {
    struct spool *spool;
    char directory[64]; /* of a durable one */
    char path[80];
    struct fake_clock fake;
    struct spool_options options;
    struct err err;          /* of the last find, cancel, ask or list */
    struct due_call due[64]; /* the first of them */
    unsigned due_count;
    unsigned room_count;
    atomic_uint outages; /* that began, */
    atomic_uint ends;    /* and ended */
};

/* change, if not NULL, alters the default options. */
void spooled_open(struct spooled *s, void (*change)(struct spool_options *o));
void spooled_close(struct spooled *s);

/* Durable ones: as after a restart. */
void spooled_reopen(struct spooled *s);

/* Waits until all that was asked for is done, callbacks included. */
void spooled_rest(struct spooled *s);

/* The directory of a durable one; spooled_open() and _close() do it too. */
void spooled_make_directory(struct spooled *s);
void spooled_remove_directory(const struct spooled *s);

/* spool_create_...() of the backend. */
enum err_code spooled_create(struct spooled *s, struct spool **out,
                             const struct spool_options *options,
                             struct err *err);
void spooled_tick(struct spooled *s, int64_t ms);

#define LANE_HIGH   ((struct spool_lane){0, JOB_PRIORITY_HIGH})
#define LANE_NORMAL ((struct spool_lane){0, JOB_PRIORITY_NORMAL})
#define LANE_LOW    ((struct spool_lane){0, JOB_PRIORITY_LOW})
#define LANE_OTHER  ((struct spool_lane){1, JOB_PRIORITY_NORMAL})

/* For client "app", to so many recipients, with a body of 100 bytes. */
struct job *a_job(struct spooled *s, size_t recipients);

/* Accepts and unrefs. */
struct spool_accepted spooled_accept(struct spooled *s, struct job *job);

/* The same for a job that must be accepted; returns its id. */
struct id spooled_put(struct spooled *s, struct job *job);
struct id spooled_put_one(struct spooled *s);

/* NULL when nothing is due now. */
struct claim *spooled_claim(struct spooled *s, struct spool_lane lane);
int64_t spooled_next_due(struct spooled *s, struct spool_lane lane);

/* All recipients that are pending in the claim get this state and reply. */
struct spool_settled spooled_settle(struct spooled *s, struct claim *claim,
                                    enum recipient_state state,
                                    enum settle_rest rest,
                                    int64_t next_attempt_ms);

/* claim, start and settle as delivered. */
void spooled_deliver(struct spooled *s, struct spool_lane lane);

/* To be destroyed; NULL: not found. */
struct spool_status *spooled_find(struct spooled *s, const struct id *id,
                                  const char *client);
/* JOB_STATE_COUNT: not found. */
enum job_state spooled_state(struct spooled *s, const struct id *id);

/* state may be NULL. */
bool spooled_cancel(struct spooled *s, const struct id *id, const char *client,
                    enum job_state *state);

/* NULL (not found) or to be destroyed. *changed says what the spool did. */
typedef void (*spooled_person_fn)(struct spool *spool, const struct id *id,
                                  spool_status_fn fn, void *ctx);
struct spool_status *spooled_ask(struct spooled *s, spooled_person_fn ask,
                                 const struct id *id, bool *changed);

/* The same, if only changed matters. */
bool spooled_retry(struct spooled *s, const struct id *id);
bool spooled_drop(struct spooled *s, const struct id *id);

struct listed {
    struct id ids[1000];
    size_t count;
    bool more;
    struct id last;
    bool has_last;
};

struct listed spooled_list(struct spooled *s,
                           const struct spool_filter *filter);

struct expired {
    struct spool_expired jobs[256];
    size_t count;
    int64_t next_ms;
};

struct expired spooled_expire(struct spooled *s, size_t limit);

/* Asserts that the ledger adds up. */
struct spool_stats spooled_stats(struct spooled *s);

#endif
