#include "core/panic.h"
#include "queue/spool_sqlite.h"

/* Cancel, retry and drop: a person, or the client, changes a job. */
struct change {
    struct spool_request base;
    spool_status_fn fn;
    void *ctx;
    struct id id;
    char *client; /* NULL: anybody's */
    bool (*apply)(struct spool_sqlite *s, struct change *c);
    struct spool_found found;
    enum job_state before;
    int64_t due_ms; /* before */
    bool had_file;
    bool shut; /* we have closed the gate of a claim */
    bool changed;
    bool deletes;
    struct spool_status *status;
    struct err err;
};

static struct change *change_of(struct spool_request *r)
{
    return CONTAINER_OF(r, struct change, base);
}

/* ---- what each of them does to the progress ---- */

/* False: it is being sent. */
static bool shut_gate(struct spool_sqlite *s, struct change *c)
{
    struct spool_loaded *loaded = spool_sqlite_loaded(s, &c->id);
    unsigned open = CLAIM_GATE_OPEN;
    if (loaded == NULL || !loaded->claimed)
        return true;
    if (!atomic_compare_exchange_strong(&loaded->gate, &open,
                                        CLAIM_GATE_CANCELLED))
        return false;
    loaded->cancelled = true;
    c->shut = true;
    return true;
}

static bool cancel(struct spool_sqlite *s, struct change *c)
{
    if (job_state_is_settled(c->before) || !shut_gate(s, c))
        return false;
    progress_cancel(&c->found.progress, s->now_ms);
    return true;
}

static bool drop(struct spool_sqlite *s, struct change *c)
{
    if (job_state_is_settled(c->before)) {
        c->deletes = true;
        return true;
    }
    if (!shut_gate(s, c))
        return false;
    progress_drop(&c->found.progress, s->now_ms);
    return true;
}

static bool retry(struct spool_sqlite *s, struct change *c)
{
    const struct spool_loaded *loaded = spool_sqlite_loaded(s, &c->id);
    if (!c->found.row.has_body || (loaded != NULL && loaded->claimed))
        return false;
    return progress_retry(&c->found.progress, s->now_ms, s->limits.give_up_ms);
}

/* ---- the steps ---- */

static enum err_code delete_row(struct spool_sqlite *s, struct change *c,
                                struct err *err)
{
    enum err_code code = spool_sqlite_begin(s, err);
    if (code == ERR_NONE)
        code = store_delete(s->store, c->found.row.seq, err);
    if (code == ERR_NONE)
        code = spool_sqlite_key_outlives(s, c->found.job, c->before, err);
    s->next_numbers.remembered--;
    spool_sqlite_lighten(&s->next_numbers, c->found.row.has_body,
                         c->found.row.cost_bytes);
    return code;
}

static enum err_code write(struct spool_sqlite *s, struct spool_request *r,
                           struct err *err)
{
    struct change *c = change_of(r);
    enum err_code code =
        spool_sqlite_find(s, &c->id, c->client, &c->found, err);
    if (code == ERR_INVALID) {
        /* That is nobody else's trouble. */
        c->err = *err;
        return ERR_NONE;
    }
    if (code != ERR_NONE || !c->found.found)
        return code;
    c->before = c->found.progress.state;
    c->due_ms = c->found.row.due_ms;
    c->had_file = c->found.row.has_body && c->found.row.body_in_file;
    c->changed = c->apply(s, c);
    if (c->changed && c->deletes)
        code = delete_row(s, c, err);
    else if (c->changed)
        code = spool_sqlite_update(s, &c->found, c->before, err);
    if (code == ERR_NONE && c->changed && job_state_is_settled(c->before) &&
        !c->deletes)
        code = spool_sqlite_key_reopens(s, c->found.job, err);
    return code;
}

static void close_claim(struct spool_sqlite *s, const struct id *id)
{
    struct spool_loaded *loaded = spool_sqlite_loaded(s, id);
    if (loaded == NULL || !loaded->claimed || loaded->inactive)
        return;
    loaded->inactive = true;
    s->active--;
}

static void apply_change(struct spool_sqlite *s, struct change *c)
{
    struct spool_found *found = &c->found;
    unsigned lane = spool_sqlite_lane_index(s, found->row.lane);
    found->row.has_body = found->row.has_body && !c->deletes;
    if (c->had_file && !found->row.has_body)
        spool_sqlite_remove_file(s, &c->id);
    if (c->deletes)
        return;
    if (c->shut)
        close_claim(s, &c->id);
    spool_sqlite_forget_loaded(s, &c->id, lane, c->due_ms);
    if (progress_is_waiting(&found->progress))
        spool_sqlite_unread(s, lane, found->row.due_ms, found->row.seq);
    else
        spool_sqlite_tell(s, &found->progress, found->job, found->row.has_body);
}

static void committed(struct spool_sqlite *s, struct spool_request *r)
{
    struct change *c = change_of(r);
    if (!c->found.found)
        return;
    if (c->changed)
        apply_change(s, c);
    c->status = spool_sqlite_status(s, &c->found);
    spool_found_fini(&c->found);
}

/* It is as it was, and so is its gate. */
static void failed(struct spool_sqlite *s, struct spool_request *r,
                   const struct err *err)
{
    struct change *c = change_of(r);
    struct spool_loaded *loaded =
        c->shut ? spool_sqlite_loaded(s, &c->id) : NULL;
    c->err = *err;
    if (loaded != NULL) {
        loaded->cancelled = false;
        atomic_store(&loaded->gate, CLAIM_GATE_OPEN);
    }
    spool_found_fini(&c->found);
    c->changed = false;
    if (spool_sqlite_find(s, &c->id, c->client, &c->found, NULL) == ERR_NONE)
        c->status = spool_sqlite_status(s, &c->found);
    spool_found_fini(&c->found);
}

static void answer(struct spool_sqlite *s, struct spool_request *r)
{
    struct change *c = change_of(r);
    (void)s;
    c->fn(c->ctx, c->status, c->changed, &c->err);
}

static void destroy(struct spool_request *r)
{
    struct change *c = change_of(r);
    mem_free(c->client);
    mem_free(c);
}

static const struct spool_request_kind change_kind = {
    .write = write,
    .committed = committed,
    .failed = failed,
    .answer = answer,
    .destroy = destroy,
};

/* ---- in ---- */

static void post(struct spool *spool, const struct id *id, const char *client,
                 bool (*apply)(struct spool_sqlite *s, struct change *c),
                 struct change *c)
{
    c->base.kind = &change_kind;
    c->id = *id;
    c->client = client == NULL ? NULL : mem_strdup(str_from(client));
    c->apply = apply;
    spool_sqlite_post(spool_sqlite_of(spool), &c->base);
}

static struct change *change_new(spool_status_fn fn, void *ctx)
{
    struct change *c;
    MEM_NEW(c);
    c->fn = fn;
    c->ctx = ctx;
    return c;
}

void spool_sqlite_cancel(struct spool *spool, const struct id *id,
                         const char *client, spool_status_fn fn, void *ctx)
{
    post(spool, id, client, cancel, change_new(fn, ctx));
}

void spool_sqlite_retry(struct spool *spool, const struct id *id,
                        spool_status_fn fn, void *ctx)
{
    post(spool, id, NULL, retry, change_new(fn, ctx));
}

void spool_sqlite_drop(struct spool *spool, const struct id *id,
                       spool_status_fn fn, void *ctx)
{
    post(spool, id, NULL, drop, change_new(fn, ctx));
}
