#include "app/sink/sink_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/sink/sink_summary.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/net.h"

#define ACCEPTS_PER_TURN 64
#define REFUSED_MAX      64U /* connections that may hear a 421 at once */
#define NS_PER_MS        1000000

static void report(const struct err *err)
{
    (void)fprintf(stderr, "postrider-sink: %s\n", err->text);
}

static void summarize(const struct sink_server *s)
{
    struct err err;
    int64_t uptime_ms = (clock_mono_ns() - s->started_ns) / NS_PER_MS;
    if (sink_summary_write(&s->sink, uptime_ms, &err) != ERR_NONE)
        report(&err);
}

static void on_signal(struct sink_source *source, uint32_t events)
{
    struct sink_server *s = (struct sink_server *)source;
    struct signalfd_siginfo info;
    (void)events;
    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGUSR1)
            summarize(s);
        else
            s->loop.stop = true;
    }
}

static void on_every(void *owner)
{
    struct sink_server *s = owner;
    int64_t step_ns = s->sink.options->every_ms * NS_PER_MS;
    summarize(s);
    /* From when it was due, not from now: they do not drift. */
    do
        s->next_ns += step_ns;
    while (s->next_ns <= s->loop.now_ns);
    sink_loop_at(&s->loop, &s->every, s->next_ns);
}

static void start_every(struct sink_server *s)
{
    sink_timer_init(&s->every, on_every, s);
    s->next_ns = s->started_ns + s->sink.options->every_ms * NS_PER_MS;
    if (s->sink.options->every_ms > 0)
        sink_loop_at(&s->loop, &s->every, s->next_ns);
}

/* No descriptor is left: take the connection to close it, or epoll spins. */
static void turn_away(struct sink_server *s, int listener)
{
    (void)close(s->spare_fd);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sink_counts_add(&s->sink.counts, SINK_COUNT_CONNECTIONS_REFUSED, 1);
}

static void admit(struct sink_server *s, int fd, enum sink_listener_kind kind)
{
    size_t limit = (size_t)s->sink.options->max_connections;
    bool refused = s->io.open_count >= limit;
    if (refused)
        sink_counts_add(&s->sink.counts, SINK_COUNT_CONNECTIONS_REFUSED, 1);
    if (s->io.open_count >= limit + REFUSED_MAX)
        (void)close(fd);
    else
        sink_conn_open(&s->io, fd, kind, refused);
}

static void on_door(struct sink_source *source, uint32_t events)
{
    const struct sink_door *door = (const struct sink_door *)source;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            admit(door->server, fd, door->kind);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE)
            turn_away(door->server, door->fd);
        if (errno == EAGAIN)
            return;
    }
}

static void on_turn_end(void *arg)
{
    struct sink_server *s = arg;
    sink_io_bury(&s->io);
    sink_log_flush(&s->sink.log);
}

static enum err_code open_door(struct sink_server *s,
                               const struct sink_listener *listener,
                               struct err *err)
{
    struct sink_door *door = &s->doors[s->door_count];
    *door = (struct sink_door){{on_door}, s, listener->kind, -1};
    enum err_code code = net_listen_tcp(&listener->address, &door->fd, err);
    if (code != ERR_NONE)
        return code;
    s->door_count++;
    return sink_loop_add(&s->loop, door->fd, EPOLLIN, &door->source, err);
}

static enum err_code watch_signals(struct sink_server *s, struct err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return err_system(err, errno, "cannot block signals");
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd < 0)
        return err_system(err, errno, "cannot wait for signals");
    return sink_loop_add(&s->loop, s->signal_fd, EPOLLIN, &s->signals, err);
}

/* As many descriptors as we may have: a connection is one. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static bool needs_tls(const struct sink_options *o)
{
    for (size_t i = 0; i < o->listener_count; i++)
        if (o->listeners[i].kind != SINK_LISTENER_SMTP)
            return true;
    return false;
}

static enum err_code open_all(struct sink_server *s, struct err *err)
{
    const struct sink_options *o = s->sink.options;
    enum err_code code = sink_loop_init(&s->loop, err);
    s->loop.turn_end = on_turn_end;
    s->loop.turn_arg = s;
    if (code == ERR_NONE)
        code = watch_signals(s, err);
    if (code == ERR_NONE)
        code = sink_store_init(&s->sink.store, o->dir, err);
    if (code == ERR_NONE)
        code = sink_log_init(&s->sink.log, o->log_file, err);
    for (size_t i = 0; code == ERR_NONE && i < o->listener_count; i++)
        code = open_door(s, &o->listeners[i], err);
    /* Last: the CA's file may be that of a sink that has our ports. */
    if (code == ERR_NONE && needs_tls(o))
        code = sink_tls_init(&s->tls, o, err);
    return code;
}

enum err_code sink_server_create(struct sink_server **out,
                                 struct sink_options *options, struct err *err)
{
    struct sink_server *s;
    MEM_NEW(s);
    s->signals.on_ready = on_signal;
    s->signal_fd = -1;
    s->loop.epoll_fd = s->loop.timer_fd = -1;
    s->sink.options = options;
    s->sink.store.tmp_fd = s->sink.store.new_fd = -1;
    s->sink.log.fd = -1;
    s->started_ns = clock_mono_ns();
    sink_tally_init(&s->sink.tally, (size_t)options->remember);
    sink_io_init(&s->io, &s->sink, &s->loop, &s->tls);
    raise_limit();
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    enum err_code code = open_all(s, err);
    if (code != ERR_NONE) {
        sink_server_destroy(s);
        return code;
    }
    *out = s;
    return ERR_NONE;
}

void sink_server_destroy(struct sink_server *s)
{
    if (s == NULL)
        return;
    sink_io_fini(&s->io);
    for (size_t i = 0; i < s->door_count; i++)
        (void)close(s->doors[i].fd);
    if (s->signal_fd >= 0)
        (void)close(s->signal_fd);
    if (s->spare_fd >= 0)
        (void)close(s->spare_fd);
    sink_tls_fini(&s->tls);
    sink_loop_fini(&s->loop);
    sink_log_fini(&s->sink.log);
    sink_store_fini(&s->sink.store);
    sink_tally_fini(&s->sink.tally);
    mem_free(s);
}

void sink_server_announce(const struct sink_server *s, FILE *out)
{
    (void)fputs("ready", out);
    for (size_t i = 0; i < s->door_count; i++) {
        struct net_address address;
        char name[NET_NAME_MAX];
        net_local_address(s->doors[i].fd, &address);
        net_address_name(&address, name);
        (void)fprintf(out, " %s=%s", sink_options_kind_name(s->doors[i].kind),
                      name);
    }
    (void)fputc('\n', out);
    (void)fflush(out);
}

void sink_server_run(struct sink_server *s)
{
    start_every(s);
    sink_loop_run(&s->loop);
    sink_loop_cancel(&s->loop, &s->every);
    /* First the ends of all connections, so that they are counted. */
    sink_io_fini(&s->io);
    sink_log_flush(&s->sink.log);
    summarize(s);
    sink_io_init(&s->io, &s->sink, &s->loop, &s->tls);
}
