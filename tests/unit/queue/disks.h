#ifndef TESTS_UNIT_QUEUE_DISKS_H
#define TESTS_UNIT_QUEUE_DISKS_H

#include <stdbool.h>

#include "queue/spool_sqlite.h"
#include "tests/unit/queue/spools.h"

/*
 * Durable spools on a disk that fails when it is told to. One at a time in a
 * program.
 */

/* So many commits from now on; with ERR_FULL, until disk_fails_with(). */
void fail_commits(unsigned count);
void disk_fails_with(enum err_code code);

/* Of a disk of 16 MiB. */
void disk_has_free(int64_t bytes);

/* Bodies in files of their own. */
void fail_bodies(unsigned count);

/* cmocka's: *state is an open struct spooled. */
int disk_setup(void **state);
int disk_teardown(void **state);

/* Opens it where spooled_open() has made it; and again. */
void disk_create(struct spooled *s);
void disk_reopen(struct spooled *s);

/* Until the disk works and the spool has written down all that it kept. */
void wait_recorded(struct spooled *s);

/* One whose body has a file of its own. */
#define LARGE (SPOOL_BODY_FILE_MIN + 1000)
struct job *large_job(struct spooled *s);
bool has_file(const struct spooled *s, const struct id *id);
void file_goes(const struct spooled *s, const struct id *id);

/* Holds the writer in a callback, so that what comes now is one group. */
struct gate {
    struct waiter reached;
    struct waiter opened;
};

void hold_writer(struct spooled *s, struct gate *gate);
void let_writer_go(struct spooled *s, struct gate *gate);

#endif
