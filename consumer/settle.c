#include "consumer/settle.h"

static int64_t or_never(int64_t at_ms)
{
    return at_ms == 0 ? INT64_MAX : at_ms;
}

bool settle_is_over(const struct claim *claim, int64_t now_ms,
                    enum settle_rest *rest)
{
    int64_t expires = or_never(claim->expires_at_ms);
    int64_t gives_up = or_never(claim->give_up_at_ms);
    if (now_ms < expires && now_ms < gives_up)
        return false;
    *rest = expires <= gives_up ? SETTLE_REST_EXPIRE : SETTLE_REST_FAIL;
    return true;
}

/* The longest that one of the recipients wants; for one untried: none. */
static int64_t pause_of(const struct settle_input *in)
{
    int64_t pause = 0;
    if (in->deferred > 0 || in->unknown > 0)
        pause = retry_pause_ms(in->policy, in->attempt, in->unit);
    if (in->throttled > 0 && in->throttle_pause_ms > pause)
        pause = in->throttle_pause_ms;
    return pause;
}

static int64_t next_attempt(const struct settle_input *in)
{
    int64_t pause = pause_of(in);
    int64_t next =
        pause > INT64_MAX - in->now_ms ? INT64_MAX - 1 : in->now_ms + pause;
    if (next > or_never(in->claim->expires_at_ms))
        next = in->claim->expires_at_ms;
    if (next > or_never(in->claim->give_up_at_ms))
        next = in->claim->give_up_at_ms;
    return next;
}

struct settle_plan settle_decide(const struct settle_input *in)
{
    struct settle_plan plan = {
        .verdict = SETTLE_RECORD,
        .rest = SETTLE_REST_RETRY,
        .next_attempt_ms = in->now_ms,
    };
    size_t decided = in->delivered + in->deferred + in->rejected + in->unknown;
    if (decided == 0 && in->untried + in->throttled > 0) {
        plan.verdict = SETTLE_RELEASE;
        plan.next_attempt_ms = next_attempt(in);
        return plan;
    }
    if (in->unknown > 0 && in->claim->job->on_unknown == JOB_ON_UNKNOWN_HOLD) {
        plan.rest = SETTLE_REST_HOLD;
        return plan;
    }
    if (settle_is_over(in->claim, in->now_ms, &plan.rest))
        return plan;
    plan.next_attempt_ms = next_attempt(in);
    return plan;
}
