#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/panic.h"
#include "queue/codec.h"
#include "queue/spool_sqlite.h"

/* When to try again what the disk did not give. */
#define BROKEN_PAUSE_MS 1000

/* When to look again for a body whose file could not be read. */
#define BODY_PAUSE_MS 60000

/* How often the log tells of such. */
#define BODY_LOG_MS 600000

/* Read in one go: bodies too. */
#define READ_BYTES (4U << 20)

struct claiming {
    struct spool_request base;
    spool_claim_fn fn;
    void *ctx;
    struct spool_lane lane;
    size_t limit;
    size_t count;
    int64_t now_ms;
    int64_t next_ms;
    struct claim_list claims;
};

static struct claiming *claiming_of(struct spool_request *r)
{
    return CONTAINER_OF(r, struct claiming, base);
}

/* ---- from the store into the window ---- */

struct reading {
    struct spool_sqlite *s;
    unsigned lane;
    size_t left; /* jobs still to be read */
    uint64_t bytes;
    bool stopped; /* by us: there may be more */
};

static struct body *body_of(struct str bytes)
{
    char *data = mem_alloc(bytes.len);
    if (bytes.len > 0)
        memcpy(data, bytes.data, bytes.len);
    return body_from_memory(data, bytes.len);
}

static void load_row(struct reading *reading, const struct store_row *row,
                     struct str body)
{
    struct spool_sqlite *s = reading->s;
    struct spool_window *window = &s->lanes[reading->lane].window;
    struct progress progress;
    struct job *job;
    if (!row->has_body || (!row->body_in_file && body.len != row->body_bytes)) {
        spool_sqlite_damaged(s, row->seq, str_from(row->id.text));
        return;
    }
    if (!spool_sqlite_decode(s, row, &job, &progress))
        return;
    if (!row->body_in_file)
        job->body = body_of(body);
    struct spool_loaded *loaded = spool_loaded_new(job);
    loaded->progress = progress;
    loaded->seq = row->seq;
    loaded->lane = reading->lane;
    loaded->due_ms = row->due_ms;
    loaded->cost_bytes = row->cost_bytes;
    loaded->body_bytes = row->body_bytes;
    loaded->body_in_file = row->body_in_file;
    spool_sqlite_keep(s, loaded);
    spool_window_insert(window, loaded);
    s->window_bytes += spool_loaded_bytes(loaded);
    reading->left--;
    reading->bytes += body.len;
}

static bool read_row(void *ctx, const struct store_row *row, struct str body)
{
    struct reading *reading = ctx;
    struct spool_sqlite *s = reading->s;
    spool_window_read(&s->lanes[reading->lane].window, row->due_ms, row->seq);
    /* A claimed one still waits, as far as its row knows. */
    if (spool_sqlite_loaded(s, &row->id) == NULL)
        load_row(reading, row, body);
    reading->stopped = reading->left == 0 || reading->bytes >= READ_BYTES;
    return !reading->stopped;
}

static enum err_code look_beyond(struct spool_sqlite *s, unsigned lane,
                                 struct err *err)
{
    const struct spool_lane of = {
        lane / JOB_PRIORITY_COUNT,
        (enum job_priority)(lane % JOB_PRIORITY_COUNT)};
    struct spool_window *window = &s->lanes[lane].window;
    int64_t beyond_ms = SPOOL_NEVER;
    if (window->beyond_known)
        return ERR_NONE;
    enum err_code code =
        store_next_due(s->store, of, &window->upto, &beyond_ms, err);
    if (code == ERR_NONE)
        spool_window_reach(window, beyond_ms);
    return code;
}

/* The window is empty: *more tells whether something came in. */
static enum err_code read_more(struct spool_sqlite *s, struct claiming *c,
                               unsigned lane, bool *more, struct err *err)
{
    struct spool_window *window = &s->lanes[lane].window;
    struct reading reading = {
        .s = s, .lane = lane, .left = c->limit - c->count};
    *more = false;
    enum err_code code = look_beyond(s, lane, err);
    if (code != ERR_NONE || window->beyond_ms > c->now_ms)
        return code;
    const struct store_cursor after = window->upto;
    code = store_due(s->store, c->lane, &after, c->now_ms, read_row, &reading,
                     err);
    if (code == ERR_NONE && !reading.stopped) {
        if (!spool_window_covers(window, c->now_ms, INT64_MAX))
            spool_window_read(window, c->now_ms, INT64_MAX);
        window->beyond_known = false;
    }
    *more = window->count > 0;
    return code;
}

