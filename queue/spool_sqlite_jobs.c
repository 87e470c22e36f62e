#include <string.h>

#include "core/log.h"
#include "core/panic.h"
#include "queue/codec.h"
#include "queue/spool_sqlite.h"

/* ---- rows ---- */

void spool_sqlite_damaged(struct spool_sqlite *s, int64_t seq, struct str id)
{
    for (size_t i = 0; i < s->damaged_count; i++)
        if (s->damaged[i] == seq)
            return;
    if (s->damaged_count == SPOOL_DAMAGED_MAX)
        return;
    s->damaged[s->damaged_count++] = seq;
    if (id.len > ID_LEN)
        id.len = ID_LEN;
    log_event(LOG_LEVEL_ERROR, "spool.damaged_job", LOG_STR("job", id),
              LOG_INT("row", seq),
              LOG_TEXT("effect", "it is left alone, and others go on; look "
                                 "with postriderd --verify"));
    if (s->damaged_count == SPOOL_DAMAGED_MAX)
        log_event(LOG_LEVEL_ERROR, "spool.damaged_jobs",
                  LOG_INT("logged", s->damaged_count),
                  LOG_TEXT("effect", "no more of them are logged"));
}

static bool belongs(const struct store_row *row, const struct job *job,
                    const struct progress *progress)
{
    return progress->state == row->state &&
           job->priority == row->lane.priority &&
           memcmp(job->id.text, row->id.text, ID_LEN) == 0;
}

bool spool_sqlite_decode(struct spool_sqlite *s, const struct store_row *row,
                         struct job **job, struct progress *progress)
{
    if (codec_get(row->record, job, progress) == ERR_NONE) {
        if (belongs(row, *job, progress))
            return true;
        progress_fini(progress);
        job_unref(*job);
    }
    spool_sqlite_damaged(s, row->seq, str_from(row->id.text));
    return false;
}

bool spool_found_take(struct spool_sqlite *s, struct spool_found *found,
                      const struct store_row *row)
{
    *found = (struct spool_found){.row = *row};
    found->found = spool_sqlite_decode(s, row, &found->job, &found->progress);
    found->row.record = STR("");
    return found->found;
}

void spool_found_fini(struct spool_found *found)
{
    if (!found->found)
        return;
    found->found = false;
    progress_fini(&found->progress);
    job_unref(found->job);
}

struct finding {
    struct spool_sqlite *s;
    struct spool_found *found;
    bool damaged;
};

static bool take_row(void *ctx, const struct store_row *row, struct str body)
{
    struct finding *finding = ctx;
    (void)body;
    finding->damaged = !spool_found_take(finding->s, finding->found, row);
    return false;
}

enum err_code spool_sqlite_find(struct spool_sqlite *s, const struct id *id,
                                const char *client, struct spool_found *found,
                                struct err *err)
{
    struct finding finding = {s, found, false};
    *found = (struct spool_found){.found = false};
    enum err_code code = store_find(s->store, id, take_row, &finding, err);
    if (code == ERR_NONE && finding.damaged)
        return err_set(err, ERR_INVALID,
                       "the record of job %s is damaged: look with postriderd "
                       "--verify",
                       id->text);
    if (found->found &&
        ((client != NULL && strcmp(found->job->client, client) != 0) ||
         spool_sqlite_is_forgotten(s, found->progress.state,
                                   found->progress.settled_ms)))
        spool_found_fini(found);
    return code == ERR_NOT_FOUND ? ERR_NONE : code;
}

enum job_state spool_sqlite_state(const struct spool_sqlite *s,
                                  const struct id *id, enum job_state state)
{
    if (state != JOB_QUEUED && state != JOB_DEFERRED)
        return state;
    const struct spool_loaded *loaded = spool_sqlite_loaded(s, id);
    if (loaded != NULL && loaded->claimed &&
        atomic_load(&loaded->gate) == CLAIM_GATE_STARTED)
        return JOB_ACTIVE;
    return state;
}

struct spool_status *spool_sqlite_status(const struct spool_sqlite *s,
                                         const struct spool_found *found)
{
    if (!found->found)
        return NULL;
    enum job_state state =
        spool_sqlite_state(s, &found->job->id, found->progress.state);
    return progress_status(&found->progress, found->job, state,
                           found->row.has_body);
}

