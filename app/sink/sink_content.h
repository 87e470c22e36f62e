#ifndef APP_SINK_SINK_CONTENT_H
#define APP_SINK_SINK_CONTENT_H

#include "app/sink/sink_session.h"
#include "core/str.h"

/*
 * The content of a message, from the first byte to the final reply: counted,
 * searched for its Message-ID, stored, and at the end taken or not.
 */
void sink_content_init(struct sink_content *c);
void sink_content_fini(struct sink_content *c);

/* The transaction of s gets content: opens its file, if there is a store. */
void sink_content_start(struct sink_session *s);

void sink_content_add(struct sink_session *s, struct str piece);

/* Throws away what came. Nothing when there is no content. */
void sink_content_drop(struct sink_session *s);

/*
 * All is there: takes the message or refuses it, gives the final reply and
 * closes the transaction.
 */
void sink_content_finish(struct sink_session *s);

#endif
