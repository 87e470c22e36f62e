#include "message/envelope.h"

#include <stdint.h>

#include "core/mem.h"

/* Below this many a linear search is quicker than the table. */
#define SEARCH_LINEAR 16

void envelope_init(struct envelope *e)
{
    *e = (struct envelope){0};
}

void envelope_fini(struct envelope *e)
{
    for (size_t i = 0; i < e->count; i++)
        mem_free(e->recipients[i]);
    mem_free(e->recipients);
    mem_free(e->slots);
    mem_free(e->sender);
    envelope_init(e);
}

void envelope_set_sender(struct envelope *e, struct str address)
{
    char *copy = mem_strdup(address);
    mem_free(e->sender);
    e->sender = copy;
}

/* Where the domain begins: a quoted local part may hold an "@" too. */
static size_t domain_of(struct str address)
{
    size_t at = address.len;
    while (at > 0 && address.data[at - 1] != '@')
        at--;
    return at;
}

static bool same(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    size_t domain = domain_of(a);
    return domain == domain_of(b) &&
           str_equal(str_of(a.data, domain), str_of(b.data, domain)) &&
           str_equal_nocase(str_after(a, domain), str_after(b, domain));
}

/* FNV-1a, with the domain in lower case. */
static size_t hash(struct str address)
{
    uint64_t value = 0xcbf29ce484222325ULL;
    size_t domain = domain_of(address);
    for (size_t i = 0; i < address.len; i++) {
        char c = address.data[i];
        value ^= (unsigned char)(i < domain ? c : ascii_lower(c));
        value *= 0x100000001b3ULL;
    }
    return (size_t)(value ^ (value >> 32));
}

/*
 * The slot that holds address, or the free one where it belongs. Slots hold
 * an index plus one; their number is a power of two and more than twice the
 * recipients'.
 */
static size_t *slot_of(const struct envelope *e, struct str address)
{
    size_t at = hash(address) & (e->slot_count - 1);
    while (e->slots[at] != 0 &&
           !same(str_from(e->recipients[e->slots[at] - 1]), address))
        at = (at + 1) & (e->slot_count - 1);
    return &e->slots[at];
}

static void build_slots(struct envelope *e)
{
    mem_free(e->slots);
    e->slot_count = e->capacity * 4;
    e->slots = mem_calloc(e->slot_count, sizeof(*e->slots));
    for (size_t i = 0; i < e->count; i++)
        *slot_of(e, str_from(e->recipients[i])) = i + 1;
}

static bool contains(const struct envelope *e, struct str address)
{
    if (e->slots != NULL)
        return *slot_of(e, address) != 0;
    for (size_t i = 0; i < e->count; i++)
        if (same(str_from(e->recipients[i]), address))
            return true;
    return false;
}

bool envelope_add(struct envelope *e, struct str address)
{
    if (contains(e, address))
        return false;
    if (e->count == e->capacity) {
        e->capacity = e->capacity == 0 ? 4 : e->capacity * 2;
        e->recipients =
            mem_realloc(e->recipients, e->capacity * sizeof(*e->recipients));
        if (e->capacity > SEARCH_LINEAR)
            build_slots(e);
    }
    if (e->slots != NULL)
        *slot_of(e, address) = e->count + 1;
    e->recipients[e->count++] = mem_strdup(address);
    return true;
}

void envelope_take(struct envelope *e, char **sender, char ***recipients,
                   size_t *count)
{
    *sender = e->sender;
    *recipients = e->recipients;
    *count = e->count;
    mem_free(e->slots);
    envelope_init(e);
}
