#ifndef QUEUE_SPOOL_SQLITE_H
#define QUEUE_SPOOL_SQLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/thread.h"
#include "queue/bodies.h"
#include "queue/spool_backend.h"
#include "queue/spool_loaded.h"
#include "queue/spool_watches.h"
#include "queue/spool_window.h"
#include "queue/store.h"

/*
 * The durable spool, inside: spool_sqlite.c makes it, spool_sqlite_start.c
 * takes up what the last process left, spool_sqlite_writer.c is the thread that
 * owns the store and runs the requests in groups, spool_sqlite_files.c the one
 * for large bodies. The requests themselves: spool_sqlite_accept.c,
 * spool_sqlite_work.c (claim, settle, release, mark), spool_sqlite_change.c
 * (cancel, retry, drop), spool_sqlite_time.c (expire, forget) and
 * spool_sqlite_ask.c (find, list, watch). spool_sqlite_jobs.c has what they
 * share.
 *
 * A group of requests goes through these steps, each for all of them in the
 * order in which they came:
 *
 *   write      in one transaction; memory stays as it is
 *   committed  or, if any of it failed, failed: memory follows
 *   read       looks at the store as it is now
 *   answer     calls back; no lock held
 *
 * What cannot be undone because it has happened (an attempt's outcome) is kept
 * when the disk fails, and is the first to be written when it works again.
 */
struct spool_sqlite;
struct spool_request;

struct spool_request_kind {
    /* NULL where there is nothing to do. err: the whole group fails. */
    enum err_code (*write)(struct spool_sqlite *s, struct spool_request *r,
                           struct err *err);
    void (*committed)(struct spool_sqlite *s, struct spool_request *r);
    void (*failed)(struct spool_sqlite *s, struct spool_request *r,
                   const struct err *err);
    void (*read)(struct spool_sqlite *s, struct spool_request *r);
    void (*answer)(struct spool_sqlite *s, struct spool_request *r);
    void (*destroy)(struct spool_request *r);
};

enum spool_request_next {
    SPOOL_REQUEST_DONE,
    SPOOL_REQUEST_KEEP,  /* unrecorded: again when the disk works */
    SPOOL_REQUEST_AGAIN, /* the rest of it in the next group */
    SPOOL_REQUEST_FILE,  /* its body is to be written first */
};

/* First member of each kind's own. */
struct spool_request {
    STAILQ_ENTRY(spool_request) next;
    const struct spool_request_kind *kind;
    size_t size_bytes; /* what it adds to its group */
    enum spool_request_next then;
};

STAILQ_HEAD(spool_request_list, spool_request);

struct spool_sqlite_lane {
    struct spool_window window;
    int64_t known_ms;         /* what the scheduler was told to be next */
    int64_t due_ms;           /* the earliest that this group adds */
    bool stalled;             /* was asked while nothing was given out */
    enum err_code unreadable; /* why the last claim could not read it */
};

/* What tests put in the place of the disk. */
struct spool_sqlite_disk {
    enum err_code (*commit)(struct store *store, struct err *err);
    enum err_code (*write_body)(struct bodies *bodies, const struct id *id,
                                const struct body *body, struct err *err);
    /* Of the file system that path is on. False: it does not say. */
    bool (*room)(const char *path, int64_t *free_bytes, int64_t *all_bytes);
};

/* Of one group: enough to share a sync, few enough to be quick. */
#define SPOOL_GROUP_MAX 1024

/* More damaged rows than these are not logged. */
#define SPOOL_DAMAGED_MAX 100

struct spool_sqlite {
    struct spool base;
    struct spool_sqlite_disk disk;
    const struct clock *clock;
    struct spool_options limits; /* numbers only */
    char *path;
    char **routes;
    struct bodies *bodies;
    struct thread writer;
    struct thread filer;
    unsigned route_count;

    struct mutex lock; /* guards from here to the next comment */
    struct cond work;
    struct cond file_work;
    struct cond file_known;
    struct spool_request_list requests;
    struct spool_request_list files;
    struct map watches;
    struct spool_stats stats;
    bool writer_sleeps;
    bool stopping;
    bool filer_stops;

