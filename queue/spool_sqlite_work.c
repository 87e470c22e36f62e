#include <string.h>

#include "core/panic.h"
#include "queue/spool_sqlite.h"

/*
 * A claim comes back. What became of it is worked out by the thread that had
 * the claim; the writer has only to write it down.
 */
struct back {
    struct spool_request base;
    spool_settle_fn fn; /* NULL: nobody waits for the answer */
    void *ctx;
    struct spool_loaded *loaded;
    enum job_state before;
    bool writes;    /* the row changes by it */
    bool cancelled; /* was already, when it was its turn */
    struct store_row row;
    struct buf record;
    struct spool_settled settled;
};

static struct back *back_of(struct spool_request *r)
{
    return CONTAINER_OF(r, struct back, base);
}

static struct back *back_new(const struct spool_request_kind *kind,
                             struct claim *claim)
{
    struct back *b;
    MEM_NEW(b);
    b->base.kind = kind;
    b->loaded = spool_loaded_of(claim);
    b->before = b->loaded->progress.state;
    spool_sqlite_record_init(&b->record);
    return b;
}

/* The row as it will be. */
static void fill(struct back *b)
{
    const struct spool_loaded *loaded = b->loaded;
    b->row = (struct store_row){
        .seq = loaded->seq,
        .id = loaded->job->id,
        .lane = {loaded->lane / JOB_PRIORITY_COUNT,
                 (enum job_priority)(loaded->lane % JOB_PRIORITY_COUNT)},
        .cost_bytes = loaded->cost_bytes,
        .body_bytes = loaded->body_bytes,
        .has_body = true,
        .body_in_file = loaded->body_in_file,
    };
    spool_sqlite_row(&b->row, loaded->job, &loaded->progress, &b->record);
    b->base.size_bytes = b->row.record.len;
}

static void destroy(struct spool_request *r)
{
    struct back *b = back_of(r);
    buf_fini(&b->record);
    mem_free(b);
}

/* ---- settle, release ---- */

static enum err_code write(struct spool_sqlite *s, struct spool_request *r,
                           struct err *err)
{
    struct back *b = back_of(r);
    b->cancelled = b->loaded->cancelled;
    if (b->cancelled || !b->writes)
        return ERR_NONE;
    enum err_code code = spool_sqlite_begin(s, err);
    if (code != ERR_NONE)
        return code;
    spool_sqlite_move(&s->next_numbers, b->before, true, &b->row);
    spool_sqlite_settles(s, b->row.state, b->row.settled_ms);
    return store_update(s->store, &b->row, err);
}

static void come_back(struct spool_sqlite *s, struct back *b)
{
    struct spool_loaded *loaded = b->loaded;
    const struct progress *p = &loaded->progress;
    spool_sqlite_unclaim(s, loaded);
    if (b->cancelled) {
        b->settled = (struct spool_settled){.state = JOB_CANCELLED};
        spool_sqlite_unload(s, loaded, true);
        return;
    }
    if (progress_is_waiting(p)) {
        spool_sqlite_wait(s, loaded);
        return;
    }
    bool settled = job_state_is_settled(p->state);
    if (settled && loaded->body_in_file && !b->row.has_body)
        spool_sqlite_remove_file(s, &loaded->job->id);
    if (settled) {
        body_unref(loaded->job->body);
        loaded->job->body = NULL;
    }
    spool_sqlite_tell(s, p, loaded->job, b->row.has_body);
    spool_sqlite_unload(s, loaded, false);
}

static void committed(struct spool_sqlite *s, struct spool_request *r)
{
    come_back(s, back_of(r));
}

static void failed(struct spool_sqlite *s, struct spool_request *r,
                   const struct err *err)
{
    struct back *b = back_of(r);
    /* Not if it was to be cancelled by this group. */
    b->cancelled = b->cancelled && b->loaded->cancelled;
    if (!b->cancelled && b->writes) {
        b->settled.err = *err;
        r->then = SPOOL_REQUEST_KEEP;
        return;
    }
    come_back(s, b);
}

