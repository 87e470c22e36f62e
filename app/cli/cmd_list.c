#include <stddef.h>
#include <sysexits.h>

#include "app/cli/commands.h"
#include "app/cli/exchange.h"
#include "app/cli/listing.h"
#include "app/cli/show.h"
#include "app/cli/show_list.h"
#include "core/clock.h"

#define LIMIT_MAX    1000000000
#define TEN_YEARS_MS (10LL * 365 * 24 * 3600 * 1000)

struct list_options {
    struct listing_filter filter;
    int64_t limit;
    bool ids;
};

static void print_ids(FILE *out, const struct json_node *jobs)
{
    for (const struct json_node *n = jobs->first; n != NULL; n = n->next) {
        show_text(out, jsontree_text(n, "id"));
        (void)fputc('\n', out);
    }
}

static void print_page(struct cli *cli, const struct list_options *o,
                       const struct json_node *jobs, bool *headed)
{
    if (cli->json)
        return;
    if (o->ids) {
        print_ids(cli->out, jobs);
    } else if (jobs->first != NULL) {
        if (!*headed)
            show_list_head(cli->out);
        *headed = true;
        show_list(cli->out, jobs, clock_real_ms(clock_system()));
    }
}

static int run(struct cli *cli, const void *options, char **operands)
{
    const struct list_options *o = options;
    const struct json_node *jobs;
    struct exchange x = {0};
    struct listing l;
    bool headed = false;
    (void)operands;
    listing_begin(&l, cli, &x, &o->filter, o->limit);
    int code = listing_next(&l, &jobs);
    while (code == EX_OK && jobs != NULL) {
        print_page(cli, o, jobs, &headed);
        code = listing_next(&l, &jobs);
    }
    if (code == EX_OK && !cli->json && !o->ids && !headed)
        (void)fputs("no jobs\n", cli->out);
    if (code == EX_OK && l.more)
        cli_complain(cli, "there may be more than these: --limit 0 gives all");
    exchange_fini(&x);
    return code;
}

static const struct option_spec list_options[] = {
    {.name = "state",
     .kind = OPTION_LIST,
     .offset = offsetof(struct list_options, filter.states),
     .argument = "STATE",
     .help = "queued, active, deferred, delivered, failed,\n"
             "expired, cancelled or held; several with commas"},
    {.name = "relay",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct list_options, filter.relay),
     .argument = "NAME",
     .help = "tried last at this relay, for any recipient,\n"
             "or put back because it could not take them"},
    {.name = "tag",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct list_options, filter.tag),
     .argument = "TAG",
     .help = "with this tag"},
    {.name = "older",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct list_options, filter.older_ms),
     .max = TEN_YEARS_MS,
     .argument = "TIME",
     .help = "accepted longer ago than this: 90s, 30m, 1h, 2d"},
    {.name = "limit",
     .kind = OPTION_COUNT,
     .offset = offsetof(struct list_options, limit),
     .max = LIMIT_MAX,
     .argument = "N",
     .by_default = "100",
     .help = "so many at most; 0 is all"},
    {.name = "ids",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct list_options, ids),
     .help = "only the ids, one a line: for retry and drop"},
};

const struct cli_command *cmd_list(void)
{
    static const struct cli_command command = {
        .name = "list",
        .operands = "",
        .summary = "jobs that the daemon has, the oldest first",
        .details =
            "NEXT TRY is when a waiting job is due. LAST REPLY is what a relay "
            "said of a\nrecipient that does not have the mail, if there is "
            "one. With --json each page is\nprinted as it came. For "
            "administrators.\n",
        .options = list_options,
        .option_count = sizeof(list_options) / sizeof(list_options[0]),
        .options_size = sizeof(struct list_options),
        .stream_only = true,
        .run = run,
    };
    return &command;
}
