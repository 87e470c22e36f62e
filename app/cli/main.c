#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/cli/cli.h"

/* A lost connection is to be an error text, not the end of the process. */
static void ignore_sigpipe(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &action, NULL);
}

int main(int argc, char **argv)
{
    struct cli cli = {
        .environment = getenv(ENDPOINT_ENVIRONMENT),
        .out = stdout,
        .err = stderr,
        .in = STDIN_FILENO,
    };
    ignore_sigpipe();
    return cli_main(&cli, argc, argv);
}
