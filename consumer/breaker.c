#include "consumer/breaker.h"

#include "consumer/retry.h"
#include "core/panic.h"

/* From one probe to the next, and least time for one without a mail. */
#define PROBE_EVERY_MS 1000

void breaker_init(struct breaker *b, int64_t first_ms, int64_t longest_ms)
{
    *b = (struct breaker){
        .first_ms = first_ms,
        .longest_ms = longest_ms,
        .state = BREAKER_READY,
    };
}

bool breaker_may_ask(const struct breaker *b, int64_t now_ms)
{
    switch (b->state) {
    case BREAKER_READY:
        return true;
    case BREAKER_BACKING_OFF:
        return now_ms >= b->until_ms;
    case BREAKER_PROBING:
    case BREAKER_TRIAL:
        return false;
    }
    PANIC("breaker state %d", (int)b->state);
}

bool breaker_ask(struct breaker *b, int64_t now_ms, struct breaker_pass *pass)
{
    if (!breaker_may_ask(b, now_ms))
        return false;
    *pass = (struct breaker_pass){
        .generation = b->generation,
        .probe = b->state == BREAKER_BACKING_OFF,
    };
    if (pass->probe) {
        b->state = BREAKER_PROBING;
        b->probed_ms = now_ms;
    }
    return true;
}

bool breaker_failed(struct breaker *b, struct breaker_pass *pass,
                    int64_t now_ms, double unit)
{
    bool news = pass->probe || (b->state == BREAKER_READY &&
                                pass->generation == b->generation);
    pass->probe = false;
    if (!news)
        return false;
    if (b->failures < UINT32_MAX)
        b->failures++;
    struct retry_policy policy = {
        .first_ms = b->first_ms,
        .factor = 2.0,
        .longest_ms = b->longest_ms,
        .jitter = 0.2,
    };
    b->state = BREAKER_BACKING_OFF;
    b->until_ms = now_ms + retry_pause_ms(&policy, b->failures, unit);
    b->generation++;
    return true;
}

/* True if it was from. */
static bool probe_moves(struct breaker *b, const struct breaker_pass *pass,
                        enum breaker_state from, enum breaker_state to)
{
    if (!pass->probe || b->state != from)
        return false;
    b->state = to;
    return true;
}

bool breaker_is_idle(struct breaker *b, const struct breaker_pass *pass)
{
    return probe_moves(b, pass, BREAKER_PROBING, BREAKER_TRIAL);
}

bool breaker_carries(struct breaker *b, const struct breaker_pass *pass)
{
    return probe_moves(b, pass, BREAKER_TRIAL, BREAKER_PROBING);
}

bool breaker_worked(struct breaker *b, struct breaker_pass *pass)
{
    if (!pass->probe)
        return false;
    pass->probe = false;
    b->state = BREAKER_READY;
    b->failures = 0;
    return true;
}

bool breaker_returned(struct breaker *b, struct breaker_pass *pass,
                      int64_t now_ms)
{
    if (!pass->probe)
        return false;
    int64_t next_ms = b->probed_ms + PROBE_EVERY_MS;
    if (b->state == BREAKER_TRIAL && now_ms >= next_ms)
        return breaker_worked(b, pass);
    pass->probe = false;
    b->state = BREAKER_BACKING_OFF;
    b->until_ms = now_ms > next_ms ? now_ms : next_ms;
    return true;
}

const char *breaker_state_name(enum breaker_state state)
{
    switch (state) {
    case BREAKER_READY:
        return "ready";
    case BREAKER_BACKING_OFF:
        return "backing_off";
    case BREAKER_PROBING:
    case BREAKER_TRIAL:
        return "probing";
    }
    PANIC("breaker state %d", (int)state);
}
