#include "config/host.h"

#include "core/net.h"

#define NAME_MAX_BYTES  253
#define LABEL_MAX_BYTES 63

static bool is_label(struct str label)
{
    if (label.len == 0 || label.len > LABEL_MAX_BYTES || label.data[0] == '-' ||
        label.data[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!ascii_is_alpha(label.data[i]) && !ascii_is_digit(label.data[i]) &&
            label.data[i] != '-' && label.data[i] != '_')
            return false;
    return true;
}

static bool is_number(struct str label)
{
    for (size_t i = 0; i < label.len; i++)
        if (!ascii_is_digit(label.data[i]))
            return false;
    return true;
}

bool host_is_name(struct str name)
{
    struct net_address address;
    struct str rest = name;
    struct str label;
    if (name.len == 0 || name.len > NAME_MAX_BYTES ||
        name.data[name.len - 1] == '.')
        return false;
    do {
        label = str_of(rest.data, str_find(rest, '.'));
        if (!is_label(label))
            return false;
        rest = str_after(rest, label.len + 1);
    } while (rest.len > 0);
    /* No top level domain is a number. */
    return !is_number(label) ||
           net_address_parse(name, 0, &address, NULL) == ERR_NONE;
}

static enum err_code split_port(struct str *host, unsigned *port,
                                struct err *err)
{
    struct str name;
    size_t bracket = str_find(*host, ']');
    struct str behind = str_after(*host, bracket == host->len ? 0 : bracket);
    if (str_find(behind, ':') == behind.len)
        return ERR_NONE;
    if (net_split_host_port(*host, &name, port, NULL) != ERR_NONE || *port == 0)
        return err_set(err, ERR_INVALID,
                       "what follows the host must be a port in 1 to 65535; "
                       "IPv6 addresses stand in brackets");
    host->len -= behind.len - str_find(behind, ':');
    return ERR_NONE;
}

static enum err_code check_host(struct str *host, struct err *err)
{
    struct net_address address;
    if (host->len > 2 && host->data[0] == '[' &&
        host->data[host->len - 1] == ']') {
        *host = str_of(host->data + 1, host->len - 2);
        if (str_find(*host, ':') == host->len ||
            net_address_parse(*host, 0, &address, NULL) != ERR_NONE)
            return err_set(err, ERR_INVALID,
                           "what stands in brackets is no IPv6 address");
        return ERR_NONE;
    }
    if (!host_is_name(*host))
        return err_set(err, ERR_INVALID,
                       "the host is neither a name nor an address (write an "
                       "international name in its xn-- form)");
    return ERR_NONE;
}

enum err_code host_parse_url(struct str text, struct host_url *out,
                             struct err *err)
{
    bool is_smtps = str_starts_nocase(text, STR("smtps://"));
    struct host_url url = {.is_smtps = is_smtps, .port = is_smtps ? 465 : 587};
    if (!is_smtps && !str_starts_nocase(text, STR("smtp://")))
        return err_set(err, ERR_INVALID,
                       "it must begin with smtps:// (TLS from the start) or "
                       "smtp:// (STARTTLS)");
    url.host = str_after(text, is_smtps ? 8 : 7);
    if (str_find(url.host, '@') < url.host.len)
        return err_set(err, ERR_INVALID,
                       "user and password do not belong there: use username "
                       "and password_file");
    if (str_find(url.host, '/') < url.host.len ||
        str_find(url.host, '?') < url.host.len ||
        str_find(url.host, '#') < url.host.len)
        return err_set(err, ERR_INVALID,
                       "nothing may follow the host and the port");
    enum err_code code = split_port(&url.host, &url.port, err);
    if (code == ERR_NONE)
        code = check_host(&url.host, err);
    if (code == ERR_NONE)
        *out = url;
    return code;
}
