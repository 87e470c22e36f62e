#include "queue/spool_memory.h"

#include "core/mem.h"
#include "core/panic.h"

static void free_entry(void *ctx, struct map_item *item)
{
    struct spool_entry *entry = CONTAINER_OF(item, struct spool_entry, by_id);
    (void)ctx;
    if (entry->live != NULL) {
        PANIC_IF(!TAILQ_EMPTY(&entry->live->watches));
        spool_live_free(entry->live);
    }
    spool_entry_free(entry);
}

static void destroy(struct spool *spool)
{
    struct spool_memory *m = spool_memory_of(spool);
    PANIC_IF(m->claims_out > 0);
    map_clear(&m->by_id, free_entry, NULL);
    map_fini(&m->by_id);
    spool_keys_fini(&m->keys);
    heap_fini(&m->limits);
    for (unsigned i = 0; i < m->route_count; i++)
        mem_free(m->routes[i]);
    for (unsigned i = 0; i < m->route_count * JOB_PRIORITY_COUNT; i++)
        heap_fini(&m->lanes[i].due);
    mem_free(m->routes);
    mem_free(m->lanes);
    mutex_fini(&m->lock);
    mem_free(m);
}

static const struct spool_ops ops = {
    .durability = "memory",
    .destroy = destroy,
    .accept = spool_memory_accept,
    .claim = spool_memory_claim,
    .settle = spool_memory_settle,
    .release = spool_memory_release,
    .mark = spool_memory_mark,
    .find = spool_memory_show,
    .cancel = spool_memory_cancel,
    .retry = spool_memory_retry,
    .drop = spool_memory_drop,
    .list = spool_memory_list,
    .watch = spool_memory_watch,
    .unwatch = spool_memory_unwatch,
    .expire = spool_memory_expire,
    .stats = spool_memory_stats,
};

static void make_lanes(struct spool_memory *m,
                       const struct spool_options *options)
{
    m->route_count = (unsigned)options->route_count;
    m->routes = mem_calloc(m->route_count, sizeof(*m->routes));
    for (unsigned i = 0; i < m->route_count; i++)
        m->routes[i] = mem_strdup(str_from(options->routes[i]));
    unsigned lanes = m->route_count * JOB_PRIORITY_COUNT;
    m->lanes = mem_calloc(lanes, sizeof(*m->lanes));
    for (unsigned i = 0; i < lanes; i++) {
        heap_init(&m->lanes[i].due);
        m->lanes[i].known_ms = SPOOL_NEVER;
    }
}

enum err_code spool_create_memory(struct spool **out,
                                  const struct spool_options *options,
                                  struct err *err)
{
    enum err_code code = spool_options_check(options, err);
    if (code != ERR_NONE)
        return code;
    struct spool_memory *m;
    MEM_NEW(m);
    spool_init(&m->base, &ops, options);
    m->clock = options->clock;
    m->max_jobs = options->max_jobs;
    m->max_bytes = options->max_bytes;
    m->history_keep_ms = options->history_keep_ms;
    m->history_keep_failed_ms = options->history_keep_failed_ms;
    m->history_max_jobs = options->history_max_jobs;
    m->give_up_ms = options->give_up_ms;
    make_lanes(m, options);
    mutex_init(&m->lock);
    map_init(&m->by_id);
    heap_init(&m->limits);
    TAILQ_INIT(&m->order);
    TAILQ_INIT(&m->walks);
    TAILQ_INIT(&m->history);
    TAILQ_INIT(&m->failed);
    spool_keys_init(&m->keys, options->key_window_ms, options->key_max);
    *out = &m->base;
    return ERR_NONE;
}
