#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Numbers that `stats` shows. A plain array of atomics: it can be shared by
 * threads, or lie in memory that processes share.
 *
 * Threads: any. Blocking: never.
 */
enum metric {
    METRIC_CONNECTIONS_OPEN,
    METRIC_CONNECTIONS_ACCEPTED,
    METRIC_CONNECTIONS_REFUSED,
    METRIC_REQUESTS,
    METRIC_REQUESTS_REFUSED,
    METRIC_DATAGRAMS,
    METRIC_DATAGRAMS_DROPPED,
    METRIC_SUBMITS_ACCEPTED,
    METRIC_SUBMITS_DUPLICATE,
    METRIC_SUBMITS_REFUSED,
    METRIC_SESSIONS_OPEN,
    METRIC_SESSIONS_OPENED,
    METRIC_SESSIONS_FAILED,
    METRIC_SESSIONS_LOST,
    METRIC_ATTEMPTS,
    METRIC_RECIPIENTS_DELIVERED,
    METRIC_RECIPIENTS_DEFERRED,
    METRIC_RECIPIENTS_REJECTED,
    METRIC_RECIPIENTS_UNKNOWN,
    METRIC_RECIPIENTS_THROTTLED,
    METRIC_COUNT
};

struct metrics {
    atomic_int_least64_t values[METRIC_COUNT];
};

void metrics_init(struct metrics *m);
void metrics_add(struct metrics *m, enum metric which, int64_t amount);
int64_t metrics_get(const struct metrics *m, enum metric which);

/* "connections_open": the name in stats. Static. */
const char *metrics_name(enum metric which);

#endif
