#include "app/sink/sink_tally.h"

#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "core/random.h"

#define FIRST_PAIRS 1024U

void sink_tally_fini(struct sink_tally *t)
{
    mem_free(t->slots);
    mem_free(t->ring);
    t->slots = t->ring = NULL;
    t->pairs = 0;
}

/* Both halves of the product, so that each bit of each factor counts. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t low = a * b;
    uint64_t a_high = a >> 32;
    uint64_t b_high = b >> 32;
    uint64_t a_low = a & UINT32_MAX;
    uint64_t b_low = b & UINT32_MAX;
    uint64_t middle = a_high * b_low + ((a_low * b_low) >> 32);
    uint64_t high = a_high * b_high + (middle >> 32) +
                    ((a_low * b_high + (middle & UINT32_MAX)) >> 32);
    return low ^ high;
}

static uint64_t hash_bytes(const struct sink_tally *t, uint64_t state,
                           struct str s, bool lower)
{
    for (size_t at = 0; at < s.len; at += 8) {
        char word[8] = {0};
        size_t len = s.len - at < 8 ? s.len - at : 8;
        uint64_t value;
        memcpy(word, s.data + at, len);
        for (size_t i = 0; lower && i < len; i++)
            word[i] = ascii_lower(word[i]);
        memcpy(&value, word, sizeof(value));
        state = mix(state ^ value, t->key[1]);
    }
    return mix(state ^ s.len, t->key[1] ^ 0x9e3779b97f4a7c15U);
}

static uint64_t hash_pair(const struct sink_tally *t, struct str message_id,
                          struct str recipient)
{
    size_t at = recipient.len;
    while (at > 0 && recipient.data[at - 1] != '@')
        at--;
    if (at == 0)
        at = recipient.len;
    uint64_t hash = hash_bytes(t, t->key[0], message_id, false);
    hash = hash_bytes(t, hash, str_of(recipient.data, at), false);
    hash = hash_bytes(t, hash, str_after(recipient, at), true);
    return hash == 0 ? 1 : hash;
}

/* Where hash is, or the free slot where it would go. */
static size_t find(const struct sink_tally *t, uint64_t hash)
{
    size_t at = hash & t->mask;
    while (t->slots[at] != 0 && t->slots[at] != hash)
        at = (at + 1) & t->mask;
    return at;
}

/* Frees a slot and moves up those that would not be found behind the gap. */
static void free_slot(struct sink_tally *t, size_t gap)
{
    for (size_t at = (gap + 1) & t->mask; t->slots[at] != 0;
         at = (at + 1) & t->mask) {
        size_t home = t->slots[at] & t->mask;
        if (((at - home) & t->mask) >= ((at - gap) & t->mask)) {
            t->slots[gap] = t->slots[at];
            gap = at;
        }
    }
    t->slots[gap] = 0;
}

/* Of the i-th pair from the oldest on; i <= ring_size. */
static size_t ring_place(const struct sink_tally *t, size_t i)
{
    size_t place = t->oldest + i;
    return place < t->ring_size ? place : place - t->ring_size;
}

/* Room for size pairs in the ring and twice as many slots at least. */
static void resize(struct sink_tally *t, size_t size)
{
    uint64_t *old = t->ring;
    size_t slots = 2;
    while (slots < size * 2)
        slots *= 2;
    mem_free(t->slots);
    t->slots = mem_calloc(slots, sizeof(*t->slots));
    t->mask = slots - 1;
    t->ring = mem_calloc(size, sizeof(*t->ring));
    for (size_t i = 0; i < t->pairs; i++) {
        t->ring[i] = old[ring_place(t, i)];
        t->slots[find(t, t->ring[i])] = t->ring[i];
    }
    t->ring_size = size;
    t->oldest = 0;
    mem_free(old);
}

void sink_tally_init(struct sink_tally *t, size_t max_pairs)
{
    PANIC_IF(max_pairs == 0);
    *t = (struct sink_tally){.max_pairs = max_pairs};
    random_secure(t->key, sizeof(t->key));
    resize(t, max_pairs < FIRST_PAIRS ? max_pairs : FIRST_PAIRS);
}

static void make_room(struct sink_tally *t)
{
    if (t->pairs < t->ring_size)
        return;
    if (t->ring_size < t->max_pairs) {
        size_t size = t->ring_size * 2;
        resize(t, size < t->max_pairs ? size : t->max_pairs);
        return;
    }
    free_slot(t, find(t, t->ring[t->oldest]));
    t->oldest = ring_place(t, 1);
    t->pairs--;
    t->forgotten++;
}

bool sink_tally_add(struct sink_tally *t, struct str message_id,
                    struct str recipient)
{
    uint64_t hash = hash_pair(t, message_id, recipient);
    if (t->slots[find(t, hash)] == hash) {
        t->duplicates++;
        return true;
    }
    make_room(t);
    t->slots[find(t, hash)] = hash;
    t->ring[ring_place(t, t->pairs)] = hash;
    t->pairs++;
    t->unique++;
    return false;
}
