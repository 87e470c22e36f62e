#include "producer/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "core/log.h"
#include "core/net.h"
#include "core/panic.h"

#define PER_TURN 64 /* connections, so that others get their turn */

/* What one peer did, or what a signal did: the next may be fine. */
static bool is_of_one_peer(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO ||
           error == EPERM || error == ENETDOWN || error == ENETUNREACH ||
           error == EHOSTDOWN || error == EHOSTUNREACH || error == ENONET;
}

static void pause_accepting(struct listener *l, int error)
{
    log_event(LOG_LEVEL_WARNING, "listener.paused",
              LOG_TEXT("listener", l->options->name),
              LOG_TEXT("reason", strerrordesc_np(error)),
              LOG_INT("pause_ms", LISTENER_PAUSE_MS));
    (void)event_del(&l->readable);
    timers_set(&l->set->service->timers, &l->again,
               service_mono_ms(l->set->service) + LISTENER_PAUSE_MS);
}

static void accept_again(void *ctx)
{
    struct listener *l = ctx;
    if (!l->stopped)
        PANIC_IF(event_add(&l->readable, NULL) != 0);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct listener *l = ctx;
    (void)what;
    for (int i = 0; i < PER_TURN; i++) {
        int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer < 0 && (errno == EAGAIN))
            return;
        if (peer < 0 && is_of_one_peer(errno))
            continue;
        if (peer < 0) {
            pause_accepting(l, errno);
            return;
        }
        if (l->options->type == PRODUCER_LISTENER_TCP)
            net_set_nodelay(peer);
        conn_set_accept(l->set, peer, l->options);
    }
}

void listener_open(struct listener *l, struct conn_set *set,
                   const struct producer_listener *options)
{
    *l = (struct listener){.set = set, .options = options};
    timer_init(&l->again, accept_again, l);
    PANIC_IF(event_assign(&l->readable, set->base, options->fd,
                          EV_READ | EV_PERSIST, on_readable, l) != 0);
    PANIC_IF(event_add(&l->readable, NULL) != 0);
}

void listener_stop(struct listener *l)
{
    l->stopped = true;
    (void)event_del(&l->readable);
    timers_cancel(&l->set->service->timers, &l->again);
}
