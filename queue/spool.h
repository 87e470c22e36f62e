#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/queue.h>

#include "core/clock.h"
#include "core/err.h"
#include "core/str.h"
#include "queue/claim.h"
#include "queue/job.h"

struct mailbox_round;

/*
 * Where accepted jobs live until they are settled, and a while longer to be
 * asked for. One interface, several backends: memory here, a database or a
 * broker later.
 *
 * Asynchronous: each request completes through its callback, exactly once,
 * on any thread, possibly before the request returns, with no lock of the
 * spool held. A callback must not block and may not call spool_destroy();
 * any other function of the spool it may.
 *
 * Threads: any may call any function.
 *
 * Lanes of the spool are (route, priority): what is due in one lane is
 * claimed in order of time due. The scheduler gives lanes their meaning.
 */
struct spool;

struct spool_lane {
    unsigned route; /* index into spool_options.routes */
    enum job_priority priority;
};

#define SPOOL_NEVER INT64_MAX

struct spool_options {
    const char *const *routes; /* names, copied; index 0 takes unknown ones */
    size_t route_count;
    int64_t max_jobs;        /* waiting, active and held ones */
    int64_t max_bytes;       /* theirs; kept bodies of failed ones give way */
    int64_t history_keep_ms; /* how long settled jobs are remembered */
    int64_t history_keep_failed_ms; /* failed and expired ones, with bodies */
    int64_t history_max_jobs;
    int64_t give_up_ms;    /* a job tried again by spool_retry() has so long;
                            * 0: for ever */
    int64_t key_window_ms; /* how long idempotency keys are, from accept on */
    int64_t key_max;       /* the oldest of a settled job gives way */
    const struct clock *clock;

    /*
     * Called when a job of this lane becomes due at due_ms, earlier than the
     * lane was known to have one: from spool_claim()'s next_due_ms, or from
     * here. On any thread, no lock held, must not block. It may overtake the
     * callback of a spool_claim() under way for the lane: who keeps the lane's
     * next time takes the earlier of what he was told since he asked.
     * NULL: nobody wants to know.
     */
    void (*on_due)(void *ctx, struct spool_lane lane, int64_t due_ms);
    /*
     * Called once when there is room again for the least of the jobs that were
     * refused as SPOOL_FULL since the last call; possibly before the callback
     * of the refused accept has returned. On any thread, no lock held, must
     * not block.
     */
    void (*on_room)(void *ctx);
    /*
     * Durable ones: called once when the disk begins to fail, whatever was to
     * be written, and once when it works and has not failed for some seconds
     * (err->code is ERR_NONE). On the writer's thread, no lock held, must not
     * block. NULL: nobody wants to know.
     */
    void (*on_disk)(void *ctx, const struct err *err);
    void *ctx;
};

/*
 * "memory": jobs live as long as the process. All its requests complete before
 * they return. ERR_INVALID when an option is out of range.
 */
MUST_CHECK enum err_code
spool_create_memory(struct spool **out, const struct spool_options *options,
                    struct err *err);

/*
 * "sqlite": what was accepted survives the end of the process and of the
 * machine. path is the database; bodies from SPOOL_BODY_FILE_MIN on are files
 * in the directory "path.bodies". Both are made, mode 0600 and 0700, when they
 * are not there. Two threads of its own, one that writes and one that syncs
 * large bodies; all callbacks come from the writer.
 *
 * Refused, each with a sentence that says what to do: ERR_EXISTS when another
 * process has it open, ERR_DENIED for wrong permissions, ERR_INVALID for a
 * damaged file, for a schema newer than this program, for a missing
 * write-ahead log of a spool that was not closed (jobs would be lost in
 * silence), and for a missing or empty file beside a log or bodies.
 *
 * When the disk takes no commit, because it is full or broken, a spool that is
 * there is opened all the same: it can be asked, on_disk is called, and it
 * accepts and gives out jobs as soon as the disk works.
 *
 * Jobs whose message may have left when the last process died come back by
 * their on_unknown: due at once, or held.
 */
#define SPOOL_BODY_FILE_MIN (1U << 20)
MUST_CHECK enum err_code
spool_create_sqlite(struct spool **out, const struct spool_options *options,
                    const char *path, struct err *err);

/*
 * Checks a spool that no process has open: SQLite's own integrity check, every
 * record read back, numbers counted again, body files against rows. Each
 * finding is a line on out. ERR_NONE when all is well, ERR_INVALID for
 * findings, else as spool_create_sqlite().
 */
MUST_CHECK enum err_code spool_verify_sqlite(const char *path, FILE *out,
                                             struct err *err);

