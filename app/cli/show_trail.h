#ifndef APP_CLI_SHOW_TRAIL_H
#define APP_CLI_SHOW_TRAIL_H

#include <stdint.h>
#include <stdio.h>

#include "app/cli/jsontree.h"

/*
 * The "trail" of a job: a line for each event, in words that need no manual.
 * Times are the machine's; their day is left out when it is today for all of
 * them.
 */
void show_trail(FILE *out, const struct json_node *trail, int64_t now_ms);

/*
 * What a person can do about a job in this state, as commands; nothing when
 * nothing is to be done.
 */
void show_trail_advice(FILE *out, const struct json_node *job);

#endif
