#ifndef TESTS_UNIT_CONSUMER_LATE_SPOOL_H
#define TESTS_UNIT_CONSUMER_LATE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/clock.h"
#include "core/thread.h"
#include "queue/spool.h"

/*
 * A memory spool whose answers to spool_claim() and spool_expire() can be
 * held back and given later, on the thread that asks for it: as a spool on
 * disk would. Also counts calls.
 */
struct late_spool;

struct late_spool *late_spool_new(const struct clock *clock,
                                  const char *const *routes,
                                  size_t route_count);
void late_spool_free(struct late_spool *late);

/* The interface to use; spool_on_due() of it works. */
struct spool *late_spool_of(struct late_spool *late);

/* Hold answers back from now on, or no more. */
void late_spool_hold(struct late_spool *late, bool hold);

/* Hold back only what is answered about jobs of this priority. */
void late_spool_hold_only(struct late_spool *late, enum job_priority priority);

/* Answers that are held back. */
size_t late_spool_pending(struct late_spool *late);

/* Gives all answers that are held back. */
void late_spool_answer(struct late_spool *late);

/* How often spool_stats() was called: once a round of the scheduler. */
size_t late_spool_stats_calls(struct late_spool *late);

#endif
