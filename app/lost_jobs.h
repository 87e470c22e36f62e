#ifndef APP_LOST_JOBS_H
#define APP_LOST_JOBS_H

#include "queue/spool.h"

/*
 * For a memory spool at its end: one log line "job.lost" for each job that is
 * not settled, with what is needed to hand it in again: id, tag, the
 * recipients that do not have it. At most LOST_JOBS_MAX lines.
 *
 * Nothing else uses the spool any more.
 */
#define LOST_JOBS_MAX 1000U

void lost_jobs_log(struct spool *spool);

#endif
