#include "queue/spool_sqlite.h"

/* Settled jobs that are deleted in one go; several may be in one group. */
#define FORGET_BITE 64

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
    bool has_file;
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
    bite->jobs[bite->count++] =
        (struct old_job){row->seq, row->id, row->has_body && row->body_in_file};
    bite->next_ms = SPOOL_NEVER;
    return true;
}

static enum err_code delete_bite(struct spool_sqlite *s,
                                 const struct bite *bite, struct err *err)
{
    enum err_code code = ERR_NONE;
    if (bite->count > 0)
        code = spool_sqlite_begin(s, err);
    for (size_t i = 0; code == ERR_NONE && i < bite->count; i++) {
        code = store_delete(s->store, bite->jobs[i].seq, err);
        s->next_numbers.remembered--;
        if (bite->jobs[i].has_file)
            spool_sqlite_remove_file(s, &bite->jobs[i].id);
    }
    return code;
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
        s->forget_max -= bite.count;
    } while (code == ERR_NONE && bite.count == FORGET_BITE);
    s->forget_at_ms[failed] = bite.next_ms;
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
    for (int kind = 0; kind < 2 && code == ERR_NONE; kind++) {
        int64_t over = s->next_numbers.remembered - s->limits.history_max_jobs;
        if (over > 0)
            code = forget_kind(s, kind == 1, over, err);
    }
    return code;
}

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
