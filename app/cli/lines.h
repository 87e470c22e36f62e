#ifndef APP_CLI_LINES_H
#define APP_CLI_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

/*
 * Lines from a descriptor, as they come: memory is one line and one read at
 * most. A last line without its end counts.
 */
enum lines_result {
    LINES_READY,    /* *line is the next one, without its end */
    LINES_TOO_LONG, /* the next one passed the limit; what is left of it will
                       be skipped */
    LINES_NEED_MORE,
    LINES_END,
};

struct lines {
    int fd;
    size_t max_bytes; /* of a line */
    struct buf in;
    size_t taken;
    size_t scanned;  /* behind taken */
    uint64_t number; /* of the line that came last, from 1 */
    bool skipping;
    bool ended;
};

/* fd is borrowed. */
void lines_init(struct lines *l, int fd, size_t max_bytes);
void lines_fini(struct lines *l);

/* What is there already. *line is valid until the next call. */
enum lines_result lines_next(struct lines *l, struct str *line);

/* One read(2): blocks if the descriptor does. */
MUST_CHECK enum err_code lines_fill(struct lines *l, struct err *err);

#endif
