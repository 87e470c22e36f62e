#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/*
 * A config file with its @include lines replaced by what they name, as one
 * text, and for each line of that text the file and line it came from.
 *
 * It is done here and not by libconfig 1.5, which looks for included files in
 * the wrong place, loses their line numbers, cuts strings at a NUL, and wraps
 * a number that is too large.
 *
 * Lines of the text are counted from 1. Threads: none.
 */
#define SOURCE_MAX_BYTES ((size_t)4 << 20) /* all files together */
#define SOURCE_MAX_DEPTH 10                /* files within files */
#define SOURCE_MAX_FILES 256

struct report;

struct source_line {
    const char *file; /* in files */
    unsigned number;
    bool bad_value; /* reported: no second complaint about its value */
};

struct source {
    struct buf text; /* ends with a NUL once loaded */
    struct source_line *lines;
    size_t line_count;
    size_t line_capacity;
    char **files;
    size_t file_count;
};

void source_init(struct source *s);
void source_fini(struct source *s);

/*
 * Reads path and what it includes; a relative name in @include is looked for
 * beside the file that says it. What is wrong is reported. False when the
 * text is not fit to be parsed. Blocking: reads files.
 */
bool source_load(struct source *s, const char *path, struct report *report);

/* Where a line of the text came from; never NULL. */
const struct source_line *source_at(const struct source *s, unsigned line);

/* name, or when it is relative and file has a folder, name in that folder. */
char *source_beside(const char *file, struct str name);

#endif
