#include "core/metrics.h"

static const char *const names[METRIC_COUNT] = {
    [METRIC_CONNECTIONS_OPEN] = "connections_open",
    [METRIC_CONNECTIONS_ACCEPTED] = "connections_accepted",
    [METRIC_CONNECTIONS_REFUSED] = "connections_refused",
    [METRIC_REQUESTS] = "requests",
    [METRIC_REQUESTS_REFUSED] = "requests_refused",
    [METRIC_DATAGRAMS] = "datagrams",
    [METRIC_DATAGRAMS_DROPPED] = "datagrams_dropped",
    [METRIC_SUBMITS_ACCEPTED] = "submits_accepted",
    [METRIC_SUBMITS_DUPLICATE] = "submits_duplicate",
    [METRIC_SUBMITS_REFUSED] = "submits_refused",
    [METRIC_SESSIONS_OPEN] = "sessions_open",
    [METRIC_SESSIONS_OPENED] = "sessions_opened",
    [METRIC_SESSIONS_FAILED] = "sessions_failed",
    [METRIC_SESSIONS_LOST] = "sessions_lost",
    [METRIC_ATTEMPTS] = "attempts",
    [METRIC_RECIPIENTS_DELIVERED] = "recipients_delivered",
    [METRIC_RECIPIENTS_DEFERRED] = "recipients_deferred",
    [METRIC_RECIPIENTS_REJECTED] = "recipients_rejected",
    [METRIC_RECIPIENTS_UNKNOWN] = "recipients_unknown",
    [METRIC_RECIPIENTS_THROTTLED] = "recipients_throttled",
};

void metrics_init(struct metrics *m)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        atomic_init(&m->values[i], 0);
}

void metrics_add(struct metrics *m, enum metric which, int64_t amount)
{
    atomic_fetch_add_explicit(&m->values[which], amount, memory_order_relaxed);
}

int64_t metrics_get(const struct metrics *m, enum metric which)
{
    return atomic_load_explicit(&m->values[which], memory_order_relaxed);
}

const char *metrics_name(enum metric which)
{
    return names[which];
}
