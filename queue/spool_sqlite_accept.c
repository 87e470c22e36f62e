#include <string.h>

#include "core/body.h"
#include "core/panic.h"
#include "queue/spool_sqlite.h"

/* What a row takes on the disk besides the job: indexes, the trail. */
#define ROW_BYTES 512

struct accept {
    struct spool_request base;
    spool_accept_fn fn;
    void *ctx;
    struct spool_loaded *loaded; /* the job to be */
    struct store_row row;
    struct buf record;
    struct spool_accepted accepted;
    bool in_file;     /* the body goes into a file of its own */
    bool file_failed; /* accepted.err says why */
    bool has_file;    /* it is there */
    bool is_filing;   /* it counts in filing_bytes */
    bool new_key;
    int64_t freed_bytes; /* bodies of failed jobs that gave way */
};

static struct accept *accept_of(struct spool_request *r)
{
    return CONTAINER_OF(r, struct accept, base);
}

/* ---- idempotency keys ---- */

struct first {
    enum job_state state;
    bool found;
};

static bool see_first(void *ctx, const struct store_row *row, struct str body)
{
    struct first *first = ctx;
    (void)body;
    first->found = true;
    first->state = row->state;
    return false;
}

/* Whether the key is taken; then a has the answer. */
static enum err_code find_key(struct spool_sqlite *s, struct accept *a,
                              bool *taken, struct err *err)
{
    const struct job *job = a->loaded->job;
    struct store_key key = {.client = job->client, .key = job->key};
    struct first first = {.found = false};
    enum err_code code = store_key_find(s->store, &key, err);
    *taken = false;
    a->new_key = code == ERR_NOT_FOUND;
    if (code != ERR_NONE)
        return code == ERR_NOT_FOUND ? ERR_NONE : code;
    code = store_find(s->store, &key.id, see_first, &first, err);
    if (code != ERR_NONE && code != ERR_NOT_FOUND)
        return code;
    if (!first.found)
        first.state = key.state;
    bool is_open = first.found && !job_state_is_settled(first.state);
    *taken = is_open || s->now_ms - key.at_ms < s->limits.key_window_ms;
    if (!*taken)
        return ERR_NONE;
    a->accepted.id = key.id;
    a->accepted.state = spool_sqlite_state(s, &key.id, first.state);
    a->accepted.answer = memcmp(key.digest, job->digest, JOB_DIGEST_LEN) == 0
                             ? SPOOL_DUPLICATE
                             : SPOOL_KEY_CONFLICT;
    return ERR_NONE;
}

static enum err_code put_key(struct spool_sqlite *s, struct accept *a,
                             struct err *err)
{
    const struct job *job = a->loaded->job;
    struct store_key key = {.client = job->client,
                            .key = job->key,
                            .id = job->id,
                            .at_ms = s->now_ms};
    memcpy(key.digest, job->digest, JOB_DIGEST_LEN);
    s->next_numbers.keys += a->new_key;
    s->keys_added = true;
    return store_key_put(s->store, &key, err);
}

/* ---- room ---- */

static bool has_room(struct spool_sqlite *s, int64_t cost_bytes)
{
    if (spool_sqlite_fits(s, &s->next_numbers, cost_bytes))
        return true;
    if (!s->room_wanted || cost_bytes < s->room_bytes)
        s->room_bytes = cost_bytes;
    s->room_wanted = true;
    return false;
}

/* Its file is there, or will not be. */
static void end_filing(struct spool_sqlite *s, struct accept *a)
{
    if (a->is_filing)
        s->filing_bytes -= (int64_t)a->row.body_bytes;
    a->is_filing = false;
}

/* ---- the steps ---- */

/* The body as a row has it, until the next call. */
static enum err_code body_bytes(struct spool_sqlite *s, const struct accept *a,
                                struct str *bytes, struct err *err)
{
    const struct body *body = a->loaded->job->body;
    size_t got = 0;
    *bytes = STR("");
    if (a->in_file || a->row.body_bytes == 0)
        return ERR_NONE;
    buf_truncate(&s->scratch, 0);
    char *to = buf_reserve(&s->scratch, a->row.body_bytes);
    PANIC_IF(to == NULL);
    enum err_code code = body_read(body, 0, to, a->row.body_bytes, &got);
    if (code != ERR_NONE || got != a->row.body_bytes)
        return err_set(err, ERR_SYSTEM, "cannot read the job's body");
    *bytes = str_of(to, got);
    return ERR_NONE;
}

