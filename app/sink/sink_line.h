#ifndef APP_SINK_SINK_LINE_H
#define APP_SINK_SINK_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/str.h"

/*
 * One direction of a network line: bytes go in with the time at which they
 * come out, and come out in order. Nothing is serialised: many bytes are on
 * the way at once. Also holds what a socket would not take yet. Pure: the
 * caller says what time it is (monotonic nanoseconds).
 *
 * Bounded by the caller, who looks at bytes.
 */
struct sink_piece {
    STAILQ_ENTRY(sink_piece) next;
    int64_t due_ns;
    size_t at; /* first byte still here */
    size_t len;
    char data[];
};

STAILQ_HEAD(sink_pieces, sink_piece);

struct sink_line {
    struct sink_pieces pieces;
    size_t bytes; /* on the way */
    bool ended;   /* nothing follows */
    int64_t end_ns;
};

void sink_line_init(struct sink_line *l);
void sink_line_fini(struct sink_line *l);

static inline bool sink_line_is_empty(const struct sink_line *l)
{
    return l->bytes == 0;
}

/* Copies data. It comes out at due_ns, and never before what was put first. */
void sink_line_put(struct sink_line *l, struct str data, int64_t due_ns);

/* The end of the line, behind all that was put. The first call counts. */
void sink_line_end(struct sink_line *l, int64_t due_ns);

/* What has come out by now, a part of it at least; empty when nothing. */
struct str sink_line_ready(const struct sink_line *l, int64_t now_ns);

/* Takes len bytes of what sink_line_ready() gave. */
void sink_line_take(struct sink_line *l, size_t len);

/* Whether all is out and the end has come, too. */
bool sink_line_is_over(const struct sink_line *l, int64_t now_ns);

/* When the next thing happens; INT64_MAX when nothing is on the way. */
int64_t sink_line_next_ns(const struct sink_line *l);

#endif
