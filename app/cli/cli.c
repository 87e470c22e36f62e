#include "app/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sysexits.h>

#include "app/cli/commands.h"
#include "app/cli/sendmail.h"
#include "app/cli/show.h"
#include "core/mem.h"

#define ONE_DAY_MS (24LL * 3600 * 1000)
#define ROW(table) (table), sizeof(table) / sizeof((table)[0])

static const struct option_spec common_options[] = {
    {.name = "server",
     .letter = 's',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct cli, server),
     .argument = "ADDRESS",
     .help = "where the daemon listens: unix:PATH, tcp:HOST:PORT\n"
             "or udp:HOST:PORT; else $" ENDPOINT_ENVIRONMENT
             ", else\n" ENDPOINT_DEFAULT},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct cli, json),
     .help = "print the daemon's replies as they come"},
    {.name = "timeout",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct cli, timeout_ms),
     .min = 1,
     .max = ONE_DAY_MS,
     .argument = "TIME",
     .by_default = "30s",
     .help = "how long the daemon may take to answer"},
    {.name = "help",
     .letter = 'h',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct cli, help),
     .help = "this text; with a command, its options"},
    {.name = "version",
     .letter = 'V',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct cli, version),
     .help = "the version of this tool"},
};

static const char exit_codes[] =
    "Exit codes: 0 done, 64 wrong usage, 65 refused for good, 66 an input "
    "file\n"
    "cannot be read, 69 no daemon there, 74 the output cannot be written, 75 "
    "not\n"
    "now: try later, 76 the answer makes no sense, 77 not allowed.\n";

typedef const struct cli_command *(*command_fn)(void);

static const command_fn commands[] = {
    cmd_send, cmd_enqueue, cmd_status, cmd_wait,  cmd_cancel,
    cmd_list, cmd_retry,   cmd_drop,   cmd_stats, cmd_ping,
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

void cli_complain(struct cli *cli, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)fputs("postrider: ", cli->err);
    show_text(cli->err, str_from(text));
    (void)fputc('\n', cli->err);
}

int cli_no_daemon(struct cli *cli, const struct err *err)
{
    if (err->code == ERR_DENIED) {
        cli_complain(cli, "%s: this user may not use that socket", err->text);
        return EX_NOPERM;
    }
    cli_complain(cli,
                 "%s: is postriderd running there? Another address can be "
                 "named with -s or " ENDPOINT_ENVIRONMENT,
                 err->text);
    return EX_UNAVAILABLE;
}

int cli_no_answer(struct cli *cli, const struct err *err)
{
    if (err->code == ERR_SYSTEM)
        return cli_no_daemon(cli, err);
    cli_complain(cli, "%s", err->text);
    if (err->code == ERR_TOO_LARGE)
        return EX_DATAERR;
    return err->code == ERR_INVALID ? EX_PROTOCOL : EX_TEMPFAIL;
}

static void print_help(FILE *out)
{
    (void)fputs("postrider: hand mails to postriderd, ask what became of "
                "them\n\n"
                "  postrider [-s ADDRESS] COMMAND [OPTIONS]\n\nCommands:\n",
                out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct cli_command *c = commands[i]();
        int width = fprintf(out, "  %s %s", c->name, c->operands);
        (void)fprintf(out, "%*s%s\n", width < 20 ? 20 - width : 1, "",
                      c->summary);
    }
    (void)fputs("\nOptions of all commands:\n", out);
    options_help(out, ROW(common_options));
    (void)fprintf(out, "\n'postrider COMMAND --help' says more of one.\n\n%s",
                  exit_codes);
}

