#ifndef APP_SINK_SINK_SERVER_H
#define APP_SINK_SINK_SERVER_H

#include <stdio.h>

#include "app/sink/sink_conn.h"
#include "app/sink/sink_loop.h"
#include "app/sink/sink_options.h"
#include "app/sink/sink_session.h"
#include "app/sink/sink_tls.h"
#include "core/err.h"

/*
 * The whole program behind its command line: listeners, signals, the loop
 * and what the sessions share.
 *
 * Threads: one. SIGTERM, SIGINT and SIGUSR1 are blocked from create on.
 */
struct sink_door {
    struct sink_source source; /* first */
    struct sink_server *server;
    enum sink_listener_kind kind;
    int fd;
};

struct sink_server {
    struct sink_source signals; /* first */
    int signal_fd;
    int spare_fd; /* given up for a moment when descriptors run out */
    int64_t started_ns;
    struct sink_timer every; /* of the summaries */
    int64_t next_ns;
    struct sink sink;
    struct sink_loop loop;
    struct sink_tls tls;
    struct sink_io io;
    struct sink_door doors[SINK_LISTENERS_MAX];
    size_t door_count;
};

/*
 * Opens everything. options must outlive the server. *out is untouched on
 * failure.
 */
MUST_CHECK enum err_code sink_server_create(struct sink_server **out,
                                            struct sink_options *options,
                                            struct err *err);
void sink_server_destroy(struct sink_server *s); /* NULL is allowed */

/* "ready smtp=127.0.0.1:40001 ..." and a newline, flushed. */
void sink_server_announce(const struct sink_server *s, FILE *out);

/* Blocking, until SIGTERM or SIGINT; the summary is written then. */
void sink_server_run(struct sink_server *s);

#endif