/*
 * No request may be under way, no claim out and nobody watching. NULL is
 * allowed.
 */
void spool_destroy(struct spool *spool);

/*
 * As options' callbacks, for who is created after the spool: set once, before
 * any other thread uses the spool.
 */
void spool_on_due(struct spool *spool,
                  void (*fn)(void *ctx, struct spool_lane lane, int64_t due_ms),
                  void *ctx);
void spool_on_room(struct spool *spool, void (*fn)(void *ctx), void *ctx);

/*
 * For mailboxes into which callbacks of spool_accept(), spool_settle() and
 * their like post: a group of answers wakes each of their threads once.
 */
struct mailbox_round *spool_round(struct spool *spool);

/*
 * Any thread, never blocks. False while the disk fails: what became of a job
 * that is sent now could not be recorded, and it would be sent again should the
 * process end. A claim that has not begun goes back by spool_release();
 * spool_claim() gives out none, and on_due is called when it does again.
 */
bool spool_may_send(const struct spool *spool);

/* What the reply to a submit says: "memory", "disk". Static. */
const char *spool_durability(const struct spool *spool);

/* ---- accept ---- */

enum spool_answer {
    SPOOL_ACCEPTED,     /* as durable as spool_durability() says */
    SPOOL_DUPLICATE,    /* same client, key and digest: id is the first's */
    SPOOL_KEY_CONFLICT, /* same client and key, another digest */
    SPOOL_FULL,
    /* Nothing was stored; err says why: ERR_TOO_LARGE when the job alone is
     * more than max_bytes, so that room will never come. */
    SPOOL_ERROR,
};

struct spool_accepted {
    enum spool_answer answer;
    struct id id; /* the job's; the first's for DUPLICATE, KEY_CONFLICT */
    enum job_state state; /* of that job */
    struct err err;
};

typedef void (*spool_accept_fn)(void *ctx,
                                const struct spool_accepted *accepted);

/*
 * The spool takes a reference of its own; the caller keeps his, but must not
 * look at job->body any more if it was accepted. The id must be new. A
 * duplicate is answered even by a full spool. The key of a job that is not
 * settled yet is kept beyond the window, and beyond key_max.
 */
void spool_accept(struct spool *spool, struct job *job, spool_accept_fn fn,
                  void *ctx);

/* ---- claim, settle, release ---- */

/*
 * claims belongs to the callee, may be empty, and is in order. next_due_ms is
 * when the lane has a next job (SPOOL_NEVER: none is known).
 */
typedef void (*spool_claim_fn)(void *ctx, struct spool_lane lane,
                               struct claim_list *claims, int64_t next_due_ms);

/*
 * Up to limit jobs of the lane that are due at now_ms. A job past its
 * expires_at_ms or give_up_at_ms is not given out: spool_expire() has it.
 */
void spool_claim(struct spool *spool, struct spool_lane lane, size_t limit,
                 int64_t now_ms, spool_claim_fn fn, void *ctx);

/*
 * What becomes of recipients that have no final state after an attempt:
 * neither delivered nor failed. When the job is given up or expires they are
 * failed, with the reply they have; unknown stays unknown.
 */
enum settle_rest {
    SETTLE_REST_RETRY,  /* deferred until next_attempt_ms */
    SETTLE_REST_HOLD,   /* a person decides */
    SETTLE_REST_FAIL,   /* given up: failed with the reply they have */
    SETTLE_REST_EXPIRE, /* as FAIL, but the job is "expired" */
};

struct settle_recipient {
    uint32_t index; /* into job->recipients */
    enum recipient_state state;
    struct str reply; /* the relay's words, or ours; copied */
};

#define SPOOL_TEXT_MAX 2048 /* bytes kept of a reply, a relay or a note */

struct settlement {
    const struct settle_recipient *recipients;
    size_t count;
    struct str relay; /* its name; copied */
    int64_t at_ms;
    enum settle_rest rest;
    int64_t next_attempt_ms; /* for SETTLE_REST_RETRY */
    struct str note;         /* a sentence for the status, may be empty */
};

struct spool_settled {
    enum job_state state;
    int64_t next_attempt_ms; /* if deferred */
    struct err err;          /* ERR_NONE, or why it is not recorded yet */
};

typedef void (*spool_settle_fn)(void *ctx, const struct spool_settled *settled);

/*
 * Records one attempt and takes the claim; counts the attempt for the job and
 * for each recipient named. The job's state follows: all recipients delivered:
 * delivered; all final otherwise: failed; else by settlement->rest. fn may be
 * NULL. settlement need not outlive the call. A job cancelled meanwhile stays
 * cancelled, and nothing is recorded.
 */
