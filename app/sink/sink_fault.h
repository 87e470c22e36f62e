#ifndef APP_SINK_SINK_FAULT_H
#define APP_SINK_SINK_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/sink/sink_envelope.h"
#include "core/err.h"
#include "core/random.h"
#include "core/str.h"

/*
 * What shall go wrong, when and how: the rules of --fault.
 *
 *   STAGE:ITEM,ITEM,...      (the grammar is told in full by --help)
 *
 * A rule belongs to one stage of the dialogue. Of the rules of a stage the
 * first that fires decides. Pure: no clock, no descriptors; random numbers
 * come from the seed alone.
 */
enum sink_stage {
    SINK_STAGE_ACCEPT,  /* TCP accepted, nothing said */
    SINK_STAGE_TLS,     /* before a TLS handshake */
    SINK_STAGE_CONNECT, /* the greeting */
    SINK_STAGE_EHLO,    /* EHLO and HELO */
    SINK_STAGE_STARTTLS,
    SINK_STAGE_AUTH, /* the reply that settles it */
    SINK_STAGE_MAIL,
    SINK_STAGE_RCPT,
    SINK_STAGE_DATA,  /* the reply before the content */
    SINK_STAGE_BDAT,  /* the reply to a chunk that is not the last */
    SINK_STAGE_BODY,  /* content is arriving */
    SINK_STAGE_FINAL, /* the final dot or the last chunk */
    SINK_STAGE_RSET,
    SINK_STAGE_NOOP,
    SINK_STAGE_QUIT,
    SINK_STAGE_INPUT, /* anything the client sends */
    SINK_STAGE_COUNT,
};

/* How a connection ends, or does not. */
enum sink_end {
    SINK_END_NONE,
    SINK_END_CLOSE, /* politely: the peer can read all that was said */
    SINK_END_DROP,  /* close(2), whatever is unread */
    SINK_END_RESET, /* TCP RST */
    SINK_END_STALL, /* open, and silent for ever */
};

enum sink_cert_kind {
    SINK_CERT_GOOD,
    SINK_CERT_EXPIRED,
    SINK_CERT_WRONG_HOST,
    SINK_CERT_UNTRUSTED,
    SINK_CERT_COUNT,
};

struct sink_fault {
    enum sink_stage stage;
    struct str text; /* the rule as it was given */

    struct str match; /* glob; data is NULL when absent */
    struct str from;  /* glob; data is NULL when absent */
    double rate;
    uint64_t skip;
    uint64_t count; /* UINT64_MAX: always */
    uint64_t after_bytes;

    int64_t delay_ms;
    unsigned code; /* 0: the usual reply */
    char *reply;   /* finished lines, with CRLF; NULL: the usual reply */
    bool half;
    uint64_t half_bytes; /* 0: half of them */
    enum sink_end end;
    bool discard;
    enum sink_cert_kind cert;

    uint64_t matched; /* before skip, rate and count */
    uint64_t fired;
};

struct sink_faults {
    struct sink_fault *rules;
    size_t count;
    size_t per_stage[SINK_STAGE_COUNT];
    struct random random;
};

/* What is known when a stage is reached. */
struct sink_facts {
    struct str subject;                   /* what match= is compared with */
    const struct sink_envelope *envelope; /* NULL before MAIL */
    uint64_t bytes; /* BODY and INPUT: how many arrived; 0 elsewhere */
};

void sink_faults_init(struct sink_faults *f);
void sink_faults_fini(struct sink_faults *f);
void sink_faults_seed(struct sink_faults *f, uint64_t seed);

/*
 * Adds a rule. text must live as long as f. ERR_INVALID, err says what is
 * wrong with it and what would be right.
 */
MUST_CHECK enum err_code sink_faults_add(struct sink_faults *f, struct str text,
                                         struct err *err);

/* "expired", "wrong-host", "untrusted"; false for another word. */
bool sink_cert_kind_parse(struct str word, enum sink_cert_kind *kind);

/* "rcpt": as rules and the log call it. Static. */
const char *sink_stage_name(enum sink_stage stage);

/* Whether there is any rule at all for that stage: cheap. */
static inline bool sink_faults_any(const struct sink_faults *f,
                                   enum sink_stage stage)
{
    return f->per_stage[stage] != 0;
}

/*
 * The rule that fires here and now, or NULL. Counts it as fired. Where a rule
 * has after=, it fires only when facts->bytes is just that.
 */
const struct sink_fault *sink_faults_pick(struct sink_faults *f,
                                          enum sink_stage stage,
                                          const struct sink_facts *facts);

/*
 * The least after= of that stage that is not below bytes; UINT64_MAX when
 * there is none.
 */
uint64_t sink_faults_next_after(const struct sink_faults *f,
                                enum sink_stage stage, uint64_t bytes);

/* Whether the command must have no effect when this rule (or NULL) fired. */
bool sink_fault_refuses(const struct sink_fault *fault);

/* "*" any bytes, "?" one byte; ASCII case does not matter. */
bool sink_glob(struct str pattern, struct str text);

#endif
