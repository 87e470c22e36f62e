#include "tests/unit/smtp/chaos_run.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "core/mem.h"
#include "core/net.h"
#include "core/panic.h"
#include "smtp/engine.h"
#include "tests/unit/smtp/chaos_relay.h"
#include "tests/unit/smtp/chaos_wire.h"

#define CALM_TURNS    8
#define NUDGES_MAX    200
#define REAL_LIMIT_MS 20000
#define TIMEOUT_MS    10000

/* When nothing more is to be done, or sooner. */
enum stop {
    STOP_AT_END,
    STOP_QUIT,
    STOP_ABORT,
};

struct fake_clock {
    struct clock clock;
    int64_t now_ms;
};

struct chaos_run {
    struct fake_clock time;
    struct chaos_plan *plan;
    struct chaos_record *record;
    struct random *random;
    struct event_base *base;
    struct smtp_engine *engine;
    struct smtp_session *session;
    struct smtp_relay config;
    struct chaos_relay relay;
    struct chaos_wire wire;
    unsigned eager; /* of 1000 chances to hand a mail over, it takes so many */
    enum stop stop; /* that comes */
    uint64_t stop_at; /* with so many bytes taken */
    bool inside;      /* a call of the session is under way */
    /* whether something happens */
    uint64_t seen;
    unsigned calm;
    unsigned nudges;
};

static int64_t fake_ms(const struct clock *clock)
{
    const struct fake_clock *time = (const void *)clock;
    return time->now_ms;
}

/* ---- the owner of the session ---- */

static bool hand_over(struct chaos_run *x)
{
    struct chaos_record *r = x->record;
    struct err err;
    if (x->session == NULL || r->sent == x->plan->count ||
        smtp_session_room(x->session) == 0)
        return false;
    x->inside = true;
    r->sent++;
    if (smtp_session_send(x->session, &x->plan->mails[r->sent - 1].mail,
                          &err) != ERR_NONE)
        chaos_complain(r, "mail %zu was not taken: %s", r->sent - 1, err.text);
    x->inside = false;
    return true;
}

static void maybe_hand_over(struct chaos_run *x)
{
    while (chaos_chance(x->random, x->eager) && hand_over(x))
        continue;
}

static void stop_session(struct chaos_run *x, enum stop how)
{
    struct chaos_record *r = x->record;
    x->stop = STOP_AT_END;
    if (x->session == NULL || r->quit || r->aborted)
        return;
    x->inside = true;
    if (how == STOP_ABORT) {
        r->aborted = true;
        smtp_session_abort(x->session);
    } else {
        r->quit = true;
        smtp_session_quit(x->session);
    }
    x->inside = false;
}

static void maybe_stop(struct chaos_run *x)
{
    if (x->stop != STOP_AT_END && x->record->ready &&
        x->record->accepted >= x->stop_at && chaos_chance(x->random, 500))
        stop_session(x, x->stop);
}

static void on_ready(void *ctx, struct smtp_session *s)
{
    struct chaos_run *x = ctx;
    struct chaos_record *r = x->record;
    size_t room = !chaos_plan_pipelines(x->plan) ? 1
                  : chaos_plan_chunks(x->plan)   ? x->plan->unconfirmed
                                                 : 2;
    if (x->inside || r->ready || r->closed || s != x->session)
        chaos_complain(r, "ready at the wrong time");
    if (smtp_session_room(s) != room)
        chaos_complain(r, "room for %zu mails instead of %zu",
                       smtp_session_room(s), room);
    r->ready = true;
    maybe_hand_over(x);
}

static void on_result(void *ctx, struct smtp_session *s,
                      const struct smtp_mail *mail,
                      const struct smtp_result *result)
{
    struct chaos_run *x = ctx;
    struct chaos_record *r = x->record;
    size_t k = r->result_count;
    if (x->inside || r->closed || s != x->session) {
        chaos_complain(r, "a result at the wrong time");
        return;
    }
    if (k >= r->sent || mail != &x->plan->mails[k].mail ||
        result->count != mail->recipient_count) {
        chaos_complain(r, "the result of mail %zu is another's", k);
        return;
    }
    r->results[k].came = true;
    for (size_t i = 0; i < result->count; i++)
        r->results[k].of[i] = result->recipients[i];
    r->result_count++;
    maybe_hand_over(x);
    maybe_stop(x);
}

static void on_closed(void *ctx, struct smtp_session *s,
                      const struct smtp_closing *why)
{
    struct chaos_run *x = ctx;
    struct chaos_record *r = x->record;
    if (x->inside || r->closed || s != x->session)
        chaos_complain(r, "closed at the wrong time");
    if (r->result_count != r->sent)
        chaos_complain(r, "closed with %zu results of %zu", r->result_count,
                       r->sent);
    if (smtp_session_room(s) != 0)
        chaos_complain(r, "room in a closed session");
    if (why->by_us != (why->err.code == ERR_NONE))
        chaos_complain(r, "closed by us: %d, because: %s", why->by_us,
                       why->err.text);
    r->closed = true;
    r->closing = *why;
    x->session = NULL;
}

