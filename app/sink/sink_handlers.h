#ifndef APP_SINK_SINK_HANDLERS_H
#define APP_SINK_SINK_HANDLERS_H

#include <stdbool.h>

#include "app/sink/sink_session.h"
#include "core/str.h"

/* What each command does: one function a command. */

/* line without CRLF; more: the client sent something behind it already. */
void sink_handlers_run(struct sink_session *s, struct str line, bool more);

/* All bytes of a chunk of BDAT are there. */
void sink_handlers_chunk_end(struct sink_session *s);

#endif
