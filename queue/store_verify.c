#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "queue/bodies.h"
#include "queue/codec.h"
#include "queue/progress.h"
#include "queue/store_inner.h"

#define SHIFT "2"
_Static_assert(STORE_LANE_SHIFT == 2, "SHIFT says it too");

/* One run of store_verify(). */
struct verify {
    struct store *store;
    struct bodies *bodies; /* NULL: no such directory */
    FILE *out;
    int64_t findings;
    struct spool_stats counted;
    int64_t body_rows;
};

PRINTF_LIKE(2, 3)
static void finding(struct verify *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(v->out, format, args);
    va_end(args);
    (void)fputc('\n', v->out);
    v->findings++;
}

/* ---- SQLite's own check ---- */

static void check_integrity(struct verify *v)
{
    struct statement *st = NULL;
    struct err err = {.code = ERR_NONE};
    bool row = true;
    enum err_code code = database_prepare(
        v->store->db, "PRAGMA integrity_check(100)", &st, &err);
    while (code == ERR_NONE && row) {
        code = database_step(v->store->db, st, &row, &err);
        if (!row)
            break;
        struct str text = statement_bytes(st, 0);
        if (!str_equal(text, STR("ok")))
            finding(v, "database: %.*s", STR_ARG(text));
    }
    if (code != ERR_NONE)
        finding(v, "database: %s", err.text);
    statement_finish(st);
}

/* ---- one row ---- */

static int64_t or_never(const struct progress *p, int64_t time_ms)
{
    return progress_is_waiting(p) ? time_ms : SPOOL_NEVER;
}

static void compare(struct verify *v, const struct store_row *row,
                    const struct job *job, const struct progress *p)
{
    const struct {
        const char *what;
        int64_t column;
        int64_t record;
    } pairs[] = {
        {"state", (int64_t)row->state, (int64_t)p->state},
        {"priority", (int64_t)row->lane.priority, (int64_t)job->priority},
        {"due_ms", row->due_ms, or_never(p, p->due_ms)},
        {"limit_ms", row->limit_ms, or_never(p, progress_limit_ms(p))},
        {"settled_ms", row->settled_ms, p->settled_ms},
        {"marked", row->marked, p->marked},
        {"body_bytes", (int64_t)row->body_bytes, (int64_t)job->size_bytes},
    };
    if (strcmp(row->id.text, job->id.text) != 0)
        finding(v, "job %s: its record is of job %s", row->id.text,
                job->id.text);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i].column != pairs[i].record)
            finding(v,
                    "job %s: %s is %" PRId64 " in its row, %" PRId64
                    " in its record",
                    row->id.text, pairs[i].what, pairs[i].column,
                    pairs[i].record);
}

static void check_record(struct verify *v, const struct store_row *row)
{
    struct job *job = NULL;
    struct progress progress;
    if (codec_get(row->record, &job, &progress) != ERR_NONE) {
        finding(v, "job %s: its record cannot be read", row->id.text);
        return;
    }
    compare(v, row, job, &progress);
    progress_fini(&progress);
    job_unref(job);
}

static void check_file(struct verify *v, const struct store_row *row)
{
    struct body *body = NULL;
    struct err err;
    if (v->bodies == NULL)
        finding(v, "job %s: its body is in a file, and there are none",
                row->id.text);
    else if (bodies_read(v->bodies, &row->id, row->body_bytes, &body, &err) !=
             ERR_NONE)
        finding(v, "job %s: its body: %s", row->id.text, err.text);
    body_unref(body);
}

static void check_body(struct verify *v, const struct store_row *row)
{
    struct statement *st = v->store->statements[STORE_BODY_LENGTH];
    struct err err = {.code = ERR_NONE};
    bool there = false;
    statement_bind_int(st, 1, row->seq);
    if (database_step(v->store->db, st, &there, &err) != ERR_NONE)
        finding(v, "job %s: its body: %s", row->id.text, err.text);
    uint64_t bytes = there ? (uint64_t)statement_int(st, 0) : 0;
    statement_reset(st);
    if (there)
        v->body_rows++;
    bool wanted = row->has_body && !row->body_in_file;
    if (there && !wanted)
        finding(v, "job %s: has a body in the database that it should not have",
                row->id.text);
    else if (wanted && (!there || bytes != row->body_bytes))
        finding(v,
                "job %s: %" PRIu64 " bytes of its body are there, not %" PRIu64,
                row->id.text, bytes, row->body_bytes);
    if (!row->has_body && !job_state_is_settled(row->state))
        finding(v, "job %s: is %s and has no body", row->id.text,
                job_state_name(row->state));
    if (row->has_body && row->body_in_file)
        check_file(v, row);
}

static void count(struct verify *v, const struct store_row *row)
{
    struct spool_stats *n = &v->counted;
    switch (row->state) {
    case JOB_QUEUED:
    case JOB_DEFERRED:
        n->waiting++;
        break;
    case JOB_HELD:
        n->held++;
        break;
    case JOB_DELIVERED:
        n->delivered++;
        break;
    case JOB_FAILED:
        n->failed++;
        break;
    case JOB_EXPIRED:
        n->expired++;
        break;
    case JOB_CANCELLED:
        n->cancelled++;
        break;
    case JOB_ACTIVE:
    case JOB_STATE_COUNT:
        finding(v, "job %s: its state cannot be stored", row->id.text);
        break;
    }
    if (job_state_is_settled(row->state))
        n->remembered++;
    else
        n->bytes += row->cost_bytes;
    if (job_state_is_settled(row->state) && row->has_body) {
        n->bytes += row->cost_bytes;
        n->kept_bytes += row->cost_bytes;
    }
}

