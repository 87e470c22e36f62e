#include "consumer/retry.h"

/* base^exponent by squaring: bounded time for any attempt, may be infinite. */
static double power(double base, unsigned exponent)
{
    double result = 1.0;
    while (exponent > 0) {
        if ((exponent & 1U) != 0)
            result *= base;
        base *= base;
        exponent >>= 1;
    }
    return result;
}

int64_t retry_pause_ms(const struct retry_policy *policy, unsigned attempt,
                       double unit)
{
    double longest = (double)policy->longest_ms;
    double pause = (double)policy->first_ms *
                   power(policy->factor, attempt > 0 ? attempt - 1 : 0);
    /* Written so that infinity and what is no number end here too. */
    if (!(pause < longest))
        pause = longest;
    pause *= 1.0 - policy->jitter + 2.0 * policy->jitter * unit;
    if (!(pause < longest))
        pause = longest;
    if (!(pause >= 1.0))
        return 1;
    if (pause >= 0x1p63)
        return INT64_MAX;
    return (int64_t)pause;
}
