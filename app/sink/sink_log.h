#ifndef APP_SINK_SINK_LOG_H
#define APP_SINK_SINK_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "app/sink/sink_envelope.h"
#include "app/sink/sink_fault.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

/*
 * The file of --log: one JSON line an event. Lines are gathered and written
 * by sink_log_flush(), which is called before the replies that belong to them
 * go out: who has the reply finds the line.
 *
 * Blocking: as long as write(2) to the file. Bounded: 1 MiB gathered.
 */
struct sink_log {
    int fd; /* -1: no log */
    struct buf lines;
    uint64_t lost; /* lines that could not be written */
};

struct sink_who {
    uint64_t connection;
    struct str listener;
    struct str tls;  /* "TLSv1.3"; data NULL without */
    struct str user; /* data NULL without AUTH */
};

struct sink_arrival {
    struct sink_who who;
    const struct sink_envelope *envelope;
    struct str message_id; /* data NULL without */
    uint64_t size_bytes;
    uint64_t number;
    uint64_t duplicates; /* recipients that had it already */
    const char *command; /* DATA or BDAT */
    struct str file;     /* data NULL without --dir */
};

/* path NULL: no log, and all functions do nothing. Appends to the file. */
MUST_CHECK enum err_code sink_log_init(struct sink_log *log, const char *path,
                                       struct err *err);
void sink_log_fini(struct sink_log *log);

void sink_log_message(struct sink_log *log, const struct sink_arrival *a);

void sink_log_fault(struct sink_log *log, const struct sink_who *who,
                    const struct sink_fault *fault,
                    const struct sink_facts *facts);

void sink_log_write(struct sink_log *log);

static inline void sink_log_flush(struct sink_log *log)
{
    if (log->lines.len > 0)
        sink_log_write(log);
}

#endif
