#include "consumer/pool.h"

#include <stdio.h>
#include <string.h>

#include "consumer/relay_rate.h"
#include "consumer/relay_state.h"
#include "consumer/scheduler.h"
#include "consumer/worker.h"
#include "core/log.h"
#include "core/mem.h"
#include "smtp/addresses.h"

struct pool {
    struct pool_options options; /* its arrays are ours */
    struct pool_relay *relays;
    struct pool_route *routes;
    size_t *route_relays;              /* of all routes, one after the other */
    unsigned *route_weights;           /* likewise */
    struct smtp_addresses **addresses; /* by relay; NULL: not ours */
    struct relay_states *states;
    struct relay_rates *rates;
    struct scheduler *scheduler;
    struct worker **workers;
};

/* A relay's state changed: any thread. */
static void on_change(void *ctx)
{
    struct pool *pool = ctx;
    for (unsigned i = 0; i < pool->options.consumers; i++)
        worker_wake(pool->workers[i]);
    scheduler_wake(pool->scheduler);
}

static enum err_code check_relay(const struct pool_relay *relay,
                                 struct err *err)
{
    if (relay->connections < 1 || relay->recipients_per_message < 1 ||
        relay->jobs_per_connection < 1)
        return err_set(err, ERR_INVALID,
                       "relay \"%s\": connections, recipients_per_message and "
                       "jobs_per_connection must be at least 1",
                       relay->smtp.name);
    if (relay->backoff_first_ms < 1 ||
        relay->backoff_longest_ms < relay->backoff_first_ms ||
        relay->idle_timeout_ms < 1)
        return err_set(err, ERR_INVALID,
                       "relay \"%s\": the times to back off and to idle must "
                       "be at least 1 ms, the first not over the longest",
                       relay->smtp.name);
    return ERR_NONE;
}

static enum err_code check(const struct pool_options *options, struct err *err)
{
    if (options->relay_count < 1 || options->relay_count > QUEUE_LANES_MAX ||
        options->route_count < 1 || options->consumers < 1)
        return err_set(err, ERR_INVALID,
                       "a pool needs 1 to %d relays, a route and a consumer",
                       QUEUE_LANES_MAX);
    for (size_t i = 0; i < options->relay_count; i++) {
        enum err_code code = check_relay(&options->relays[i], err);
        if (code != ERR_NONE)
            return code;
    }
    for (size_t i = 0; i < options->route_count; i++)
        for (size_t k = 0; k < options->routes[i].relay_count; k++)
            if (options->routes[i].relays[k] >= options->relay_count)
                return err_set(
                    err, ERR_INVALID, "route %zu names relay %zu of %zu", i,
                    options->routes[i].relays[k], options->relay_count);
    return ERR_NONE;
}

static void copy_options(struct pool *pool, const struct pool_options *options)
{
    size_t total = 0;
    for (size_t i = 0; i < options->route_count; i++)
        total += options->routes[i].relay_count;
    pool->options = *options;
    pool->relays = mem_calloc(options->relay_count, sizeof(*pool->relays));
    memcpy(pool->relays, options->relays,
           options->relay_count * sizeof(*pool->relays));
    pool->routes = mem_calloc(options->route_count, sizeof(*pool->routes));
    pool->route_relays = mem_calloc(total, sizeof(*pool->route_relays));
    pool->route_weights = mem_calloc(total, sizeof(*pool->route_weights));
    size_t *next = pool->route_relays;
    unsigned *next_weight = pool->route_weights;
    for (size_t i = 0; i < options->route_count; i++) {
        const struct pool_route *route = &options->routes[i];
        for (size_t k = 0; k < route->relay_count; k++)
            next[k] = route->relays[k];
        pool->routes[i].relays = next;
        pool->routes[i].relay_count = route->relay_count;
        next += route->relay_count;
        if (route->weights == NULL)
            continue;
        memcpy(next_weight, route->weights,
               route->relay_count * sizeof(*next_weight));
        pool->routes[i].weights = next_weight;
        next_weight += route->relay_count;
    }
    pool->options.relays = pool->relays;
    pool->options.routes = pool->routes;
}

/* On a thread of smtp/'s that may outlive the pool. */
static void on_stale(const char *relay, const char *error)
{
    log_event(LOG_LEVEL_WARNING, "relay.lookup_failed",
              LOG_TEXT("relay", relay), LOG_TEXT("error", error),
              LOG_TEXT("addresses", "those found before"));
}

/* Those of relays that have none yet: a test may bring its own. */
static void make_addresses(struct pool *pool)
{
    size_t count = pool->options.relay_count;
    pool->addresses = mem_calloc(count, sizeof(*pool->addresses));
    for (size_t i = 0; i < count; i++) {
        struct smtp_relay *relay = &pool->relays[i].smtp;
        struct smtp_addresses_options options = {
            .relay = relay->name,
            .host = relay->host,
            .on_stale = on_stale,
        };
        if (relay->addresses != NULL)
            continue;
        smtp_addresses_create(&pool->addresses[i], &options);
        relay->addresses = pool->addresses[i];
    }
}

static void make_states(struct pool *pool)
{
    size_t count = pool->options.relay_count;
    struct relay_limits *limits = mem_calloc(count, sizeof(*limits));
    for (size_t i = 0; i < count; i++)
        limits[i] = (struct relay_limits){
            .name = pool->relays[i].smtp.name,
            .backoff_first_ms = pool->relays[i].backoff_first_ms,
            .backoff_longest_ms = pool->relays[i].backoff_longest_ms,
        };
    struct relay_states_options options = {
        .relays = limits,
        .count = count,
        .metrics = pool->options.metrics,
        .seed = pool->options.seed,
        .on_change = on_change,
        .ctx = pool,
    };
    relay_states_create(&pool->states, &options);
    mem_free(limits);
}