static void answer(struct spool_sqlite *s, struct spool_request *r)
{
    struct back *b = back_of(r);
    (void)s;
    if (b->fn != NULL)
        b->fn(b->ctx, &b->settled);
    b->fn = NULL;
}

static const struct spool_request_kind back_kind = {
    .write = write,
    .committed = committed,
    .failed = failed,
    .answer = answer,
    .destroy = destroy,
};

void spool_sqlite_settle(struct spool *spool, struct claim *claim,
                         const struct settlement *settlement,
                         spool_settle_fn fn, void *ctx)
{
    struct back *b = back_new(&back_kind, claim);
    struct progress *p = &b->loaded->progress;
    b->fn = fn;
    b->ctx = ctx;
    b->writes = true;
    progress_settle(p, settlement);
    b->settled.state = p->state;
    if (p->state == JOB_DEFERRED)
        b->settled.next_attempt_ms = p->due_ms;
    fill(b);
    spool_sqlite_post(spool_sqlite_of(spool), &b->base);
}

/* Cut as the progress would cut it. */
static bool is_kept(const char *kept, struct str text)
{
    if (text.len > SPOOL_TEXT_MAX)
        text.len = SPOOL_TEXT_MAX;
    return kept != NULL && strlen(kept) == text.len &&
           memcmp(kept, text.data, text.len) == 0;
}

static bool is_news(const struct progress *p, struct str relay, struct str note)
{
    if (note.len == 0)
        return false;
    return !is_kept(p->note, note) ||
           (relay.len > 0 && !is_kept(p->relay, relay));
}

void spool_sqlite_release(struct spool *spool, struct claim *claim,
                          int64_t due_ms, struct str relay, struct str note)
{
    struct spool_sqlite *s = spool_sqlite_of(spool);
    struct back *b = back_new(&back_kind, claim);
    struct progress *p = &b->loaded->progress;
    int64_t now_ms = clock_real_ms(s->clock);
    b->writes = p->marked || due_ms > now_ms || is_news(p, relay, note);
    progress_release(p, due_ms, relay, note, now_ms);
    if (b->writes)
        fill(b);
    spool_sqlite_post(s, &b->base);
}

/* ---- mark ---- */

struct mark {
    struct back back; /* its row and record */
    spool_mark_fn fn;
    void *ctx;
    struct err err;
};

static struct mark *mark_of(struct spool_request *r)
{
    return CONTAINER_OF(back_of(r), struct mark, back);
}

static enum err_code write_mark(struct spool_sqlite *s, struct spool_request *r,
                                struct err *err)
{
    enum err_code code = spool_sqlite_begin(s, err);
    if (code != ERR_NONE)
        return code;
    return store_update(s->store, &back_of(r)->row, err);
}

static void mark_failed(struct spool_sqlite *s, struct spool_request *r,
                        const struct err *err)
{
    (void)s;
    mark_of(r)->err = *err;
    back_of(r)->loaded->progress.marked = false;
}

static void answer_mark(struct spool_sqlite *s, struct spool_request *r)
{
    struct mark *mark = mark_of(r);
    (void)s;
    mark->fn(mark->ctx, &mark->err);
}

static void destroy_mark(struct spool_request *r)
{
    struct mark *mark = mark_of(r);
    buf_fini(&mark->back.record);
    mem_free(mark);
}

static const struct spool_request_kind mark_kind = {
    .write = write_mark,
    .failed = mark_failed,
    .answer = answer_mark,
    .destroy = destroy_mark,
};

void spool_sqlite_mark(struct spool *spool, struct claim *claim,
                       struct str relay, spool_mark_fn fn, void *ctx)
{
    struct mark *mark;
    struct spool_loaded *loaded = spool_loaded_of(claim);
    PANIC_IF(atomic_load(claim->gate) != CLAIM_GATE_STARTED);
    MEM_NEW(mark);
    mark->back.base.kind = &mark_kind;
    mark->back.loaded = loaded;
    mark->fn = fn;
    mark->ctx = ctx;
    progress_mark(&loaded->progress, relay);
    spool_sqlite_record_init(&mark->back.record);
    fill(&mark->back);
    spool_sqlite_post(spool_sqlite_of(spool), &mark->back.base);
}
