#ifndef SMTP_LINK_H
#define SMTP_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <curl/curl.h>

#include "core/buf.h"
#include "core/err.h"

/*
 * Inside smtp/ only: the bytes of a connection that libcurl made, in our own
 * event loop. What is to be written lies in `out`, whose memory never moves:
 * over TLS a write that could not be done must be tried again with the same
 * bytes at the same place.
 */
struct event;
struct event_base;

struct smtp_link_hooks {
    void (*readable)(void *ctx);
    void (*writable)(void *ctx); /* once for each smtp_link_await_writable */
};

struct smtp_link {
    CURL *easy; /* borrowed; NULL: closed */
    const struct smtp_link_hooks *hooks;
    void *ctx;
    struct event *readable;
    struct event *writable;
    struct buf out;
    size_t written; /* of out */
    uint64_t base;  /* bytes written before out */
};

/* ERR_SYSTEM when the socket cannot be watched. */
MUST_CHECK enum err_code smtp_link_open(struct smtp_link *link,
                                        struct event_base *base, CURL *easy,
                                        int fd);

/*
 * Before libcurl closes the socket. Again, or on a zeroed link: nothing.
 * smtp_link_accepted() stays as it was.
 */
void smtp_link_close(struct smtp_link *link);

/*
 * For a new flight of commands, or a slice: empty, with room for
 * SMTP_CONTENT_SLICE bytes. Nothing may be pending.
 */
struct buf *smtp_link_begin(struct smtp_link *link);

/*
 * Places in the stream of all that we write, from 0: up to where the
 * connection has taken it, and the end of what lies in out.
 */
static inline uint64_t smtp_link_accepted(const struct smtp_link *link)
{
    return link->base + link->written;
}

static inline uint64_t smtp_link_end(const struct smtp_link *link)
{
    return link->base + link->out.len;
}

/* Whether something of out is not written. */
bool smtp_link_is_pending(const struct smtp_link *link);

/*
 * Writes what is pending. ERR_NONE: all of it was accepted; ERR_AGAIN: call
 * again when writable; ERR_CLOSED: the connection is lost.
 */
MUST_CHECK enum err_code smtp_link_flush(struct smtp_link *link);

/* hooks->writable once, when there is room. */
void smtp_link_await_writable(struct smtp_link *link);

/*
 * Has the kernel confirm at once what was read, when we wait for more and have
 * nothing to say: a server that leaves Nagle's algorithm on (RFC 1122 section
 * 4.2.3.4; seen with Postfix) keeps its next reply back until then; else that
 * takes the kernel 40 ms.
 */
void smtp_link_confirm(struct smtp_link *link);

/* ERR_NONE with *got > 0, ERR_AGAIN, or ERR_CLOSED. */
MUST_CHECK enum err_code smtp_link_read(struct smtp_link *link, char *out,
                                        size_t size, size_t *got);

#endif