void spool_sqlite_row(struct store_row *row, const struct job *job,
                      const struct progress *progress, struct buf *record)
{
    bool waits = progress_is_waiting(progress);
    row->state = progress->state;
    row->due_ms = waits ? progress->due_ms : SPOOL_NEVER;
    row->limit_ms = waits ? progress_limit_ms(progress) : SPOOL_NEVER;
    row->settled_ms =
        job_state_is_settled(progress->state) ? progress->settled_ms : 0;
    row->marked = progress->marked;
    row->has_body = row->has_body && progress_keeps_body(progress);
    buf_truncate(record, 0);
    codec_put(job, progress, record);
    PANIC_IF(!buf_ok(record));
    row->record = buf_str(record);
}

static int64_t *place(struct spool_stats *n, enum job_state state)
{
    switch (state) {
    case JOB_DELIVERED:
        return &n->delivered;
    case JOB_FAILED:
        return &n->failed;
    case JOB_EXPIRED:
        return &n->expired;
    case JOB_CANCELLED:
        return &n->cancelled;
    case JOB_HELD:
        return &n->held;
    case JOB_QUEUED:
    case JOB_DEFERRED:
        return &n->waiting;
    case JOB_ACTIVE:
    case JOB_STATE_COUNT:
        break;
    }
    PANIC("no job of the spool is in state %u", (unsigned)state);
}

void spool_sqlite_lighten(struct spool_stats *n, bool had_body,
                          int64_t cost_bytes)
{
    if (!had_body)
        return;
    n->bytes -= cost_bytes;
    n->kept_bytes -= cost_bytes;
}

void spool_sqlite_move(struct spool_stats *n, enum job_state from,
                       bool had_body, const struct store_row *row)
{
    (*place(n, from))--;
    (*place(n, row->state))++;
    if (job_state_is_settled(from)) {
        n->remembered--;
        spool_sqlite_lighten(n, had_body, row->cost_bytes);
    } else {
        n->bytes -= row->cost_bytes;
    }
    bool settled = job_state_is_settled(row->state);
    if (!settled || row->has_body)
        n->bytes += row->cost_bytes;
    if (settled && row->has_body)
        n->kept_bytes += row->cost_bytes;
    if (settled)
        n->remembered++;
}

enum err_code spool_sqlite_update(struct spool_sqlite *s,
                                  struct spool_found *found,
                                  enum job_state before, struct err *err)
{
    bool had_body = found->row.has_body;
    enum err_code code = spool_sqlite_begin(s, err);
    if (code != ERR_NONE)
        return code;
    spool_sqlite_row(&found->row, found->job, &found->progress, &s->scratch);
    code = store_update(s->store, &found->row, err);
    spool_sqlite_move(&s->next_numbers, before, had_body, &found->row);
    spool_sqlite_settles(s, found->row.state, found->row.settled_ms);
    return code;
}

/* ---- keys ---- */

static enum err_code find_key(struct spool_sqlite *s, const struct job *job,
                              struct store_key *key, bool *is_its,
                              struct err *err)
{
    *is_its = false;
    if (job->key == NULL)
        return ERR_NONE;
    *key = (struct store_key){.client = job->client, .key = job->key};
    enum err_code code = store_key_find(s->store, key, err);
    *is_its =
        code == ERR_NONE && memcmp(key->id.text, job->id.text, ID_LEN) == 0;
    return code == ERR_NOT_FOUND ? ERR_NONE : code;
}

enum err_code spool_sqlite_key_outlives(struct spool_sqlite *s,
                                        const struct job *job,
                                        enum job_state state, struct err *err)
{
    struct store_key key;
    bool is_its;
    enum err_code code = find_key(s, job, &key, &is_its, err);
    if (code != ERR_NONE || !is_its)
        return code;
    key.state = state;
    return store_key_put(s->store, &key, err);
}

enum err_code spool_sqlite_key_reopens(struct spool_sqlite *s,
                                       const struct job *job, struct err *err)
{
    struct store_key key;
    bool is_its;
    enum err_code code = find_key(s, job, &key, &is_its, err);
    if (code != ERR_NONE || !is_its ||
        s->now_ms - key.at_ms < s->limits.key_window_ms)
        return code;
    s->next_numbers.keys--;
    return store_key_delete(s->store, &key, err);
}

/* ---- what is in memory ---- */

unsigned spool_sqlite_lane_index(const struct spool_sqlite *s,
                                 struct spool_lane lane)
{
    PANIC_IF(lane.route >= s->route_count);
    return lane.route * JOB_PRIORITY_COUNT + (unsigned)lane.priority;
}

