#ifndef CONFIG_READER_H
#define CONFIG_READER_H

#include <libconfig.h>

#include "config/keys.h"
#include "config/report.h"
#include "config/source.h"

/*
 * Applies the table of keys to what libconfig parsed: each key of a section
 * is read into its draft, or gets its default; what is wrong is reported.
 * Threads: none.
 */
struct reader {
    const struct source *source;
    struct report *report;
};

/* Names at the top that are neither a key nor a section. */
void reader_check_top(struct reader *r, const config_setting_t *root);

/* group may be NULL: all defaults. Strings put into draft are the draft's. */
void reader_group(struct reader *r, const config_setting_t *group,
                  struct str section, void *draft);

/* The section's group at the top, or NULL; reports one that is no group. */
const config_setting_t *reader_find_group(struct reader *r,
                                          const config_setting_t *root,
                                          const char *section);

/*
 * The section's list of groups: an array of zeroed drafts of element_bytes,
 * each beginning with a pointer to its group. NULL when there is no such list
 * or something was wrong with it as a whole; *present tells which. Freed with
 * reader_free() for each and mem_free().
 */
void *reader_list(struct reader *r, const config_setting_t *root,
                  const char *section, size_t element_bytes, size_t *count,
                  bool *present);

/* Frees the strings of a draft. */
void reader_free(struct str section, void *draft);

/* Whether a value on the setting's line was complained of already. */
bool reader_is_known_bad(const struct reader *r, const config_setting_t *s);

/* The line where name stands in group, else the group's, else 1. */
unsigned reader_line(const config_setting_t *group, const char *name);

#endif
