#ifndef APP_CLI_BATCH_H
#define APP_CLI_BATCH_H

#include <stdint.h>

#include "app/cli/cli.h"
#include "app/cli/client.h"
#include "core/str.h"

/*
 * One operation for many jobs: {"op":op,"id":id} for each, pipelined, with at
 * most BATCH_IN_FLIGHT not answered. Refusals are named on the standard error
 * output, the first BATCH_SHOWN of them; with --json every answer is printed.
 */
#define BATCH_IN_FLIGHT 64
#define BATCH_SHOWN     20

struct batch {
    struct cli *cli;
    struct client *client; /* borrowed, a stream's; set before the first add */
    const char *op;
    char *ids[BATCH_IN_FLIGHT]; /* a ring: asked, not answered */
    size_t first;
    size_t count;
    int64_t changed;
    int64_t unchanged; /* answered ok: it was so already */
    int64_t refused;   /* for good */
    int64_t denied;    /* of those: this client may not */
    int64_t temporary; /* refused for now */
};

/*
 * Asks for one, which may wait for the answer to another. id must be UTF-8.
 * Returns 0, or the exit code after having complained: the daemon is lost.
 */
MUST_CHECK int batch_add(struct batch *b, struct str id);

/* Waits for all answers. Returns as batch_add(). */
MUST_CHECK int batch_finish(struct batch *b);

/* 0 when none was refused, 75 when some were for now, else 77 or 65. */
int batch_exit_code(const struct batch *b);

void batch_fini(struct batch *b);

#endif
