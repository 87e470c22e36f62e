#include "queue/spool_sqlite.h"

#include <string.h>

#include "core/log.h"
#include "core/panic.h"

#define RECORD_MAX (256U << 20)

/*
 * What is in windows, all lanes together, and in one: enough that what was just
 * accepted need not be read back.
 */
#define WINDOW_BYTES (8 << 20)
#define WINDOW_JOBS  1024

void spool_sqlite_record_init(struct buf *record)
{
    buf_init(record, RECORD_MAX);
}

void spool_sqlite_stats(struct spool *spool, struct spool_stats *stats)
{
    struct spool_sqlite *s = spool_sqlite_of(spool);
    mutex_lock(&s->lock);
    *stats = s->stats;
    mutex_unlock(&s->lock);
}

/* ---- destroying ---- */

static void stop_threads(struct spool_sqlite *s)
{
    mutex_lock(&s->lock);
    s->stopping = true;
    cond_signal(&s->work);
    mutex_unlock(&s->lock);
    thread_join(&s->writer);
    mutex_lock(&s->lock);
    s->filer_stops = true;
    cond_signal(&s->file_work);
    mutex_unlock(&s->lock);
    thread_join(&s->filer);
}

static void free_loaded(void *ctx, struct map_item *item)
{
    (void)ctx;
    spool_loaded_free(CONTAINER_OF(item, struct spool_loaded, by_id), false);
}

static void drop_unrecorded(struct spool_sqlite *s)
{
    struct spool_request *r;
    while ((r = STAILQ_FIRST(&s->unrecorded)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->unrecorded, next);
        s->claims_out--;
        r->kind->destroy(r);
    }
}

static void destroy(struct spool *spool)
{
    struct spool_sqlite *s = spool_sqlite_of(spool);
    stop_threads(s);
    drop_unrecorded(s);
    PANIC_IF(s->claims_out > 0);
    map_clear(&s->loaded, free_loaded, NULL);
    map_fini(&s->loaded);
    map_fini(&s->watches);
    buf_fini(&s->scratch);
    bodies_close(s->bodies);
    store_close(s->store);
    for (unsigned i = 0; i < s->route_count; i++)
        mem_free(s->routes[i]);
    mem_free(s->routes);
    mem_free(s->path);
    mem_free(s->lanes);
    cond_fini(&s->work);
    cond_fini(&s->file_work);
    cond_fini(&s->file_known);
    mutex_fini(&s->lock);
    mem_free(s);
}

/* ---- making ---- */

static const struct spool_ops ops = {
    .durability = "disk",
    .destroy = destroy,
    .accept = spool_sqlite_accept,
    .claim = spool_sqlite_claim,
    .settle = spool_sqlite_settle,
    .release = spool_sqlite_release,
    .mark = spool_sqlite_mark,
    .find = spool_sqlite_show,
    .cancel = spool_sqlite_cancel,
    .retry = spool_sqlite_retry,
    .drop = spool_sqlite_drop,
    .list = spool_sqlite_list,
    .watch = spool_sqlite_watch,
    .unwatch = spool_sqlite_unwatch,
    .expire = spool_sqlite_expire,
    .stats = spool_sqlite_stats,
};

static void make_lanes(struct spool_sqlite *s,
                       const struct spool_options *options)
{
    s->route_count = (unsigned)options->route_count;
    s->routes = mem_calloc(s->route_count, sizeof(*s->routes));
    for (unsigned i = 0; i < s->route_count; i++)
        s->routes[i] = mem_strdup(str_from(options->routes[i]));
    unsigned lanes = s->route_count * JOB_PRIORITY_COUNT;
    s->lanes = mem_calloc(lanes, sizeof(*s->lanes));
    for (unsigned i = 0; i < lanes; i++) {
        spool_window_init(&s->lanes[i].window);
        s->lanes[i].known_ms = SPOOL_NEVER;
        s->lanes[i].due_ms = SPOOL_NEVER;
    }
}

static struct spool_sqlite *make(const struct spool_options *options,
                                 const struct spool_sqlite_disk *disk)
{
    struct spool_sqlite *s;
    MEM_NEW(s);
    spool_init(&s->base, &ops, options);
    s->disk = *disk;
    s->clock = options->clock;
    s->limits = *options;
    s->window_bytes_max = WINDOW_BYTES;
    s->window_jobs_max = WINDOW_JOBS;
    s->kept_bite = 1;
    s->group_max = SPOOL_GROUP_MAX;
    make_lanes(s, options);
    mutex_init(&s->lock);
    cond_init(&s->work);
    cond_init(&s->file_work);
    cond_init(&s->file_known);
    STAILQ_INIT(&s->requests);
    STAILQ_INIT(&s->files);
    STAILQ_INIT(&s->unrecorded);
    STAILQ_INIT(&s->files_after);
    STAILQ_INIT(&s->tells);
    map_init(&s->watches);
    map_init(&s->loaded);
    spool_sqlite_record_init(&s->scratch);
    return s;
}

static void on_damaged(void *ctx, int64_t seq, struct str id)
{
    spool_sqlite_damaged(ctx, seq, id);
}

static enum err_code open_disk(struct spool_sqlite *s, const char *path,
                               struct err *err)
{
    const char *const *routes = (const char *const *)s->routes;
    const struct store_options options = {
        .path = path, .routes = routes, .route_count = s->route_count};
    enum err_code code = store_open(&s->store, &options, err);
    if (code != ERR_NONE)
        return code;
    char *directory = bodies_directory(path);
    store_on_damaged(s->store, on_damaged, s);
    code = bodies_open(&s->bodies, directory, err);
    mem_free(directory);
    s->now_ms = clock_real_ms(s->clock);
    if (code == ERR_NONE)
        code = store_numbers_get(s->store, &s->numbers, err);
    if (code != ERR_NONE)
        return code;
    code = spool_sqlite_start(s, err);
    s->stats = s->numbers;
    /* The writer tries it again. */
    return code == ERR_FULL || code == ERR_SYSTEM ? ERR_NONE : code;
}

enum err_code spool_sqlite_create(struct spool **out,
                                  const struct spool_options *options,
                                  const char *path,
                                  const struct spool_sqlite_disk *disk,
                                  struct err *err)
{
    enum err_code code = spool_options_check(options, err);
    if (code != ERR_NONE)
        return code;
    struct spool_sqlite *s = make(options, disk);
    s->path = mem_strdup(str_from(path));
    s->looks = true;
    code = open_disk(s, path, err);
    if (code == ERR_NONE)
        code = thread_start(&s->writer, "spool", spool_sqlite_write, s, err);
    if (code == ERR_NONE)
        code =
            thread_start(&s->filer, "spool-bodies", spool_sqlite_file, s, err);
    if (code == ERR_NONE && store_is_new(s->store))
        log_event(LOG_LEVEL_INFO, "spool.created", LOG_TEXT("path", path));
    if (code == ERR_NONE)
        *out = &s->base;
    else
        destroy(&s->base);
    return code;
}

enum err_code spool_create_sqlite(struct spool **out,
                                  const struct spool_options *options,
                                  const char *path, struct err *err)
{
    static const struct spool_sqlite_disk disk = {store_commit, bodies_write,
                                                  spool_sqlite_disk_room};
    return spool_sqlite_create(out, options, path, &disk, err);
}
