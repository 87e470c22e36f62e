#include "tests/unit/producer/desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "producer/ops.h"

static const char *const routes[] = {"default", "bulk"};

static int64_t mono_ms(const struct clock *clock)
{
    return ((const struct desk *)clock)->mono_ms;
}

static int64_t real_ms(const struct clock *clock)
{
    return ((const struct desk *)clock)->real_ms;
}

/* ---- transports ---- */

static struct buf *begin(struct request *r)
{
    struct desk *d = r->owner;
    return d == NULL ? &r->reply : &d->replies;
}

static void end(struct request *r)
{
    struct desk *d = r->owner;
    if (d != NULL) {
        buf_add_char(&d->replies, '\n');
        d->answered++;
    }
    request_free(r);
}

static void hold(struct request *r, bool held)
{
    struct desk *d = r->owner;
    d->held = held ? d->held + 1 : d->held - 1;
}

static void hold_datagram(struct request *r, bool held)
{
    (void)r;
    fail_msg("a datagram was %s", held ? "held" : "let go");
}

static const struct request_transport stream = {
    .stream = true,
    .overflow = REFUSAL_INTERNAL,
    .begin = begin,
    .end = end,
    .hold = hold,
};

static const struct request_transport datagram = {
    .stream = false,
    .overflow = REFUSAL_TOO_LARGE,
    .begin = begin,
    .end = end,
    .hold = hold_datagram,
};

/* ---- open, close ---- */

static void note_room(void *ctx)
{
    struct desk *d = ctx;
    admission_note_room(&d->service.admission);
}

static void open_service(struct desk *d)
{
    struct err err;
    d->listener = (struct producer_listener){
        .type = PRODUCER_LISTENER_TCP, .fd = -1, .name = "desk"};
    metrics_init(&d->metrics);
    d->options = (struct producer_options){
        .limits = {.frame_bytes = 1 << 20,
                   .message_bytes = 1 << 20,
                   .recipients = 100,
                   .connections = 10,
                   .requests_in_flight = 100,
                   .pending_submits = 100,
                   .idle_ms = 60000,
                   .full_wait_ms = 5000,
                   .wait_ms = 600000},
        .hostname = "mail.example.org",
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .give_up_ms = 5LL * 24 * 3600 * 1000,
        .spool = d->spool,
        .metrics = &d->metrics,
        .clock = &d->clock,
        .started_ms = d->real_ms - 1234,
        .version = "1.2.3",
    };
    buf_init(&d->replies, 16 << 20);
    assert_int_equal(service_init(&d->service, &d->options, &err), ERR_NONE);
    spool_on_room(d->spool, note_room, d);
    service_enter(&d->service);
}

void desk_open_with(struct desk *d, struct spool *spool)
{
    *d = (struct desk){.clock = {mono_ms, real_ms},
                       .mono_ms = 1000,
                       .real_ms = 1763640000000,
                       .spool = spool};
    open_service(d);
}

void desk_open(struct desk *d, int64_t max_jobs)
{
    struct err err;
    *d = (struct desk){.clock = {mono_ms, real_ms},
                       .mono_ms = 1000,
                       .real_ms = 1763640000000,
                       .own_spool = true};
    const struct spool_options options = {
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .max_jobs = max_jobs,
        .max_bytes = 64 << 20,
        .history_keep_ms = 3600000,
        .history_keep_failed_ms = 3600000,
        .history_max_jobs = 1000,
        .give_up_ms = 3600000,
        .key_window_ms = 3600000,
        .key_max = 1000,
        .clock = &d->clock,
    };
    assert_int_equal(spool_create_memory(&d->spool, &options, &err), ERR_NONE);
    open_service(d);
}

void desk_close(struct desk *d)
{
    d->service.draining = true;
    admission_drain(&d->service.admission);
    watch_end_all(&d->service);
    assert_int_equal(d->service.outstanding, 0);
    service_fini(&d->service);
    if (d->own_spool)
        spool_destroy(d->spool);
    buf_fini(&d->replies);
}

/* ---- asking ---- */

static struct request *ask(struct desk *d,
                           const struct request_transport *transport,
                           const char *client, bool sees_all, struct str json)
{
    struct request *r = request_new(&d->service, transport, d);
    r->client = client;
    r->sees_all = sees_all;
    r->listener = &d->listener;
    d->asked++;
    /* A frame's bytes are gone after the call: make sure nobody looks. */
    char *copy = mem_alloc(json.len);
    if (json.len > 0)
        memcpy(copy, json.data, json.len);
    ops_run(r, str_of(copy, json.len));
    memset(copy, '#', json.len);
    mem_free(copy);
    return r;
}

struct request *desk_ask(struct desk *d, const char *json)
{
    return ask(d, &stream, "app", false, str_from(json));
}

