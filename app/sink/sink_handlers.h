#ifndef APP_SINK_SINK_HANDLERS_H
#define APP_SINK_SINK_HANDLERS_H

#include "app/sink/sink_session.h"
#include "core/str.h"

/* What each command does: one function a command. */

/* line without CRLF. */
void sink_handlers_run(struct sink_session *s, struct str line);

/* All bytes of a chunk of BDAT are there. */
void sink_handlers_chunk_end(struct sink_session *s);

#endif
