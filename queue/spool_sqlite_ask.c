#include <string.h>

#include "core/panic.h"
#include "queue/codec.h"
#include "queue/spool_sqlite.h"

/* Rows looked at for one answer of spool_list(): some milliseconds. */
#define LOOK_MAX 1024

/* The part of an id that is its time. */
#define ID_TIME_LEN 10

/* ---- find ---- */

struct asking {
    struct spool_request base;
    spool_status_fn fn; /* NULL: for a watch */
    void *ctx;
    struct id id;
    char *client; /* NULL: anybody's */
    struct spool_status *status;
    struct spool_watch_node *node;
    struct spool_watch *watch; /* to be called */
    struct err err;
};

static struct asking *asking_of(struct spool_request *r)
{
    return CONTAINER_OF(r, struct asking, base);
}

static void read_job(struct spool_sqlite *s, struct spool_request *r)
{
    struct asking *a = asking_of(r);
    struct spool_found found;
    struct err err;
    if (spool_sqlite_find(s, &a->id, a->client, &found, &err) == ERR_NONE)
        a->status = spool_sqlite_status(s, &found);
    else
        a->err = err;
    spool_found_fini(&found);
}

static void answer_job(struct spool_sqlite *s, struct spool_request *r)
{
    struct asking *a = asking_of(r);
    (void)s;
    a->fn(a->ctx, a->status, false, &a->err);
}

static void destroy_asking(struct spool_request *r)
{
    struct asking *a = asking_of(r);
    mem_free(a->client);
    mem_free(a);
}

static const struct spool_request_kind find_kind = {
    .read = read_job,
    .answer = answer_job,
    .destroy = destroy_asking,
};

static struct asking *asking_new(const struct spool_request_kind *kind,
                                 const struct id *id, const char *client)
{
    struct asking *a;
    MEM_NEW(a);
    a->base.kind = kind;
    a->id = *id;
    a->client = client == NULL ? NULL : mem_strdup(str_from(client));
    return a;
}

void spool_sqlite_show(struct spool *spool, const struct id *id,
                       const char *client, spool_status_fn fn, void *ctx)
{
    struct asking *a = asking_new(&find_kind, id, client);
    a->fn = fn;
    a->ctx = ctx;
    spool_sqlite_post(spool_sqlite_of(spool), &a->base);
}

/* ---- watch ---- */

static void read_watched(struct spool_sqlite *s, struct spool_request *r)
{
    struct asking *a = asking_of(r);
    read_job(s, r);
    bool waits = a->status != NULL && a->status->state != JOB_HELD &&
                 !job_state_is_settled(a->status->state);
    mutex_lock(&s->lock);
    a->watch = spool_watches_asked(&s->watches, a->node, waits);
    mutex_unlock(&s->lock);
    if (a->watch == NULL) {
        spool_status_destroy(a->status);
        a->status = NULL;
    }
}

static void answer_watch(struct spool_sqlite *s, struct spool_request *r)
{
    struct asking *a = asking_of(r);
    (void)s;
    if (a->watch != NULL)
        a->watch->fn(a->watch->ctx, a->status, false, &a->err);
}

static const struct spool_request_kind watch_kind = {
    .read = read_watched,
    .answer = answer_watch,
    .destroy = destroy_asking,
};

void spool_sqlite_watch(struct spool *spool, const char *client,
                        struct spool_watch *watch)
{
    struct spool_sqlite *s = spool_sqlite_of(spool);
    struct asking *a = asking_new(&watch_kind, &watch->id, client);
    mutex_lock(&s->lock);
    a->node = spool_watches_add(&s->watches, watch);
    mutex_unlock(&s->lock);
    spool_sqlite_post(s, &a->base);
}

bool spool_sqlite_unwatch(struct spool *spool, struct spool_watch *watch)
{
    struct spool_sqlite *s = spool_sqlite_of(spool);
    mutex_lock(&s->lock);
    bool waiting = spool_watches_remove(&s->watches, watch);
    mutex_unlock(&s->lock);
    return waiting;
}

/* ---- list ---- */

struct listing {
    struct spool_request base;
    spool_list_fn fn;
    void *ctx;
    struct spool_filter filter; /* its texts are relay and tag */
    char *relay;
    char *tag;
    struct spool_sqlite *s;
    struct spool_status **jobs;
    size_t count;
    size_t looked_at;
    bool more;
    struct id last;
    const struct id *answer_last;
    struct err err;
};

static struct listing *listing_of(struct spool_request *r)
{
    return CONTAINER_OF(r, struct listing, base);
}

