#include <string.h>

#include "config/check.h"
#include "config/reader.h"
#include "core/mem.h"
#include "core/net.h"

#define DEFAULT_ADDRESS "127.0.0.1"
#define DEFAULT_PATH    "/run/postrider/postrider.sock"
#define DEFAULT_PORT    7788
#define DEFAULT_MODE    0660

/* A key that this type of listener has no use for. */
static void refuse_key(struct report *report, const struct draft_listen *d,
                       const char *name)
{
    if (config_setting_get_member(d->group, name) != NULL)
        report_problem(report, reader_line(d->group, name),
                       "listen.%s has no meaning for type \"%s\": take it out",
                       name, d->type);
}

static void check_unix(struct report *report, struct draft_listen *d,
                       struct settings_listen *out)
{
    struct net_address address;
    struct err err;
    out->type = SETTINGS_LISTEN_UNIX;
    out->mode = (unsigned)d->mode;
    refuse_key(report, d, "address");
    refuse_key(report, d, "port");
    refuse_key(report, d, "insecure");
    out->path = d->path != NULL ? d->path : mem_strdup(STR(DEFAULT_PATH));
    d->path = NULL;
    if (net_address_unix(out->path, &address, &err) != ERR_NONE)
        report_problem(report, reader_line(d->group, "path"), "listen.path: %s",
                       err.text);
}

static void check_inet(struct report *report, struct draft_listen *d,
                       struct settings_listen *out)
{
    struct net_address address;
    struct err err;
    unsigned line = reader_line(d->group, "address");
    bool is_udp = strcmp(d->type, "udp") == 0;
    out->type = is_udp ? SETTINGS_LISTEN_UDP : SETTINGS_LISTEN_TCP;
    out->port = (unsigned)d->port;
    out->insecure = d->insecure;
    refuse_key(report, d, "path");
    refuse_key(report, d, "mode");
    out->address =
        d->address != NULL ? d->address : mem_strdup(STR(DEFAULT_ADDRESS));
    d->address = NULL;
    if (net_address_parse(str_from(out->address), out->port, &address, &err) !=
        ERR_NONE)
        report_problem(report, line, "listen.address: %s", err.text);
    else if (net_address_is_loopback(&address))
        return;
    else if (d->insecure)
        report_warning(report, line,
                       "anyone who reaches %s %s port %u may send mail: it is "
                       "insecure = true and clients are not authenticated",
                       d->type, out->address, out->port);
    else
        report_problem(report, line,
                       "listen.address %s can be reached from other machines "
                       "and clients are not authenticated: use 127.0.0.1, or "
                       "allow it with insecure = true",
                       out->address);
}

static bool is_same(const struct settings_listen *a,
                    const struct settings_listen *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == SETTINGS_LISTEN_UNIX)
        return strcmp(a->path, b->path) == 0;
    return a->port != 0 && a->port == b->port &&
           strcmp(a->address, b->address) == 0;
}

static void add_default(struct settings *out, enum settings_listen_type type)
{
    bool is_unix = type == SETTINGS_LISTEN_UNIX;
    struct settings_listen *l = &out->listen[out->listen_count++];
    l->type = type;
    if (is_unix) {
        l->path = mem_strdup(STR(DEFAULT_PATH));
        l->mode = DEFAULT_MODE;
    } else {
        l->address = mem_strdup(STR(DEFAULT_ADDRESS));
        l->port = DEFAULT_PORT;
    }
}

void check_listen(struct report *report, struct draft_listen *drafts,
                  size_t count, struct settings *out)
{
    out->listen = mem_calloc(count == 0 ? 3 : count, sizeof(out->listen[0]));
    if (count == 0) {
        add_default(out, SETTINGS_LISTEN_TCP);
        add_default(out, SETTINGS_LISTEN_UDP);
        add_default(out, SETTINGS_LISTEN_UNIX);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct draft_listen *d = &drafts[i];
        struct settings_listen *l = &out->listen[out->listen_count];
        if (d->type == NULL)
            continue; /* reported when it was read */
        if (strcmp(d->type, "unix") == 0)
            check_unix(report, d, l);
        else
            check_inet(report, d, l);
        for (size_t k = 0; k < out->listen_count; k++)
            if (is_same(l, &out->listen[k]))
                report_problem(report, reader_line(d->group, ""),
                               "listen has this %s address twice", d->type);
        out->listen_count++;
    }
}
