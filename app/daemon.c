#include "app/daemon.h"

#include <assert.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>

#include "app/doors.h"
#include "app/lost_jobs.h"
#include "consumer/pool.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/random.h"
#include "producer/producer.h"
#include "queue/queue.h"
#include "queue/spool.h"
#include "smtp/session.h"

#define STEP_MS 20

struct daemon {
    const struct settings *settings;
    const struct clock *clock;
    struct metrics metrics;
    struct doors doors;
    const char **route_names;
    struct spool *spool;
    struct queue *queue;
    struct pool *pool;
    struct producer *producer;
    bool smtp_ready;
};

static struct smtp_relay smtp_relay_of(const struct settings_relay *relay,
                                       const char *hostname)
{
    static const enum smtp_tls tls[] = {
        [SETTINGS_TLS_IMPLICIT] = SMTP_TLS_IMPLICIT,
        [SETTINGS_TLS_STARTTLS] = SMTP_TLS_STARTTLS,
        [SETTINGS_TLS_NONE] = SMTP_TLS_NONE,
    };
    return (struct smtp_relay){
        .name = relay->name,
        .host = relay->host,
        .port = relay->port,
        .tls = tls[relay->tls],
        .username = relay->username,
        .password = relay->password,
        .ca_file = relay->ca_file,
        .verify = relay->verify,
        .hostname = hostname,
        .connect_timeout_ms = relay->connect_timeout_ms,
        .mail_timeout_ms = relay->mail_timeout_ms,
        .rcpt_timeout_ms = relay->rcpt_timeout_ms,
        .data_timeout_ms = relay->data_timeout_ms,
        .body_timeout_ms = relay->body_timeout_ms,
        .final_timeout_ms = relay->final_timeout_ms,
        .pipelining = relay->pipelining,
        .chunking = relay->chunking,
        .unconfirmed = (unsigned)relay->unconfirmed,
    };
}

/* On the spool's thread, once when it begins and once when it is over. */
static void log_disk(void *ctx, const struct err *err)
{
    (void)ctx;
    if (err->code == ERR_NONE)
        log_event(LOG_LEVEL_INFO, "spool.disk_works",
                  LOG_TEXT("effect", "what was kept is recorded, jobs are "
                                     "accepted"));
    else
        log_event(LOG_LEVEL_WARNING, "spool.disk_fails",
                  LOG_TEXT("error", err->text),
                  LOG_TEXT("effect", "jobs are refused, what becomes of others "
                                     "is kept in memory until it works"));
}

static enum err_code create_spool(struct daemon *d, struct err *err)
{
    const struct settings *s = d->settings;
    const struct spool_options options = {
        .routes = d->route_names,
        .route_count = s->route_count,
        .max_jobs = s->spool.max_jobs,
        .max_bytes = s->spool.max_bytes,
        .history_keep_ms = s->history.keep_ms,
        .history_keep_failed_ms = s->history.keep_failed_ms,
        .history_max_jobs = s->history.max_jobs,
        .key_window_ms = s->idempotency.window_ms,
        .key_max = s->idempotency.max_keys,
        .give_up_ms = s->retry.give_up_ms,
        .clock = d->clock,
        .on_disk = log_disk,
    };
    if (s->spool.backend == SETTINGS_SPOOL_MEMORY)
        return spool_create_memory(&d->spool, &options, err);
    return spool_create_sqlite(&d->spool, &options, s->spool.path, err);
}

static enum err_code create_queue(struct daemon *d, struct err *err)
{
    const struct settings *s = d->settings;
    struct queue_options options = {
        .capacity = (size_t)s->queue.capacity,
        .max_bytes = (uint64_t)s->queue.max_bytes,
        .lanes = (unsigned)s->relay_count,
    };
    if (options.capacity < options.lanes)
        options.capacity = options.lanes;
    return queue_create(&d->queue, &options, err);
}

