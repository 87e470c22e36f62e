#include "core/clock.h"

#include <time.h>

#include "core/panic.h"

static struct timespec now(clockid_t id)
{
    struct timespec ts;
    PANIC_IF(clock_gettime(id, &ts) != 0);
    return ts;
}

static int64_t to_ms(struct timespec ts)
{
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_mono_ms(const struct clock *clock)
{
    (void)clock;
    return to_ms(now(CLOCK_MONOTONIC));
}

static int64_t system_real_ms(const struct clock *clock)
{
    (void)clock;
    return to_ms(now(CLOCK_REALTIME));
}

const struct clock *clock_system(void)
{
    static const struct clock machine = {system_mono_ms, system_real_ms};
    return &machine;
}

int64_t clock_mono_ns(void)
{
    struct timespec ts = now(CLOCK_MONOTONIC);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}
