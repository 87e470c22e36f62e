#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include <stddef.h>
#include <sys/types.h>

/*
 * A folder of its own for a test, under $TMPDIR or /tmp. A call that fails
 * fails the test.
 */
struct scratch {
    char folder[128];
    char path[256]; /* of the last scratch_path() or scratch_write() */
};

void scratch_open(struct scratch *s);

/* Removes the folder and the files in it. */
void scratch_close(struct scratch *s);

/* "folder/name"; valid until the next call. */
const char *scratch_path(struct scratch *s, const char *name);

/* Writes a file with that mode and returns its path. */
const char *scratch_write(struct scratch *s, const char *name, const void *data,
                          size_t len, mode_t mode);

#endif
