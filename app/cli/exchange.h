#ifndef APP_CLI_EXCHANGE_H
#define APP_CLI_EXCHANGE_H

#include <stdint.h>

#include "app/cli/cli.h"
#include "app/cli/client.h"
#include "app/cli/reply.h"
#include "core/str.h"

/* One request, one reply, and what commands do with it. Zero is empty. */
struct exchange {
    struct client *client; /* opened by the first request */
    struct reply reply;    /* of the last request */
    struct str line;       /* it as it came; valid until the next request */
};

/*
 * Asks. The answer may take allowed_ms on top of --timeout. Returns 0 with
 * reply and line filled (the daemon's "no" too), or the exit code after
 * having complained.
 */
MUST_CHECK int exchange_ask(struct cli *cli, struct exchange *x,
                            struct str request, int64_t allowed_ms);

/*
 * {"op":op,"id":id} as above, with "timeout_ms" when that is not negative.
 * id NULL: none. 64 when id is not UTF-8.
 */
MUST_CHECK int exchange_ask_op(struct cli *cli, struct exchange *x,
                               const char *op, const char *id,
                               int64_t timeout_ms);

/*
 * What every command does first with a reply: prints it with --json, and when
 * it says no, complains and returns the exit code; 0 otherwise.
 */
MUST_CHECK int exchange_check(struct cli *cli, const struct exchange *x);

/*
 * Asks `wait` until the job of that id is settled or held, or for_ms is over;
 * then reply is the last one. Returns as exchange_ask() does.
 */
MUST_CHECK int exchange_wait(struct cli *cli, struct exchange *x,
                             const char *id, int64_t for_ms);

/* The exit code for the state of the job in reply; says so if undecided. */
int exchange_wait_result(struct cli *cli, const struct exchange *x);

void exchange_fini(struct exchange *x);

#endif