static void print_command_help(FILE *out, const struct cli_command *c)
{
    (void)fprintf(
        out, "postrider %s: %s\n\n  postrider [-s ADDRESS] %s%s%s%s\n", c->name,
        c->summary, c->name, c->option_count > 0 ? " [OPTIONS]" : "",
        *c->operands != '\0' ? " " : "", c->operands);
    if (c->option_count > 0) {
        (void)fputs("\nOptions:\n", out);
        options_help(out, c->options, c->option_count);
    }
    (void)fputs("\nOptions of all commands:\n", out);
    options_help(out, ROW(common_options));
    if (c->details != NULL)
        (void)fprintf(out, "\n%s", c->details);
    (void)fprintf(out, "\n%s", exit_codes);
}

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]()->name, name) == 0)
            return commands[i]();
    return NULL;
}

static int wrong_usage(struct cli *cli, const char *command, const char *text)
{
    cli_complain(cli, "%s: see 'postrider %s%s--help'", text, command,
                 *command != '\0' ? " " : "");
    return EX_USAGE;
}

/* Address and operands are right; 0 or the exit code. */
static int check_usage(struct cli *cli, const struct cli_command *c, int count)
{
    struct err err;
    if (count < c->operands_min)
        return wrong_usage(cli, c->name, "something is missing");
    if (count > c->operands_max)
        return wrong_usage(cli, c->name, "there is a word too many");
    const char *address = endpoint_choose(cli->server, cli->environment);
    if (endpoint_parse(address, &cli->endpoint, &err) != ERR_NONE)
        return wrong_usage(cli, c->name, err.text);
    if (c->stream_only && cli->endpoint.kind == ENDPOINT_UDP) {
        cli_complain(cli,
                     "%s needs a connection, and %s is none: use unix:PATH or "
                     "tcp:HOST:PORT",
                     c->name, address);
        return EX_USAGE;
    }
    return EX_OK;
}

static int run_command(struct cli *cli, const struct cli_command *c,
                       struct option_words *words)
{
    struct err err;
    void *options = mem_calloc(1, c->options_size);
    const struct option_set sets[] = {
        {c->options, c->option_count, options},
        {ROW(common_options), cli},
    };
    int code = EX_USAGE;
    options_defaults(&sets[0]);
    if (options_parse(sets, 2, false, words, &err) != ERR_NONE) {
        (void)wrong_usage(cli, c->name, err.text);
    } else if (cli->help) {
        print_command_help(cli->out, c);
        code = EX_OK;
    } else {
        if (words->operands < words->argc)
            words->argv[words->operands] = NULL;
        code = check_usage(cli, c, words->operands);
        if (code == EX_OK)
            code = c->run(cli, options, words->argv);
    }
    options_fini(&sets[0]);
    mem_free(options);
    return code;
}

static int choose_command(struct cli *cli, struct option_words words)
{
    struct err err;
    const struct option_set set = {ROW(common_options), cli};
    options_defaults(&set);
    if (options_parse(&set, 1, true, &words, &err) != ERR_NONE)
        return wrong_usage(cli, "", err.text);
    if (cli->help) {
        print_help(cli->out);
        return EX_OK;
    }
    if (cli->version) {
        (void)fprintf(cli->out, "postrider %s\n", POSTRIDER_VERSION);
        return EX_OK;
    }
    if (words.operands == words.argc)
        return wrong_usage(cli, "", "no command was given");
    const char *name = words.argv[words.operands];
    const struct cli_command *c = find_command(name);
    if (c == NULL) {
        cli_complain(cli, "there is no command \"%s\": see 'postrider --help'",
                     name);
        return EX_USAGE;
    }
    words.argv += words.operands + 1;
    words.argc -= words.operands + 1;
    return run_command(cli, c, &words);
}

int cli_main(struct cli *cli, int argc, char **argv)
{
    int code;
    struct err err;
    struct option_words words = {.argv = argv + 1, .argc = argc - 1};
    if (argc > 0 && sendmail_is_name(argv[0]))
        code = sendmail_main(cli, argc, argv);
    else
        code = argc > 0 ? choose_command(cli, words) : EX_USAGE;
    if (fflush(cli->out) != 0 || ferror(cli->out) != 0) {
        (void)err_system(&err, errno, "cannot write the output");
        cli_complain(cli, "%s", err.text);
        return code == EX_OK ? EX_IOERR : code;
    }
    return code;
}
