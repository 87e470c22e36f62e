#ifndef APP_SINK_SINK_WIRE_H
#define APP_SINK_SINK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "app/sink/sink_conn.h"
#include "app/sink/sink_line.h"
#include "core/str.h"

/*
 * The way out of a connection: replies through TLS, the latency line and the
 * socket; and its end. Any of these may leave it in SINK_PHASE_DEAD, when it
 * is freed at the end of the turn.
 */

/* Closes the socket at once. */
void sink_wire_die(struct sink_conn *c);

/* Of c->in or c->out; counts what is under way in all lines together. */
void sink_wire_put(struct sink_conn *c, struct sink_line *line,
                   struct str bytes, int64_t due_ns);
void sink_wire_take(struct sink_conn *c, struct sink_line *line, size_t len);

/* All of the session's replies that may go, in one write. */
void sink_wire_flush(struct sink_conn *c);

/* What TLS itself has to say. */
void sink_wire_flush_tls(struct sink_conn *c);

/* Sends what has come out of the line by now. */
void sink_wire_run(struct sink_conn *c);

/* Ends the connection behind all that is on its way out. */
void sink_wire_end(struct sink_conn *c, enum sink_end how);

#endif
