#include "queue/queue.h"

#include "core/panic.h"
#include "queue/queue_backend.h"

enum err_code queue_create(struct queue **out,
                           const struct queue_options *options, struct err *err)
{
    if (options->lanes < 1 || options->lanes > QUEUE_LANES_MAX)
        return err_set(err, ERR_INVALID, "a queue has 1 to %d lanes, not %u",
                       QUEUE_LANES_MAX, options->lanes);
    if (options->capacity < options->lanes ||
        options->max_bytes < options->lanes)
        return err_set(err, ERR_INVALID,
                       "a queue of %u lanes cannot be divided from %zu records "
                       "and %llu bytes",
                       options->lanes, options->capacity,
                       (unsigned long long)options->max_bytes);
    *out = queue_thread_create(options);
    return ERR_NONE;
}

void queue_destroy(struct queue *q)
{
    if (q != NULL)
        q->ops->destroy(q);
}

/* A deadline of the caller's, kept apart from the two special ones. */
static int64_t deadline(int64_t until_ms)
{
    if (until_ms == QUEUE_AT_ONCE)
        return QUEUE_AT_ONCE + 1;
    return until_ms;
}

enum err_code queue_put(struct queue *q, unsigned lane, struct claim *claim)
{
    PANIC_IF(lane >= q->lane_count);
    return q->ops->put(q, lane, claim, QUEUE_FOREVER);
}

enum err_code queue_put_until(struct queue *q, unsigned lane,
                              struct claim *claim, int64_t until_ms)
{
    PANIC_IF(lane >= q->lane_count);
    return q->ops->put(q, lane, claim, deadline(until_ms));
}

enum err_code queue_try_put(struct queue *q, unsigned lane, struct claim *claim)
{
    PANIC_IF(lane >= q->lane_count);
    return q->ops->put(q, lane, claim, QUEUE_AT_ONCE);
}

enum err_code queue_get(struct queue *q, uint64_t lanes, struct claim **claim)
{
    return q->ops->get(q, lanes, claim, QUEUE_FOREVER);
}

enum err_code queue_get_until(struct queue *q, uint64_t lanes,
                              struct claim **claim, int64_t until_ms)
{
    return q->ops->get(q, lanes, claim, deadline(until_ms));
}

enum err_code queue_try_get(struct queue *q, uint64_t lanes,
                            struct claim **claim)
{
    return q->ops->get(q, lanes, claim, QUEUE_AT_ONCE);
}

size_t queue_size(struct queue *q)
{
    return q->ops->size(q, QUEUE_ALL_LANES);
}

size_t queue_lane_size(struct queue *q, unsigned lane)
{
    PANIC_IF(lane >= q->lane_count);
    return q->ops->size(q, QUEUE_LANE(lane));
}

bool queue_is_empty(struct queue *q)
{
    return queue_size(q) == 0;
}

bool queue_is_full(struct queue *q)
{
    return queue_lanes_with_room(q) == 0;
}

uint64_t queue_lanes_with_room(struct queue *q)
{
    return q->ops->lanes_with_room(q);
}

void queue_close(struct queue *q)
{
    q->ops->close(q);
}

bool queue_is_closed(struct queue *q)
{
    return q->ops->is_closed(q);
}

enum err_code queue_drain(struct queue *q, int64_t until_ms)
{
    return q->ops->drain(q, deadline(until_ms));
}

enum err_code queue_waiter_create(struct queue_waiter **out, struct queue *q,
                                  enum queue_wait kind, struct err *err)
{
    return q->ops->waiter_create(out, q, kind, err);
}

void queue_waiter_destroy(struct queue_waiter *w)
{
    if (w != NULL)
        w->queue->ops->waiter_destroy(w);
}

int queue_waiter_fd(const struct queue_waiter *w)
{
    return w->fd;
}

void queue_waiter_arm(struct queue_waiter *w, uint64_t lanes)
{
    w->queue->ops->waiter_arm(w, lanes);
}
