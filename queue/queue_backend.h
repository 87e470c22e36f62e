#ifndef QUEUE_QUEUE_BACKEND_H
#define QUEUE_QUEUE_BACKEND_H

#include "queue/queue.h"

/*
 * What an implementation of the queue gives: this folder only. queue.c checks
 * arguments and dispatches; struct queue and struct queue_waiter are the
 * first members of an implementation's own.
 */
#define QUEUE_AT_ONCE INT64_MIN /* as until_ms: ERR_AGAIN, never blocks */
#define QUEUE_FOREVER INT64_MAX

struct queue_ops {
    void (*destroy)(struct queue *q);
    enum err_code (*put)(struct queue *q, unsigned lane, struct claim *claim,
                         int64_t until_ms);
    enum err_code (*get)(struct queue *q, uint64_t lanes, struct claim **claim,
                         int64_t until_ms);
    size_t (*size)(struct queue *q, uint64_t lanes);
    uint64_t (*lanes_with_room)(struct queue *q);
    void (*close)(struct queue *q);
    bool (*is_closed)(struct queue *q);
    enum err_code (*drain)(struct queue *q, int64_t until_ms);
    enum err_code (*waiter_create)(struct queue_waiter **out, struct queue *q,
                                   enum queue_wait kind, struct err *err);
    void (*waiter_destroy)(struct queue_waiter *w);
    void (*waiter_arm)(struct queue_waiter *w, uint64_t lanes);
};

struct queue {
    const struct queue_ops *ops;
    unsigned lane_count;
};

struct queue_waiter {
    struct queue *queue;
    int fd;
};

/* options were checked. */
struct queue *queue_thread_create(const struct queue_options *options);

#endif