struct request *desk_ask_bytes(struct desk *d, const void *json, size_t len)
{
    return ask(d, &stream, "app", false, str_of(json, len));
}

struct request *desk_ask_datagram(struct desk *d, const char *json)
{
    return ask(d, &datagram, "app", false, str_from(json));
}

struct request *desk_ask_as(struct desk *d, const char *client, bool sees_all,
                            const char *json)
{
    return ask(d, &stream, client, sees_all, str_from(json));
}

const char *desk_replies(struct desk *d)
{
    static const char none[] = "";
    if (d->replies.len == 0)
        return none;
    buf_add_char(&d->replies, '\0');
    assert_true(buf_ok(&d->replies));
    d->replies.len = 0; /* the bytes stay until the next reply */
    return d->replies.data;
}

void desk_pass(struct desk *d, int64_t ms)
{
    d->mono_ms += ms;
    d->real_ms += ms;
    service_take_mail(&d->service);
    admission_pump(&d->service.admission);
    timers_run(&d->service.timers, d->mono_ms);
}

struct id desk_id(const char *reply)
{
    struct id id = {{0}};
    const char *at = strstr(reply, "\"id\":\"");
    assert_non_null(at);
    assert_true(id_parse(str_of(at + 6, ID_LEN), &id));
    return id;
}

/* ---- a consumer ---- */

struct claimed {
    struct claim_list claims;
};

static void on_claimed(void *ctx, struct spool_lane lane,
                       struct claim_list *claims, int64_t next_due_ms)
{
    struct claimed *claimed = ctx;
    (void)lane;
    (void)next_due_ms;
    STAILQ_CONCAT(&claimed->claims, claims);
}

static size_t claim_lane(struct spool *spool, struct spool_lane lane,
                         size_t limit, int64_t now_ms,
                         struct claim_list *claims)
{
    struct claimed claimed;
    size_t count = 0;
    const struct claim *claim;
    STAILQ_INIT(&claimed.claims);
    spool_claim(spool, lane, limit, now_ms, on_claimed, &claimed);
    STAILQ_FOREACH (claim, &claimed.claims, next)
        count++;
    STAILQ_CONCAT(claims, &claimed.claims);
    return count;
}

/* Of all lanes. */
static void claim_all(struct spool *spool, size_t limit, int64_t now_ms,
                      struct claim_list *claims)
{
    size_t done = 0;
    STAILQ_INIT(claims);
    for (unsigned lane = 0; lane < 2 * JOB_PRIORITY_COUNT; lane++) {
        const struct spool_lane where = {
            lane / JOB_PRIORITY_COUNT,
            (enum job_priority)(lane % JOB_PRIORITY_COUNT)};
        if (done < limit)
            done += claim_lane(spool, where, limit - done, now_ms, claims);
    }
}

struct claim *desk_claim(struct spool *spool, int64_t now_ms)
{
    struct claim_list claims;
    claim_all(spool, 1, now_ms, &claims);
    struct claim *claim = STAILQ_FIRST(&claims);
    if (claim != NULL)
        assert_true(claim_start(claim));
    return claim;
}

void desk_settle(struct spool *spool, struct claim *claim,
                 enum recipient_state state, enum settle_rest rest,
                 int64_t now_ms)
{
    static const char *const replies[RECIPIENT_STATE_COUNT] = {
        [RECIPIENT_DELIVERED] = "250 2.0.0 \xff ok \"quoted\"",
        [RECIPIENT_DEFERRED] = "451 4.7.1 Later",
        [RECIPIENT_FAILED] = "550 5.1.1 Nobody",
        [RECIPIENT_UNKNOWN] = "connection lost",
    };
    struct settle_recipient recipients[100];
    assert_true(claim->pending_count <= 100);
    for (size_t i = 0; i < claim->pending_count; i++)
        recipients[i] =
            (struct settle_recipient){.index = claim->pending[i],
                                      .state = state,
                                      .reply = str_from(replies[state])};
    const struct settlement settlement = {.recipients = recipients,
                                          .count = claim->pending_count,
                                          .relay = STR("main"),
                                          .at_ms = now_ms,
                                          .rest = rest,
                                          .next_attempt_ms = now_ms + 60000};
    spool_settle(spool, claim, &settlement, NULL, NULL);
}

size_t desk_deliver(struct spool *spool, int64_t now_ms, size_t limit)
{
    struct claim_list claims;
    struct claim *claim;
    size_t done = 0;
    claim_all(spool, limit, now_ms, &claims);
    while ((claim = STAILQ_FIRST(&claims)) != NULL) {
        STAILQ_REMOVE_HEAD(&claims, next);
        assert_true(claim_start(claim));
        desk_settle(spool, claim, RECIPIENT_DELIVERED, SETTLE_REST_FAIL,
                    now_ms);
        done++;
    }
    return done;
}
