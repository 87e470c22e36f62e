#ifndef PRODUCER_REQUEST_H
#define PRODUCER_REQUEST_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "core/mailbox.h"
#include "core/net.h"
#include "producer/answer.h"
#include "producer/timers.h"
#include "queue/spool.h"

/*
 * One request from its frame to its reply. The transport (conn.h, datagram.h)
 * makes it and gets it back with request_end(); in between an operation works
 * on it, maybe for long, maybe with the spool holding its address.
 *
 * Threads: the producer's only. What the spool calls on other threads fills
 * the fields marked so and passes the request to service_resume().
 */
struct request;
struct service;
struct producer_listener;

TAILQ_HEAD(request_line, request);
STAILQ_HEAD(request_fifo, request);

struct request_transport {
    bool stream;                /* may be held back; false: answered at once */
    enum refusal_word overflow; /* when a reply is too large for it */
    /* Where the reply's JSON is to be added. */
    struct buf *(*begin)(struct request *r);
    /* The reply is whole. The request belongs to the transport again. */
    void (*end)(struct request *r);
    /* While held, the client's further requests wait. Streams only. */
    void (*hold)(struct request *r, bool held);
};

/* Ancillary data of recvmsg(2): which of our addresses a datagram was for. */
struct datagram_here {
    _Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(
        sizeof(struct in6_pktinfo))];
    size_t len;
};

struct request {
    struct mailbox_item posted; /* first: the mailbox gives it back */
    void (*resume)(struct request *r);
    struct service *service;

    /* The transport's. */
    const struct request_transport *transport;
    STAILQ_ENTRY(request) next;
    void *owner;               /* NULL: the client is gone */
    struct net_address from;   /* of a datagram, */
    struct datagram_here here; /* and where it came to */
    struct buf reply;          /* until those before it are answered */
    bool done;

    /* Who asks. Strings live as long as the owner. */
    const char *client;
    bool sees_all;
    const struct producer_listener *listener;

    const char *op; /* for logs; NULL: not known yet */
    struct answer_ref ref;
    bool raw_follows; /* bytes that are no request come next: close */
    struct buf *out;  /* between begin and end */
    size_t json_at;

    /* A submit's (admission.h). */
    TAILQ_ENTRY(request) in_line; /* `wait` uses it too */
    struct job *job;
    struct spool_accepted accepted; /* filled on any thread */
    uint64_t order;
    int64_t deadline_ms;
    unsigned rooms;
    bool waits_for_room;

    /* Of status, cancel, wait, retry, drop (ops.h, watch.h, admin.h). */
    struct id id;
    struct id last; /* a list's: of those looked at; filled on any thread */
    bool watching;
    bool changed; /* filled on any thread */
    bool more;    /* likewise; a list's */
    struct spool_watch watch;
    struct spool_status *status; /* filled on any thread */
    struct spool_status **jobs;  /* likewise; a list's */
    size_t job_count;
    struct err err; /* likewise: of the spool's disk */
    struct timer timer;
};

/* Zeroed but for what is given; freed with request_free(). */
struct request *request_new(struct service *service,
                            const struct request_transport *transport,
                            void *owner);
void request_free(struct request *r);

/*
 * The reply: begin, add JSON to what it returns, end. After request_end() the
 * request may be gone.
 */
struct buf *request_begin(struct request *r);
void request_end(struct request *r);

/* Answers with a refusal, counts and logs it. The request may be gone then. */
void request_refuse(struct request *r, const struct refusal *refusal);

/* The same for a word and a sentence without a field. */
void request_refuse_word(struct request *r, enum refusal_word word,
                         const char *sentence);

/*
 * The spool's disk has failed (r->err): the request can be repeated. failed
 * says what could not be done.
 */
void request_refuse_disk(struct request *r, const char *failed);

/*
 * The client is gone (owner is NULL already). True: nobody holds the request,
 * the transport frees it. False: it comes back through its transport's end.
 */
bool request_abandon(struct request *r);

#endif
