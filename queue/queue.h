#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "queue/claim.h"

/*
 * The bounded blocking queue between scheduler and consumers, with a lane for
 * each relay. Bounded in records and in bytes as a whole; a lane has an equal
 * share of both, so that a slow relay fills its own lane only. A lane that is
 * empty takes one record of any size.
 *
 * Within a lane, first in first out, also for those who wait to put or get; a
 * get over several lanes takes from the one that was served longest ago.
 *
 * Ownership: a put that returns ERR_NONE takes the claim, a get gives it; any
 * other result leaves it where it was.
 *
 * Closing: no put succeeds any more, all who wait wake up; what is in the
 * queue can still be taken, then every get says ERR_CLOSED. Closing twice is
 * closing once.
 *
 * Threads: any number of any kind. No function is called with a lock held by
 * this library, and none calls back.
 */
#define QUEUE_LANES_MAX 64

struct queue;

struct queue_options {
    size_t capacity; /* records; at least one for each lane */
    uint64_t max_bytes;
    unsigned lanes; /* 1..QUEUE_LANES_MAX */
};

MUST_CHECK enum err_code queue_create(struct queue **out,
                                      const struct queue_options *options,
                                      struct err *err);

/* Must be empty and without waiters. NULL is allowed. */
void queue_destroy(struct queue *q);

/* ERR_CLOSED. Blocking: until there is room in the lane. */
MUST_CHECK enum err_code queue_put(struct queue *q, unsigned lane,
                                   struct claim *claim);

/* Also ERR_TIMEOUT, once clock_system()'s mono_ms is past until_ms. */
MUST_CHECK enum err_code queue_put_until(struct queue *q, unsigned lane,
                                         struct claim *claim, int64_t until_ms);

/* Also ERR_AGAIN instead of blocking. */
MUST_CHECK enum err_code queue_try_put(struct queue *q, unsigned lane,
                                       struct claim *claim);

/* A set of lanes: bit n is lane n. */
#define QUEUE_LANE(n)   (UINT64_C(1) << (n))
#define QUEUE_ALL_LANES UINT64_MAX

/* From any lane of the set. As the puts above, with ERR_CLOSED when closed
 * and nothing is left in these lanes. */
MUST_CHECK enum err_code queue_get(struct queue *q, uint64_t lanes,
                                   struct claim **claim);
MUST_CHECK enum err_code queue_get_until(struct queue *q, uint64_t lanes,
                                         struct claim **claim,
                                         int64_t until_ms);
MUST_CHECK enum err_code queue_try_get(struct queue *q, uint64_t lanes,
                                       struct claim **claim);

/* A moment's truth: other threads go on. */
size_t queue_size(struct queue *q);
size_t queue_lane_size(struct queue *q, unsigned lane);
bool queue_is_empty(struct queue *q);
bool queue_is_full(struct queue *q); /* no lane has room */

/*
 * The lanes that would take a record now: none after closing. A lane that
 * refused a put for its size in bytes is in the set again when that record
 * would fit.
 */
uint64_t queue_lanes_with_room(struct queue *q);

void queue_close(struct queue *q);
bool queue_is_closed(struct queue *q);

/*
 * Blocking: until nothing is in the queue, at most until until_ms: ERR_TIMEOUT
 * then. Others must go on taking.
 */
MUST_CHECK enum err_code queue_drain(struct queue *q, int64_t until_ms);

/*
 * For an event loop: a descriptor that becomes readable when what was armed
 * for is there. One waiter belongs to one thread.
 *
 *   QUEUE_WAIT_ITEMS  a record can be taken from one of the lanes
 *   QUEUE_WAIT_ROOM   a record can be put into one of the lanes
 *
 * or when the queue was closed. Of several armed waiters one is woken for each
 * record or place; who is woken must try until ERR_AGAIN and arm again, and
 * arming passes on what he left. Being woken for room that another putter
 * takes first is possible, being forgotten is not.
 */
enum queue_wait {
    QUEUE_WAIT_ITEMS,
    QUEUE_WAIT_ROOM,
};

struct queue_waiter;

MUST_CHECK enum err_code queue_waiter_create(struct queue_waiter **out,
                                             struct queue *q,
                                             enum queue_wait kind,
                                             struct err *err);

/* Passes on what it may have been woken for. NULL is allowed. */
void queue_waiter_destroy(struct queue_waiter *w);

int queue_waiter_fd(const struct queue_waiter *w);

/*
 * Clears the descriptor and waits for these lanes (an empty set: for closing
 * only). Readable at once when it is so already.
 */
void queue_waiter_arm(struct queue_waiter *w, uint64_t lanes);

#endif
