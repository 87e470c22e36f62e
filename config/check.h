#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include <libconfig.h>

#include "config/draft.h"
#include "config/report.h"

/*
 * From drafts to settings: what keys say about each other, references, files
 * and secrets. Each moves what it can use out of the drafts and reports what
 * is wrong. Threads: none.
 */

/* drafts may be NULL with count 0: the listeners of a config without any. */
void check_listen(struct report *report, struct draft_listen *drafts,
                  size_t count, struct settings *out);

/* Blocking: reads the files of passwords. */
void check_relays(struct report *report, struct draft_relay *drafts,
                  size_t count, struct settings *out);

/* After check_relays(). Adds the route "default" when there is none. */
void check_routes(struct report *report, struct draft_route *drafts,
                  size_t count, struct settings *out);

/* What is not in a list. */
void check_groups(struct report *report, const config_setting_t *root,
                  struct draft *draft);

/* Whether a relay or route can be called so; reports it otherwise. */
bool check_name(struct report *report, unsigned line, const char *key,
                const char *name);

#endif
