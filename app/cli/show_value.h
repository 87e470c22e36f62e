#ifndef APP_CLI_SHOW_VALUE_H
#define APP_CLI_SHOW_VALUE_H

#include <stdint.h>
#include <stdio.h>

#include "app/cli/jsontree.h"

/*
 * A named value of a reply as lines for a person, indent blanks from the
 * left: "next attempt   2026-11-20 14:03:20 (in 3 min)". The name's end says
 * how a value is meant: _at a time, _ms a duration, bytes or size a size;
 * rate is how often in a second.
 * Objects and lists come as indented blocks; null and empty ones do not come at
 * all.
 */
void show_member(FILE *out, const struct json_node *node, int indent,
                 int64_t now_ms);

#endif
