#include "consumer/route.h"

/* Smooth weighted round robin: most credit first, with this turn's weight. */
static int64_t claim_of(const struct route *route, size_t position)
{
    if (route->weights == NULL)
        return 0;
    return route->credits[position] + (int64_t)route->weights[position];
}

struct route_choice route_choose(const struct route *route,
                                 const struct route_relay *views)
{
    struct route_choice choice = {
        .verdict = ROUTE_WAIT,
        .until_ms = INT64_MAX,
    };
    for (size_t i = 0; i < route->count; i++) {
        const struct route_relay *view = &views[route->relays[i]];
        switch (view->state) {
        case ROUTE_RELAY_OPEN:
            if (choice.verdict == ROUTE_TAKE &&
                claim_of(route, i) <= claim_of(route, choice.position))
                break;
            choice.verdict = ROUTE_TAKE;
            choice.position = i;
            choice.relay = route->relays[i];
            break;
        case ROUTE_RELAY_FULL:
            if (choice.verdict == ROUTE_WAIT)
                choice.verdict = ROUTE_NO_ROOM;
            break;
        case ROUTE_RELAY_SHUT:
            if (view->until_ms < choice.until_ms)
                choice.until_ms = view->until_ms;
            break;
        }
    }
    return choice;
}

void route_taken(struct route *route, const struct route_relay *views,
                 const struct route_choice *choice)
{
    if (route->weights == NULL)
        return;
    for (size_t i = 0; i < route->count; i++) {
        if (views[route->relays[i]].state != ROUTE_RELAY_OPEN)
            continue;
        route->credits[i] += (int64_t)route->weights[i];
        route->credits[choice->position] -= (int64_t)route->weights[i];
    }
}
