#include "core/log.h"
#include "core/panic.h"
#include "queue/spool_sqlite.h"

/* ---- tasks ---- */

/* The file of a body that is not wanted any more. */
struct removal {
    struct spool_request base;
    struct id id;
};

static void destroy_removal(struct spool_request *r)
{
    mem_free(CONTAINER_OF(r, struct removal, base));
}

static const struct spool_request_kind removal_kind = {
    .destroy = destroy_removal,
};

void spool_sqlite_remove_file(struct spool_sqlite *s, const struct id *id)
{
    struct removal *removal;
    MEM_NEW(removal);
    removal->base.kind = &removal_kind;
    removal->id = *id;
    STAILQ_INSERT_TAIL(&s->files_after, &removal->base, next);
}

void spool_sqlite_keep_files(struct spool_sqlite *s)
{
    struct spool_request *r;
    while ((r = STAILQ_FIRST(&s->files_after)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->files_after, next);
        destroy_removal(r);
    }
}

void spool_sqlite_post_files(struct spool_sqlite *s,
                             struct spool_request_list *tasks)
{
    if (STAILQ_EMPTY(tasks))
        return;
    mutex_lock(&s->lock);
    STAILQ_CONCAT(&s->files, tasks);
    cond_signal(&s->file_work);
    mutex_unlock(&s->lock);
}

/* ---- the sweep at the start ---- */

/* The question whether a file belongs to a job, for the writer. */
struct question {
    struct spool_request base;
    struct spool_sqlite *s;
    struct id id;
    bool known;
    bool answered; /* guarded by the lock */
};

static struct question *question_of(struct spool_request *r)
{
    return CONTAINER_OF(r, struct question, base);
}

static bool see_row(void *ctx, const struct store_row *row, struct str body)
{
    struct question *q = ctx;
    (void)body;
    q->known = row->has_body && row->body_in_file;
    return false;
}

static void read_question(struct spool_sqlite *s, struct spool_request *r)
{
    struct question *q = question_of(r);
    struct err err;
    enum err_code code = store_find(s->store, &q->id, see_row, q, &err);
    if (code != ERR_NONE && code != ERR_NOT_FOUND)
        q->known = true; /* better an orphan than a loss */
}

/* Once it is answered it may be gone. */
static void destroy_question(struct spool_request *r)
{
    struct question *q = question_of(r);
    struct spool_sqlite *s = q->s;
    mutex_lock(&s->lock);
    q->answered = true;
    cond_signal(&s->file_known);
    mutex_unlock(&s->lock);
}

static const struct spool_request_kind question_kind = {
    .read = read_question,
    .destroy = destroy_question,
};

static bool is_known(void *ctx, const struct id *id)
{
    struct spool_sqlite *s = ctx;
    struct question q = {.base.kind = &question_kind, .s = s, .id = *id};
    mutex_lock(&s->lock);
    q.known = q.answered = s->stopping;
    if (!q.answered)
        spool_sqlite_post_locked(s, &q.base);
    while (!q.answered)
        cond_wait(&s->file_known, &s->lock);
    mutex_unlock(&s->lock);
    return q.known;
}

static void sweep(struct spool_sqlite *s)
{
    struct bodies_swept swept;
    struct err err;
    /* What cannot be read now stays until the next start. */
    (void)!bodies_sweep(s->bodies, is_known, s, &swept, &err);
    if (swept.strangers.count > 0)
        log_event(LOG_LEVEL_WARNING, "spool.strange_files",
                  LOG_INT("count", swept.strangers.count),
                  LOG_TEXT("one", swept.strangers.example),
                  LOG_TEXT("what", "not of the spool: they are left alone in "
                                   "its directory of bodies"));
}

/* ---- the thread ---- */

static struct spool_request *next_task(struct spool_sqlite *s)
{
    mutex_lock(&s->lock);
    while (STAILQ_EMPTY(&s->files) && !s->filer_stops)
        cond_wait(&s->file_work, &s->lock);
    struct spool_request *r = STAILQ_FIRST(&s->files);
    if (r != NULL)
        STAILQ_REMOVE_HEAD(&s->files, next);
    mutex_unlock(&s->lock);
    return r;
}

void spool_sqlite_file(void *arg)
{
    struct spool_sqlite *s = arg;
    struct spool_request *r;
    sweep(s);
    while ((r = next_task(s)) != NULL) {
        if (r->kind == &removal_kind) {
            bodies_remove(s->bodies,
                          &CONTAINER_OF(r, struct removal, base)->id);
            destroy_removal(r);
        } else {
            spool_sqlite_write_body(s, r);
        }
    }
}
