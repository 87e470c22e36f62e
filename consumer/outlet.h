#ifndef CONSUMER_OUTLET_H
#define CONSUMER_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/errand.h"
#include "consumer/sender.h"
#include "queue/claim.h"

/*
 * One worker's share of one relay's connections: opens sessions while jobs
 * wait, closes what is idle for too long, old, or has carried enough.
 *
 * A job goes to an idle session, the last used first; else a new one is
 * opened and the first that gets ready takes it; when no more may be opened,
 * sessions at work take it too as far as they have room, in turn. It must have
 * a token of the relay's rate; one that has none yet waits here, and no more
 * jobs are wanted meanwhile.
 *
 * A job that came back untried from two sessions that ended goes to one that
 * has carried nothing before it: what ends that one is the job's own doing.
 *
 * As soon as the relay is shut, sessions that connect are cut, idle ones say
 * QUIT, and jobs that are not sent yet go back to the spool. When it may be
 * probed one session is opened, without a job; when that is connected it gets
 * one, and if none comes for a second the relay is ready without.
 *
 * Threads: its worker's only. Nothing blocks.
 */
enum outlet_place {
    OUTLET_CONNECTING,
    OUTLET_IDLE,  /* and takes jobs */
    OUTLET_ROOMY, /* at work, and takes more */
    OUTLET_FULL,  /* takes none */
    OUTLET_ENDING,
    OUTLET_PLACE_COUNT
};

struct outlet {
    struct errand_env *env;
    const struct pool_relay *relay;
    size_t relay_index;
    size_t share;    /* most sessions; 0: takes nothing */
    size_t sessions; /* that exist, in any place */
    struct sender_list places[OUTLET_PLACE_COUNT]; /* IDLE: last used first */
    size_t counts[OUTLET_PLACE_COUNT];
    struct sender_list ages;    /* by the time they became open */
    struct errand_list waiting; /* for a session or a token */
    size_t waiting_count;       /* see outlet.c, keep_count() */
    bool starved;               /* one of them has no token */
    int64_t look_ms;            /* see outlet_wants() */
    bool draining;
};

void outlet_init(struct outlet *o, struct errand_env *env,
                 const struct pool_relay *relay, size_t relay_index,
                 size_t share);

/*
 * Whether it would take a claim from its lane now, to send or to give back.
 * look_ms then is when to ask again though nothing has happened (for a token,
 * for one more session of a crowded relay), or INT64_MAX.
 */
bool outlet_wants(struct outlet *o, int64_t now_ms);

/* Takes the claim: it is sent, waits, or is given back. */
void outlet_take(struct outlet *o, struct claim *claim, int64_t now_ms);

/* What time and the relay's state ask for. Returns when to call it again. */
int64_t outlet_tick(struct outlet *o, int64_t now_ms);

/* Finishes what is under way and takes nothing more. */
void outlet_drain(struct outlet *o);

/* Cuts all sessions. */
void outlet_abort(struct outlet *o);

#endif
