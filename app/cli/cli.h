#ifndef APP_CLI_CLI_H
#define APP_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "app/cli/endpoint.h"
#include "app/cli/options.h"
#include "core/err.h"

/*
 * The command line tool: what all commands share. Exit codes are those of
 * <sysexits.h>; the texts that --help prints say which.
 */
struct cli {
    /* from the command line */
    const char *server;
    bool json;
    bool help;
    bool version;
    int64_t timeout_ms;
    /* from main */
    const char *environment; /* value of POSTRIDER_SOCKET, or NULL */
    FILE *out;
    FILE *err;
    int in; /* descriptor */
    /* made of them */
    struct endpoint endpoint;
};

struct cli_command {
    const char *name;
    const char *operands; /* for --help: "ID", "[FILE]", "" */
    const char *summary;
    const char *details; /* --help, below the options; may be NULL */
    const struct option_spec *options;
    size_t option_count;
    size_t options_size; /* of the struct they fill */
    int operands_min;
    int operands_max;
    bool stream_only; /* UDP cannot do it */
    /* Returns the exit code. operands ends in NULL. */
    int (*run)(struct cli *cli, const void *options, char **operands);
};

/*
 * Runs the command that argv names, with its options read. Returns the exit
 * code, all output flushed. SIGPIPE must be ignored.
 */
int cli_main(struct cli *cli, int argc, char **argv);

/* "postrider: text" on cli->err, one line; control characters made visible. */
void cli_complain(struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);

/* Complains of a failed client_open() or client_call(); the exit code. */
int cli_no_daemon(struct cli *cli, const struct err *err);
int cli_no_answer(struct cli *cli, const struct err *err);

#endif
