#ifndef CONSUMER_REPORT_H
#define CONSUMER_REPORT_H

#include <stdint.h>

#include "core/str.h"
#include "queue/claim.h"
#include "queue/spool.h"

/*
 * Settling, and saying so: the lines of the log about jobs. For a job one of
 *   job.delivered  job.deferred  job.failed  job.held  job.expired
 * when the spool has recorded the attempt, and one of
 *   recipient.deferred  recipient.failed  recipient.unknown
 * for each recipient that did not get it.
 */

/* At the start of an attempt, at debug. */
void report_attempt(const struct claim *claim, const char *relay);

/* The claim goes back untried, at debug. */
void report_release(struct spool *spool, struct claim *claim, const char *relay,
                    int64_t due_ms, struct str note);

typedef void (*report_done_fn)(void *ctx);

/*
 * Takes the claim; settlement need not outlive the call. done, if not NULL, is
 * called once when the spool has answered, on any thread, possibly before this
 * returns.
 */
void report_settle(struct spool *spool, struct claim *claim,
                   const struct settlement *settlement, report_done_fn done,
                   void *ctx);

#endif
