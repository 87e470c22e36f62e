#ifndef CONSUMER_ROUTE_H
#define CONSUMER_ROUTE_H

#include <stddef.h>
#include <stdint.h>

/* Which relay of a route takes the next job. Pure. */
enum route_relay_state {
    ROUTE_RELAY_OPEN, /* usable, and its lane has room */
    ROUTE_RELAY_FULL, /* usable, but its lane is full */
    ROUTE_RELAY_SHUT, /* not usable before until_ms */
};

struct route_relay {
    enum route_relay_state state;
    int64_t until_ms; /* of SHUT */
};

enum route_verdict {
    ROUTE_TAKE,    /* relay takes it */
    ROUTE_NO_ROOM, /* some relay will take it once its lane has room */
    ROUTE_WAIT,    /* all are shut, the first until until_ms */
};

struct route_choice {
    enum route_verdict verdict;
    size_t relay;
    int64_t until_ms;
};

/*
 * The first open relay in the route's order. relays are indexes into views.
 * A route without relays waits for ever (until_ms INT64_MAX).
 */
struct route_choice route_choose(const size_t *relays, size_t count,
                                 const struct route_relay *views);

#endif
