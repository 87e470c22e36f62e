#ifndef CONSUMER_SHARE_H
#define CONSUMER_SHARE_H

#include <stdint.h>

#include "queue/job.h"

/*
 * Whose turn it is: the priority classes are served 8:4:1 as long as they have
 * work, evenly mixed, and what one class leaves the others use. None starves:
 * as long as the same classes have work, each has its turns within any 13.
 *
 * Threads: none of its own.
 */
struct share {
    int64_t credit[JOB_PRIORITY_COUNT];
};

/* A set of classes: bit n is priority n. */
#define SHARE_CLASS(priority) (1U << (unsigned)(priority))

void share_init(struct share *s);

/*
 * The class of the set whose turn it is, JOB_PRIORITY_COUNT for an empty set.
 * Changes nothing: the same question has the same answer until share_used().
 */
enum job_priority share_next(const struct share *s, unsigned classes);

/* The turn was taken by that class of the set. */
void share_used(struct share *s, unsigned classes, enum job_priority used);

#endif
