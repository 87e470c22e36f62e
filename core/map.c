#include "core/map.h"

#include <endian.h>
#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "core/random.h"

#define FIRST_BUCKETS 16

/* ---- the hash ---- */

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_rounds(uint64_t v[4], unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

uint64_t map_siphash(const uint64_t secret[2], const void *data, size_t len)
{
    const unsigned char *bytes = data;
    uint64_t v[4] = {
        secret[0] ^ 0x736f6d6570736575U, secret[1] ^ 0x646f72616e646f6dU,
        secret[0] ^ 0x6c7967656e657261U, secret[1] ^ 0x7465646279746573U};
    uint64_t last = (uint64_t)len << 56;
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof(word));
        sip_word(v, le64toh(word));
    }
    for (unsigned shift = 0; at < len; at++, shift += 8)
        last |= (uint64_t)bytes[at] << shift;
    sip_word(v, last);
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- the table: linear hashing ---- */

void map_init(struct map *m)
{
    *m = (struct map){.bucket_count = FIRST_BUCKETS,
                      .bucket_room = FIRST_BUCKETS};
    m->buckets = mem_calloc(FIRST_BUCKETS, sizeof(struct map_item *));
    random_secure(m->secret, sizeof(m->secret));
}

void map_fini(struct map *m)
{
    PANIC_IF(m->count != 0);
    mem_free(m->buckets);
    m->buckets = NULL;
}

uint64_t map_hash(const struct map *m, const void *data, size_t len)
{
    return map_siphash(m->secret, data, len);
}

/* The greatest power of two that is not above bucket_count. */
static size_t base_of(size_t bucket_count)
{
    return (size_t)1 << (63 - __builtin_clzll(bucket_count));
}

static size_t bucket_of(const struct map *m, uint64_t hash)
{
    size_t base = base_of(m->bucket_count);
    size_t at = hash & (base * 2 - 1);
    return at < m->bucket_count ? at : hash & (base - 1);
}

/* One bucket more; it gets its items from the one it was part of. */
static void split(struct map *m)
{
    if (m->bucket_count == m->bucket_room) {
        m->bucket_room *= 2;
        m->buckets =
            mem_realloc(m->buckets, m->bucket_room * sizeof(struct map_item *));
    }
    size_t added = m->bucket_count++;
    size_t base = base_of(added);
    struct map_item **to = &m->buckets[added];
    struct map_item **from = &m->buckets[added - base];
    *to = NULL;
    while (*from != NULL) {
        struct map_item *item = *from;
        if ((item->hash & (base * 2 - 1)) != added) {
            from = &item->next;
            continue;
        }
        *from = item->next;
        item->next = *to;
        *to = item;
    }
}

void map_add(struct map *m, struct map_item *item, uint64_t hash)
{
    if (++m->count > m->bucket_count)
        split(m);
    struct map_item **bucket = &m->buckets[bucket_of(m, hash)];
    item->hash = hash;
    item->next = *bucket;
    *bucket = item;
}

static struct map_item *seek(struct map_item *item, uint64_t hash)
{
    while (item != NULL && item->hash != hash)
        item = item->next;
    return item;
}

struct map_item *map_first(const struct map *m, uint64_t hash)
{
    return seek(m->buckets[bucket_of(m, hash)], hash);
}

struct map_item *map_next(const struct map_item *item)
{
    return seek(item->next, item->hash);
}

void map_remove(struct map *m, struct map_item *item)
{
    struct map_item **at = &m->buckets[bucket_of(m, item->hash)];
    while (*at != item) {
        PANIC_IF(*at == NULL);
        at = &(*at)->next;
    }
    *at = item->next;
    m->count--;
}

void map_clear(struct map *m, void (*fn)(void *ctx, struct map_item *item),
               void *ctx)
{
    for (size_t i = 0; i < m->bucket_count; i++) {
        while (m->buckets[i] != NULL) {
            struct map_item *item = m->buckets[i];
            m->buckets[i] = item->next;
            m->count--;
            fn(ctx, item);
        }
    }
}
