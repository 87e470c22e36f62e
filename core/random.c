#include "core/random.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "core/panic.h"

/* getrandom(2) costs about a microsecond a call: each thread buys in bulk. */
static _Thread_local struct {
    unsigned char bytes[512];
    size_t left;
} pool;

static void fill(unsigned char *out, size_t len)
{
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        PANIC_IF(got <= 0);
        out += got;
        len -= (size_t)got;
    }
}

/* What a parent has bought its child must not use too. */
static void forget_pool(void)
{
    pool.left = 0;
}

static void watch_forks(void)
{
    PANIC_IF(pthread_atfork(NULL, NULL, forget_pool) != 0);
}

void random_secure(void *out, size_t len)
{
    static pthread_once_t watched = PTHREAD_ONCE_INIT;
    PANIC_IF(pthread_once(&watched, watch_forks) != 0);
    if (len > sizeof(pool.bytes)) {
        fill(out, len);
        return;
    }
    if (pool.left < len) {
        fill(pool.bytes, sizeof(pool.bytes));
        pool.left = sizeof(pool.bytes);
    }
    unsigned char *from = pool.bytes + sizeof(pool.bytes) - pool.left;
    memcpy(out, from, len);
    memset(from, 0, len);
    pool.left -= len;
}

void random_init(struct random *r, uint64_t seed)
{
    r->state = seed;
}

uint64_t random_next(struct random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

uint64_t random_below(struct random *r, uint64_t bound)
{
    PANIC_IF(bound == 0);
    return random_next(r) % bound;
}

double random_unit(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1.0p-53;
}
