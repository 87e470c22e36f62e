#ifndef APP_DAEMON_H
#define APP_DAEMON_H

#include <stdbool.h>

#include "config/settings.h"
#include "core/err.h"

/*
 * postriderd in one process: puts the folders together, runs them, takes them
 * apart in the right order.
 *
 *   create   listeners are open, nothing runs
 *   start    threads run; from here on jobs are accepted and sent
 *   drain    nothing new is accepted; what can be sent still is, until the
 *            deadline or until `hurry` says true
 *   destroy  from any state
 *
 * Threads: all of it is called by the main thread.
 */
struct daemon;

/* settings is borrowed and must outlive the daemon. */
MUST_CHECK enum err_code daemon_create(struct daemon **out,
                                       const struct settings *settings,
                                       struct err *err);
MUST_CHECK enum err_code daemon_start(struct daemon *d, struct err *err);

/* One log line "ready" that names every listener with its real port. */
void daemon_log_ready(const struct daemon *d);

/*
 * Blocking, at most settings->shutdown.drain_ms and a moment. hurry is asked
 * every 20 ms or so. Logs how many jobs a memory spool takes with it.
 */
void daemon_drain(struct daemon *d, bool (*hurry)(void *ctx), void *ctx);

void daemon_destroy(struct daemon *d); /* NULL is allowed */

#endif
