#include "consumer/share.h"

static int64_t weight_of(unsigned priority)
{
    static const int64_t weights[JOB_PRIORITY_COUNT] = {
        [JOB_PRIORITY_HIGH] = 8,
        [JOB_PRIORITY_NORMAL] = 4,
        [JOB_PRIORITY_LOW] = 1,
    };
    return weights[priority];
}

void share_init(struct share *s)
{
    *s = (struct share){0};
}

enum job_priority share_next(const struct share *s, unsigned classes)
{
    unsigned best = JOB_PRIORITY_COUNT;
    int64_t most = 0;
    for (unsigned i = 0; i < JOB_PRIORITY_COUNT; i++) {
        if ((classes & SHARE_CLASS(i)) == 0)
            continue;
        int64_t credit = s->credit[i] + weight_of(i);
        if (best == JOB_PRIORITY_COUNT || credit > most) {
            best = i;
            most = credit;
        }
    }
    return (enum job_priority)best;
}

void share_used(struct share *s, unsigned classes, enum job_priority used)
{
    int64_t total = 0;
    for (unsigned i = 0; i < JOB_PRIORITY_COUNT; i++) {
        if ((classes & SHARE_CLASS(i)) == 0) {
            /* What a class without work had saved or owed is forgotten. */
            s->credit[i] = 0;
            continue;
        }
        s->credit[i] += weight_of(i);
        total += weight_of(i);
    }
    s->credit[used] -= total;
}
