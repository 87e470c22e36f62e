#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdio.h>

#include "config/settings.h"
#include "core/buf.h"
#include "core/err.h"

/*
 * From a libconfig file to settings.
 *
 * Every problem is found in one go: each is one line "FILE:LINE: sentence"
 * ("FILE: sentence" when the file cannot be read), added to problems. Unknown
 * keys are problems. A number that libconfig would wrap is a problem.
 *
 * Blocking: reads the file, its includes and the secrets' files.
 * Returns ERR_INVALID when there is any problem; *out is then untouched.
 * Warnings ("TLS verification of relay main is off") are added to warnings
 * in the same form and are no failure. *out is freed with settings_destroy().
 */
MUST_CHECK enum err_code config_load(const char *path, struct settings **out,
                                     struct buf *problems,
                                     struct buf *warnings);

/* Wipes the secrets and frees all. NULL is allowed. */
void settings_destroy(struct settings *settings);

/*
 * The table of keys as text: for each its type, range, unit, default and what
 * it is for (`postriderd --help-config`; docs and manual page come from it).
 */
void config_print_manual(FILE *out);

#endif
