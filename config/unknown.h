#ifndef CONFIG_UNKNOWN_H
#define CONFIG_UNKNOWN_H

#include <libconfig.h>

#include "config/reader.h"

/* Reports a key that the table does not have, with the one that was meant. */
void unknown_key(struct reader *r, const config_setting_t *s,
                 struct str section);

/* The same for a name at the top. */
void unknown_top(struct reader *r, const config_setting_t *s);

#endif
