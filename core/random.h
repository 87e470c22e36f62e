#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Bytes nobody can guess. Threads: any, and any process. Panics if the kernel
 * has none.
 */
void random_secure(void *out, size_t len);

/*
 * A small fast generator for jitter, faults and tests: the same seed gives
 * the same numbers. Never for secrets. Threads: one owner.
 * (splitmix64, Steele, Lea, Flood 2014.)
 */
struct random {
    uint64_t state;
};

void random_init(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);

/* 0 <= result < bound; bound > 0. */
uint64_t random_below(struct random *r, uint64_t bound);

/* 0.0 <= result < 1.0. */
double random_unit(struct random *r);

#endif
