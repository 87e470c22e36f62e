#ifndef APP_SINK_SINK_TALLY_H
#define APP_SINK_SINK_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"

/*
 * Tells whether a pair of Message-ID and recipient was seen before. Keeps a
 * keyed 64-bit hash of each of the newest max_pairs pairs and forgets older
 * ones: at most 40 bytes a pair, 24 MiB for 1048576.
 */
struct sink_tally {
    size_t max_pairs;
    uint64_t key[2];
    uint64_t *slots; /* open addressing; 0 is free */
    size_t mask;     /* slots - 1, a power of two */
    uint64_t *ring;  /* in order of arrival */
    size_t ring_size;
    size_t oldest;
    size_t pairs;        /* held now */
    uint64_t duplicates; /* arrivals of a pair that was there */
    uint64_t unique;     /* arrivals of a pair that was not */
    uint64_t forgotten;  /* pairs dropped for the bound */
};

/* max_pairs >= 1. */
void sink_tally_init(struct sink_tally *t, size_t max_pairs);
void sink_tally_fini(struct sink_tally *t);

/*
 * Counts one arrival. True when the pair is held already. The domain of the
 * recipient is compared without case.
 */
bool sink_tally_add(struct sink_tally *t, struct str message_id,
                    struct str recipient);

#endif