static bool check_row(void *ctx, const struct store_row *row, struct str body)
{
    struct verify *v = ctx;
    (void)body;
    check_record(v, row);
    check_body(v, row);
    count(v, row);
    return true;
}

static void find_damaged(void *ctx, int64_t seq, struct str text)
{
    struct id id;
    bool good = id_parse(text, &id);
    finding(ctx, "jobs: row %" PRId64 " of its jobs cannot be read%s%s", seq,
            good ? ", that of job " : "", good ? id.text : "");
}

static void check_rows(struct verify *v)
{
    struct err err = {.code = ERR_NONE};
    int64_t lost = 0;
    store_on_damaged(v->store, find_damaged, v);
    if (store_each(v->store, INT64_MIN, check_row, v, &err) != ERR_NONE)
        finding(v, "jobs: %s", err.text);
    store_on_damaged(v->store, NULL, NULL);
    if (database_ask(v->store->db,
                     "SELECT count(*) FROM job WHERE lane >> " SHIFT
                     " NOT IN (SELECT number FROM route)",
                     0, &lost, &err) != ERR_NONE)
        finding(v, "jobs: %s", err.text);
    if (lost > 0)
        finding(v, "jobs: %" PRId64 " are of routes that are not there", lost);
}

/* ---- the whole ---- */

static void check_number(struct verify *v, const char *what, int64_t recorded,
                         int64_t counted, bool at_least)
{
    if (at_least ? recorded >= counted : recorded == counted)
        return;
    finding(v, "numbers: %s is %" PRId64 ", counted %" PRId64, what, recorded,
            counted);
}

static void check_numbers(struct verify *v)
{
    struct spool_stats n = {.accepted = 0};
    struct spool_stats *c = &v->counted;
    struct err err = {.code = ERR_NONE};
    int64_t body_rows = 0;
    if (store_numbers_get(v->store, &n, &err) != ERR_NONE ||
        database_ask(v->store->db, "SELECT count(*) FROM key", 0, &c->keys,
                     &err) != ERR_NONE ||
        database_ask(v->store->db, "SELECT count(*) FROM body", 0, &body_rows,
                     &err) != ERR_NONE) {
        finding(v, "numbers: %s", err.text);
        return;
    }
    check_number(v, "accepted", n.accepted,
                 n.delivered + n.failed + n.expired + n.cancelled + n.waiting +
                     n.held,
                 false);
    check_number(v, "waiting", n.waiting, c->waiting, false);
    check_number(v, "held", n.held, c->held, false);
    check_number(v, "bytes", n.bytes, c->bytes, false);
    check_number(v, "kept", n.kept_bytes, c->kept_bytes, false);
    check_number(v, "remembered", n.remembered, c->remembered, false);
    check_number(v, "keys", n.keys, c->keys, false);
    /* Of these the oldest are forgotten. */
    check_number(v, "delivered", n.delivered, c->delivered, true);
    check_number(v, "failed", n.failed, c->failed, true);
    check_number(v, "expired", n.expired, c->expired, true);
    check_number(v, "cancelled", n.cancelled, c->cancelled, true);
    if (body_rows != v->body_rows)
        finding(v, "bodies: %" PRId64 " in the database, %" PRId64 " of jobs",
                body_rows, v->body_rows);
}

static bool is_in_file(void *ctx, const struct store_row *row, struct str body)
{
    bool *in_file = ctx;
    (void)body;
    *in_file = row->has_body && row->body_in_file;
    return true;
}

/* After a crash such files are no fault: the next start removes them. */
static void check_known(void *ctx, const struct id *id, bool part)
{
    struct verify *v = ctx;
    struct err err;
    bool in_file = false;
    if (!part)
        (void)(store_find(v->store, id, is_in_file, &in_file, &err) ==
               ERR_NONE);
    if (!in_file && v->store->was_closed)
        finding(v, "bodies: the file %s%s is of no job", id->text,
                part ? ".part" : "");
}

static enum err_code open_bodies(struct verify *v, const char *path,
                                 struct err *err)
{
    struct stat st;
    enum err_code code = ERR_NONE;
    char *directory = bodies_directory(path);
    if (stat(directory, &st) == 0)
        code = bodies_open(&v->bodies, directory, err);
    else if (errno != ENOENT)
        code = err_system(err, errno, "cannot look at %s", directory);
    mem_free(directory);
    return code;
}

static void check_files(struct verify *v)
{
    struct bodies_strangers strangers;
    struct err err;
    if (v->bodies == NULL)
        return;
    if (bodies_each(v->bodies, check_known, v, &strangers, &err) != ERR_NONE)
        finding(v, "bodies: %s", err.text);
    /* Only a remark: they do no harm. */
    if (strangers.count > 0)
        (void)fprintf(v->out,
                      "bodies: files that are not of the spool: %zu, one of "
                      "them %s; they are left alone\n",
                      strangers.count, strangers.example);
}

enum err_code store_verify(const char *path, FILE *out, struct err *err)
{
    struct verify v = {.out = out};
    enum err_code code = store_open_stopped(&v.store, path, err);
    if (code == ERR_NONE)
        code = open_bodies(&v, path, err);
    if (code == ERR_NONE) {
        check_integrity(&v);
        check_rows(&v);
        check_numbers(&v);
        check_files(&v);
        if (v.findings > 0)
            code = err_set(err, ERR_INVALID,
                           "the spool %s: %" PRId64 " things are wrong", path,
                           v.findings);
    }
    bodies_close(v.bodies);
    store_close_unchanged(v.store);
    return code;
}
