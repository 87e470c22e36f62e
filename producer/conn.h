#ifndef PRODUCER_CONN_H
#define PRODUCER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "producer/framing.h"
#include "producer/intake.h"
#include "producer/request.h"

/*
 * One stream connection, from accept to close. Requests are taken from it in
 * order and may be answered in any order; replies leave in order.
 *
 *              garbage, EOF, no time left        all answered and written
 *   CONN_OPEN ---------------------------> CONN_ENDING ---> CONN_LINGERING
 *       |                                      |                  |
 *       +------- error, idle, unread replies --+----- EOF, time --+-->
 * CONN_DEAD
 *
 * OPEN      requests are read
 * ENDING    nothing is read; what is under way is answered
 * LINGERING all is written and said so; what still comes is thrown away, so
 *           that the kernel does not take the last reply back (a close with
 *           unread bytes is a reset)
 * DEAD      closed; freed at the end of the turn
 *
 * Back-pressure. While limits.requests_in_flight are unanswered, one of them
 * waits for room, or more than CONN_REPLIES_MAX bytes of replies are not
 * taken, no request is taken and nothing is read.
 *
 * Memory. A request over INTAKE_SMALL_BYTES may have to wait before its rest
 * is read (producer/intake.h), or, being whole, before it is taken
 * (admission_is_loaded()): conn_set_wait(). Small ones never do.
 *
 * Fairness. In one turn of the loop at most CONN_TURN_REQUESTS, or requests
 * of CONN_TURN_BYTES, are taken; what was read beyond them waits for the next
 * turn, in which all others are served too, and nothing more is read before.
 * Of requests over INTAKE_SMALL_BYTES one is taken in a turn, of all
 * connections together: small ones wait for one message to be composed, not
 * for many.
 *
 * The last line of newline framing may lack its LF when the client ends its
 * side behind it.
 *
 * Time. limits.idle_ms after the last byte or reply, a connection with
 * nothing to do is closed. A request must be whole within limits.idle_ms from
 * its first byte plus a second for each CONN_SLOWEST_BYTES of it: else
 * bad_frame. A client that takes none of its replies for limits.idle_ms is
 * cut.
 *
 * Between turns a connection keeps what is incomplete and what was not taken
 * only; see intake.h for the bound of all.
 */
#define CONN_REPLIES_MAX   ((size_t)64 << 10)
#define CONN_TURN_REQUESTS 64
#define CONN_TURN_BYTES    ((size_t)64 << 10)
#define CONN_SLOWEST_BYTES 16384
#define CONN_LINGER_MS     2000

enum conn_phase {
    CONN_OPEN,
    CONN_ENDING,
    CONN_LINGERING,
    CONN_DEAD,
};

/* What a large request waits for. */
enum conn_wait {
    CONN_WAITS_FOR_NOTHING,
    CONN_WAITS_TO_READ,
    CONN_WAITS_TO_STORE, /* it is whole */
};

struct producer_listener;
struct conn_set;

struct conn {
    TAILQ_ENTRY(conn) in_all; /* or in the list of the dead */
    TAILQ_ENTRY(conn) in_dirty;
    bool dirty;
    uint64_t dirty_turn; /* the one to settle it in */
    struct conn_set *set;
    int fd;
    enum conn_phase phase;
    struct event readable;
    struct event writable;
    bool reads;  /* readable is added */
    bool writes; /* writable is added */

    const struct producer_listener *listener;
    char client[32];
    bool sees_all;
    bool surplus; /* over limits.connections: refused, then closed */
    bool eof;

    struct framing framing;
    struct intake in;
    uint64_t taken_turn;   /* which the next two are of */
    size_t taken_requests; /* in this turn */
    size_t taken_bytes;
    struct request_fifo requests;
    size_t in_flight;
    size_t held; /* of them waiting for room */
    enum conn_wait waits;
    int64_t waits_ms; /* since when */
    TAILQ_ENTRY(conn) in_waiting;
    size_t parked; /* bytes of replies behind an unanswered request */
    struct buf out;
    size_t written; /* bytes at the front of out */

    int64_t active_ms; /* last byte in, or out */
    int64_t begun_ms;  /* first byte of an incomplete request; 0: none */
    struct timer timer;
};

/* Takes fd. surplus: only to tell the client that there is no place. */
void conn_open(struct conn_set *set, int fd,
               const struct producer_listener *listener, bool surplus);

/* Takes and answers what can be, writes, and decides what to poll for. */
void conn_settle(struct conn *c);

/* Nothing more is read; what is under way is answered. */
void conn_end(struct conn *c);

/* Closes at once. The object lives until the end of the turn. */
void conn_cut(struct conn *c);

/* Refuses what is coming in with the word, then ends. */
void conn_refuse(struct conn *c, enum refusal_word word, const char *sentence);

#endif
