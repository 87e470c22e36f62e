#ifndef PRODUCER_LISTENER_H
#define PRODUCER_LISTENER_H

#include <stdbool.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "producer/conn_set.h"

/*
 * A stream listener: accepts and passes on. When the process has no more
 * descriptors or memory, it pauses for LISTENER_PAUSE_MS instead of spinning,
 * and says so in the log; clients wait in the kernel's queue.
 */
#define LISTENER_PAUSE_MS 200

struct listener {
    struct conn_set *set;
    const struct producer_listener *options;
    struct event readable;
    struct timer again;
    bool stopped;
};

void listener_open(struct listener *l, struct conn_set *set,
                   const struct producer_listener *options);

/* Accepts nobody any more. Twice is once. */
void listener_stop(struct listener *l);

#endif
