#ifndef CONSUMER_OUTLET_H
#define CONSUMER_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/sender.h"

/*
 * One worker's share of one relay's connections: opens sessions while jobs
 * wait, gives each job to an idle one or to the first that gets ready, closes
 * what is idle for too long or has carried enough.
 *
 * As soon as the relay is shut, sessions that connect are cut, idle ones say
 * QUIT, and jobs that are not sent yet go back to the spool. Until it is ready
 * again only its probe is opened and carries a mail.
 *
 * Threads: its worker's only. Nothing blocks.
 */
struct outlet {
    struct sender_env *env;
    const struct pool_relay *relay;
    size_t relay_index;
    size_t share;    /* most sessions; 0: takes nothing */
    size_t sessions; /* that exist, in any state */
    size_t connecting;
    struct sender_list idle;   /* the last used first */
    struct sender_list others; /* in any other state */
    struct claim_list waiting; /* for one of those that connect */
    size_t waiting_count;      /* <= connecting, between calls */
    bool draining;
};

void outlet_init(struct outlet *o, struct sender_env *env,
                 const struct pool_relay *relay, size_t relay_index,
                 size_t share);

/* Whether it would take a claim from its lane now, to send or to give back. */
bool outlet_wants(struct outlet *o, int64_t now_ms);

/* Takes the claim: it is sent, waits for a session, or is given back. */
void outlet_take(struct outlet *o, struct claim *claim, int64_t now_ms);

/* What time and the relay's state ask for. Returns when to call it again. */
int64_t outlet_tick(struct outlet *o, int64_t now_ms);

/* Finishes what is under way and takes nothing more. */
void outlet_drain(struct outlet *o);

/* Cuts all sessions. */
void outlet_abort(struct outlet *o);

#endif