    /* the writer's alone */
    struct store *store;
    struct map loaded;
    struct spool_sqlite_lane *lanes; /* route * JOB_PRIORITY_COUNT + priority */
    struct spool_stats numbers;      /* as committed; active is 0 in them */
    struct spool_stats next_numbers; /* as this group makes them */
    int64_t now_ms;
    int64_t active;
    size_t claims_out;
    int64_t window_bytes;     /* in all windows together */
    int64_t window_bytes_max; /* tests make them small */
    size_t window_jobs_max;   /* in each */
    size_t forget_max;        /* how many may go with this group */
    int64_t forget_at_ms[2];  /* when the next may be; [1] is of failed ones */
    struct spool_request_list unrecorded;
    int64_t unrecorded_count;
    int64_t retry_pause_ms;    /* 0: the disk works */
    int64_t retry_at_ms;       /* monotonic */
    int64_t probe_at_ms;       /* monotonic; see probe() */
    size_t kept_bite;          /* how much of unrecorded is tried in one go */
    struct err failure;        /* the disk's last */
    int64_t failed_at_ms;      /* monotonic */
    bool failed;               /* in this round */
    bool outage;               /* was told, and not its end */
    struct err read_failure;   /* the last of a lane */
    enum err_code read_outage; /* was told, and not its end */
    int64_t body_log_at_ms;    /* monotonic: when to log one put off */
    int64_t house_at_ms;       /* monotonic: when to look for what may go */
    struct spool_request_list files_after; /* tasks when the group is over */
    struct spool_watch_nodes tells;
    int64_t room_bytes;      /* what the least of those refused needs */
    int64_t spare_bytes;     /* of the disk, for what is accepted */
    int64_t filing_bytes;    /* of bodies that are being written */
    int64_t taken_bytes;     /* of them, since looks was set */
    int64_t looked_at_ms;    /* monotonic; see spool_sqlite_look_at_disk() */
    bool yields;             /* what is remembered of jobs that are over does */
    int64_t yields_until_ms; /* monotonic */
    int64_t looked_at_bytes; /* of the log, that were not copied */
    size_t group_max;        /* requests */
    bool looks;              /* at the disk again, with the next group */
    struct buf scratch;
    int64_t damaged[SPOOL_DAMAGED_MAX]; /* rows that the log has */
    size_t damaged_count;
    bool started; /* see spool_sqlite_start() */
    bool in_transaction;
    bool keys_added;  /* by this group */
    bool keeps_house; /* this group does */
    bool room_wanted;
    bool room; /* there is again: to be told */
};

static inline struct spool_sqlite *spool_sqlite_of(struct spool *spool)
{
    return CONTAINER_OF(spool, struct spool_sqlite, base);
}

/* spool_create_sqlite() with another disk. */
MUST_CHECK enum err_code
spool_sqlite_create(struct spool **out, const struct spool_options *options,
                    const char *path, const struct spool_sqlite_disk *disk,
                    struct err *err);

/* Of a row's record. */
void spool_sqlite_record_init(struct buf *record);

/* ---- spool_sqlite_start.c ---- */

/*
 * What is on the disk before anything else: that the spool is in use, and what
 * became of jobs that the last process left. If the disk does not take it the
 * writer tries again, and until then accepts, gives out and changes nothing:
 * what is sent now would be sent again should the process end.
 */
MUST_CHECK enum err_code spool_sqlite_start(struct spool_sqlite *s,
                                            struct err *err);

/* ---- spool_sqlite_writer.c ---- */

void spool_sqlite_write(void *arg); /* the thread */

/* Any thread: the request is the writer's. */
void spool_sqlite_post(struct spool_sqlite *s, struct spool_request *r);
void spool_sqlite_post_locked(struct spool_sqlite *s, struct spool_request *r);

/* Since a commit failed none has succeeded. */
static inline bool spool_sqlite_is_failing(const struct spool_sqlite *s)
{
    return s->numbers.disk_error[0] != '\0';
}

/* Before the first change of a group. */
MUST_CHECK enum err_code spool_sqlite_begin(struct spool_sqlite *s,
                                            struct err *err);

/* ---- spool_sqlite_room.c: what is left of the disk ---- */

bool spool_sqlite_disk_room(const char *path, int64_t *free_bytes,
                            int64_t *all_bytes);

/*
 * Before a group. A part of the disk is kept for outcomes, cancels and drops:
 * a sixteenth, 1 MiB at least and 64 MiB at most. Without it a spool that has
 * filled its disk could never get smaller. Where that is nearly all there is,
 * groups are small; and while jobs are refused for it, delivered and cancelled
 * ones are forgotten early.
 */