/* ---- claiming ---- */

static enum err_code open_file(struct spool_sqlite *s,
                               struct spool_loaded *loaded, struct err *err)
{
    if (!loaded->body_in_file)
        return ERR_NONE;
    return bodies_read(s->bodies, &loaded->job->id, loaded->body_bytes,
                       &loaded->job->body, err);
}

static struct claim *take_out(struct spool_sqlite *s,
                              struct spool_loaded *loaded)
{
    s->claims_out++;
    s->active++;
    return spool_loaded_claim(loaded);
}

/* Its message is lost, so it cannot be sent: a person is to know. */
static void hold(struct spool_sqlite *s, struct claim *claim,
                 const struct err *err)
{
    char note[SPOOL_TEXT_MAX];
    int len = snprintf(note, sizeof(note),
                       "not sent, its message cannot be read: %s: put the file "
                       "right and say retry, or drop it",
                       err->text);
    const struct settlement settlement = {
        .at_ms = s->now_ms,
        .rest = SETTLE_REST_HOLD,
        .note = str_of(note, len < (int)sizeof(note) ? (size_t)len
                                                     : sizeof(note) - 1),
    };
    log_event(LOG_LEVEL_ERROR, "spool.lost_body",
              LOG_TEXT("job", claim->job->id.text),
              LOG_TEXT("error", err->text),
              LOG_TEXT("effect", "it is held, and others go on; put the file "
                                 "right and say retry, or drop it"));
    spool_sqlite_settle(&s->base, claim, &settlement, NULL, NULL);
}

/* What may pass: later again, and meanwhile the others. */
static void put_off(struct spool_sqlite *s, struct claim *claim,
                    const struct err *err)
{
    int64_t now_ms = clock_mono_ms(clock_system());
    if (now_ms >= s->body_log_at_ms)
        log_event(
            LOG_LEVEL_WARNING, "spool.body_fails",
            LOG_TEXT("job", claim->job->id.text), LOG_TEXT("error", err->text),
            LOG_TEXT("effect", "it is tried again in a minute, and others "
                               "go on"));
    s->body_log_at_ms = now_ms + BODY_LOG_MS;
    spool_sqlite_release(&s->base, claim,
                         clock_real_ms(s->clock) + BODY_PAUSE_MS, STR(""),
                         str_from(err->text));
}

static void take_one(struct spool_sqlite *s, struct claiming *c, unsigned lane)
{
    struct spool_loaded *loaded = spool_sqlite_pop(s, lane);
    struct err err;
    if (progress_limit_ms(&loaded->progress) <= c->now_ms) {
        spool_sqlite_unload(s, loaded, false);
        return;
    }
    enum err_code code = open_file(s, loaded, &err);
    struct claim *claim = take_out(s, loaded);
    if (code == ERR_NOT_FOUND || code == ERR_INVALID || code == ERR_DENIED) {
        hold(s, claim, &err);
    } else if (code != ERR_NONE) {
        put_off(s, claim, &err);
    } else {
        STAILQ_INSERT_TAIL(&c->claims, claim, next);
        c->count++;
    }
}

static enum err_code next_due(struct spool_sqlite *s, unsigned lane,
                              int64_t *due_ms, struct err *err)
{
    struct spool_window *window = &s->lanes[lane].window;
    const struct spool_loaded *first = spool_window_first(window);
    if (first != NULL) {
        *due_ms = first->due_ms;
        return ERR_NONE;
    }
    enum err_code code = look_beyond(s, lane, err);
    *due_ms = window->beyond_ms;
    return code;
}

/* What was read before it fails is taken. */
static enum err_code take_all(struct spool_sqlite *s, struct claiming *c,
                              unsigned lane, struct err *err)
{
    while (c->count < c->limit) {
        const struct spool_loaded *first =
            spool_window_first(&s->lanes[lane].window);
        bool more = first != NULL;
        enum err_code code = ERR_NONE;
        if (!more)
            code = read_more(s, c, lane, &more, err);
        if (!more || (first != NULL && first->due_ms > c->now_ms))
            return code;
        take_one(s, c, lane);
    }
    return ERR_NONE;
}

