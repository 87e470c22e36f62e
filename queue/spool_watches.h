#ifndef QUEUE_SPOOL_WATCHES_H
#define QUEUE_SPOOL_WATCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "core/id.h"
#include "core/map.h"
#include "queue/spool.h"

/*
 * Who watches which job of a durable spool. A watch is registered before the
 * spool has looked whether there is anything to wait for: until then it is
 * `asked`, can be taken back, and is told nothing.
 *
 * Ownership: watches are their owners', nodes this folder's.
 * Threads: guarded by the spool's lock.
 */
struct spool_watch_node {
    struct map_item by_id;
    STAILQ_ENTRY(spool_watch_node) next; /* among those to be told */
    struct spool_watch *watch;           /* NULL: taken back while asked */
    struct id id;
    bool asked;
};

STAILQ_HEAD(spool_watch_nodes, spool_watch_node);

/* Registers the watch as asked. */
struct spool_watch_node *spool_watches_add(struct map *watches,
                                           struct spool_watch *watch);

/* spool_unwatch(). */
bool spool_watches_remove(struct map *watches, struct spool_watch *watch);

/*
 * The end of asking. waits: it stays. Otherwise it is taken out, and the
 * result is the watch to be called, or NULL; the node is freed then.
 */
struct spool_watch *spool_watches_asked(struct map *watches,
                                        struct spool_watch_node *node,
                                        bool waits);

/* Takes all that wait for this job out, into *out. */
void spool_watches_take(struct map *watches, const struct id *id,
                        struct spool_watch_nodes *out);

#endif
