#ifndef CONFIG_DRAFT_H
#define CONFIG_DRAFT_H

#include <stddef.h>

#include "config/settings.h"

/*
 * The settings while they are being read: what the keys say, before it is
 * checked against each other. Offsets in the table of keys point into these.
 */
struct draft_names {
    char **items;
    unsigned *lines;
    size_t count;
};

struct draft_listen {
    unsigned line;
    char *type;
    char *address;
    int64_t port;
    char *path;
    int64_t mode;
    bool insecure;
};

struct draft_relay {
    unsigned line;
    struct settings_relay relay;
    char *tls;
    char *password_file;
    char *password_env;
};

struct draft_route {
    unsigned line;
    char *name;
    struct draft_names relays;
};

struct draft {
    struct settings settings; /* without the lists */
    char *spool_backend;
    char *spool_path;
    char *workers_mode;
};

#endif
