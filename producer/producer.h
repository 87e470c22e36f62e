#ifndef PRODUCER_PRODUCER_H
#define PRODUCER_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/err.h"
#include "core/metrics.h"
#include "queue/spool.h"

/*
 * The doors: listeners for streams (TCP, Unix) and datagrams (UDP), protocol
 * version 1 (docs/protocol.md), and admission into the spool. One thread with
 * one event loop; what completes elsewhere comes back through a mailbox.
 *
 * Ownership: descriptors of listeners are borrowed; who opened them closes
 * them after producer_destroy(). spool, metrics, clock and all strings are
 * borrowed and must outlive the producer.
 */
enum producer_listener_type {
    PRODUCER_LISTENER_TCP,
    PRODUCER_LISTENER_UDP,
    PRODUCER_LISTENER_UNIX,
};

struct producer_listener {
    enum producer_listener_type type;
    int fd;           /* bound, listening, non-blocking */
    bool admin;       /* its clients see and change everybody's jobs */
    const char *name; /* for logs: "127.0.0.1:7788" */
};

struct producer_limits {
    size_t frame_bytes;
    size_t message_bytes;
    size_t recipients;
    size_t connections;
    size_t requests_in_flight; /* of one connection */
    size_t pending_submits;    /* of all, waiting for room or their commit */
    int64_t idle_ms;
    int64_t full_wait_ms;
    int64_t wait_ms; /* longest timeout_ms of `wait` */
};

/* What `stats` shows of a relay; filled by the application. */
struct producer_relay_stats {
    const char *name;
    const char *state; /* "ready", "backing_off", ... */
    char last_error[256];
    int64_t retry_in_ms; /* 0 unless backing off */
    int64_t sessions;
    int64_t waiting; /* in its lane of the queue */
    int64_t delivered;
    int64_t deferred;
    int64_t rejected;
    int64_t unknown;
    double rate_per_s; /* at present; 0: no limit, not shown */
    bool slowed;       /* because the relay said that it is too fast */
    int64_t throttled; /* replies that said so */
};

struct producer_options {
    const struct producer_listener *listeners; /* copied */
    size_t listener_count;
    struct producer_limits limits;
    const char *hostname;      /* of Message-IDs */
    const char *const *routes; /* the names a job may say */
    size_t route_count;
    int64_t give_up_ms;
    struct spool *spool; /* its on_room becomes the producer's */
    struct metrics *metrics;
    const struct clock *clock;
    /*
     * Fills up to max relays and returns how many there are. Called on the
     * producer's thread; must not block. NULL: stats shows none.
     */
    size_t (*relay_stats)(void *ctx, struct producer_relay_stats *out,
                          size_t max);
    void *relay_stats_ctx;
    int64_t started_ms; /* real time, for the uptime in stats */
    const char *version;
    int64_t spool_max_jobs; /* shown by stats; 0: not shown */
    int64_t spool_max_bytes;
};

struct producer;

MUST_CHECK enum err_code producer_create(struct producer **out,
                                         const struct producer_options *options,
                                         struct err *err);

/* Starts its thread. */
MUST_CHECK enum err_code producer_start(struct producer *p, struct err *err);

/*
 * Begins the end, from any thread, at once: no connection or datagram is
 * accepted any more, new requests and those that wait for room are answered
 * shutting_down; what was accepted is answered, and who waits for a job goes
 * on waiting. Twice is once.
 */
void producer_drain(struct producer *p);

/*
 * Blocking, at most until until_ms (mono): those who wait for a job are
 * answered with its state; until every request under way is answered and
 * written, then ends the thread. After the deadline connections
 * are cut. The producer may have been started or not.
 */
void producer_stop(struct producer *p, int64_t until_ms);

/*
 * Must be stopped. NULL is allowed. Blocking: until the spool has answered
 * what it was asked. Nobody else may use the spool any more, because it would
 * still call on_room.
 */
void producer_destroy(struct producer *p);

#endif
