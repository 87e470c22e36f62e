#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "config/source.h"
#include "core/buf.h"
#include "core/err.h"

/*
 * Problems and warnings as they are found; in the end all of them as lines
 * "FILE:LINE: sentence", in the order of the text, those of the whole file as
 * "FILE: sentence" before them. Never say a value that may
 * be a secret. Threads: none.
 */
#define REPORT_MAX 500

struct report_entry {
    unsigned line;
    bool is_warning;
    size_t order;
    char *text;
};

struct report {
    struct report_entry *entries;
    size_t count;
    size_t capacity;
    size_t problems; /* all there were */
    size_t left_out; /* found after REPORT_MAX entries */
};

void report_init(struct report *r);
void report_fini(struct report *r);

/* line: of the source's text. Control characters are shown as "?". */
void report_problem(struct report *r, unsigned line, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* That the main file cannot be read: there is no line to name. */
void report_file_problem(struct report *r, const char *sentence);
void report_warning(struct report *r, unsigned line, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Adds the lines to problems and to warnings (each may be NULL). */
void report_write(struct report *r, const struct source *source,
                  struct buf *problems, struct buf *warnings);

#endif
