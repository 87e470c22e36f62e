#include "producer/conn_set.h"

#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"

static void on_patience(void *ctx);

void conn_set_init(struct conn_set *set, struct service *service,
                   struct event_base *base)
{
    *set = (struct conn_set){
        .service = service,
        .base = base,
        .linger_ms = CONN_LINGER_MS,
        .turn = 1,
    };
    intake_pool_init(&set->pool, service->options.limits.frame_bytes);
    TAILQ_INIT(&set->all);
    TAILQ_INIT(&set->dirty);
    TAILQ_INIT(&set->dead);
    TAILQ_INIT(&set->waiting);
    timer_init(&set->patience, on_patience, set);
}

static void free_dead(struct conn_set *set)
{
    struct conn *c;
    while ((c = TAILQ_FIRST(&set->dead)) != NULL) {
        TAILQ_REMOVE(&set->dead, c, in_all);
        mem_free(c);
    }
}

void conn_set_fini(struct conn_set *set)
{
    struct conn *c;
    while ((c = TAILQ_FIRST(&set->all)) != NULL)
        conn_cut(c);
    free_dead(set);
    timers_cancel(&set->service->timers, &set->patience);
    intake_pool_fini(&set->pool);
}

/* Best effort: the socket's buffer is empty, so the line fits. */
static void turn_away(int fd)
{
    static const char line[] =
        "{\"ok\":false,\"error\":\"rate_limited\",\"message\":"
        "\"too many connections\",\"retry\":true,\"retry_after_ms\":1000}\n";
    (void)send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

/* Places that a listener's connections may take. */
static size_t places(const struct conn_set *set,
                     const struct producer_listener *listener)
{
    const size_t max = set->service->options.limits.connections;
    if (listener->type == PRODUCER_LISTENER_UNIX || max < CONN_SET_RESERVE_MIN)
        return max;
    size_t reserve = max / CONN_SET_RESERVE;
    return max - (reserve > 0 ? reserve : 1);
}

void conn_set_accept(struct conn_set *set, int fd,
                     const struct producer_listener *listener)
{
    struct metrics *metrics = set->service->options.metrics;
    const size_t max = set->service->options.limits.connections;
    bool surplus = set->served >= places(set, listener);
    metrics_add(
        metrics,
        surplus ? METRIC_CONNECTIONS_REFUSED : METRIC_CONNECTIONS_ACCEPTED, 1);
    /* Once for each time that it gets full: a flood must not flood the log. */
    if (surplus && !set->full)
        log_event(LOG_LEVEL_WARNING, "connections.full",
                  LOG_TEXT("listener", listener->name),
                  LOG_INT("connections", set->served));
    if (surplus || listener->type != PRODUCER_LISTENER_UNIX)
        set->full = surplus;
    if (surplus && set->count >= max + CONN_SET_SURPLUS)
        turn_away(fd);
    else
        conn_open(set, fd, listener, surplus);
}

static void mark(struct conn_set *set, struct conn *c, uint64_t turn)
{
    if (c->dirty || c->phase == CONN_DEAD)
        return;
    c->dirty = true;
    c->dirty_turn = turn;
    TAILQ_INSERT_TAIL(&set->dirty, c, in_dirty);
}

void conn_set_mark(struct conn_set *set, struct conn *c)
{
    mark(set, c, set->turn);
}

void conn_set_mark_next(struct conn_set *set, struct conn *c)
{
    mark(set, c, set->turn + 1);
}

/* ---- large requests ---- */

bool conn_set_may_take(struct conn_set *set, struct str frame)
{
    if (frame.len <= INTAKE_SMALL_BYTES)
        return true;
    /* It waits as it is rather than in the memory its message would take. */
    if (set->large_turn == set->turn ||
        admission_is_loaded(&set->service->admission))
        return false;
    set->large_turn = set->turn;
    return true;
}

static void be_patient(struct conn_set *set)
{
    set->ended = set->pool.ended;
    timers_set(&set->service->timers, &set->patience,
               service_mono_ms(set->service) +
                   set->service->options.limits.full_wait_ms);
}

void conn_set_wait(struct conn_set *set, struct conn *c, enum conn_wait why)
{
    PANIC_IF(c->waits != CONN_WAITS_FOR_NOTHING);
    c->waits = why;
    c->waits_ms = service_mono_ms(set->service);
    TAILQ_INSERT_TAIL(&set->waiting, c, in_waiting);
    if (!heap_has(&set->patience.item))
        be_patient(set);
}

void conn_set_go_on(struct conn_set *set, struct conn *c)
{
    if (c->waits == CONN_WAITS_FOR_NOTHING)
        return;
    TAILQ_REMOVE(&set->waiting, c, in_waiting);
    c->waits = CONN_WAITS_FOR_NOTHING;
    /* That time was ours. */
    c->active_ms = service_mono_ms(set->service);
    if (c->begun_ms != 0)
        c->begun_ms += c->active_ms - c->waits_ms;
    conn_set_mark(set, c);
}

static bool has_to_wait(const struct conn_set *set, const struct conn *c)
{
    if (c->waits == CONN_WAITS_TO_STORE)
        return admission_is_loaded(&set->service->admission);
    return intake_must_wait(&c->in);
}

static void let_go_on(struct conn_set *set)
{
    struct conn *c = TAILQ_FIRST(&set->waiting);
    while (c != NULL) {
        struct conn *next = TAILQ_NEXT(c, in_waiting);
        if (!has_to_wait(set, c))
            conn_set_go_on(set, c);
        c = next;
    }
}

static void on_patience(void *ctx)
{
    struct conn_set *set = ctx;
    struct conn *first = intake_pool_first(&set->pool);
    if (TAILQ_EMPTY(&set->waiting))
        return;
    /* When the first one is whole it is the spool that all wait for. */
    if (first != NULL && first->waits == CONN_WAITS_FOR_NOTHING &&
        set->ended == set->pool.ended)
        conn_refuse(first, REFUSAL_RATE_LIMITED,
                    "others wait for this large request to become whole");
    be_patient(set);
}

/* ---- turns ---- */

void conn_set_turn(struct conn_set *set)
{
    struct conn *c;
    /* Who is marked behind one of the next turn has to wait for it too. */
    while ((c = TAILQ_FIRST(&set->dirty)) != NULL &&
           c->dirty_turn <= set->turn) {
        TAILQ_REMOVE(&set->dirty, c, in_dirty);
        c->dirty = false;
        conn_settle(c);
    }
    free_dead(set);
    set->turn++;
    let_go_on(set);
}

bool conn_set_has_more(const struct conn_set *set)
{
    return !TAILQ_EMPTY(&set->dirty);
}

void conn_set_enforce_budget(struct conn_set *set)
{
    struct conn *victim;
    while ((victim = intake_pool_victim(&set->pool)) != NULL)
        conn_refuse(victim, REFUSAL_RATE_LIMITED,
                    "too many large requests are coming in at once");
}

void conn_set_end(struct conn_set *set)
{
    struct conn *c = TAILQ_FIRST(&set->all);
    while (c != NULL) {
        struct conn *next = TAILQ_NEXT(c, in_all);
        bool idle = STAILQ_EMPTY(&c->requests) && c->out.len == 0;
        if (idle)
            conn_cut(c);
        else
            conn_end(c);
        c = next;
    }
}
