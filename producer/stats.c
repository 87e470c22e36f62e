#include "producer/stats.h"

#include "producer/jsonout.h"

#define RELAYS_MAX 64

struct number {
    const char *name;
    int64_t value;
};

static void add_numbers(struct buf *out, const struct number *numbers,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        jsonout_member_integer(out, numbers[i].name, numbers[i].value);
}

static void add_ledger(struct buf *out, const struct spool_stats *s)
{
    const struct number numbers[] = {
        {"accepted", s->accepted},   {"delivered", s->delivered},
        {"failed", s->failed},       {"expired", s->expired},
        {"cancelled", s->cancelled}, {"waiting", s->waiting},
        {"active", s->active},       {"held", s->held},
    };
    jsonout_name(out, "ledger");
    jsonout_open(out, '{');
    add_numbers(out, numbers, sizeof(numbers) / sizeof(numbers[0]));
    jsonout_close(out, '}');
}

static void add_spool(struct buf *out, const struct spool_stats *s,
                      const struct producer_options *o)
{
    const struct number numbers[] = {
        {"jobs", s->waiting + s->active + s->held},
        {"bytes", s->bytes},
        {"kept_bytes", s->kept_bytes},
        {"remembered", s->remembered},
        {"keys", s->keys},
        {"commits", s->commits},
        {"unrecorded", s->unrecorded},
    };
    jsonout_name(out, "spool");
    jsonout_open(out, '{');
    add_numbers(out, numbers, sizeof(numbers) / sizeof(numbers[0]));
    if (o->spool_max_jobs > 0)
        jsonout_member_integer(out, "max_jobs", o->spool_max_jobs);
    if (o->spool_max_bytes > 0)
        jsonout_member_integer(out, "max_bytes", o->spool_max_bytes);
    if (s->disk_error[0] != '\0')
        jsonout_member(out, "disk_error", str_from(s->disk_error));
    jsonout_close(out, '}');
}

static void add_relay(struct buf *out, const struct producer_relay_stats *r)
{
    const struct number numbers[] = {
        {"sessions", r->sessions},   {"waiting", r->waiting},
        {"delivered", r->delivered}, {"deferred", r->deferred},
        {"rejected", r->rejected},   {"unknown", r->unknown},
        {"throttled", r->throttled},
    };
    jsonout_open(out, '{');
    jsonout_member(out, "name", str_from(r->name));
    jsonout_member(out, "state", str_from(r->state));
    if (r->retry_in_ms > 0)
        jsonout_member_integer(out, "retry_in_ms", r->retry_in_ms);
    if (r->last_error[0] != '\0')
        jsonout_member(out, "last_error", str_from(r->last_error));
    if (r->rate_per_s > 0.0)
        jsonout_member_number(out, "rate", r->rate_per_s);
    jsonout_member_boolean(out, "slowed", r->slowed);
    add_numbers(out, numbers, sizeof(numbers) / sizeof(numbers[0]));
    jsonout_close(out, '}');
}

static void add_relays(struct buf *out, const struct producer_options *o)
{
    struct producer_relay_stats relays[RELAYS_MAX];
    size_t count = 0;
    if (o->relay_stats != NULL)
        count = o->relay_stats(o->relay_stats_ctx, relays, RELAYS_MAX);
    if (count > RELAYS_MAX)
        count = RELAYS_MAX;
    jsonout_name(out, "relays");
    jsonout_open(out, '[');
    for (size_t i = 0; i < count; i++)
        add_relay(out, &relays[i]);
    jsonout_close(out, ']');
}

static void add_counters(struct buf *out, const struct metrics *metrics)
{
    jsonout_name(out, "counters");
    jsonout_open(out, '{');
    for (int i = 0; i < METRIC_COUNT; i++)
        jsonout_member_integer(out, metrics_name((enum metric)i),
                               metrics_get(metrics, (enum metric)i));
    jsonout_close(out, '}');
}

void stats_answer(struct buf *out, const struct answer_ref *ref,
                  const struct producer_options *options)
{
    struct spool_stats stats;
    spool_stats(options->spool, &stats);
    answer_begin(out, ref);
    jsonout_member(out, "version", str_from(options->version));
    jsonout_member_integer(out, "uptime_ms",
                           clock_real_ms(options->clock) - options->started_ms);
    jsonout_member(out, "durable", str_from(spool_durability(options->spool)));
    add_ledger(out, &stats);
    add_spool(out, &stats, options);
    add_relays(out, options);
    add_counters(out, options->metrics);
    jsonout_close(out, '}');
}
