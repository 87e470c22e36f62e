#include "app/cli/client.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "app/cli/client_connect.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/panic.h"

#define READ_BYTES     65536U
#define UDP_RESEND_MS  1000
#define COMPACT_AT     (1U << 20)
#define LINE_END_BYTES 1U

struct client {
    const struct endpoint *endpoint;
    int fd;
    struct buf out;
    size_t sent; /* of out */
    struct buf in;
    size_t taken;   /* of in: lines the caller has had */
    size_t scanned; /* of in: no line end before here, behind taken */
    bool hung_up;   /* the daemon will send nothing more */
    bool deaf;      /* the daemon reads nothing more */
};

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static int poll_ms(int64_t until_ms)
{
    int64_t left = until_ms - now_ms();
    if (left < 0)
        return 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

enum err_code client_open(struct client **out, const struct endpoint *endpoint,
                          int64_t timeout_ms, struct err *err)
{
    int fd;
    struct client *c;
    enum err_code code = client_connect(endpoint, timeout_ms, &fd, err);
    if (code != ERR_NONE)
        return code;
    MEM_NEW(c);
    c->endpoint = endpoint;
    c->fd = fd;
    buf_init(&c->out, CLIENT_UNSENT_MAX);
    buf_init(&c->in, CLIENT_REPLY_MAX + LINE_END_BYTES);
    *out = c;
    return ERR_NONE;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    (void)close(client->fd);
    buf_fini(&client->out);
    buf_fini(&client->in);
    mem_free(client);
}

static void drop_sent(struct client *c)
{
    buf_consume(&c->out, c->sent);
    c->sent = 0;
}

enum err_code client_queue(struct client *client, struct str request,
                           struct err *err)
{
    size_t before;
    if (client->sent == client->out.len || client->sent >= COMPACT_AT)
        drop_sent(client);
    before = client->out.len;
    buf_add_str(&client->out, request);
    buf_add_char(&client->out, '\n');
    if (buf_ok(&client->out))
        return ERR_NONE;
    buf_truncate(&client->out, before);
    return err_set(err, ERR_FULL,
                   "more than %u MiB wait to be sent to the daemon",
                   CLIENT_UNSENT_MAX >> 20);
}

bool client_next(struct client *client, struct str *reply)
{
    size_t from = client->taken + client->scanned;
    struct str rest = str_after(buf_str(&client->in), from);
    size_t end = str_find(rest, '\n');
    client->scanned += end;
    if (end == rest.len)
        return false;
    struct str line = str_of(client->in.data + client->taken, client->scanned);
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    client->taken += client->scanned + 1;
    client->scanned = 0;
    *reply = line;
    return true;
}

static bool would_block(int failed)
{
    return failed == EAGAIN || failed == EINTR;
}

/*
 * A daemon that refuses a request may close before it has read all of it: its
 * answer is still to be read, so a failed write only ends the writing.
 */
static void write_some(struct client *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = write(c->fd, c->out.data + c->sent, c->out.len - c->sent);
        if (n < 0 && would_block(errno))
            return;
        if (n < 0) {
            c->deaf = true;
            return;
        }
        c->sent += (size_t)n;
    }
    drop_sent(c);
}

static enum err_code read_some(struct client *c, struct err *err)
{
    buf_consume(&c->in, c->taken);
    c->taken = 0;
    size_t room = c->in.max - c->in.len;
    size_t want = room < READ_BYTES ? room : READ_BYTES;
    char *to = want == 0 ? NULL : buf_reserve(&c->in, want);
    if (to == NULL)
        return err_set(err, ERR_INVALID,
                       "%s sent an answer longer than %u MiB: is that "
                       "postriderd?",
                       c->endpoint->text, CLIENT_REPLY_MAX >> 20);
    ssize_t n = read(c->fd, to, want);
    if (n > 0)
        c->in.len += (size_t)n;
    else if (n == 0 || !would_block(errno))
        c->hung_up = true;
    return ERR_NONE;
}

static enum err_code closed(const struct client *c, struct err *err)
{
    return err_set(err, ERR_CLOSED, "%s closed the connection%s",
                   c->endpoint->text,
                   c->in.len > c->taken ? " in the middle of an answer" : "");
}

static short wanted(const struct client *c)
{
    return c->sent < c->out.len && !c->deaf ? POLLIN | POLLOUT : POLLIN;
}

