#include "app/cli/endpoint.h"

#include "core/net.h"

static enum err_code parse_unix(const char *text, struct endpoint *out,
                                struct err *err)
{
    struct net_address address;
    const char *path = text + sizeof("unix:") - 1;
    if (*path == '\0')
        return err_set(err, ERR_INVALID, "\"%s\" has no path behind \"unix:\"",
                       text);
    enum err_code code = net_address_unix(path, &address, err);
    if (code == ERR_NONE)
        *out = (struct endpoint){
            .kind = ENDPOINT_UNIX, .text = text, .path = path};
    return code;
}

static enum err_code parse_inet(enum endpoint_kind kind, const char *text,
                                struct endpoint *out, struct err *err)
{
    struct endpoint e = {.kind = kind, .text = text};
    struct str rest = str_from(text + sizeof("tcp:") - 1);
    enum err_code code = net_split_host_port(rest, &e.host, &e.port, err);
    if (code != ERR_NONE)
        return err_prefix(err, "address \"%s\"", text);
    if (e.port == 0)
        return err_set(err, ERR_INVALID,
                       "address \"%s\": nobody can be reached at port 0", text);
    *out = e;
    return ERR_NONE;
}

enum err_code endpoint_parse(const char *text, struct endpoint *out,
                             struct err *err)
{
    struct str s = str_from(text);
    if (str_starts(s, STR("unix:")))
        return parse_unix(text, out, err);
    if (str_starts(s, STR("tcp:")))
        return parse_inet(ENDPOINT_TCP, text, out, err);
    if (str_starts(s, STR("udp:")))
        return parse_inet(ENDPOINT_UDP, text, out, err);
    return err_set(err, ERR_INVALID,
                   "\"%s\" is no address: write unix:PATH, tcp:HOST:PORT or "
                   "udp:HOST:PORT",
                   text);
}

const char *endpoint_choose(const char *given, const char *environment)
{
    if (given != NULL)
        return given;
    if (environment != NULL && *environment != '\0')
        return environment;
    return ENDPOINT_DEFAULT;
}
