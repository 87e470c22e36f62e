#ifndef TESTS_UNIT_SMTP_CHAOS_PLAN_H
#define TESTS_UNIT_SMTP_CHAOS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/body.h"
#include "core/random.h"
#include "core/str.h"
#include "smtp/session.h"

/*
 * What a run of the random test is about, all of it out of one seed: what the
 * relay offers, how it is configured, and the mails. Mail k is from s<k>@x to
 * r<i>m<k>@x, and the first line of its body names it.
 */
#define CHAOS_MAILS      40
#define CHAOS_RECIPIENTS 8
#define CHAOS_ADDRESS    64

struct chaos_mail {
    struct smtp_mail mail;
    struct body *body;
    struct str text; /* what a relay must have of it */
    char *memory;    /* of text */
    char sender[CHAOS_ADDRESS];
    char addresses[CHAOS_RECIPIENTS][CHAOS_ADDRESS];
    const char *recipients[CHAOS_RECIPIENTS];
    bool is_8bit;
    /* What must not even be said: the whole mail, or that recipient. */
    bool unfit;
    bool bad[CHAOS_RECIPIENTS];
};

struct chaos_plan {
    uint64_t seed;
    struct random random; /* for the rest of the run */
    /* offered in EHLO */
    bool pipelining;
    bool chunking;
    bool size;
    bool eight_bit;
    bool enhanced;
    uint64_t size_max; /* 0: SIZE without a number */
    /* configured */
    bool may_pipeline;
    bool may_chunk;
    unsigned unconfirmed;
    size_t count;
    struct chaos_mail mails[CHAOS_MAILS];
    uint64_t total_bytes; /* of all mails, about */
};

/* out is large: not for the stack. */
void chaos_plan_init(struct chaos_plan *out, uint64_t seed);
void chaos_plan_fini(struct chaos_plan *plan);

/* How the session must speak. */
static inline bool chaos_plan_pipelines(const struct chaos_plan *p)
{
    return p->pipelining && p->may_pipeline;
}

static inline bool chaos_plan_chunks(const struct chaos_plan *p)
{
    return chaos_plan_pipelines(p) && p->chunking && p->may_chunk;
}

/* Whether there is something to say of mail k. */
bool chaos_plan_is_said(const struct chaos_plan *p, size_t k);

/* True in so many of 1000 cases. */
bool chaos_chance(struct random *random, unsigned permille);

/* from..to, both included. */
uint64_t chaos_between(struct random *random, uint64_t from, uint64_t to);

#endif