static enum err_code insert(struct spool_sqlite *s, struct accept *a,
                            struct err *err)
{
    struct str body;
    enum err_code code = body_bytes(s, a, &body, err);
    if (code == ERR_NONE)
        code = spool_sqlite_begin(s, err);
    if (code == ERR_NONE)
        code = store_insert(s->store, &a->row, body, err);
    if (code == ERR_EXISTS) {
        /* The id is not new: only this one is refused. */
        a->accepted.answer = SPOOL_ERROR;
        a->accepted.err = *err;
        return ERR_NONE;
    }
    if (code == ERR_NONE && a->loaded->job->key != NULL)
        code = put_key(s, a, err);
    s->next_numbers.accepted++;
    s->next_numbers.waiting++;
    s->next_numbers.bytes += a->row.cost_bytes;
    return code;
}

static enum err_code write(struct spool_sqlite *s, struct spool_request *r,
                           struct err *err)
{
    struct accept *a = accept_of(r);
    bool taken = false;
    end_filing(s, a);
    if (a->accepted.answer == SPOOL_ERROR || a->file_failed)
        return ERR_NONE;
    if (a->loaded->job->key != NULL) {
        enum err_code code = find_key(s, a, &taken, err);
        if (code == ERR_INVALID) {
            /* The first, or its key, is damaged: only this one is refused. */
            a->accepted.answer = SPOOL_ERROR;
            a->accepted.err = *err;
            return ERR_NONE;
        }
        if (code != ERR_NONE || taken)
            return code;
    }
    if (s->lanes[a->loaded->lane].unreadable == ERR_INVALID) {
        /* It might never be given out. */
        a->accepted.answer = SPOOL_ERROR;
        a->accepted.err = s->read_failure;
        return ERR_NONE;
    }
    if (!has_room(s, a->row.cost_bytes)) {
        a->accepted.answer = SPOOL_FULL;
        return ERR_NONE;
    }
    /* Not that what is there is thrown away. */
    if (!a->has_file &&
        spool_sqlite_take_room(s, &a->row, &a->accepted.err) != ERR_NONE) {
        a->accepted.answer = SPOOL_ERROR;
        return ERR_NONE;
    }
    if (a->in_file && !a->has_file) {
        a->is_filing = true;
        s->filing_bytes += (int64_t)a->row.body_bytes;
        r->then = SPOOL_REQUEST_FILE;
        return ERR_NONE;
    }
    bool enough = false;
    enum err_code code = spool_sqlite_make_room(s, a->row.cost_bytes,
                                                &a->freed_bytes, &enough, err);
    if (code != ERR_NONE)
        return code;
    if (!enough) {
        r->then = SPOOL_REQUEST_AGAIN;
        return ERR_NONE;
    }
    a->accepted.answer = SPOOL_ACCEPTED;
    return insert(s, a, err);
}

static void remove_file(struct spool_sqlite *s, struct accept *a)
{
    if (a->has_file)
        spool_sqlite_remove_file(s, &a->loaded->job->id);
    a->has_file = false;
}

/* Not the job itself, but what of it the spool had. */
static void let_go(struct accept *a)
{
    spool_loaded_free(a->loaded, false);
    a->loaded = NULL;
}

static void committed(struct spool_sqlite *s, struct spool_request *r)
{
    struct accept *a = accept_of(r);
    struct spool_loaded *loaded = a->loaded;
    if (r->then != SPOOL_REQUEST_DONE)
        return;
    if (a->accepted.answer != SPOOL_ACCEPTED || a->file_failed) {
        if (a->file_failed)
            a->accepted.answer = SPOOL_ERROR;
        remove_file(s, a);
        let_go(a);
        return;
    }
    if (a->in_file) {
        /* The memory is to go: the claim reads from the file. */
        spool_sqlite_unread(s, loaded->lane, a->row.due_ms, a->row.seq);
        let_go(a);
        return;
    }
    loaded->seq = a->row.seq;
    a->loaded = NULL;
    spool_sqlite_keep(s, loaded);
    spool_sqlite_wait(s, loaded);
}

