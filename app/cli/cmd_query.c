#include <stddef.h>
#include <sysexits.h>

#include "app/cli/commands.h"
#include "app/cli/exchange.h"
#include "app/cli/show.h"
#include "app/cli/show_job.h"
#include "app/cli/show_stats.h"
#include "core/clock.h"

#define WAIT_MAX_MS (7LL * 24 * 3600 * 1000)
#define NS_PER_MS   1e6

struct wait_options {
    int64_t for_ms;
};

static const struct option_spec wait_options[] = {
    {.name = "for",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct wait_options, for_ms),
     .max = WAIT_MAX_MS,
     .argument = "TIME",
     .by_default = "30s",
     .help = "how long at most"},
};

static void print_job(struct cli *cli, const struct exchange *x)
{
    if (!cli->json)
        show_job(cli->out, jsontree_get(x->reply.root, "job", JSON_OBJECT),
                 clock_real_ms(clock_system()));
}

static int run_status(struct cli *cli, const void *options, char **operands)
{
    struct exchange x = {0};
    (void)options;
    int code = exchange_ask_op(cli, &x, "status", operands[0], -1);
    if (code == EX_OK)
        code = exchange_check(cli, &x);
    if (code == EX_OK)
        print_job(cli, &x);
    exchange_fini(&x);
    return code;
}

static int run_wait(struct cli *cli, const void *options, char **operands)
{
    struct exchange x = {0};
    const struct wait_options *o = options;
    int code = exchange_wait(cli, &x, operands[0], o->for_ms);
    if (code == EX_OK)
        code = exchange_check(cli, &x);
    if (code == EX_OK) {
        print_job(cli, &x);
        code = exchange_wait_result(cli, &x);
    }
    exchange_fini(&x);
    return code;
}

static int run_cancel(struct cli *cli, const void *options, char **operands)
{
    struct exchange x = {0};
    (void)options;
    int code = exchange_ask_op(cli, &x, "cancel", operands[0], -1);
    if (code == EX_OK)
        code = exchange_check(cli, &x);
    if (code == EX_OK && !cli->json) {
        show_text(cli->out, str_from(operands[0]));
        (void)fputs(" is cancelled\n", cli->out);
        print_job(cli, &x);
    }
    exchange_fini(&x);
    return code;
}

static int run_stats(struct cli *cli, const void *options, char **operands)
{
    struct exchange x = {0};
    (void)options;
    (void)operands;
    int code = exchange_ask_op(cli, &x, "stats", NULL, -1);
    if (code == EX_OK)
        code = exchange_check(cli, &x);
    if (code == EX_OK && !cli->json)
        show_stats(cli->out, x.reply.root, clock_real_ms(clock_system()));
    exchange_fini(&x);
    return code;
}

static int run_ping(struct cli *cli, const void *options, char **operands)
{
    struct exchange x = {0};
    struct err err = {0};
    (void)options;
    (void)operands;
    /* Connected before the clock starts: one round trip is what is asked. */
    if (client_open(&x.client, &cli->endpoint, cli->timeout_ms, &err) !=
        ERR_NONE)
        return cli_no_daemon(cli, &err);
    int64_t began_ns = clock_mono_ns();
    int code = exchange_ask_op(cli, &x, "ping", NULL, -1);
    double ms = (double)(clock_mono_ns() - began_ns) / NS_PER_MS;
    if (code == EX_OK)
        code = exchange_check(cli, &x);
    if (code == EX_OK && !cli->json)
        (void)fprintf(cli->out, "%s answers, round trip %.3f ms\n",
                      cli->endpoint.text, ms);
    exchange_fini(&x);
    return code;
}

const struct cli_command *cmd_status(void)
{
    static const struct cli_command command = {
        .name = "status",
        .operands = "ID",
        .summary = "what became of a job",
        .operands_min = 1,
        .operands_max = 1,
        .run = run_status,
    };
    return &command;
}

const struct cli_command *cmd_wait(void)
{
    static const struct cli_command command = {
        .name = "wait",
        .operands = "ID",
        .summary = "the same, once it is settled",
        .details =
            "Exits 0 when all recipients have the mail, 65 when it failed, "
            "expired or was\ncancelled, 75 when it still waits or is held.\n",
        .options = wait_options,
        .option_count = 1,
        .options_size = sizeof(struct wait_options),
        .operands_min = 1,
        .operands_max = 1,
        .stream_only = true,
        .run = run_wait,
    };
    return &command;
}

const struct cli_command *cmd_cancel(void)
{
    static const struct cli_command command = {
        .name = "cancel",
        .operands = "ID",
        .summary = "do not send a job that still waits",
        .operands_min = 1,
        .operands_max = 1,
        .stream_only = true,
        .run = run_cancel,
    };
    return &command;
}

const struct cli_command *cmd_stats(void)
{
    static const struct cli_command command = {
        .name = "stats",
        .operands = "",
        .summary = "the daemon's numbers, and whether its ledger adds up",
        .stream_only = true,
        .run = run_stats,
    };
    return &command;
}

const struct cli_command *cmd_ping(void)
{
    static const struct cli_command command = {
        .name = "ping",
        .operands = "",
        .summary = "is the daemon there, and how fast does it answer",
        .run = run_ping,
    };
    return &command;
}
