#include "queue/spool_sqlite.h"

/* Jobs that were interrupted and are taken up in one commit. */
#define MARKED_BITE 64

struct marked {
    struct spool_sqlite *s;
    struct spool_found jobs[MARKED_BITE];
    size_t count;
};

static bool take_marked(void *ctx, const struct store_row *row, struct str body)
{
    struct marked *marked = ctx;
    (void)body;
    if (spool_found_take(marked->s, &marked->jobs[marked->count], row))
        marked->count++;
    return marked->count < MARKED_BITE;
}

static enum err_code write_marked(struct spool_sqlite *s, struct marked *marked,
                                  struct err *err)
{
    enum err_code code = ERR_NONE;
    for (size_t i = 0; i < marked->count && code == ERR_NONE; i++) {
        struct spool_found *found = &marked->jobs[i];
        enum job_state before = found->progress.state;
        progress_interrupt(&found->progress, s->now_ms);
        code = spool_sqlite_update(s, found, before, err);
    }
    if (code == ERR_NONE && s->in_transaction)
        code = store_numbers_put(s->store, &s->next_numbers, err);
    if (code == ERR_NONE && s->in_transaction)
        code = s->disk.commit(s->store, err);
    else if (s->in_transaction)
        store_rollback(s->store);
    s->in_transaction = false;
    return code;
}

static enum err_code hold_bite(struct spool_sqlite *s, struct marked *marked,
                               struct err *err)
{
    marked->count = 0;
    s->next_numbers = s->numbers;
    enum err_code code = store_marked(s->store, take_marked, marked, err);
    if (code == ERR_NONE)
        code = write_marked(s, marked, err);
    if (code == ERR_NONE)
        s->numbers = s->next_numbers;
    for (size_t i = 0; i < marked->count; i++) {
        struct spool_found *found = &marked->jobs[i];
        if (code == ERR_NONE)
            spool_sqlite_tell(s, &found->progress, found->job,
                              found->row.has_body);
        spool_found_fini(found);
    }
    return code;
}

/* Jobs whose message may have left are held. */
static enum err_code hold_marked(struct spool_sqlite *s, struct err *err)
{
    struct marked *marked;
    enum err_code code = ERR_NONE;
    MEM_NEW(marked);
    marked->s = s;
    do
        code = hold_bite(s, marked, err);
    while (code == ERR_NONE && marked->count == MARKED_BITE);
    mem_free(marked);
    return code;
}

enum err_code spool_sqlite_start(struct spool_sqlite *s, struct err *err)
{
    if (s->started)
        return ERR_NONE;
    enum err_code code = store_take(s->store, err);
    if (code == ERR_NONE)
        code = hold_marked(s, err);
    s->started = code == ERR_NONE;
    return code;
}