enum err_code client_step(struct client *client, struct pollfd *extra,
                          size_t extra_count, int64_t until_ms, struct err *err)
{
    struct pollfd p[1 + CLIENT_EXTRA_MAX] = {{.fd = -1}};
    PANIC_IF(extra_count > CLIENT_EXTRA_MAX);
    if (client != NULL && client->hung_up)
        return closed(client, err);
    if (client != NULL)
        p[0] = (struct pollfd){.fd = client->fd, .events = wanted(client)};
    for (size_t i = 0; i < extra_count; i++)
        p[1 + i] = extra[i];
    if (poll(p, (nfds_t)(1 + extra_count), poll_ms(until_ms)) < 0)
        return errno == EINTR ? ERR_NONE
                              : err_system(err, errno, "cannot wait");
    for (size_t i = 0; i < extra_count; i++)
        extra[i].revents = p[1 + i].revents;
    if ((p[0].revents & POLLOUT) != 0)
        write_some(client);
    if ((p[0].revents & ~POLLOUT) != 0)
        return read_some(client, err);
    return ERR_NONE;
}

static enum err_code no_answer(const struct client *c, struct err *err)
{
    return err_set(err, ERR_TIMEOUT,
                   "%s gave no answer within the time allowed (--timeout)",
                   c->endpoint->text);
}

static enum err_code call_stream(struct client *c, struct str request,
                                 int64_t until_ms, struct str *reply,
                                 struct err *err)
{
    enum err_code code = client_queue(c, request, err);
    if (code == ERR_FULL)
        return err_set(err, ERR_TOO_LARGE, "the request is larger than %u MiB",
                       CLIENT_UNSENT_MAX >> 20);
    write_some(c);
    while (!client_next(c, reply)) {
        if (now_ms() >= until_ms)
            return no_answer(c, err);
        code = client_step(c, NULL, 0, until_ms, err);
        if (code != ERR_NONE)
            return code;
    }
    return ERR_NONE;
}

static enum err_code send_datagram(const struct client *c, struct str request,
                                   struct err *err)
{
    if (write(c->fd, request.data, request.len) >= 0 || would_block(errno))
        return ERR_NONE;
    if (errno == EMSGSIZE)
        return err_set(err, ERR_TOO_LARGE,
                       "the request has %zu bytes, a datagram at most %u: "
                       "use unix:PATH or tcp:HOST:PORT",
                       request.len, CLIENT_DATAGRAM_MAX);
    return err_system(err, errno, "cannot reach %s", c->endpoint->text);
}

/* ERR_AGAIN when none has come by until_ms. */
static enum err_code receive_datagram(struct client *c, int64_t until_ms,
                                      struct str *reply, struct err *err)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    if (poll(&p, 1, poll_ms(until_ms)) <= 0)
        return ERR_AGAIN;
    buf_truncate(&c->in, 0);
    char *to = buf_reserve(&c->in, READ_BYTES);
    ssize_t n = to == NULL ? -1 : read(c->fd, to, READ_BYTES);
    if (n < 0 && would_block(errno))
        return ERR_AGAIN;
    if (n < 0)
        return err_system(err, errno, "cannot reach %s", c->endpoint->text);
    *reply = str_trim(str_of(to, (size_t)n));
    return ERR_NONE;
}

static enum err_code call_udp(struct client *c, struct str request,
                              int64_t until_ms, struct str *reply,
                              struct err *err)
{
    int64_t pause_ms = UDP_RESEND_MS;
    enum err_code code = ERR_AGAIN;
    while (code == ERR_AGAIN && now_ms() < until_ms) {
        int64_t again_ms = now_ms() + pause_ms;
        code = send_datagram(c, request, err);
        while (code == ERR_NONE || code == ERR_AGAIN) {
            int64_t step_ms = again_ms < until_ms ? again_ms : until_ms;
            code = receive_datagram(c, step_ms, reply, err);
            if (code != ERR_AGAIN || now_ms() >= step_ms)
                break;
        }
        pause_ms *= 2;
    }
    return code == ERR_AGAIN ? no_answer(c, err) : code;
}

enum err_code client_call(struct client *client, struct str request,
                          int64_t until_ms, struct str *reply, struct err *err)
{
    return client->endpoint->kind == ENDPOINT_UDP
               ? call_udp(client, request, until_ms, reply, err)
               : call_stream(client, request, until_ms, reply, err);
}
