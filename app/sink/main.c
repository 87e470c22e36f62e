#include <stdio.h>
#include <sysexits.h>

#include "app/sink/sink_help.h"
#include "app/sink/sink_options.h"
#include "app/sink/sink_server.h"

static int fail(const struct err *err, int status)
{
    (void)fprintf(stderr, "postrider-sink: %s\n", err->text);
    if (status == EX_USAGE)
        (void)fputs("postrider-sink: --help tells all options\n", stderr);
    return status;
}

static int serve(struct sink_options *options)
{
    struct err err;
    struct sink_server *server = NULL;
    if (sink_server_create(&server, options, &err) != ERR_NONE)
        return fail(&err, EX_UNAVAILABLE);
    sink_server_announce(server, stdout);
    sink_server_run(server);
    sink_server_destroy(server);
    return EX_OK;
}

int main(int argc, char **argv)
{
    struct err err;
    struct sink_options options;
    int status = EX_OK;
    if (sink_options_parse(&options, argc, argv, &err) != ERR_NONE)
        status = fail(&err, EX_USAGE);
    else if (options.help)
        sink_help_print(stdout);
    else if (options.version)
        (void)puts("postrider-sink " POSTRIDER_VERSION);
    else
        status = serve(&options);
    sink_options_fini(&options);
    return status;
}