void spool_settle(struct spool *spool, struct claim *claim,
                  const struct settlement *settlement, spool_settle_fn fn,
                  void *ctx);

/*
 * Takes the claim back; no attempt is counted. The job waits until due_ms (now
 * or earlier: it is due at once, in its old place). note, if not empty, says
 * why in the status, and relay, if not empty, which one could not take the job:
 * spool_list() finds it by that until the next attempt. Without a note nothing
 * is remembered of the relay. Both are copied. A job cancelled meanwhile stays
 * cancelled.
 */
void spool_release(struct spool *spool, struct claim *claim, int64_t due_ms,
                   struct str relay, struct str note);

/* err->code ERR_NONE: the mark is as durable as the spool is. */
typedef void (*spool_mark_fn)(void *ctx, const struct err *err);

/*
 * Before the message of a started claim may leave, if job->on_unknown is hold:
 * should the process die before the claim is settled or released, the job
 * comes back as held. Until fn was called without an error the message must
 * not be sent, nor the claim given back. The mark ends with the claim. relay
 * (copied, may be empty) is the one that the message goes to: status and
 * spool_list() have it if the process dies. Of a job that was not marked
 * nothing tells that an attempt was under way.
 */
void spool_mark(struct spool *spool, struct claim *claim, struct str relay,
                spool_mark_fn fn, void *ctx);

/* ---- status, cancel, watch ---- */

struct spool_recipient {
    const char *address; /* the job's */
    enum recipient_state state;
    unsigned attempts;
    char *reply; /* NULL: none yet */
    char *relay; /* NULL: none yet */
};

/* What happened to a job, oldest first: its trail. */
enum spool_event_kind {
    SPOOL_EVENT_ACCEPTED,
    SPOOL_EVENT_ATTEMPT,     /* text: what came of it, in words */
    SPOOL_EVENT_RELEASED,    /* back without an attempt; text: why */
    SPOOL_EVENT_INTERRUPTED, /* the process ended during an attempt */
    SPOOL_EVENT_HELD,        /* text: why */
    SPOOL_EVENT_RETRIED,     /* a person said: again */
    SPOOL_EVENT_CANCELLED,
    SPOOL_EVENT_DROPPED, /* by a person */
    SPOOL_EVENT_EXPIRED,
    SPOOL_EVENT_GIVEN_UP,
    SPOOL_EVENT_COUNT
};

/* Of more, the first and the latest are kept. */
#define SPOOL_EVENTS_MAX 32

struct spool_event {
    int64_t at_ms;
    enum spool_event_kind kind;
    unsigned attempt;  /* its number; 0: none */
    const char *relay; /* of ATTEMPT, RELEASED, INTERRUPTED; NULL: none */
    const char *text;  /* NULL: none */
};

/* "accepted", "attempt": words of the protocol. Static. */
const char *spool_event_name(enum spool_event_kind kind);

/*
 * A snapshot. Owned by who got it; spool_status_destroy() frees it, all in one
 * piece. A job is shown as active from claim_start() on.
 */
struct spool_status {
    struct job *job; /* a reference; its body may be gone */
    enum job_state state;
    unsigned attempts;
    int64_t next_attempt_ms; /* 0: none planned */
    int64_t expires_at_ms;   /* 0: never; not the job's if it was retried */
    int64_t settled_ms;      /* 0: not yet */
    char *note;              /* NULL: none */
    struct spool_recipient *recipients;
    size_t recipient_count;
    struct spool_event *events;
    size_t event_count;
    bool has_body; /* can be tried again; a failed job's may give way */
};

void spool_status_destroy(struct spool_status *status); /* NULL allowed */

/*
 * status (the callee's, NULL when there is no such job for this client) is
 * what holds after the request. changed tells for spool_cancel(),
 * spool_retry() and spool_drop() whether it did what was asked; false
 * otherwise.
 *
 * err->code is ERR_NONE, or says that the disk failed: nothing has changed
 * then, and status may be NULL though there is such a job.
 */
typedef void (*spool_status_fn)(void *ctx, struct spool_status *status,
                                bool changed, const struct err *err);

/* client NULL: whosever it is. */
void spool_find(struct spool *spool, const struct id *id, const char *client,
                spool_status_fn fn, void *ctx);

/* Possible while no attempt is running and the job is not settled. */
void spool_cancel(struct spool *spool, const struct id *id, const char *client,
                  spool_status_fn fn, void *ctx);