void spool_sqlite_look_at_disk(struct spool_sqlite *s);

/* ERR_FULL, with words: a job whose row is that large cannot come now. */
MUST_CHECK enum err_code spool_sqlite_take_room(struct spool_sqlite *s,
                                                const struct store_row *row,
                                                struct err *err);

/* ---- spool_sqlite_files.c ---- */

void spool_sqlite_file(void *arg); /* the thread */

/*
 * Requests come back by spool_sqlite_post() when their body is synced. tasks
 * is empty then.
 */
void spool_sqlite_post_files(struct spool_sqlite *s,
                             struct spool_request_list *tasks);

/* Once the group is over. Or not, if it fails. */
void spool_sqlite_remove_file(struct spool_sqlite *s, const struct id *id);
void spool_sqlite_keep_files(struct spool_sqlite *s);

/* ---- spool_sqlite_jobs.c: a job's row, and its place in memory ---- */

/* A job as its row says. */
struct spool_found {
    bool found;
    struct store_row row; /* record is not valid */
    struct job *job;      /* without its body */
    struct progress progress;
};

/*
 * False: it cannot be read, or is another's or of another state than its row
 * says. It is left alone then, and the log tells of it, once.
 */
bool spool_sqlite_decode(struct spool_sqlite *s, const struct store_row *row,
                         struct job **job, struct progress *progress);

/* The log tells of it, once. */
void spool_sqlite_damaged(struct spool_sqlite *s, int64_t seq, struct str id);

/*
 * Not found: no such job for this client (NULL: anybody's), or one that is
 * remembered for too long. ERR_INVALID: it is damaged.
 */
MUST_CHECK enum err_code spool_sqlite_find(struct spool_sqlite *s,
                                           const struct id *id,
                                           const char *client,
                                           struct spool_found *found,
                                           struct err *err);
bool spool_found_take(struct spool_sqlite *s, struct spool_found *found,
                      const struct store_row *row);
void spool_found_fini(struct spool_found *found);

/* What the world is told: f's, or that it is active. */
enum job_state spool_sqlite_state(const struct spool_sqlite *s,
                                  const struct id *id, enum job_state state);
struct spool_status *spool_sqlite_status(const struct spool_sqlite *s,
                                         const struct spool_found *found);

/* The row follows the progress; record is set to what is in buf. */
void spool_sqlite_row(struct store_row *row, const struct job *job,
                      const struct progress *progress, struct buf *record);

/* Writes found's progress, which was in state before. Moves the numbers. */
MUST_CHECK enum err_code spool_sqlite_update(struct spool_sqlite *s,
                                             struct spool_found *found,
                                             enum job_state before,
                                             struct err *err);
/* The row was in state from, and had a body. */
void spool_sqlite_move(struct spool_stats *n, enum job_state from,
                       bool had_body, const struct store_row *row);
/* The row of a settled job goes, or its body does. */
void spool_sqlite_lighten(struct spool_stats *n, bool had_body,
                          int64_t cost_bytes);

/* The row goes: its key, if it has one, remembers the state. */
MUST_CHECK enum err_code spool_sqlite_key_outlives(struct spool_sqlite *s,
                                                   const struct job *job,
                                                   enum job_state state,
                                                   struct err *err);

/* It was settled and is not any more: a key past its window goes. */
MUST_CHECK enum err_code spool_sqlite_key_reopens(struct spool_sqlite *s,
                                                  const struct job *job,
                                                  struct err *err);

struct spool_loaded *spool_sqlite_loaded(const struct spool_sqlite *s,
                                         const struct id *id);

unsigned spool_sqlite_lane_index(const struct spool_sqlite *s,
                                 struct spool_lane lane);

/* Puts it into the map. */
void spool_sqlite_keep(struct spool_sqlite *s, struct spool_loaded *loaded);

/* Takes loaded, which waits: into its lane's window, or away. */
void spool_sqlite_wait(struct spool_sqlite *s, struct spool_loaded *loaded);

/* A row that waits at this place is to be read from the store. */
void spool_sqlite_unread(struct spool_sqlite *s, unsigned lane, int64_t due_ms,
                         int64_t seq);

/* Takes the first out of a lane's window, which is not empty. */
struct spool_loaded *spool_sqlite_pop(struct spool_sqlite *s, unsigned lane);

