#include "consumer/relay_rate.h"

#include "core/mem.h"

struct relay_rates {
    size_t count;
};

void relay_rates_create(struct relay_rates **out,
                        const struct relay_rate_limits *limits, size_t count)
{
    struct relay_rates *rates;
    MEM_NEW(rates);
    (void)limits;
    rates->count = count;
    *out = rates;
}

void relay_rates_destroy(struct relay_rates *rates)
{
    mem_free(rates);
}

int64_t relay_rate_take(struct relay_rates *rates, size_t relay, int64_t now_ms)
{
    return relay_rate_wait_ms(rates, relay, now_ms);
}

int64_t relay_rate_wait_ms(struct relay_rates *rates, size_t relay,
                           int64_t now_ms)
{
    (void)rates;
    (void)relay;
    (void)now_ms;
    return 0;
}

void relay_rate_give_back(struct relay_rates *rates, size_t relay,
                          int64_t now_ms)
{
    (void)rates;
    (void)relay;
    (void)now_ms;
}

void relay_rate_charge(struct relay_rates *rates, size_t relay, int64_t now_ms)
{
    (void)rates;
    (void)relay;
    (void)now_ms;
}

int64_t relay_rate_slow_down(struct relay_rates *rates, size_t relay,
                             int64_t now_ms, struct str reply)
{
    (void)rates;
    (void)relay;
    (void)now_ms;
    (void)reply;
    return 1000;
}

void relay_rate_figures(struct relay_rates *rates, size_t relay, int64_t now_ms,
                        struct relay_rate_figures *out)
{
    (void)rates;
    (void)relay;
    (void)now_ms;
    *out = (struct relay_rate_figures){0};
}