static void consider(struct listing *l, const struct store_row *row)
{
    const struct spool_sqlite *s = l->s;
    struct spool_found found;
    enum job_state state = spool_sqlite_state(s, &row->id, row->state);
    if (l->filter.states != 0 && (l->filter.states & (1U << state)) == 0)
        return;
    if (spool_sqlite_is_forgotten(s, row->state, row->settled_ms) ||
        !spool_found_take(l->s, &found, row))
        return;
    if (progress_passes(&found.progress, found.job, state, &l->filter))
        l->jobs[l->count++] =
            progress_status(&found.progress, found.job, state, row->has_body);
    spool_found_fini(&found);
}

static bool see_row(void *ctx, const struct store_row *row, struct str body)
{
    struct listing *l = ctx;
    (void)body;
    if (l->count == l->filter.limit || l->looked_at == LOOK_MAX) {
        l->more = true;
        return false;
    }
    l->looked_at++;
    l->last = row->id;
    l->answer_last = &l->last;
    consider(l, row);
    return true;
}

struct first {
    int64_t seq;
    struct id id;
    bool found;
};

static bool see_first(void *ctx, const struct store_row *row, struct str body)
{
    struct first *first = ctx;
    (void)body;
    *first = (struct first){row->seq, row->id, true};
    return false;
}

/*
 * Where to begin when an id is forgotten: behind the last row of an earlier
 * millisecond, as ids and rows are both in the order of time. By halving.
 */
static enum err_code seek(struct spool_sqlite *s, const struct id *id,
                          int64_t *seq, struct err *err)
{
    int64_t low = 0;
    int64_t high = INT64_MAX;
    while (low < high) {
        struct first first = {.found = false};
        int64_t middle = low + (high - low) / 2;
        enum err_code code =
            store_each(s->store, middle, see_first, &first, err);
        if (code != ERR_NONE)
            return code;
        if (first.found && memcmp(first.id.text, id->text, ID_TIME_LEN) < 0)
            low = first.seq;
        else
            high = middle;
    }
    *seq = low;
    return ERR_NONE;
}

static enum err_code start_of(struct listing *l, int64_t *seq, struct err *err)
{
    struct first first = {.found = false};
    *seq = 0;
    if (!l->filter.has_after)
        return ERR_NONE;
    enum err_code code =
        store_find(l->s->store, &l->filter.after, see_first, &first, err);
    if (code == ERR_NOT_FOUND || code == ERR_INVALID)
        return seek(l->s, &l->filter.after, seq, err);
    *seq = first.seq;
    return code;
}

static void read_list(struct spool_sqlite *s, struct spool_request *r)
{
    struct listing *l = listing_of(r);
    int64_t seq;
    struct err err;
    l->jobs = mem_calloc(l->filter.limit, sizeof(struct spool_status *));
    enum err_code code = start_of(l, &seq, &err);
    if (code == ERR_NONE)
        code = store_each(s->store, seq, see_row, l, &err);
    if (code != ERR_NONE && l->looked_at > 0)
        l->more = true; /* who asks for it hears of the error */
    else if (code != ERR_NONE)
        l->err = err;
    if (l->count == 0) {
        mem_free(l->jobs);
        l->jobs = NULL;
    }
}

static void answer_list(struct spool_sqlite *s, struct spool_request *r)
{
    struct listing *l = listing_of(r);
    (void)s;
    l->fn(l->ctx, l->jobs, l->count, l->more, l->answer_last, &l->err);
}

static void destroy_list(struct spool_request *r)
{
    struct listing *l = listing_of(r);
    mem_free(l->relay);
    mem_free(l->tag);
    mem_free(l);
}

static const struct spool_request_kind list_kind = {
    .read = read_list,
    .answer = answer_list,
    .destroy = destroy_list,
};

static char *copy(const char *text)
{
    return text == NULL ? NULL : mem_strdup(str_from(text));
}

void spool_sqlite_list(struct spool *spool, const struct spool_filter *filter,
                       spool_list_fn fn, void *ctx)
{
    struct listing *l;
    MEM_NEW(l);
    l->base.kind = &list_kind;
    l->fn = fn;
    l->ctx = ctx;
    l->s = spool_sqlite_of(spool);
    l->relay = copy(filter->relay);
    l->tag = copy(filter->tag);
    l->filter = *filter;
    l->filter.relay = l->relay;
    l->filter.tag = l->tag;
    spool_sqlite_post(l->s, &l->base);
}
