#ifndef TESTS_PRODUCER_DESK_H
#define TESTS_PRODUCER_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/metrics.h"
#include "producer/service.h"
#include "producer/watch.h"
#include "queue/spool.h"

/*
 * The producer's service without sockets, thread and real time: requests are
 * given as JSON, replies are read as JSON, and time passes when a test says.
 */
struct desk {
    struct clock clock; /* first: its functions find the desk by it */
    int64_t mono_ms;
    int64_t real_ms;
    struct metrics metrics;
    struct producer_options options;
    struct spool *spool;
    bool own_spool;
    struct service service;
    struct buf replies; /* one a line, in the order they came */
    size_t asked;
    size_t answered;
    size_t held;
    struct producer_listener listener;
};

/* A spool in memory for max_jobs jobs, and limits that do not matter. */
void desk_open(struct desk *d, int64_t max_jobs);

/* With another spool, which stays the caller's. */
void desk_open_with(struct desk *d, struct spool *spool);

void desk_close(struct desk *d);

/* Asks over a stream as client "app"; the answer may come later. */
struct request *desk_ask(struct desk *d, const char *json);
struct request *desk_ask_bytes(struct desk *d, const void *json, size_t len);
struct request *desk_ask_datagram(struct desk *d, const char *json);
struct request *desk_ask_as(struct desk *d, const char *client, bool sees_all,
                            const char *json);

/*
 * The replies since the last call, with NUL; "" when there are none. Valid
 * until the next call.
 */
const char *desk_replies(struct desk *d);

/* ms pass, and what was due happens. */
void desk_pass(struct desk *d, int64_t ms);

/* The id in a reply. */
struct id desk_id(const char *reply);

/* The first job that is due now, claimed and started; NULL: none is. */
struct claim *desk_claim(struct spool *spool, int64_t now_ms);

/*
 * Settles a claim: all it has to send to get this state, with a reply that
 * fits; what is not final is held or tried again in a minute.
 */
void desk_settle(struct spool *spool, struct claim *claim,
                 enum recipient_state state, enum settle_rest rest,
                 int64_t now_ms);

/* Claims all that is due now and settles it so that each is delivered. */
size_t desk_deliver(struct spool *spool, int64_t now_ms, size_t limit);

#endif