static enum err_code create_pool(struct daemon *d, struct err *err)
{
    const struct settings *s = d->settings;
    struct pool_relay *relays = mem_calloc(s->relay_count, sizeof(*relays));
    struct pool_route *routes = mem_calloc(s->route_count, sizeof(*routes));
    for (size_t i = 0; i < s->relay_count; i++) {
        const struct settings_relay *from = &s->relays[i];
        relays[i] = (struct pool_relay){
            .smtp = smtp_relay_of(from, s->hostname),
            .connections = (size_t)from->connections,
            .recipients_per_message = (size_t)from->recipients_per_message,
            .jobs_per_connection = (size_t)from->jobs_per_connection,
            .idle_timeout_ms = from->idle_timeout_ms,
            .backoff_first_ms = from->backoff_first_ms,
            .backoff_longest_ms = from->backoff_longest_ms,
            .connection_age_ms = from->connection_age_ms,
            .rate_per_s = from->rate_per_s,
            .burst = (unsigned)from->burst,
        };
    }
    for (size_t i = 0; i < s->route_count; i++)
        routes[i] =
            (struct pool_route){.relays = s->routes[i].relays,
                                .weights = s->routes[i].weights,
                                .relay_count = s->routes[i].relay_count};
    struct pool_options options = {
        .relays = relays,
        .relay_count = s->relay_count,
        .routes = routes,
        .route_count = s->route_count,
        .consumers = (unsigned)s->workers.count,
        .retry = {.first_ms = s->retry.first_ms,
                  .factor = s->retry.factor,
                  .longest_ms = s->retry.longest_ms,
                  .jitter = s->retry.jitter},
        .queue = d->queue,
        .spool = d->spool,
        .metrics = &d->metrics,
        .clock = d->clock,
    };
    random_secure(&options.seed, sizeof(options.seed));
    enum err_code code = pool_create(&d->pool, &options, err);
    mem_free(relays);
    mem_free(routes);
    return code;
}

static size_t relay_stats(void *ctx, struct producer_relay_stats *out,
                          size_t max)
{
    const struct daemon *d = ctx;
    size_t count = d->settings->relay_count;
    for (size_t i = 0; i < count && i < max; i++) {
        struct pool_relay_stats from;
        pool_relay_stats(d->pool, i, &from);
        out[i] = (struct producer_relay_stats){
            .name = d->settings->relays[i].name,
            .state = from.state,
            .retry_in_ms = from.retry_in_ms,
            .sessions = from.sessions,
            .waiting = (int64_t)queue_lane_size(d->queue, (unsigned)i),
            .delivered = from.delivered,
            .deferred = from.deferred,
            .rejected = from.rejected,
            .unknown = from.unknown,
            .rate_per_s = from.rate_per_s,
            .slowed = from.slowed,
            .throttled = from.throttled,
        };
        static_assert(sizeof(out->last_error) == sizeof(from.last_error),
                      "last_error is copied whole");
        memcpy(out[i].last_error, from.last_error, sizeof(from.last_error));
    }
    return count < max ? count : max;
}

static enum err_code create_producer(struct daemon *d, struct err *err)
{
    const struct settings *s = d->settings;
    struct producer_options options = {
        .listeners = d->doors.listeners,
        .listener_count = d->doors.count,
        .limits =
            {
                .frame_bytes = (size_t)s->limits.frame_bytes,
                .message_bytes = (size_t)s->limits.message_bytes,
                .recipients = (size_t)s->limits.recipients,
                .connections = (size_t)s->limits.connections,
                .requests_in_flight = (size_t)s->limits.requests_in_flight,
                .pending_submits = (size_t)s->limits.pending_submits,
                .idle_ms = s->limits.idle_ms,
                .full_wait_ms = s->limits.full_wait_ms,
                .wait_ms = s->limits.wait_ms,
            },
        .hostname = s->hostname,
        .routes = d->route_names,
        .route_count = s->route_count,
        .give_up_ms = s->retry.give_up_ms,
        .spool = d->spool,
        .spool_max_jobs = s->spool.max_jobs,
        .spool_max_bytes = s->spool.max_bytes,
        .metrics = &d->metrics,
        .clock = d->clock,
        .relay_stats = relay_stats,
        .relay_stats_ctx = d,
        .started_ms = clock_real_ms(d->clock),
        .version = POSTRIDER_VERSION,
    };
    return producer_create(&d->producer, &options, err);
}

/* Each connection is a descriptor: as many as the system lets us have. */
static void raise_descriptor_limit(const struct settings *s)
{
    struct rlimit limit;
    int64_t wanted = s->limits.connections + 256;
    for (size_t i = 0; i < s->relay_count; i++)
        wanted += s->relays[i].connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max != RLIM_INFINITY && (rlim_t)wanted > limit.rlim_max)
        log_event(LOG_LEVEL_WARNING, "daemon.few_descriptors",
                  LOG_INT("limit", limit.rlim_max), LOG_INT("wanted", wanted),
                  LOG_TEXT("do", "raise the limit of open files (ulimit -n, "
                                 "LimitNOFILE) or lower limits.connections"));
}

static enum err_code create_parts(struct daemon *d, struct err *err)
{
    enum err_code code = doors_open(&d->doors, d->settings, err);
    if (code == ERR_NONE)
        code = smtp_global_init(err);
    if (code != ERR_NONE)
        return code;
    d->smtp_ready = true;
    code = create_spool(d, err);
    if (code == ERR_NONE)
        code = create_queue(d, err);
    if (code == ERR_NONE)
        code = create_pool(d, err);
    if (code == ERR_NONE)
        code = create_producer(d, err);
    return code;
}