/*
 * For a person: failed, held, deferred, expired and cancelled jobs that still
 * have their body, and are not claimed, are due at once, with a new give_up_at
 * and without an expires_at that has passed. Recipients that have the mail are
 * left alone. The spool may come to hold more than max_jobs by it.
 */
void spool_retry(struct spool *spool, const struct id *id, spool_status_fn fn,
                 void *ctx);

/*
 * For a person: whatever waits or is held, and no attempt is running, becomes
 * cancelled; a settled job is forgotten with its body (status is then what it
 * was). The ledger and the job's idempotency key stay.
 */
void spool_drop(struct spool *spool, const struct id *id, spool_status_fn fn,
                void *ctx);

struct spool_filter {
    unsigned states;           /* bits 1 << enum job_state; 0: any */
    const char *relay;         /* last one tried, for any recipient, or that
                                * could not take it since then; or NULL */
    const char *tag;           /* or NULL */
    int64_t created_before_ms; /* 0: any */
    struct id after;           /* go on behind this one, if has_after; when it
                                * is forgotten, where its id belongs in time */
    bool has_after;
    size_t limit; /* most jobs in the answer, taken into 1..1000 */
};

/*
 * The jobs in order of acceptance; each status and the array (NULL when count
 * is 0) are the callee's (spool_status_destroy() and mem_free()). more: there
 * may be others behind *last, which need not be one of the jobs. A filter that
 * few jobs pass gives short or empty answers with more set, so that nobody
 * waits long. last is NULL when no job was looked at; more is false then.
 *
 * What cannot be read ends the answer, with more set; when it is the first that
 * was to be looked at, err says so (else ERR_NONE) and there are no jobs.
 */
typedef void (*spool_list_fn)(void *ctx, struct spool_status **jobs,
                              size_t count, bool more, const struct id *last,
                              const struct err *err);

/* The filter need not outlive the call. */
void spool_list(struct spool *spool, const struct spool_filter *filter,
                spool_list_fn fn, void *ctx);

/*
 * Calls fn once, when the job is settled or held (at once if it is, or if
 * there is none). The caller owns the watch and keeps it until fn was called
 * or spool_unwatch() said true.
 */
struct spool_watch {
    TAILQ_ENTRY(spool_watch) next;
    spool_status_fn fn;
    void *ctx;
    struct id id;
    bool waiting;                /* guarded by the spool */
    struct spool_status *status; /* the spool's */
};

void spool_watch(struct spool *spool, const struct id *id, const char *client,
                 struct spool_watch *watch, spool_status_fn fn, void *ctx);

/*
 * True: fn will not be called any more. False: it was, is being or is about to
 * be called.
 */
MUST_CHECK bool spool_unwatch(struct spool *spool, struct spool_watch *watch);

/* ---- time ---- */

struct spool_expired {
    struct id id;
    enum job_state state; /* JOB_EXPIRED, or JOB_FAILED when given up */
};

typedef void (*spool_expire_fn)(void *ctx, const struct spool_expired *expired,
                                size_t count, int64_t next_ms);

/*
 * Settles up to limit waiting jobs whose expires_at or give_up_at has passed.
 * Jobs that are claimed are left to their settlement, and come up here again
 * when they wait again. next_ms: when to call again, SPOOL_NEVER if no job has
 * such a time. Jobs accepted or given back since may have an earlier one, and
 * nobody is told: call now and then (once a second) as well.
 */
void spool_expire(struct spool *spool, int64_t now_ms, size_t limit,
                  spool_expire_fn fn, void *ctx);

/* ---- numbers ---- */

struct spool_stats {
    /* accepted = delivered + failed + expired + cancelled + waiting + active +
     * held, at all times */
    int64_t accepted;
    int64_t delivered;
    int64_t failed;
    int64_t expired;
    int64_t cancelled;
    int64_t waiting;
    int64_t active; /* claimed, and neither given back nor cancelled */
    int64_t held;
    int64_t bytes;      /* of waiting, active and held jobs, and of failed and
                         * expired ones that keep their body: job_cost_bytes()
                         * and what the spool itself adds */
    int64_t kept_bytes; /* those of the failed and expired ones: their bodies
                         * give way, the first settled first, when an accept
                         * needs room in max_bytes */
    int64_t remembered; /* settled jobs that can be asked for */
    int64_t keys;
    int64_t commits;      /* since the start; 0 for memory */
    int64_t unrecorded;   /* settlements that wait for the disk */
    char disk_error[160]; /* why the last commit failed, or what waits cannot
                           * be read; "": neither */
};

/* Never blocks beyond a short lock. All numbers are of one moment. */
void spool_stats(struct spool *spool, struct spool_stats *stats);

#endif