static const struct smtp_session_events events = {
    .ready = on_ready,
    .result = on_result,
    .closed = on_closed,
};

/* ---- turns ---- */

/* Whether something happened in this turn, or will by itself in the next. */
static bool is_moving(struct chaos_run *x)
{
    const struct chaos_record *r = x->record;
    uint64_t seen = r->accepted + r->heard + r->replied + r->sent +
                    r->result_count + r->command_count + x->wire.put_off;
    bool moves = seen != x->seen || !r->ready || chaos_wire_is_busy(&x->wire);
    x->seen = seen;
    return moves;
}

/* Nothing is left to be done, and nobody said goodbye. */
static void say_goodbye(struct chaos_run *x)
{
    uint64_t roll = random_below(x->random, 10);
    if (roll == 0)
        stop_session(x, STOP_ABORT);
    else if (roll == 1 && chaos_wire_is_open(&x->wire))
        chaos_wire_hang_up(&x->wire);
    else if (roll == 2 && chaos_wire_is_open(&x->wire))
        chaos_relay_lie(&x->relay);
    else
        stop_session(x, STOP_QUIT);
}

static void nudge(struct chaos_run *x)
{
    const struct chaos_record *r = x->record;
    x->calm = 0;
    if (++x->nudges > NUDGES_MAX) {
        chaos_complain(x->record, "it hangs");
    } else if (r->quit || r->aborted || !smtp_session_is_idle(x->session)) {
        if (hand_over(x))
            return;
        if (chaos_wire_is_open(&x->wire))
            chaos_complain(x->record, "each waits for the other");
        x->time.now_ms += TIMEOUT_MS + 1000;
        event_active(x->engine->tick, EV_TIMEOUT, 0);
    } else if (!hand_over(x)) {
        say_goodbye(x);
    }
}

static void turn(struct chaos_run *x)
{
    /* Connecting takes no dice: it has as many turns as libcurl needs. */
    if (x->record->ready) {
        maybe_hand_over(x);
        maybe_stop(x);
    }
    chaos_wire_turn(&x->wire);
    smtp_engine_flush(x->engine);
    PANIC_IF(event_base_loop(x->base, EVLOOP_NONBLOCK) < 0);
    x->calm = is_moving(x) ? 0 : x->calm + 1;
    if (x->session != NULL && x->calm >= CALM_TURNS)
        nudge(x);
}

static void go(struct chaos_run *x)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + REAL_LIMIT_MS;
    uint64_t turns = 0;
    PANIC_IF(smtp_session_open(&x->session, x->engine, &x->config, &events,
                               x) != ERR_NONE);
    while (!x->record->closed && x->record->complaint[0] == '\0') {
        turn(x);
        if (++turns % 1024 == 0 && clock_mono_ms(clock_system()) > until_ms)
            chaos_complain(x->record, "it does not come to an end");
    }
}

/* ---- a run ---- */

static void configure(struct chaos_run *x)
{
    const struct chaos_plan *p = x->plan;
    x->config = (struct smtp_relay){
        .name = "test",
        .host = "127.0.0.1",
        .port = chaos_wire_port(x->wire.listener),
        .tls = SMTP_TLS_NONE,
        .hostname = "client.example",
        .pipelining = p->may_pipeline,
        .chunking = p->may_chunk,
        .unconfirmed = p->unconfirmed,
        .connect_timeout_ms = TIMEOUT_MS,
        .mail_timeout_ms = TIMEOUT_MS,
        .rcpt_timeout_ms = TIMEOUT_MS,
        .data_timeout_ms = TIMEOUT_MS,
        .body_timeout_ms = TIMEOUT_MS,
        .final_timeout_ms = TIMEOUT_MS,
    };
}

static void decide(struct chaos_run *x)
{
    static const unsigned eagers[] = {20, 200, 600, 1000};
    x->eager = eagers[random_below(x->random, 4)];
    if (chaos_chance(x->random, 160))
        x->stop = chaos_chance(x->random, 500) ? STOP_QUIT : STOP_ABORT;
    x->stop_at = random_below(x->random, x->plan->total_bytes);
}

void chaos_run(struct chaos_plan *plan, struct chaos_record *record,
               int listener)
{
    struct chaos_run *x;
    MEM_NEW(x);
    x->plan = plan;
    x->record = record;
    x->random = &plan->random;
    x->time.clock = (struct clock){.mono_ms = fake_ms, .real_ms = fake_ms};
    x->time.now_ms = 1;
    x->base = event_base_new();
    PANIC_IF(x->base == NULL);
    PANIC_IF(smtp_engine_create(&x->engine, x->base, &x->time.clock, NULL) !=
             ERR_NONE);
    chaos_relay_init(&x->relay, plan, record);
    chaos_wire_open(&x->wire, &x->relay, listener);
    configure(x);
    decide(x);
    go(x);
    chaos_wire_overhear(&x->wire);
    chaos_wire_close(&x->wire);
    chaos_relay_fini(&x->relay);
    /* A session is left only when the test has failed. */
    if (x->session == NULL) {
        smtp_engine_destroy(x->engine);
        event_base_free(x->base);
    }
    mem_free(x);
}