enum err_code daemon_create(struct daemon **out,
                            const struct settings *settings, struct err *err)
{
    struct daemon *d;
    MEM_NEW(d);
    d->settings = settings;
    d->clock = clock_system();
    metrics_init(&d->metrics);
    d->route_names = mem_calloc(settings->route_count, sizeof(*d->route_names));
    for (size_t i = 0; i < settings->route_count; i++)
        d->route_names[i] = settings->routes[i].name;
    raise_descriptor_limit(settings);
    enum err_code code = create_parts(d, err);
    if (code != ERR_NONE) {
        daemon_destroy(d);
        return code;
    }
    *out = d;
    return ERR_NONE;
}

enum err_code daemon_start(struct daemon *d, struct err *err)
{
    enum err_code code = pool_start(d->pool, err);
    if (code == ERR_NONE)
        code = producer_start(d->producer, err);
    return code;
}

void daemon_log_ready(const struct daemon *d)
{
    struct buf names;
    buf_init(&names, 4096);
    for (size_t i = 0; i < d->doors.count; i++) {
        const struct producer_listener *l = &d->doors.listeners[i];
        if (i > 0)
            buf_add_char(&names, ',');
        if (l->type == PRODUCER_LISTENER_TCP)
            buf_add_text(&names, "tcp:");
        else if (l->type == PRODUCER_LISTENER_UDP)
            buf_add_text(&names, "udp:");
        buf_add_text(&names, l->name);
    }
    const struct log_field fields[] = {
        LOG_TEXT("version", POSTRIDER_VERSION),
        LOG_STR("listen", buf_str(&names)),
        LOG_TEXT("durable", spool_durability(d->spool)),
        LOG_INT("relays", d->settings->relay_count),
        LOG_INT("workers", d->settings->workers.count),
    };
    /* Whatever the level: who started us waits for it, and for the ports. */
    log_write(LOG_LEVEL_INFO, "ready", fields,
              sizeof(fields) / sizeof(fields[0]));
    buf_fini(&names);
}

/* Jobs in memory end with us: sends what can be sent before the deadline. */
static void finish_jobs(struct daemon *d, int64_t until_ms,
                        bool (*hurry)(void *ctx), void *ctx)
{
    for (;;) {
        struct spool_stats stats;
        spool_stats(d->spool, &stats);
        if (stats.waiting + stats.active == 0 ||
            clock_mono_ms(d->clock) >= until_ms || hurry(ctx))
            return;
        (void)poll(NULL, 0, STEP_MS);
    }
}

void daemon_drain(struct daemon *d, bool (*hurry)(void *ctx), void *ctx)
{
    struct spool_stats stats;
    int64_t until_ms = clock_mono_ms(d->clock) + d->settings->shutdown.drain_ms;
    bool memory = d->settings->spool.backend == SETTINGS_SPOOL_MEMORY;
    producer_drain(d->producer);
    if (memory)
        finish_jobs(d, until_ms, hurry, ctx);
    /* The pool first: clients that wait for a job still get its end. */
    pool_begin_stop(d->pool, until_ms);
    while (!pool_has_ended(d->pool) && !hurry(ctx))
        (void)poll(NULL, 0, STEP_MS);
    if (hurry(ctx))
        until_ms = 0;
    pool_stop(d->pool, until_ms);
    producer_stop(d->producer, until_ms);
    spool_stats(d->spool, &stats);
    int64_t left = stats.waiting + stats.active + stats.held;
    if (left > 0 && memory) {
        lost_jobs_log(d->spool);
        log_event(LOG_LEVEL_WARNING, "daemon.jobs_lost", LOG_INT("jobs", left),
                  LOG_TEXT("why", "spool.backend is \"memory\": what waits "
                                  "ends with the daemon"));
    }
    log_event(LOG_LEVEL_INFO, "stopped", LOG_INT("accepted", stats.accepted),
              LOG_INT("delivered", stats.delivered),
              LOG_INT("failed", stats.failed),
              LOG_INT("expired", stats.expired),
              LOG_INT("cancelled", stats.cancelled),
              LOG_INT("waiting", stats.waiting),
              LOG_INT("active", stats.active), LOG_INT("held", stats.held));
}

void daemon_destroy(struct daemon *d)
{
    if (d == NULL)
        return;
    if (d->pool != NULL)
        pool_stop(d->pool, 0);
    if (d->producer != NULL)
        producer_stop(d->producer, 0);
    producer_destroy(d->producer);
    pool_destroy(d->pool);
    queue_destroy(d->queue);
    spool_destroy(d->spool);
    if (d->smtp_ready)
        smtp_global_fini();
    doors_close(&d->doors);
    mem_free(d->route_names);
    mem_free(d);
}