static void failed(struct spool_sqlite *s, struct spool_request *r,
                   const struct err *err)
{
    struct accept *a = accept_of(r);
    end_filing(s, a);
    if (a->accepted.answer != SPOOL_ERROR && !a->file_failed)
        a->accepted.err = *err;
    a->accepted.answer = SPOOL_ERROR;
    a->accepted.id = a->loaded->job->id;
    remove_file(s, a);
    let_go(a);
}

static void answer(struct spool_sqlite *s, struct spool_request *r)
{
    struct accept *a = accept_of(r);
    (void)s;
    if (r->then == SPOOL_REQUEST_DONE)
        a->fn(a->ctx, &a->accepted);
}

static void destroy(struct spool_request *r)
{
    struct accept *a = accept_of(r);
    buf_fini(&a->record);
    mem_free(a);
}

static const struct spool_request_kind accept_kind = {
    .write = write,
    .committed = committed,
    .failed = failed,
    .answer = answer,
    .destroy = destroy,
};

/* ---- in ---- */

void spool_sqlite_write_body(struct spool_sqlite *s, struct spool_request *r)
{
    struct accept *a = accept_of(r);
    enum err_code code = s->disk.write_body(
        s->bodies, &a->loaded->job->id, a->loaded->job->body, &a->accepted.err);
    a->has_file = code == ERR_NONE;
    a->file_failed = code != ERR_NONE;
    spool_sqlite_post(s, r);
}

static unsigned lane_of(const struct spool_sqlite *s, const struct job *job)
{
    unsigned route = 0;
    for (unsigned i = 0; i < s->route_count && job->route != NULL; i++) {
        if (strcmp(s->routes[i], job->route) == 0) {
            route = i;
            break;
        }
    }
    return route * JOB_PRIORITY_COUNT + (unsigned)job->priority;
}

static void fill(struct spool_sqlite *s, struct accept *a)
{
    struct spool_loaded *loaded = a->loaded;
    struct job *job = loaded->job;
    uint64_t bytes = job->body == NULL ? 0 : body_size(job->body);
    a->in_file = bytes >= SPOOL_BODY_FILE_MIN;
    loaded->lane = lane_of(s, job);
    loaded->cost_bytes = (int64_t)(job_cost_bytes(job) + ROW_BYTES);
    loaded->body_bytes = bytes;
    loaded->body_in_file = a->in_file;
    progress_init(&loaded->progress, job, clock_real_ms(s->clock));
    a->row = (struct store_row){
        .id = job->id,
        .lane = {loaded->lane / JOB_PRIORITY_COUNT, job->priority},
        .cost_bytes = loaded->cost_bytes,
        .body_bytes = bytes,
        .has_body = job->body != NULL,
        .body_in_file = a->in_file,
    };
    spool_sqlite_row(&a->row, job, &loaded->progress, &a->record);
    a->base.size_bytes = a->row.record.len + (a->in_file ? 0 : bytes);
}

void spool_sqlite_accept(struct spool *spool, struct job *job,
                         spool_accept_fn fn, void *ctx)
{
    struct spool_sqlite *s = spool_sqlite_of(spool);
    struct accept *a;
    MEM_NEW(a);
    a->base.kind = &accept_kind;
    a->fn = fn;
    a->ctx = ctx;
    a->accepted = (struct spool_accepted){
        .answer = SPOOL_ACCEPTED, .id = job->id, .state = JOB_QUEUED};
    a->loaded = spool_loaded_new(job_ref(job));
    spool_sqlite_record_init(&a->record);
    fill(s, a);
    if (a->row.cost_bytes > s->limits.max_bytes) {
        a->accepted.answer = SPOOL_ERROR;
        (void)err_set(&a->accepted.err, ERR_TOO_LARGE,
                      "the job takes %lld bytes, more than the whole spool may "
                      "hold",
                      (long long)a->row.cost_bytes);
    }
    spool_sqlite_post(s, &a->base);
}
