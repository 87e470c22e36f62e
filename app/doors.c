#include "app/doors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

static enum err_code open_inet(const struct settings_listen *listen, int *fd,
                               struct err *err)
{
    struct net_address address;
    enum err_code code = net_address_parse(str_from(listen->address),
                                           listen->port, &address, err);
    if (code != ERR_NONE)
        return code;
    if (listen->type == SETTINGS_LISTEN_UDP)
        return net_bind_udp(&address, fd, err);
    return net_listen_tcp(&address, fd, err);
}

/* /run is empty after each boot: our directory there is ours to make. */
static enum err_code make_directory_of(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return ERR_NONE;
    char *directory = mem_strdup(str_of(path, (size_t)(slash - path)));
    mode_t before = umask(0022);
    int failed = mkdir(directory, 0755) == 0 ? 0 : errno;
    (void)umask(before);
    enum err_code code = ERR_NONE;
    if (failed != 0 && failed != EEXIST)
        code = err_system(err, failed,
                          "the directory %s of a Unix socket is missing: make "
                          "it for the daemon's user, or choose another path in "
                          "listen; making it failed",
                          directory);
    mem_free(directory);
    return code;
}

static enum err_code open_unix(const struct settings_listen *listen, int *fd,
                               struct err *err)
{
    mode_t mode = (mode_t)listen->mode;
    enum err_code code = net_listen_unix(listen->path, mode, fd, err);
    if (code != ERR_NOT_FOUND)
        return code;
    code = make_directory_of(listen->path, err);
    return code == ERR_NONE ? net_listen_unix(listen->path, mode, fd, err)
                            : code;
}

static enum producer_listener_type type_of(enum settings_listen_type type)
{
    switch (type) {
    case SETTINGS_LISTEN_UDP:
        return PRODUCER_LISTENER_UDP;
    case SETTINGS_LISTEN_UNIX:
        return PRODUCER_LISTENER_UNIX;
    case SETTINGS_LISTEN_TCP:
        break;
    }
    return PRODUCER_LISTENER_TCP;
}

static enum err_code open_one(struct doors *doors, size_t i,
                              const struct settings_listen *listen,
                              struct err *err)
{
    struct producer_listener *l = &doors->listeners[i];
    struct net_address local;
    enum err_code code;
    if (listen->type == SETTINGS_LISTEN_UNIX) {
        code = open_unix(listen, &l->fd, err);
        if (code == ERR_NONE)
            doors->paths[i] = mem_strdup(str_from(listen->path));
    } else {
        code = open_inet(listen, &l->fd, err);
    }
    if (code != ERR_NONE)
        return code;
    l->type = type_of(listen->type);
    if (doors->paths[i] != NULL) {
        (void)snprintf(doors->names[i], NET_NAME_MAX, "unix:%s", listen->path);
    } else {
        net_local_address(l->fd, &local);
        net_address_name(&local, doors->names[i]);
    }
    l->name = doors->names[i];
    doors->count = i + 1;
    return ERR_NONE;
}

enum err_code doors_open(struct doors *doors, const struct settings *settings,
                         struct err *err)
{
    size_t count = settings->listen_count;
    enum err_code code = ERR_NONE;
    *doors = (struct doors){
        .listeners = mem_calloc(count, sizeof(*doors->listeners)),
        .names = mem_calloc(count, sizeof(*doors->names)),
        .paths = mem_calloc(count, sizeof(*doors->paths)),
    };
    for (size_t i = 0; i < count && code == ERR_NONE; i++)
        code = open_one(doors, i, &settings->listen[i], err);
    if (code != ERR_NONE)
        doors_close(doors);
    return code;
}

void doors_close(struct doors *doors)
{
    for (size_t i = 0; i < doors->count; i++) {
        (void)close(doors->listeners[i].fd);
        if (doors->paths[i] != NULL)
            (void)unlink(doors->paths[i]);
        mem_free(doors->paths[i]);
    }
    mem_free(doors->listeners);
    mem_free(doors->names);
    mem_free(doors->paths);
    *doors = (struct doors){0};
}
