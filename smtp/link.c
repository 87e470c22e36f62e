#include "smtp/link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "core/panic.h"
#include "smtp/content.h"

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct smtp_link *link = ctx;
    link->hooks->readable(link->ctx);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct smtp_link *link = ctx;
    link->hooks->writable(link->ctx);
}

enum err_code smtp_link_open(struct smtp_link *link, struct event_base *base,
                             CURL *easy, int fd)
{
    link->easy = easy;
    link->written = 0;
    link->base = 0;
    buf_init(&link->out, SMTP_CONTENT_SLICE);
    PANIC_IF(buf_reserve(&link->out, SMTP_CONTENT_SLICE) == NULL);
    /* It is never taken out: one system call a session, not one a reply. */
    link->readable =
        event_new(base, fd, EV_READ | EV_PERSIST, on_readable, link);
    link->writable = event_new(base, fd, EV_WRITE, on_writable, link);
    if (link->readable == NULL || link->writable == NULL ||
        event_add(link->readable, NULL) != 0) {
        smtp_link_close(link);
        return ERR_SYSTEM;
    }
    return ERR_NONE;
}

void smtp_link_close(struct smtp_link *link)
{
    if (link->readable != NULL)
        event_free(link->readable);
    if (link->writable != NULL)
        event_free(link->writable);
    link->readable = NULL;
    link->writable = NULL;
    link->easy = NULL;
    buf_fini(&link->out);
    link->base += link->written;
    link->written = 0;
}

struct buf *smtp_link_begin(struct smtp_link *link)
{
    PANIC_IF(smtp_link_is_pending(link));
    buf_truncate(&link->out, 0);
    link->base += link->written;
    link->written = 0;
    return &link->out;
}

bool smtp_link_is_pending(const struct smtp_link *link)
{
    return link->written < link->out.len;
}

enum err_code smtp_link_flush(struct smtp_link *link)
{
    while (smtp_link_is_pending(link)) {
        size_t n = 0;
        CURLcode rc = curl_easy_send(link->easy, link->out.data + link->written,
                                     link->out.len - link->written, &n);
        if (rc == CURLE_AGAIN || (rc == CURLE_OK && n == 0))
            return ERR_AGAIN;
        if (rc != CURLE_OK)
            return ERR_CLOSED;
        link->written += n;
    }
    return ERR_NONE;
}

void smtp_link_await_writable(struct smtp_link *link)
{
    /* If it cannot be watched, the stage's deadline ends the session. */
    (void)event_add(link->writable, NULL);
}

void smtp_link_confirm(struct smtp_link *link)
{
    const int on = 1;
    /* It lasts until we write the next time; without it we are slower. */
    (void)setsockopt(event_get_fd(link->readable), IPPROTO_TCP, TCP_QUICKACK,
                     &on, sizeof(on));
}

enum err_code smtp_link_read(struct smtp_link *link, char *out, size_t size,
                             size_t *got)
{
    *got = 0;
    CURLcode rc = curl_easy_recv(link->easy, out, size, got);
    if (rc == CURLE_AGAIN)
        return ERR_AGAIN;
    if (rc != CURLE_OK || *got == 0)
        return ERR_CLOSED;
    return ERR_NONE;
}
