#ifndef APP_CLI_COMMANDS_H
#define APP_CLI_COMMANDS_H

#include "app/cli/cli.h"

/* The commands, each in a file of its name. Static, never freed. */
const struct cli_command *cmd_send(void);
const struct cli_command *cmd_enqueue(void);
const struct cli_command *cmd_status(void);
const struct cli_command *cmd_wait(void);
const struct cli_command *cmd_cancel(void);
const struct cli_command *cmd_list(void);
const struct cli_command *cmd_retry(void);
const struct cli_command *cmd_drop(void);
const struct cli_command *cmd_stats(void);
const struct cli_command *cmd_ping(void);

#endif