/*
 * What was loaded of a job whose row was settled, held or moved, and is not
 * claimed, is thrown away. lane and due_ms are what its row had.
 */
void spool_sqlite_forget_loaded(struct spool_sqlite *s, const struct id *id,
                                unsigned lane, int64_t due_ms);

/* Out of the map, and freed. It is in no window. */
void spool_sqlite_unload(struct spool_sqlite *s, struct spool_loaded *loaded,
                         bool drop_body);

/* The claim is back. */
void spool_sqlite_unclaim(struct spool_sqlite *s, struct spool_loaded *loaded);

/* Those who wait for this job hear of it in the answer step. */
void spool_sqlite_tell(struct spool_sqlite *s, const struct progress *progress,
                       struct job *job, bool has_body);

/* ---- spool_sqlite_forget.c ---- */

/* Within a transaction: what is remembered for too long goes, in bites. */
MUST_CHECK enum err_code spool_sqlite_forget(struct spool_sqlite *s,
                                             struct err *err);

/*
 * Bodies of failed jobs give way to one of so many bytes, the first settled
 * first, some in each group: *enough says whether it can come now. *freed_bytes
 * is what has gone for it; 0 at first.
 */
MUST_CHECK enum err_code spool_sqlite_make_room(struct spool_sqlite *s,
                                                int64_t cost_bytes,
                                                int64_t *freed_bytes,
                                                bool *enough, struct err *err);

/* Whether it can come once they have. */
bool spool_sqlite_fits(const struct spool_sqlite *s,
                       const struct spool_stats *n, int64_t cost_bytes);

/* This group settles a job. Nothing if state is not settled. */
void spool_sqlite_settles(struct spool_sqlite *s, enum job_state state,
                          int64_t settled_ms);
bool spool_sqlite_is_forgotten(const struct spool_sqlite *s,
                               enum job_state state, int64_t settled_ms);

/* ---- the operations ---- */

/* On the thread for bodies: writes that of an accept, and posts it again. */
void spool_sqlite_write_body(struct spool_sqlite *s, struct spool_request *r);

void spool_sqlite_accept(struct spool *spool, struct job *job,
                         spool_accept_fn fn, void *ctx);
/*
 * Whether all that waits in a lane can be read, as far as is known: if not, why
 * in words; or NULL. The log tells of it once when it begins and when it ends;
 * what a damaged page took away does not come back.
 */
const char *spool_sqlite_unreadable(const struct spool_sqlite *s);
void spool_sqlite_tell_reads(struct spool_sqlite *s);

/* After a group: lanes that were given nothing because of the disk. */
void spool_sqlite_stalled(struct spool_sqlite *s);

void spool_sqlite_claim(struct spool *spool, struct spool_lane lane,
                        size_t limit, int64_t now_ms, spool_claim_fn fn,
                        void *ctx);
void spool_sqlite_settle(struct spool *spool, struct claim *claim,
                         const struct settlement *settlement,
                         spool_settle_fn fn, void *ctx);
void spool_sqlite_release(struct spool *spool, struct claim *claim,
                          int64_t due_ms, struct str relay, struct str note);
void spool_sqlite_mark(struct spool *spool, struct claim *claim,
                       struct str relay, spool_mark_fn fn, void *ctx);
void spool_sqlite_show(struct spool *spool, const struct id *id,
                       const char *client, spool_status_fn fn, void *ctx);
void spool_sqlite_cancel(struct spool *spool, const struct id *id,
                         const char *client, spool_status_fn fn, void *ctx);
void spool_sqlite_retry(struct spool *spool, const struct id *id,
                        spool_status_fn fn, void *ctx);
void spool_sqlite_drop(struct spool *spool, const struct id *id,
                       spool_status_fn fn, void *ctx);
void spool_sqlite_list(struct spool *spool, const struct spool_filter *filter,
                       spool_list_fn fn, void *ctx);
void spool_sqlite_watch(struct spool *spool, const char *client,
                        struct spool_watch *watch);
bool spool_sqlite_unwatch(struct spool *spool, struct spool_watch *watch);
void spool_sqlite_expire(struct spool *spool, int64_t now_ms, size_t limit,
                         spool_expire_fn fn, void *ctx);
void spool_sqlite_stats(struct spool *spool, struct spool_stats *stats);

#endif
