#include "queue/spool_watches.h"

#include <string.h>

#include "core/mem.h"
#include "core/panic.h"

static struct spool_watch_node *node_of(struct map_item *item)
{
    return CONTAINER_OF(item, struct spool_watch_node, by_id);
}

struct spool_watch_node *spool_watches_add(struct map *watches,
                                           struct spool_watch *watch)
{
    struct spool_watch_node *node;
    MEM_NEW(node);
    node->watch = watch;
    node->id = watch->id;
    node->asked = true;
    watch->waiting = true;
    map_add(watches, &node->by_id, map_hash(watches, watch->id.text, ID_LEN));
    return node;
}

bool spool_watches_remove(struct map *watches, struct spool_watch *watch)
{
    if (!watch->waiting)
        return false;
    struct map_item *item =
        map_first(watches, map_hash(watches, watch->id.text, ID_LEN));
    while (item != NULL && node_of(item)->watch != watch)
        item = map_next(item);
    PANIC_IF(item == NULL);
    struct spool_watch_node *node = node_of(item);
    map_remove(watches, item);
    watch->waiting = false;
    node->watch = NULL;
    if (!node->asked)
        mem_free(node);
    return true;
}

struct spool_watch *spool_watches_asked(struct map *watches,
                                        struct spool_watch_node *node,
                                        bool waits)
{
    struct spool_watch *watch = node->watch;
    node->asked = false;
    if (watch != NULL && waits)
        return NULL;
    if (watch != NULL) {
        map_remove(watches, &node->by_id);
        watch->waiting = false;
    }
    mem_free(node);
    return watch;
}

void spool_watches_take(struct map *watches, const struct id *id,
                        struct spool_watch_nodes *out)
{
    struct map_item *item =
        map_first(watches, map_hash(watches, id->text, ID_LEN));
    while (item != NULL) {
        struct spool_watch_node *node = node_of(item);
        item = map_next(item);
        if (node->asked || memcmp(node->id.text, id->text, ID_LEN) != 0)
            continue;
        map_remove(watches, &node->by_id);
        node->watch->waiting = false;
        STAILQ_INSERT_TAIL(out, node, next);
    }
}
