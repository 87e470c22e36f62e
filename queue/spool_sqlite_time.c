#include "core/panic.h"
#include "queue/spool_sqlite.h"

/* Settled in one group. */
#define EXPIRE_BITE 64

/* When to come again while the disk does not work. */
#define BROKEN_PAUSE_MS 1000

/* ---- expire ---- */

struct expiry {
    struct spool_request base;
    spool_expire_fn fn;
    void *ctx;
    int64_t now_ms;
    size_t limit;
    struct spool_expired *expired;
    size_t count;
    int64_t next_ms;
    struct spool_sqlite *s;
    struct spool_found bite[EXPIRE_BITE];
    int64_t due_ms[EXPIRE_BITE];
    bool had_file[EXPIRE_BITE];
    size_t bite_count;
    size_t bite_max;
    bool failed;
};

static struct expiry *expiry_of(struct spool_request *r)
{
    return CONTAINER_OF(r, struct expiry, base);
}

static bool is_claimed(const struct spool_sqlite *s, const struct id *id)
{
    const struct spool_loaded *loaded = spool_sqlite_loaded(s, id);
    return loaded != NULL && loaded->claimed;
}

static bool take_over(void *ctx, const struct store_row *row, struct str body)
{
    struct expiry *e = ctx;
    (void)body;
    if (is_claimed(e->s, &row->id) ||
        !spool_found_take(e->s, &e->bite[e->bite_count], row))
        return true;
    return ++e->bite_count < e->bite_max;
}

static enum err_code write_expiry(struct spool_sqlite *s,
                                  struct spool_request *r, struct err *err)
{
    struct expiry *e = expiry_of(r);
    e->bite_count = 0;
    e->bite_max = e->limit - e->count;
    if (e->bite_max > EXPIRE_BITE)
        e->bite_max = EXPIRE_BITE;
    if (e->bite_max == 0)
        return ERR_NONE;
    enum err_code code = store_over(s->store, e->now_ms, take_over, e, err);
    if (code == ERR_INVALID) {
        /* A damaged page is in the way: that must not stop new jobs. */
        e->failed = true;
        code = ERR_NONE;
    }
    for (size_t i = 0; code == ERR_NONE && i < e->bite_count; i++) {
        struct spool_found *found = &e->bite[i];
        enum job_state before = found->progress.state;
        e->due_ms[i] = found->row.due_ms;
        e->had_file[i] = found->row.has_body && found->row.body_in_file;
        progress_expire(&found->progress, e->now_ms);
        code = spool_sqlite_update(s, found, before, err);
    }
    return code;
}

static void end_bite(struct expiry *e)
{
    for (size_t i = 0; i < e->bite_count; i++)
        spool_found_fini(&e->bite[i]);
    e->bite_count = 0;
}

static void expiry_committed(struct spool_sqlite *s, struct spool_request *r)
{
    struct expiry *e = expiry_of(r);
    size_t count = e->bite_count;
    if (count == 0)
        return;
    e->expired = mem_realloc(e->expired,
                             (e->count + count) * sizeof(struct spool_expired));
    for (size_t i = 0; i < count; i++) {
        struct spool_found *found = &e->bite[i];
        const struct id *id = &found->job->id;
        e->expired[e->count++] =
            (struct spool_expired){*id, found->progress.state};
        if (e->had_file[i] && !found->row.has_body)
            spool_sqlite_remove_file(s, id);
        spool_sqlite_forget_loaded(
            s, id, spool_sqlite_lane_index(s, found->row.lane), e->due_ms[i]);
        spool_sqlite_tell(s, &found->progress, found->job, found->row.has_body);
    }
    if (count == e->bite_max && e->count < e->limit)
        r->then = SPOOL_REQUEST_AGAIN;
    end_bite(e);
}

static void expiry_failed(struct spool_sqlite *s, struct spool_request *r,
                          const struct err *err)
{
    struct expiry *e = expiry_of(r);
    (void)s;
    (void)err;
    end_bite(e);
    e->failed = true;
}

static bool see_limit(void *ctx, const struct store_row *row, struct str body)
{
    struct expiry *e = ctx;
    struct spool_found found;
    (void)body;
    /* Of one that cannot be settled the time would stay for ever. */
    if (is_claimed(e->s, &row->id) || !spool_found_take(e->s, &found, row))
        return true;
    spool_found_fini(&found);
    e->next_ms = row->limit_ms;
    return false;
}

static void read_next(struct spool_sqlite *s, struct spool_request *r)
{
    struct expiry *e = expiry_of(r);
    struct err err;
    if (r->then == SPOOL_REQUEST_AGAIN)
        return;
    e->next_ms = SPOOL_NEVER;
    if (e->failed ||
        store_over(s->store, SPOOL_NEVER - 1, see_limit, e, &err) != ERR_NONE)
        e->next_ms = e->now_ms + BROKEN_PAUSE_MS;
}

static void answer(struct spool_sqlite *s, struct spool_request *r)
{
    struct expiry *e = expiry_of(r);
    (void)s;
    if (r->then != SPOOL_REQUEST_AGAIN)
        e->fn(e->ctx, e->expired, e->count, e->next_ms);
}

static void destroy(struct spool_request *r)
{
    struct expiry *e = expiry_of(r);
    mem_free(e->expired);
    mem_free(e);
}

static const struct spool_request_kind expiry_kind = {
    .write = write_expiry,
    .committed = expiry_committed,
    .failed = expiry_failed,
    .read = read_next,
    .answer = answer,
    .destroy = destroy,
};

void spool_sqlite_expire(struct spool *spool, int64_t now_ms, size_t limit,
                         spool_expire_fn fn, void *ctx)
{
    struct spool_sqlite *s = spool_sqlite_of(spool);
    struct expiry *e;
    MEM_NEW(e);
    e->base.kind = &expiry_kind;
    e->fn = fn;
    e->ctx = ctx;
    e->now_ms = now_ms;
    e->limit = limit;
    e->s = s;
    spool_sqlite_post(s, &e->base);
}
