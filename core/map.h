#ifndef CORE_MAP_H
#define CORE_MAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * A hash table of items that embed a map_item. It keeps hashes, not keys: the
 * user walks the items of one hash and compares. Growing moves a bucket at a
 * time, so that no single add is slow. Hashes are keyed with a secret of the
 * table (SipHash-2-4), so that nobody can choose keys that collide.
 *
 * Ownership: items are the caller's. Threads: none of its own, but map_hash()
 * reads only what never changes after map_init().
 */
struct map_item {
    struct map_item *next; /* in its bucket */
    uint64_t hash;
};

struct map {
    struct map_item **buckets;
    size_t bucket_count; /* in use */
    size_t bucket_room;  /* allocated */
    size_t count;
    uint64_t secret[2];
};

void map_init(struct map *m);
void map_fini(struct map *m);

uint64_t map_hash(const struct map *m, const void *data, size_t len);

/* hash from map_hash(). Several items may have the same. */
void map_add(struct map *m, struct map_item *item, uint64_t hash);

/* The first item with this hash and the one after item, or NULL. */
struct map_item *map_first(const struct map *m, uint64_t hash);
struct map_item *map_next(const struct map_item *item);

/* item must be in m. */
void map_remove(struct map *m, struct map_item *item);

/* Takes all items out; fn, called for each, may free it. */
void map_clear(struct map *m, void (*fn)(void *ctx, struct map_item *item),
               void *ctx);

/* SipHash-2-4 (Aumasson, Bernstein 2012) of len bytes. */
uint64_t map_siphash(const uint64_t secret[2], const void *data, size_t len);

#endif
