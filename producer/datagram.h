#ifndef PRODUCER_DATAGRAM_H
#define PRODUCER_DATAGRAM_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "core/buf.h"
#include "producer/service.h"

/*
 * A UDP listener: each datagram is one request, its reply one datagram to the
 * sender. Nothing waits here: what would, is refused at once. A reply that
 * the socket does not take now is dropped and counted.
 */
struct datagram_door {
    struct service *service;
    const struct producer_listener *listener;
    struct event readable;
    char *block;      /* one datagram */
    struct buf reply; /* being built */
    size_t under_way; /* datagrams that the spool has */
};

void datagram_open(struct datagram_door *door, struct service *service,
                   const struct producer_listener *listener,
                   struct event_base *base);

/* Takes no more datagrams; what is under way is answered. */
void datagram_stop(struct datagram_door *door);

/* Nothing may be under way. */
void datagram_fini(struct datagram_door *door);

#endif
