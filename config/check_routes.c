#include <string.h>

#include "config/check.h"
#include "config/reader.h"
#include "config/suggest.h"
#include "core/mem.h"

#define ROUTES_MAX   64
#define JOINED_MAX   255
#define DEFAULT_NAME "default"

/* Index of the relay, or relay_count. */
static size_t find_relay(const struct settings *s, const char *name)
{
    size_t i = 0;
    while (i < s->relay_count &&
           (s->relays[i].name == NULL || strcmp(s->relays[i].name, name) != 0))
        i++;
    return i;
}

/* Whether name is names of relays one behind the other. */
static bool is_joined(const struct settings *s, const char *name)
{
    bool ends_at[JOINED_MAX + 1] = {true};
    size_t len = strlen(name);
    if (len > JOINED_MAX)
        return false;
    for (size_t at = 0; at < len; at++) {
        for (size_t i = 0; ends_at[at] && i < s->relay_count; i++) {
            struct str part = str_from(s->relays[i].name);
            if (part.len > 0 && str_starts(str_from(name + at), part))
                ends_at[at + part.len] = true;
        }
    }
    return ends_at[len];
}

static void unknown_relay(struct report *report, unsigned line,
                          const struct settings *s, const char *name)
{
    struct suggest suggest;
    suggest_init(&suggest, str_from(name));
    for (size_t i = 0; i < s->relay_count; i++)
        if (s->relays[i].name != NULL)
            suggest_offer(&suggest, str_from(s->relays[i].name));
    /* libconfig makes one string of several that have no comma between. */
    if (is_joined(s, name))
        report_problem(report, line,
                       "routes.relays: there is no relay \"%s\": is a comma "
                       "missing between two names?",
                       name);
    else if (suggest.best.len > 0)
        report_problem(report, line,
                       "routes.relays: there is no relay \"%s\": did you mean "
                       "\"%.*s\"?",
                       name, STR_ARG(suggest.best));
    else
        report_problem(report, line,
                       "routes.relays: there is no relay \"%s\": its name must "
                       "be in relays",
                       name);
}

static void resolve(struct report *report, const struct draft_names *names,
                    const struct settings *s, struct settings_route *route)
{
    route->relays = mem_calloc(names->count, sizeof(route->relays[0]));
    for (size_t i = 0; i < names->count; i++) {
        bool twice = false;
        size_t index = find_relay(s, names->items[i]);
        if (index == s->relay_count) {
            unknown_relay(report, names->lines[i], s, names->items[i]);
            continue;
        }
        for (size_t k = 0; k < route->relay_count; k++)
            twice = twice || route->relays[k] == index;
        if (twice)
            report_problem(report, names->lines[i],
                           "routes.relays has \"%s\" twice", names->items[i]);
        else
            route->relays[route->relay_count++] = index;
    }
}

/* As they stand there: names that are wrong have been complained of. */
static int length_of(const struct draft_route *d, const char *name)
{
    const config_setting_t *s = config_setting_get_member(d->group, name);
    return s == NULL ? 0 : config_setting_length(s);
}

static void weigh(struct report *report, const struct draft_route *d,
                  struct settings_route *route)
{
    const struct draft_ints *weights = &d->weights;
    int names = length_of(d, "relays");
    if (weights->items == NULL)
        return;
    if ((size_t)names != weights->count) {
        report_problem(report, reader_line(d->group, "weights"),
                       "routes.weights has %zu numbers and routes.relays %d "
                       "names: there must be one for each",
                       weights->count, names);
        return;
    }
    route->weights = mem_calloc(weights->count, sizeof(route->weights[0]));
    for (size_t i = 0; i < weights->count; i++)
        route->weights[i] = (unsigned)weights->items[i];
}

static void add_default(struct settings *s)
{
    struct settings_route *route = &s->routes[s->route_count++];
    route->name = mem_strdup(STR(DEFAULT_NAME));
    route->relays = mem_calloc(s->relay_count, sizeof(route->relays[0]));
    for (size_t i = 0; i < s->relay_count; i++)
        route->relays[route->relay_count++] = i;
}

static const struct settings_route *find_route(const struct settings *s,
                                               const char *name)
{
    for (size_t i = 0; i < s->route_count; i++)
        if (s->routes[i].name != NULL && strcmp(s->routes[i].name, name) == 0)
            return &s->routes[i];
    return NULL;
}

void check_routes(struct report *report, struct draft_route *drafts,
                  size_t count, struct settings *out)
{
    out->routes = mem_calloc(count + 1, sizeof(out->routes[0]));
    for (size_t i = 0; i < count; i++) {
        struct draft_route *d = &drafts[i];
        struct settings_route *route = &out->routes[out->route_count];
        unsigned line = reader_line(d->group, "name");
        if (d->name != NULL &&
            check_name(report, line, "routes.name", d->name) &&
            find_route(out, d->name) != NULL)
            report_problem(report, line,
                           "routes.name \"%s\" is there twice: names must "
                           "differ",
                           d->name);
        resolve(report, &d->relays, out, route);
        weigh(report, d, route);
        route->name = d->name;
        d->name = NULL;
        out->route_count++;
    }
    if (find_route(out, DEFAULT_NAME) != NULL)
        return;
    add_default(out);
    if (out->route_count > ROUTES_MAX)
        report_problem(report, reader_line(drafts[0].group, ""),
                       "routes has %zu entries and none is called \"default\", "
                       "which is added: there may be %d in all",
                       count, ROUTES_MAX);
}
