#ifndef APP_SINK_SINK_REPLY_H
#define APP_SINK_SINK_REPLY_H

#include <stdbool.h>

#include "app/sink/sink_session.h"

/*
 * Replies, and what faults make of them. A handler first asks
 * sink_reply_fault(), then does its work or not, then replies once.
 */

/*
 * Looks for a fault at this stage. True: the command must have no effect;
 * what is replied next is not the usual text (any will do).
 */
bool sink_reply_fault(struct sink_session *s, enum sink_stage stage,
                      struct str subject);

/*
 * The same at a stage that has no reply: what fires is for the caller to do.
 * NULL when nothing does.
 */
const struct sink_fault *sink_reply_silent_fault(struct sink_session *s,
                                                 enum sink_stage stage);

/* code, the enhanced code when it is offered and not "", and the text. */
void sink_reply(struct sink_session *s, unsigned code, const char *enhanced,
                const char *text);

/* As sink_reply() with finished lines, CRLF and all. */
void sink_reply_lines(struct sink_session *s, struct str lines);

/* As sink_reply(), and counts a protocol error. */
void sink_reply_refusal(struct sink_session *s,
                        const struct sink_refusal *refusal);

/* Faults without a command before them: content or input was cut. */
void sink_reply_cut(struct sink_session *s, enum sink_stage stage,
                    uint64_t bytes);

#endif