/* What would be sent could not be recorded, and would be sent again. */
static bool gives_nothing(const struct spool_sqlite *s)
{
    return !s->started || spool_sqlite_is_failing(s);
}

static void read(struct spool_sqlite *s, struct spool_request *r)
{
    struct claiming *c = claiming_of(r);
    unsigned index = spool_sqlite_lane_index(s, c->lane);
    struct spool_sqlite_lane *lane = &s->lanes[index];
    if (gives_nothing(s)) {
        lane->stalled = true;
        c->next_ms = SPOOL_NEVER;
    } else {
        struct err err;
        enum err_code code = take_all(s, c, index, &err);
        if (code == ERR_NONE)
            code = next_due(s, index, &c->next_ms, &err);
        if (code != ERR_NONE) {
            s->read_failure = err;
            c->next_ms = c->now_ms + BROKEN_PAUSE_MS;
        }
        /* Those from memory say nothing of what lies behind them. */
        if (code != ERR_NONE || c->count < c->limit)
            lane->unreadable = code;
    }
    lane->known_ms = c->next_ms;
    lane->due_ms = SPOOL_NEVER;
}

static const struct err *read_failure(const struct spool_sqlite *s)
{
    for (unsigned i = 0; i < s->route_count * JOB_PRIORITY_COUNT; i++)
        if (s->lanes[i].unreadable != ERR_NONE)
            return &s->read_failure;
    return store_page_damage(s->store);
}

const char *spool_sqlite_unreadable(const struct spool_sqlite *s)
{
    const struct err *err = read_failure(s);
    return err->code == ERR_NONE ? NULL : err->text;
}

void spool_sqlite_tell_reads(struct spool_sqlite *s)
{
    const struct err *err = read_failure(s);
    if (s->read_outage == err->code)
        return;
    s->read_outage = err->code;
    if (err->code == ERR_NONE)
        log_event(LOG_LEVEL_INFO, "spool.reads_work",
                  LOG_TEXT("effect", "what waits is sent again"));
    else if (err->code == ERR_INVALID)
        log_event(LOG_LEVEL_ERROR, "spool.read_fails",
                  LOG_TEXT("error", err->text),
                  LOG_TEXT("effect",
                           "jobs there are not sent, others as far as they can "
                           "be read; stop the daemon, run postriderd --verify, "
                           "then put a copy back or use .recover of sqlite3"));
    else
        log_event(LOG_LEVEL_ERROR, "spool.read_fails",
                  LOG_TEXT("error", err->text),
                  LOG_TEXT("effect", "jobs wait until they can be read, which "
                                     "is tried each second; look at the disk"));
}

void spool_sqlite_stalled(struct spool_sqlite *s)
{
    if (gives_nothing(s))
        return;
    for (unsigned i = 0; i < s->route_count * JOB_PRIORITY_COUNT; i++) {
        struct spool_sqlite_lane *lane = &s->lanes[i];
        if (lane->stalled && s->now_ms < lane->due_ms)
            lane->due_ms = s->now_ms;
        lane->stalled = false;
    }
}

static void answer(struct spool_sqlite *s, struct spool_request *r)
{
    struct claiming *c = claiming_of(r);
    (void)s;
    c->fn(c->ctx, c->lane, &c->claims, c->next_ms);
}

static void destroy(struct spool_request *r)
{
    mem_free(claiming_of(r));
}

static const struct spool_request_kind claim_kind = {
    .read = read,
    .answer = answer,
    .destroy = destroy,
};

void spool_sqlite_claim(struct spool *spool, struct spool_lane lane,
                        size_t limit, int64_t now_ms, spool_claim_fn fn,
                        void *ctx)
{
    struct spool_sqlite *s = spool_sqlite_of(spool);
    struct claiming *c;
    PANIC_IF(lane.route >= s->route_count);
    MEM_NEW(c);
    c->base.kind = &claim_kind;
    c->fn = fn;
    c->ctx = ctx;
    c->lane = lane;
    c->limit = limit;
    c->now_ms = now_ms;
    STAILQ_INIT(&c->claims);
    spool_sqlite_post(s, &c->base);
}
