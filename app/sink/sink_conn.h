#ifndef APP_SINK_SINK_CONN_H
#define APP_SINK_SINK_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "app/sink/sink_line.h"
#include "app/sink/sink_loop.h"
#include "app/sink/sink_session.h"
#include "app/sink/sink_tls.h"

/*
 * One accepted connection: socket, latency line, TLS and the session, in this
 * order. Everything is non-blocking.
 *
 *   WAITING --line's 3 latencies--> HANDSHAKE or OPEN
 *   HANDSHAKE --done--> OPEN --STARTTLS--> HANDSHAKE
 *   any --drop, reset--> ENDING --all sent--> DEAD
 *   any --polite close--> ENDING --all sent--> LINGER --peer closes--> DEAD
 *   any --stall--> STALLED --peer closes--> DEAD
 */
enum sink_phase {
    SINK_PHASE_WAITING,
    SINK_PHASE_HANDSHAKE,
    SINK_PHASE_OPEN,
    SINK_PHASE_STALLED,
    SINK_PHASE_ENDING,
    SINK_PHASE_LINGER,
    SINK_PHASE_DEAD,
};

TAILQ_HEAD(sink_conn_list, sink_conn);

/* What all connections share; one thread's. */
struct sink_io {
    struct sink *sink;
    struct sink_loop *loop;
    struct sink_tls *tls; /* NULL: no TLS listener */
    int64_t latency_ns;   /* each way */
    char *raw;            /* one read from a socket */
    char *plain;          /* what a session is fed with */
    struct buf wire;      /* bytes for a socket */
    struct sink_conn_list open;
    struct sink_conn_list dead; /* freed at the end of the turn */
    size_t line_bytes;          /* in all lines together */
    size_t open_count;
};

struct sink_conn {
    struct sink_source source; /* first */
    struct sink_io *io;
    int fd;
    uint32_t events; /* as epoll knows them */
    enum sink_phase phase;
    enum sink_end end;
    SSL *ssl;
    struct sink_tls_pipe pipe;
    struct sink_line in;
    struct sink_line out;
    struct buf partial; /* plain bytes the session could not use yet */
    bool read_ended;    /* the socket has no more */
    struct sink_timer timer;
    int64_t start_ns; /* when the peer counts as connected */
    int64_t hold_ns;  /* end of a held reply; INT64_MAX: none */
    int64_t idle_ns;  /* when it is idle for too long */
    struct sink_session session;
    TAILQ_ENTRY(sink_conn) links;
};

void sink_io_init(struct sink_io *io, struct sink *sink, struct sink_loop *loop,
                  struct sink_tls *tls);

/* Closes all connections. */
void sink_io_fini(struct sink_io *io);

/* Frees what died in this turn. */
void sink_io_bury(struct sink_io *io);

/* Takes fd. refused: greet with 421. */
void sink_conn_open(struct sink_io *io, int fd, enum sink_listener_kind kind,
                    bool refused);

#endif
