#ifndef TESTS_UNIT_CONSUMER_STAND_H
#define TESTS_UNIT_CONSUMER_STAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/outlet.h"
#include "queue/spool_backend.h"
#include "tests/unit/consumer/fake_session.h"

/*
 * One outlet on fake sessions, a fake spool and a clock that the test sets:
 * nothing happens by itself. Change settings between stand_init() and
 * stand_open().
 */
#define STAND_JOBS_MAX       4096
#define STAND_RECIPIENTS_MAX 8

enum stand_end {
    STAND_OPEN, /* the outlet has it, or never had */
    STAND_SETTLED,
    STAND_RELEASED,
};

struct stand_job {
    struct job job;
    struct claim claim;
    atomic_uint gate;
    char sender[16]; /* of its own */
    char names[STAND_RECIPIENTS_MAX][16];
    char *recipients[STAND_RECIPIENTS_MAX];
    uint32_t pending[STAND_RECIPIENTS_MAX];
    enum stand_end end;
    struct settlement settlement; /* without strings */
    enum recipient_state states[STAND_RECIPIENTS_MAX];
    int64_t due_ms; /* of the release, after STAND_REAL_MS */
    char note[128];
    unsigned marks;
    bool is_taken; /* the outlet took it at some time */
};

#define STAND_REAL_MS INT64_C(1000000000)

struct stand_clock {
    struct clock clock;
    int64_t now_ms; /* mono; real time is STAND_REAL_MS later */
};

struct stand_answer {
    spool_settle_fn fn;
    void *ctx;
};

struct stand_mark {
    spool_mark_fn fn;
    void *ctx;
};

struct stand {
    struct spool spool; /* first */
    struct stand_clock clock;
    struct metrics metrics;
    struct pool_relay relay;
    struct retry_policy retry;
    struct errand_env env;
    struct outlet outlet;
    size_t share;
    struct stand_job *jobs;
    size_t job_count;
    bool late_settles; /* answers wait for stand_answer_settles() */
    struct stand_answer settles[STAND_JOBS_MAX];
    size_t settle_count; /* that wait */
    struct stand_mark marks[STAND_JOBS_MAX];
    size_t mark_count; /* that wait */
};

/* The outlet's relay takes one session of one job at a time. */
struct stand *stand_new(void);
void stand_open(struct stand *stand);

/* Drains, ends all sessions, checks that every job has had one end. */
void stand_free(struct stand *stand);

/* The next job, of one recipient; not given to the outlet. */
struct stand_job *stand_job(struct stand *stand);
void stand_recipients(struct stand_job *job, size_t count);

/* Gives that job. The outlet must want one. */
void stand_give(struct stand *stand, struct stand_job *job);

/* Gives new jobs while the outlet wants some, at most so many; how many. */
size_t stand_fill(struct stand *stand, size_t at_most);

/*
 * Time goes on; then a worker's turn without a job. Returns after how long it
 * wants the next one.
 */
int64_t stand_turn(struct stand *stand, int64_t ms);

/* Answers all settlements that wait, or marks, and takes the answers. */
void stand_answer_settles(struct stand *stand);
void stand_answer_marks(struct stand *stand, enum err_code code);

/* Session number n is connected. */
void stand_ready(size_t n, size_t window);

bool stand_wants(struct stand *stand);

/* Whose mail is at that place of the session; the test fails if none is. */
struct stand_job *stand_job_at(struct stand *stand, size_t session,
                               size_t place);

/* The relay's breaker opens. */
void stand_shut(struct stand *stand);

#endif