static void make_rates(struct pool *pool)
{
    size_t count = pool->options.relay_count;
    struct relay_rate_limits *limits = mem_calloc(count, sizeof(*limits));
    for (size_t i = 0; i < count; i++) {
        const struct pool_relay *relay = &pool->relays[i];
        limits[i] = (struct relay_rate_limits){
            .name = relay->smtp.name,
            .per_s = relay->rate_per_s,
            .burst = relay->burst > 0 ? relay->burst : 1,
        };
    }
    relay_rates_create(&pool->rates, limits, count);
    mem_free(limits);
}

static enum err_code make_threads(struct pool *pool, struct err *err)
{
    const struct pool_options *options = &pool->options;
    struct scheduler_options scheduler_options = {
        .queue = options->queue,
        .spool = options->spool,
        .relays = pool->states,
        .relay_count = options->relay_count,
        .routes = options->routes,
        .route_count = options->route_count,
        .clock = options->clock,
    };
    enum err_code code =
        scheduler_create(&pool->scheduler, &scheduler_options, err);
    pool->workers = mem_calloc(options->consumers, sizeof(struct worker *));
    for (unsigned i = 0; i < options->consumers && code == ERR_NONE; i++) {
        struct worker_options worker_options = {
            .pool = options,
            .states = pool->states,
            .rates = pool->rates,
            .index = i,
        };
        code = worker_create(&pool->workers[i], &worker_options, err);
    }
    return code;
}

enum err_code pool_create(struct pool **out, const struct pool_options *options,
                          struct err *err)
{
    struct pool *pool;
    enum err_code code = check(options, err);
    if (code != ERR_NONE)
        return code;
    MEM_NEW(pool);
    copy_options(pool, options);
    make_addresses(pool);
    make_states(pool);
    make_rates(pool);
    code = make_threads(pool, err);
    if (code != ERR_NONE) {
        pool_destroy(pool);
        return code;
    }
    spool_on_due(options->spool, scheduler_on_due, pool->scheduler);
    *out = pool;
    return ERR_NONE;
}

static void stop_workers(struct pool *pool, int64_t until_ms)
{
    for (unsigned i = 0; i < pool->options.consumers; i++)
        worker_drain(pool->workers[i], until_ms);
}

static void join_workers(struct pool *pool)
{
    for (unsigned i = 0; i < pool->options.consumers; i++)
        worker_join(pool->workers[i]);
}

/* What was not started goes back. */
static void empty_queue(struct pool *pool)
{
    struct claim *claim;
    while (queue_try_get(pool->options.queue, QUEUE_ALL_LANES, &claim) ==
           ERR_NONE)
        spool_release(pool->options.spool, claim,
                      clock_real_ms(pool->options.clock), STR(""), STR(""));
}

enum err_code pool_start(struct pool *pool, struct err *err)
{
    enum err_code code = ERR_NONE;
    for (unsigned i = 0; i < pool->options.consumers && code == ERR_NONE; i++)
        code = worker_start(pool->workers[i], err);
    if (code == ERR_NONE)
        code = scheduler_start(pool->scheduler, err);
    if (code != ERR_NONE) {
        stop_workers(pool, clock_mono_ms(pool->options.clock));
        join_workers(pool);
    }
    return code;
}

void pool_begin_stop(struct pool *pool, int64_t until_ms)
{
    scheduler_stop(pool->scheduler);
    stop_workers(pool, until_ms);
    queue_close(pool->options.queue);
    empty_queue(pool);
}

bool pool_has_ended(struct pool *pool)
{
    for (unsigned i = 0; i < pool->options.consumers; i++)
        if (!worker_has_ended(pool->workers[i]))
            return false;
    return true;
}

void pool_stop(struct pool *pool, int64_t until_ms)
{
    pool_begin_stop(pool, until_ms);
    join_workers(pool);
}

void pool_destroy(struct pool *pool)
{
    if (pool == NULL)
        return;
    spool_on_due(pool->options.spool, NULL, NULL);
    if (pool->workers != NULL)
        for (unsigned i = 0; i < pool->options.consumers; i++)
            worker_destroy(pool->workers[i]);
    mem_free(pool->workers);
    scheduler_destroy(pool->scheduler);
    relay_states_destroy(pool->states);
    relay_rates_destroy(pool->rates);
    for (size_t i = 0; i < pool->options.relay_count; i++)
        smtp_addresses_destroy(pool->addresses[i]);
    mem_free(pool->addresses);
    mem_free(pool->route_relays);
    mem_free(pool->route_weights);
    mem_free(pool->routes);
    mem_free(pool->relays);
    mem_free(pool);
}

void pool_relay_stats(struct pool *pool, size_t relay,
                      struct pool_relay_stats *out)
{
    struct relay_figures figures;
    struct relay_rate_figures rate;
    int64_t now_ms = clock_mono_ms(pool->options.clock);
    relay_state_figures(pool->states, relay, now_ms, &figures);
    relay_rate_figures(pool->rates, relay, now_ms, &rate);
    *out = (struct pool_relay_stats){
        .state = figures.state,
        .retry_in_ms = figures.retry_in_ms,
        .sessions = figures.sessions,
        .delivered = figures.delivered,
        .deferred = figures.deferred,
        .rejected = figures.rejected,
        .unknown = figures.unknown,
        .rate_per_s = rate.per_s,
        .slowed = rate.slowed,
        .throttled = rate.throttled,
    };
    (void)snprintf(out->last_error, sizeof(out->last_error), "%s",
                   figures.last_error);
}
