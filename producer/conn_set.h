#ifndef PRODUCER_CONN_SET_H
#define PRODUCER_CONN_SET_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include "producer/conn.h"
#include "producer/service.h"

/*
 * All stream connections of a producer, and what they share.
 *
 * Up to limits.connections are served; CONN_SET_SURPLUS more are kept for a
 * moment to be told rate_limited in their own framing; what comes beyond is
 * told so in newline framing and closed at once. From CONN_SET_RESERVE_MIN on,
 * one of CONN_SET_RESERVE places is for Unix sockets only: who administrates
 * must get in when others have taken all they can get.
 *
 * Connections whose large request has to wait for memory stand in line, and
 * go on when there is some. The request that has been coming in for longest
 * never has to wait; but when others do, for limits.full_wait, and in all
 * that time no large one became whole, it is refused with rate_limited. So a
 * slow one makes way for quick ones.
 */
#define CONN_SET_RESERVE     16
#define CONN_SET_RESERVE_MIN 4
#define CONN_SET_SURPLUS     32

TAILQ_HEAD(conn_list, conn);

struct conn_set {
    struct service *service;
    struct event_base *base;
    struct intake_pool pool;
    struct conn_list all;
    struct conn_list dirty; /* to be settled at the end of a turn */
    uint64_t turn;
    uint64_t large_turn; /* in which a large request was taken last */
    struct conn_list dead;
    size_t count;
    size_t served; /* of them, those that are not surplus */
    bool full;     /* one was surplus, and since then there was no place */
    int64_t linger_ms;
    struct conn_list waiting;
    struct timer patience;
    size_t ended; /* pool.ended when patience was set */
};

void conn_set_init(struct conn_set *set, struct service *service,
                   struct event_base *base);

/* Cuts and frees all. */
void conn_set_fini(struct conn_set *set);

/* Takes fd, a connected stream socket that is non-blocking. */
void conn_set_accept(struct conn_set *set, int fd,
                     const struct producer_listener *listener);

/* At the end of each turn: settles what changed and frees what is closed. */
void conn_set_turn(struct conn_set *set);

/* Some have to go on at once: the next turn must not wait for events. */
bool conn_set_has_more(const struct conn_set *set);

/* To be settled at the end of this turn. */
void conn_set_mark(struct conn_set *set, struct conn *c);

/* To be settled at the end of the next one. */
void conn_set_mark_next(struct conn_set *set, struct conn *c);

/*
 * Whether this whole request may be taken now; if it is large it is taken to
 * be. Else it stays where it is, and conn_set_wait() is next.
 */
bool conn_set_may_take(struct conn_set *set, struct str frame);

/*
 * c is not read, and nothing is taken from it, before there is memory for
 * it. It waits for nothing else yet.
 */
void conn_set_wait(struct conn_set *set, struct conn *c, enum conn_wait why);

/* It need not wait any more; may be called for one that does not. */
void conn_set_go_on(struct conn_set *set, struct conn *c);

/* Sends away who is over the budget of large requests. */
void conn_set_enforce_budget(struct conn_set *set);

/* Idle ones are cut, the others take no more requests. */
void conn_set_end(struct conn_set *set);

#endif
