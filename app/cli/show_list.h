#ifndef APP_CLI_SHOW_LIST_H
#define APP_CLI_SHOW_LIST_H

#include <stdint.h>
#include <stdio.h>

#include "app/cli/jsontree.h"

/* The "jobs" of a reply to list as a table for a person, a line each. */
void show_list_head(FILE *out);
void show_list(FILE *out, const struct json_node *jobs, int64_t now_ms);

#endif
