#include "queue/spool_sqlite.h"

/* Settled jobs that are deleted in one go; several may be in one group. */
#define FORGET_BITE 64

#define DAMAGED_PAUSE_MS 3600000

/* Kept bodies that give way to one job in one group: some milliseconds. */
#define ROOM_BITE 512

/* Jobs that are forgotten early in one group, on a disk that is full. */
#define YIELD_BITE 64

/* Keys looked at in one group. */
#define KEYS_BITE 64

static int64_t keep_ms(const struct spool_sqlite *s, bool failed)
{
    return failed ? s->limits.history_keep_failed_ms
                  : s->limits.history_keep_ms;
}

static bool is_failed(enum job_state state)
{
    return state == JOB_FAILED || state == JOB_EXPIRED;
}

bool spool_sqlite_is_forgotten(const struct spool_sqlite *s,
                               enum job_state state, int64_t settled_ms)
{
    return job_state_is_settled(state) &&
           s->now_ms - settled_ms >= keep_ms(s, is_failed(state));
}

struct old_job {
    int64_t seq;
    struct id id;
    int64_t cost_bytes;
    bool has_body;
    bool has_file;
    struct spool_found found; /* of a kept key the state is to be kept */
};

struct bite {
    struct spool_sqlite *s;
    struct old_job jobs[FORGET_BITE];
    size_t count;
    size_t max;
    int64_t over;    /* how many go whatever their time */
    int64_t keep_ms; /* of this kind */
    int64_t next_ms; /* when the first that stays is over */
};

static bool take_settled(void *ctx, const struct store_row *row,
                         struct str body)
{
    struct bite *bite = ctx;
    (void)body;
    bite->next_ms = row->settled_ms + bite->keep_ms;
    if (bite->count == bite->max ||
        ((int64_t)bite->count >= bite->over && bite->s->now_ms < bite->next_ms))
        return false;
    struct old_job *old = &bite->jobs[bite->count++];
    *old = (struct old_job){.seq = row->seq,
                            .id = row->id,
                            .cost_bytes = row->cost_bytes,
                            .has_body = row->has_body,
                            .has_file = row->has_body && row->body_in_file};
    if (bite->s->now_ms - row->settled_ms < bite->s->limits.key_window_ms)
        (void)spool_found_take(bite->s, &old->found, row);
    bite->next_ms = SPOOL_NEVER;
    return true;
}

static enum err_code delete_old(struct spool_sqlite *s,
                                const struct old_job *old, struct err *err)
{
    enum err_code code = store_delete(s->store, old->seq, err);
    s->next_numbers.remembered--;
    spool_sqlite_lighten(&s->next_numbers, old->has_body, old->cost_bytes);
    if (old->has_file)
        spool_sqlite_remove_file(s, &old->id);
    if (code == ERR_NONE && old->found.found)
        code = spool_sqlite_key_outlives(s, old->found.job,
                                         old->found.progress.state, err);
    return code;
}

static enum err_code delete_bite(struct spool_sqlite *s, struct bite *bite,
                                 struct err *err)
{
    enum err_code code = ERR_NONE;
    if (bite->count > 0)
        code = spool_sqlite_begin(s, err);
    for (size_t i = 0; i < bite->count; i++) {
        if (code == ERR_NONE)
            code = delete_old(s, &bite->jobs[i], err);
    }
    return code;
}

static void fini_bite(struct bite *bite)
{
    for (size_t i = 0; i < bite->count; i++)
        spool_found_fini(&bite->jobs[i].found);
}

/* Of one kind: the first `over`, and all whose time is over, as may be. */
static enum err_code forget_kind(struct spool_sqlite *s, bool failed,
                                 int64_t over, struct err *err)
{
    enum err_code code = ERR_NONE;
    struct bite bite = {.s = s, .keep_ms = keep_ms(s, failed)};
    do {
        over -= (int64_t)bite.count;
        bite.count = 0;
        bite.over = over;
        bite.next_ms = SPOOL_NEVER;
        bite.max = s->forget_max < FORGET_BITE ? s->forget_max : FORGET_BITE;
        code = store_settled(s->store, failed, SPOOL_NEVER - 1, take_settled,
                             &bite, err);
        if (code == ERR_NONE)
            code = delete_bite(s, &bite, err);
        fini_bite(&bite);
        s->forget_max -= bite.count;
    } while (code == ERR_NONE && bite.count == FORGET_BITE);
    s->forget_at_ms[failed] = bite.next_ms;
    if (code == ERR_INVALID) {
        /* A damaged page is in the way: that must not stop new jobs. */
        s->forget_at_ms[failed] = s->now_ms + DAMAGED_PAUSE_MS;
        return ERR_NONE;
    }
    return code;
}

void spool_sqlite_settles(struct spool_sqlite *s, enum job_state state,
                          int64_t settled_ms)
{
    int64_t *at_ms = &s->forget_at_ms[is_failed(state)];
    if (!job_state_is_settled(state))
        return;
    int64_t over_ms = settled_ms + keep_ms(s, is_failed(state));
    s->forget_max += 2;
    if (over_ms < *at_ms)
        *at_ms = over_ms;
}

