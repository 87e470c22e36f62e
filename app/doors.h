#ifndef APP_DOORS_H
#define APP_DOORS_H

#include <stddef.h>

#include "config/settings.h"
#include "core/err.h"
#include "core/net.h"
#include "producer/producer.h"

/*
 * Opens the listeners of the configuration. They are opened here and not in
 * producer/, so that the descriptors outlive it: a restart or an upgrade can
 * keep them.
 */
struct doors {
    struct producer_listener *listeners;
    char (*names)[NET_NAME_MAX]; /* of the listeners, with real ports */
    char **paths;                /* Unix socket files to remove; NULL else */
    size_t count;
};

/*
 * All or none. Makes the directory of a Unix socket (mode 0755) when only that
 * is missing; it stays. Close with doors_close().
 */
MUST_CHECK enum err_code doors_open(struct doors *doors,
                                    const struct settings *settings,
                                    struct err *err);

/* Closes, and removes the Unix socket files. Twice is once. */
void doors_close(struct doors *doors);

#endif
