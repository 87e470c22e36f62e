#ifndef APP_SINK_SINK_AUTH_H
#define APP_SINK_SINK_AUTH_H

#include "app/sink/sink_session.h"
#include "core/str.h"

/* AUTH PLAIN (RFC 4616) and LOGIN, within RFC 4954. */
void sink_auth_command(struct sink_session *s, struct str argument);

/* A line of the exchange that the command began. */
void sink_auth_line(struct sink_session *s, struct str line);

#endif
