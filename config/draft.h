#ifndef CONFIG_DRAFT_H
#define CONFIG_DRAFT_H

#include <stddef.h>

#include "config/settings.h"

struct config_setting_t; /* libconfig's */

/*
 * The settings while they are being read: what the keys say, before it is
 * checked against each other. Offsets in the table of keys point into these.
 */
struct draft_names {
    char **items;
    unsigned *lines;
    size_t count;
};

struct draft_ints {
    int64_t *items;
    size_t count;
};

struct draft_listen {
    const struct config_setting_t *group; /* first: reader_list() sets it */
    char *type;
    char *address;
    int64_t port;
    char *path;
    int64_t mode;
    bool insecure;
};

struct draft_relay {
    const struct config_setting_t *group; /* first: reader_list() sets it */
    struct settings_relay relay;
    char *tls;
    char *password_file;
    char *password_env;
};

struct draft_route {
    const struct config_setting_t *group; /* first: reader_list() sets it */
    char *name;
    struct draft_names relays;
    struct draft_ints weights;
};

struct draft {
    struct settings settings; /* without the lists */
    char *spool_backend;
    char *workers_mode;
};

#endif