/* Who failed stays longest. */
static enum err_code forget_jobs(struct spool_sqlite *s, struct err *err)
{
    enum err_code code = ERR_NONE;
    for (int kind = 0; kind < 2 && code == ERR_NONE; kind++)
        if (s->now_ms >= s->forget_at_ms[kind])
            code = forget_kind(s, kind == 1, 0, err);
    if (s->yields && code == ERR_NONE && s->next_numbers.remembered > 0) {
        s->forget_max += YIELD_BITE;
        code = forget_kind(s, false, YIELD_BITE, err);
        s->looks = true;
    }
    for (int kind = 0; kind < 2 && code == ERR_NONE; kind++) {
        int64_t over = s->next_numbers.remembered - s->limits.history_max_jobs;
        if (over > 0)
            code = forget_kind(s, kind == 1, over, err);
    }
    return code;
}

/* ---- kept bodies ---- */

bool spool_sqlite_fits(const struct spool_sqlite *s,
                       const struct spool_stats *n, int64_t cost_bytes)
{
    return n->waiting + n->held < s->limits.max_jobs &&
           n->bytes - n->kept_bytes <= s->limits.max_bytes - cost_bytes;
}

struct kept_bite {
    struct old_job jobs[FORGET_BITE];
    size_t count;
    int64_t wanted_bytes;
    int64_t bytes;
};

static bool take_kept(void *ctx, const struct store_row *row, struct str body)
{
    struct kept_bite *bite = ctx;
    (void)body;
    bite->jobs[bite->count++] = (struct old_job){
        .seq = row->seq,
        .id = row->id,
        .cost_bytes = row->cost_bytes,
        .has_file = row->body_in_file,
    };
    bite->bytes += row->cost_bytes;
    return bite->count < FORGET_BITE && bite->bytes < bite->wanted_bytes;
}

static enum err_code drop_bite(struct spool_sqlite *s,
                               const struct kept_bite *bite, struct err *err)
{
    enum err_code code = spool_sqlite_begin(s, err);
    for (size_t i = 0; i < bite->count && code == ERR_NONE; i++) {
        const struct old_job *old = &bite->jobs[i];
        code = store_drop_body(s->store, old->seq, err);
        spool_sqlite_lighten(&s->next_numbers, true, old->cost_bytes);
        if (old->has_file)
            spool_sqlite_remove_file(s, &old->id);
    }
    return code;
}

/*
 * What was over max_bytes before goes a little at a time, as much again as the
 * new job takes: nobody waits for all of it. If nothing is found to go, because
 * a damaged page is in the way, the job comes all the same.
 */
enum err_code spool_sqlite_make_room(struct spool_sqlite *s, int64_t cost_bytes,
                                     int64_t *freed_bytes, bool *enough,
                                     struct err *err)
{
    const struct spool_stats *n = &s->next_numbers;
    int64_t left = ROOM_BITE;
    *enough = false;
    for (; left > 0; left -= FORGET_BITE) {
        struct kept_bite bite = {.count = 0};
        bite.wanted_bytes = n->bytes - (s->limits.max_bytes - cost_bytes);
        if (bite.wanted_bytes > 2 * cost_bytes - *freed_bytes)
            bite.wanted_bytes = 2 * cost_bytes - *freed_bytes;
        *enough = bite.wanted_bytes <= 0;
        if (*enough)
            return ERR_NONE;
        enum err_code code = store_kept(s->store, take_kept, &bite, err);
        if (code != ERR_NONE && code != ERR_INVALID)
            return code;
        *enough = bite.count == 0;
        if (*enough)
            return ERR_NONE;
        code = drop_bite(s, &bite, err);
        if (code != ERR_NONE)
            return code;
        *freed_bytes += bite.bytes;
    }
    return ERR_NONE;
}

/* ---- keys ---- */

/* One at a time: those of jobs that are not settled are passed over. */
static enum err_code forget_keys(struct spool_sqlite *s, struct err *err)
{
    int64_t *keys = &s->next_numbers.keys;
    int64_t before_ms = s->now_ms - s->limits.key_window_ms + 1;
    size_t removed = 0;
    if (*keys == 0 || (!s->keys_added && !s->keeps_house))
        return ERR_NONE;
    enum err_code code = spool_sqlite_begin(s, err);
    if (code != ERR_NONE)
        return code;
    s->keys_added = false;
    code = store_keys_forget(s->store, before_ms, KEYS_BITE, &removed, err);
    *keys -= (int64_t)removed;
    for (unsigned i = 0;
         i<KEYS_BITE && * keys> s->limits.key_max && code == ERR_NONE; i++) {
        code = store_keys_forget(s->store, SPOOL_NEVER, 1, &removed, err);
        *keys -= (int64_t)removed;
    }
    return code;
}

enum err_code spool_sqlite_forget(struct spool_sqlite *s, struct err *err)
{
    enum err_code code = forget_jobs(s, err);
    if (code == ERR_NONE)
        code = forget_keys(s, err);
    return code;
}
