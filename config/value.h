#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <libconfig.h>

#include "config/keys.h"
#include "config/reader.h"

/* One value of the config into its place in a draft, by its key's type. */

/* Reports a value that is wrong and leaves what is in its place. */
void value_read(struct reader *r, const config_setting_t *s,
                const struct key *key, void *draft);

/* The table's own words: one that cannot be read is a bug and panics. */
void value_set_standard(const struct key *key, void *draft);

/* Frees a text or names, and clears their place. */
void value_free(const struct key *key, void *draft);

#endif
