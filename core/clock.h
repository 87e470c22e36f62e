#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

/*
 * Time, as a thing that can be replaced in tests. mono_ms never jumps: for
 * deadlines and durations. real_ms is milliseconds since 1970-01-01 UTC: for
 * what is stored, shown or compared over a restart.
 *
 * Threads: both functions may be called from any thread.
 */
struct clock {
    int64_t (*mono_ms)(const struct clock *clock);
    int64_t (*real_ms)(const struct clock *clock);
};

/* The machine's clocks. Static, never freed. */
const struct clock *clock_system(void);

static inline int64_t clock_mono_ms(const struct clock *clock)
{
    return clock->mono_ms(clock);
}

static inline int64_t clock_real_ms(const struct clock *clock)
{
    return clock->real_ms(clock);
}

/* For measuring only: the machine's monotonic clock in nanoseconds. */
int64_t clock_mono_ns(void);

#endif
