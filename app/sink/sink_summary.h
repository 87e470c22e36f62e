#ifndef APP_SINK_SINK_SUMMARY_H
#define APP_SINK_SINK_SUMMARY_H

#include <stdint.h>

#include "app/sink/sink_session.h"
#include "core/buf.h"
#include "core/err.h"

/* All that was counted, as one line of JSON. */
void sink_summary_add(const struct sink *sink, int64_t uptime_ms,
                      struct buf *out);

/*
 * Writes it to stdout, or puts a new file in the place of path in one step.
 * Blocking: as long as write(2).
 */
MUST_CHECK enum err_code sink_summary_write(const struct sink *sink,
                                            int64_t uptime_ms, struct err *err);

#endif