struct spool_loaded *spool_sqlite_loaded(const struct spool_sqlite *s,
                                         const struct id *id)
{
    struct map_item *item =
        map_first(&s->loaded, map_hash(&s->loaded, id->text, ID_LEN));
    for (; item != NULL; item = map_next(item)) {
        struct spool_loaded *loaded =
            CONTAINER_OF(item, struct spool_loaded, by_id);
        if (memcmp(loaded->job->id.text, id->text, ID_LEN) == 0)
            return loaded;
    }
    return NULL;
}

void spool_sqlite_keep(struct spool_sqlite *s, struct spool_loaded *loaded)
{
    map_add(&s->loaded, &loaded->by_id,
            map_hash(&s->loaded, loaded->job->id.text, ID_LEN));
}

void spool_sqlite_unload(struct spool_sqlite *s, struct spool_loaded *loaded,
                         bool drop_body)
{
    map_remove(&s->loaded, &loaded->by_id);
    spool_loaded_free(loaded, drop_body);
}

static void evict(struct spool_sqlite *s, struct spool_window *window)
{
    struct spool_loaded *last = spool_window_evict(window);
    s->window_bytes -= spool_loaded_bytes(last);
    spool_sqlite_unload(s, last, false);
}

static void is_due(struct spool_sqlite_lane *lane, int64_t due_ms)
{
    if (due_ms < lane->due_ms)
        lane->due_ms = due_ms;
}

void spool_sqlite_wait(struct spool_sqlite *s, struct spool_loaded *loaded)
{
    struct spool_sqlite_lane *lane = &s->lanes[loaded->lane];
    struct spool_window *window = &lane->window;
    loaded->due_ms = loaded->progress.due_ms;
    is_due(lane, loaded->due_ms);
    if (!spool_window_covers(window, loaded->due_ms, loaded->seq)) {
        spool_window_beyond(window, loaded->due_ms);
        spool_sqlite_unload(s, loaded, false);
        return;
    }
    spool_window_insert(window, loaded);
    s->window_bytes += spool_loaded_bytes(loaded);
    while (window->count > s->window_jobs_max ||
           (s->window_bytes > s->window_bytes_max && window->count > 0))
        evict(s, window);
}

void spool_sqlite_unread(struct spool_sqlite *s, unsigned lane, int64_t due_ms,
                         int64_t seq)
{
    is_due(&s->lanes[lane], due_ms);
    while (spool_window_cut(&s->lanes[lane].window, due_ms, seq))
        evict(s, &s->lanes[lane].window);
}

struct spool_loaded *spool_sqlite_pop(struct spool_sqlite *s, unsigned lane)
{
    struct spool_loaded *first = spool_window_first(&s->lanes[lane].window);
    spool_window_remove(&s->lanes[lane].window, first);
    s->window_bytes -= spool_loaded_bytes(first);
    return first;
}

void spool_sqlite_forget_loaded(struct spool_sqlite *s, const struct id *id,
                                unsigned lane, int64_t due_ms)
{
    struct spool_loaded *loaded = spool_sqlite_loaded(s, id);
    if (loaded == NULL) {
        spool_window_gone(&s->lanes[lane].window, due_ms);
    } else if (!loaded->claimed) {
        spool_window_remove(&s->lanes[lane].window, loaded);
        s->window_bytes -= spool_loaded_bytes(loaded);
        spool_sqlite_unload(s, loaded, false);
    }
}

void spool_sqlite_unclaim(struct spool_sqlite *s, struct spool_loaded *loaded)
{
    PANIC_IF(!loaded->claimed);
    loaded->claimed = false;
    s->claims_out--;
    if (!loaded->inactive)
        s->active--;
    /* Its file is opened again for the next claim. */
    if (loaded->body_in_file) {
        body_unref(loaded->job->body);
        loaded->job->body = NULL;
    }
}

/* ---- who waits for it ---- */

void spool_sqlite_tell(struct spool_sqlite *s, const struct progress *progress,
                       struct job *job, bool has_body)
{
    struct spool_watch_nodes nodes = STAILQ_HEAD_INITIALIZER(nodes);
    struct spool_watch_node *node;
    mutex_lock(&s->lock);
    spool_watches_take(&s->watches, &job->id, &nodes);
    mutex_unlock(&s->lock);
    STAILQ_FOREACH (node, &nodes, next)
        node->watch->status =
            progress_status(progress, job, progress->state, has_body);
    STAILQ_CONCAT(&s->tells, &nodes);
}
