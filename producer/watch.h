#ifndef PRODUCER_WATCH_H
#define PRODUCER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "producer/request.h"

/*
 * `status` and `wait`: both answer with the job as the spool shows it, the
 * second when the job is settled or held, or when its time is over.
 */

/* Answers r with the job r->id. */
void watch_show(struct request *r);

/* Answers r once the job r->id is settled, at the latest after timeout_ms. */
void watch_begin(struct request *r, int64_t timeout_ms);

/* The client is gone. True: r is free of the spool (see request_abandon). */
bool watch_abandon(struct request *r);

/* As if the time of all who wait were over. */
void watch_end_all(struct service *s);

#endif
