#ifndef SMTP_ENGINE_H
#define SMTP_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <curl/curl.h>

#include "core/clock.h"
#include "smtp/content.h"
#include "smtp/session.h"

/*
 * Inside smtp/ only: one libcurl multi handle driven by one event loop, and
 * what sessions have in common: deadlines looked at every
 * SMTP_ENGINE_TICK_MS (no timer per command), work put off to the loop, and
 * two buffers that anyone may use until he returns to the loop.
 */
#define SMTP_ENGINE_TICK_MS 250

struct event;
struct smtp_engine_client;

/*
 * All but speak are called from the loop; each may free its own client, no
 * other. speak comes from smtp_engine_flush(), frees nobody and calls nobody
 * back.
 */
struct smtp_engine_hooks {
    void (*connected)(struct smtp_engine_client *c, CURLcode code);
    void (*deadline)(struct smtp_engine_client *c);
    void (*due)(struct smtp_engine_client *c);
    void (*speak)(struct smtp_engine_client *c);
};

struct smtp_engine_client {
    TAILQ_ENTRY(smtp_engine_client) all;
    TAILQ_ENTRY(smtp_engine_client) waiting;  /* while is_due */
    TAILQ_ENTRY(smtp_engine_client) speaking; /* while will_speak */
    const struct smtp_engine_hooks *hooks;
    void *owner;
    int64_t deadline_ms; /* monotonic; 0: none */
    bool is_due;
    bool will_speak;
};

TAILQ_HEAD(smtp_engine_clients, smtp_engine_client);

struct smtp_engine {
    struct event_base *base;
    const struct clock *clock;
    CURLM *multi;
    CURLSH *share;
    struct event *curl_timer;
    struct event *tick;
    struct event *due;
    bool tick_runs;
    uint64_t sessions_made;
    struct smtp_engine_clients clients;
    struct smtp_engine_clients due_clients;
    struct smtp_engine_clients speakers;
    char in[SMTP_CONTENT_SLICE];      /* what was received */
    char scratch[SMTP_CONTENT_SLICE]; /* what was read of a body */
};

void smtp_engine_add(struct smtp_engine *e, struct smtp_engine_client *c);
void smtp_engine_remove(struct smtp_engine *e, struct smtp_engine_client *c);

/* hooks->deadline once clock's mono_ms has passed it; 0: never. */
void smtp_engine_set_deadline(struct smtp_engine *e,
                              struct smtp_engine_client *c,
                              int64_t deadline_ms);

/* hooks->due soon, from the loop. Again before that changes nothing. */
void smtp_engine_set_due(struct smtp_engine *e, struct smtp_engine_client *c);

/* hooks->speak at the next flush. Again before that changes nothing. */
void smtp_engine_set_speaking(struct smtp_engine *e,
                              struct smtp_engine_client *c);

#endif
