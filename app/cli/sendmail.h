#ifndef APP_CLI_SENDMAIL_H
#define APP_CLI_SENDMAIL_H

#include <stdbool.h>

#include "app/cli/cli.h"

/*
 * The tool called through a name that ends in "sendmail" is to behave as
 * sendmail does. This is the one place for it; this version says that it
 * cannot.
 */
bool sendmail_is_name(const char *program);

/* Returns the exit code. */
int sendmail_main(struct cli *cli, int argc, char **argv);

#endif
