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

/*
 * Without weights the first open relay in order takes the job. With weights
 * jobs are dealt out to the open ones, as evenly as the weights allow and
 * exactly over each period (as many jobs as the weights add up to). A relay
 * that is not open leaves its turns to the others; when it is open again the
 * dealing goes on from where it stood then, and it gets none of them back.
 */
struct route {
    const size_t *relays;    /* indexes into views */
    const unsigned *weights; /* by position; NULL: none */
    int64_t *credits;        /* by position, with weights; 0 at first */
    size_t count;
};

enum route_verdict {
    ROUTE_TAKE,    /* relay takes it */
    ROUTE_NO_ROOM, /* some relay will take it once its lane has room */
    ROUTE_WAIT,    /* all are shut, the first until until_ms */
};

struct route_choice {
    enum route_verdict verdict;
    size_t position; /* in the route; of TAKE, as the next */
    size_t relay;
    int64_t until_ms; /* of the other two: when one that is shut may open */
};

/* A route without relays waits for ever (until_ms INT64_MAX). */
struct route_choice route_choose(const struct route *route,
                                 const struct route_relay *views);

/* The choice was followed; views are those that it was made with. */
void route_taken(struct route *route, const struct route_relay *views,
                 const struct route_choice *choice);

#endif
