#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/draft.h"
#include "core/str.h"

/*
 * The one table of keys: reading, checking, the search for unknown keys and
 * the printed manual all go by it. Static, read-only.
 */
enum key_type {
    KEY_BOOL,     /* bool */
    KEY_INT,      /* int64_t */
    KEY_FLOAT,    /* double */
    KEY_SIZE,     /* int64_t, bytes; written "64K" */
    KEY_DURATION, /* int64_t, milliseconds; written "30s" */
    KEY_TEXT,     /* char *, no control characters */
    KEY_PATH,     /* char *, beside the config file when relative */
    KEY_CHOICE,   /* char *, one of choices */
    KEY_MODE,     /* int64_t, permission bits; written "0660" */
    KEY_RATE,     /* double, per second; written "14/s"; limits per hour */
    KEY_NAMES,    /* struct draft_names: an array of names */
    KEY_INTS,     /* struct draft_ints: an array of whole numbers */
};

struct key {
    const char *path; /* "retry.first"; "hostname" at the top */
    int64_t min;      /* number, bytes, milliseconds; bytes of a text; names;
                       * each of the whole numbers */
    int64_t max;
    const char *standard; /* as in a config; NULL: none */
    const char *choices;  /* of KEY_CHOICE, between blanks */
    const char *later;    /* a choice that will come, refused by name */
    size_t offset;        /* in the section's draft */
    const char *help;
    enum key_type type;
    bool required;
};

struct key_section {
    const char *name; /* "" for the top */
    bool is_list;     /* a list of groups, each with a draft of its own */
    const char *help;
};

const struct key *keys_all(size_t *count);
const struct key_section *keys_sections(size_t *count);

/* The section that name is, or NULL. "" is the top. */
const struct key_section *keys_section(struct str name);

/* The part of path before its dot; "" when there is none. */
struct str keys_section_of(const struct key *key);

/* The part behind the dot. */
struct str keys_name_of(const struct key *key);

/* The key of that name in that section, or NULL. */
const struct key *keys_find(struct str section, struct str name);

#endif
