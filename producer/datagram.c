#include "producer/datagram.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "core/mem.h"
#include "core/net.h"
#include "core/panic.h"
#include "producer/ops.h"

#define DATAGRAM_BYTES ((size_t)64 << 10)
#define REPLY_BYTES    65507 /* what IPv4 lets a datagram have */
#define PER_TURN       64    /* datagrams, so that streams get their turn */

/* ---- replies ---- */

static struct buf *begin_reply(struct request *r)
{
    struct datagram_door *door = r->owner;
    buf_truncate(&door->reply, 0);
    return &door->reply;
}

static void end_reply(struct request *r)
{
    struct datagram_door *door = r->owner;
    struct iovec reply = {door->reply.data, door->reply.len};
    const struct msghdr message = {.msg_name = &r->from.storage,
                                   .msg_namelen = r->from.len,
                                   .msg_iov = &reply,
                                   .msg_iovlen = 1,
                                   .msg_control = r->here.control,
                                   .msg_controllen = r->here.len};
    ssize_t n;
    do
        n = sendmsg(door->listener->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        metrics_add(door->service->options.metrics, METRIC_DATAGRAMS_DROPPED,
                    1);
    door->under_way--;
    request_free(r);
}

static void hold(struct request *r, bool held)
{
    (void)r;
    (void)held;
    PANIC("a datagram cannot wait");
}

static const struct request_transport datagrams = {
    .stream = false,
    .overflow = REFUSAL_TOO_LARGE,
    .begin = begin_reply,
    .end = end_reply,
    .hold = hold,
};

/* ---- requests ---- */

/*
 * On a socket that is bound to any address, the reply must come from the one
 * that was asked, or the client does not take it for one. IPv4 would also
 * bind it to the interface, by which the client need not be reached.
 */
static void keep_here(struct datagram_here *here, struct msghdr *message)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    here->len = 0;
    if (c == NULL || (message->msg_flags & MSG_CTRUNC) != 0)
        return;
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        info.ipi_ifindex = 0;
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    }
    here->len = message->msg_controllen;
    memcpy(here->control, message->msg_control, here->len);
}

static struct request *add_request(struct datagram_door *door,
                                   struct msghdr *message)
{
    struct request *r = request_new(door->service, &datagrams, door);
    memcpy(&r->from.storage, message->msg_name, message->msg_namelen);
    r->from.len = message->msg_namelen;
    keep_here(&r->here, message);
    r->client = "anonymous";
    r->sees_all = door->listener->admin;
    r->listener = door->listener;
    door->under_way++;
    return r;
}

static void run(struct datagram_door *door, struct msghdr *message, size_t len)
{
    const struct producer_limits *limits = &door->service->options.limits;
    struct request *r = add_request(door, message);
    char text[96];
    if (len == 0) {
        request_refuse_word(r, REFUSAL_BAD_FRAME, "the datagram is empty");
    } else if ((message->msg_flags & MSG_TRUNC) != 0) {
        request_refuse_word(r, REFUSAL_BAD_FRAME,
                            "the datagram came cut; use TCP for large mails");
    } else if (len > limits->frame_bytes) {
        (void)snprintf(text, sizeof(text),
                       "a request has more than %zu bytes (limits.frame)",
                       limits->frame_bytes);
        request_refuse_word(r, REFUSAL_TOO_LARGE, text);
    } else if (door->under_way > limits->pending_submits) {
        request_refuse_word(r, REFUSAL_QUEUE_FULL,
                            "too many datagrams are under way");
    } else {
        ops_run(r, str_of(door->block, len));
    }
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct datagram_door *door = ctx;
    (void)what;
    for (int i = 0; i < PER_TURN; i++) {
        struct sockaddr_storage from;
        struct datagram_here here;
        struct iovec room = {door->block, DATAGRAM_BYTES};
        struct msghdr message = {.msg_name = &from,
                                 .msg_namelen = sizeof(from),
                                 .msg_iov = &room,
                                 .msg_iovlen = 1,
                                 .msg_control = here.control,
                                 .msg_controllen = sizeof(here.control)};
        ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) /* none left; or an answer came back refused */
            return;
        metrics_add(door->service->options.metrics, METRIC_DATAGRAMS, 1);
        run(door, &message, (size_t)n);
    }
}

/* Without it replies still go out, from the address that routing chooses. */
static void ask_for_here(int fd)
{
    const int on = 1;
    struct net_address address;
    net_local_address(fd, &address);
    if (address.storage.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    else
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

void datagram_open(struct datagram_door *door, struct service *service,
                   const struct producer_listener *listener,
                   struct event_base *base)
{
    *door = (struct datagram_door){.service = service, .listener = listener};
    door->block = mem_alloc(DATAGRAM_BYTES);
    buf_init(&door->reply, REPLY_BYTES);
    ask_for_here(listener->fd);
    PANIC_IF(event_assign(&door->readable, base, listener->fd,
                          EV_READ | EV_PERSIST, on_readable, door) != 0);
    PANIC_IF(event_add(&door->readable, NULL) != 0);
}

void datagram_stop(struct datagram_door *door)
{
    (void)event_del(&door->readable);
}

void datagram_fini(struct datagram_door *door)
{
    PANIC_IF(door->under_way > 0);
    datagram_stop(door);
    buf_fini(&door->reply);
    mem_free(door->block);
}
