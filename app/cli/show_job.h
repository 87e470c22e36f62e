#ifndef APP_CLI_SHOW_JOB_H
#define APP_CLI_SHOW_JOB_H

#include <stdint.h>
#include <stdio.h>

#include "app/cli/jsontree.h"

/*
 * The "job" of a reply to status, wait or cancel, for a person: its state in
 * words, when what happens, each recipient with the relay's reply, its trail
 * and what can be done. Members it does not know are shown by their names.
 */
void show_job(FILE *out, const struct json_node *job, int64_t now_ms);

#endif
