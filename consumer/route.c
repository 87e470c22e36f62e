#include "consumer/route.h"

struct route_choice route_choose(const size_t *relays, size_t count,
                                 const struct route_relay *views)
{
    struct route_choice choice = {
        .verdict = ROUTE_WAIT,
        .until_ms = INT64_MAX,
    };
    for (size_t i = 0; i < count; i++) {
        const struct route_relay *view = &views[relays[i]];
        switch (view->state) {
        case ROUTE_RELAY_OPEN:
            choice.verdict = ROUTE_TAKE;
            choice.relay = relays[i];
            return choice;
        case ROUTE_RELAY_FULL:
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
