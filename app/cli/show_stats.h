#ifndef APP_CLI_SHOW_STATS_H
#define APP_CLI_SHOW_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "app/cli/jsontree.h"

/* A reply to stats for a person; says whether its ledger adds up. */
void show_stats(FILE *out, const struct json_node *reply, int64_t now_ms);

/*
 * accepted = delivered + failed + expired + cancelled + waiting + active +
 * held. False, and *adds_up untouched, when a number is missing.
 */
bool show_stats_ledger(const struct json_node *ledger, bool *adds_up);

#endif
