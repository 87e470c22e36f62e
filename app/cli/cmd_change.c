#include <stddef.h>
#include <sysexits.h>

#include "app/cli/batch.h"
#include "app/cli/commands.h"
#include "app/cli/exchange.h"
#include "app/cli/listing.h"
#include "app/cli/show.h"
#include "core/utf8.h"

#define IDS_MAX 1000000

struct retry_options {
    bool all_failed;
};

/* What an operation is called when it is done. */
struct words {
    const char *one;
    const char *many;
    const char *unchanged;
};

static const struct words retried = {
    "job will be tried again",
    "jobs will be tried again",
    "waited already",
};

static const struct words dropped = {
    "job dropped",
    "jobs dropped",
    "as they were",
};

static void add_count(FILE *out, int64_t count, const char *words)
{
    char text[SHOW_NUMBER_MAX];
    if (count == 0)
        return;
    show_number(count, text);
    (void)fprintf(out, ", %s %s", text, words);
}

static void summarize(const struct batch *b, const struct words *words)
{
    FILE *out = b->cli->json ? b->cli->err : b->cli->out;
    char text[SHOW_NUMBER_MAX];
    show_number(b->changed, text);
    (void)fprintf(out, "%s %s", text,
                  b->changed == 1 ? words->one : words->many);
    add_count(out, b->unchanged, words->unchanged);
    add_count(out, b->refused, "refused");
    add_count(out, b->temporary, "to be asked again later");
    (void)fputc('\n', out);
}

/* What became of all: after code, which says how asking ended. */
static int finish(struct batch *b, const struct words *words, int code)
{
    summarize(b, words);
    if (code == EX_OK)
        code = batch_exit_code(b);
    batch_fini(b);
    return code;
}

/* ---- ids of the command line ---- */

static int check_ids(struct cli *cli, char **ids)
{
    for (size_t i = 0; ids[i] != NULL; i++) {
        if (!utf8_is_valid(str_from(ids[i]))) {
            cli_complain(cli, "\"%s\" is no job's id", ids[i]);
            return EX_USAGE;
        }
    }
    return EX_OK;
}

static int change_named(struct cli *cli, const char *op,
                        const struct words *words, char **ids)
{
    struct client *client;
    struct err err = {0};
    struct batch b = {.cli = cli, .op = op};
    int code = check_ids(cli, ids);
    if (code != EX_OK)
        return code;
    if (client_open(&client, &cli->endpoint, cli->timeout_ms, &err) != ERR_NONE)
        return cli_no_daemon(cli, &err);
    b.client = client;
    for (size_t i = 0; code == EX_OK && ids[i] != NULL; i++)
        code = batch_add(&b, str_from(ids[i]));
    if (code == EX_OK)
        code = batch_finish(&b);
    code = finish(&b, words, code);
    client_close(client);
    return code;
}

/* ---- all that failed ---- */

static int retry_page(struct batch *b, const struct json_node *jobs)
{
    int code = EX_OK;
    const struct json_node *n = jobs->first;
    for (; code == EX_OK && n != NULL; n = n->next)
        code = batch_add(b, jsontree_text(n, "id"));
    return code == EX_OK ? batch_finish(b) : code;
}

/* A job that fails again meanwhile stays in its place, and is not seen twice.
 */
static int retry_all_failed(struct cli *cli)
{
    const char *failed = "failed";
    const struct listing_filter filter = {.states = {&failed, 1}};
    const struct json_node *jobs;
    struct exchange x = {0};
    struct listing l;
    struct batch b = {.cli = cli, .op = "retry"};
    listing_begin(&l, cli, &x, &filter, 0);
    l.quiet = true;
    int code = listing_next(&l, &jobs);
    bool listed = code == EX_OK;
    while (code == EX_OK && jobs != NULL) {
        b.client = x.client;
        code = retry_page(&b, jobs);
        if (code == EX_OK)
            code = listing_next(&l, &jobs);
    }
    if (listed)
        code = finish(&b, &retried, code);
    exchange_fini(&x);
    return code;
}

static int run_retry(struct cli *cli, const void *options, char **operands)
{
    const struct retry_options *o = options;
    bool named = operands[0] != NULL;
    if (named != o->all_failed)
        return o->all_failed ? retry_all_failed(cli)
                             : change_named(cli, "retry", &retried, operands);
    cli_complain(cli, "%s: see 'postrider retry --help'",
                 named ? "give ids or --all-failed, not both"
                       : "give the ids of jobs, or --all-failed");
    return EX_USAGE;
}

static int run_drop(struct cli *cli, const void *options, char **operands)
{
    (void)options;
    return change_named(cli, "drop", &dropped, operands);
}

static const struct option_spec retry_options[] = {
    {.name = "all-failed",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct retry_options, all_failed),
     .help = "every job whose state is failed, instead of IDs"},
};

const struct cli_command *cmd_retry(void)
{
    static const struct cli_command command = {
        .name = "retry",
        .operands = "ID...",
        .summary =
            "try failed, held, deferred, expired or cancelled jobs again now",
        .details =
            "Recipients that have the mail are left alone. A held job's mail "
            "may have been\ndelivered: retry can send it twice, drop leaves it "
            "at that. For administrators.\nExits 0 when none was refused, 75 "
            "when some may be asked again, else 65.\n",
        .options = retry_options,
        .option_count = 1,
        .options_size = sizeof(struct retry_options),
        .operands_max = IDS_MAX,
        .stream_only = true,
        .run = run_retry,
    };
    return &command;
}

const struct cli_command *cmd_drop(void)
{
    static const struct cli_command command = {
        .name = "drop",
        .operands = "ID...",
        .summary = "give jobs up: what waits is cancelled, the rest forgotten",
        .details =
            "A job that waits or is held is not sent any more; one that is "
            "settled is\nforgotten with its message. For administrators.\n"
            "Exits 0 when none was refused, 75 when some may be asked again, "
            "else 65.\n",
        .operands_min = 1,
        .operands_max = IDS_MAX,
        .stream_only = true,
        .run = run_drop,
    };
    return &command;
}
