#include "queue/spool_keys.h"

#include <string.h>

#include "core/mem.h"

/* How many may go in one step: more than come, few enough to be quick. */
#define DROPS_MAX 4

static struct spool_key *key_of(struct map_item *item)
{
    return CONTAINER_OF(item, struct spool_key, item);
}

void spool_keys_init(struct spool_keys *keys, int64_t window_ms, int64_t max)
{
    map_init(&keys->map);
    heap_init(&keys->settled);
    keys->window_ms = window_ms;
    keys->max = max;
}

static void free_item(void *ctx, struct map_item *item)
{
    (void)ctx;
    spool_key_free(key_of(item));
}

void spool_keys_fini(struct spool_keys *keys)
{
    map_clear(&keys->map, free_item, NULL);
    map_fini(&keys->map);
    heap_fini(&keys->settled);
}

struct spool_key *spool_key_new(const struct spool_keys *keys,
                                const struct job *job)
{
    size_t client_len = strlen(job->client);
    size_t key_len = strlen(job->key);
    size_t len = client_len + 1 + key_len;
    struct spool_key *key = mem_calloc(1, sizeof(*key) + len);
    key->id = job->id;
    memcpy(key->digest, job->digest, sizeof(key->digest));
    memcpy(key->text, job->client, client_len);
    memcpy(key->text + client_len + 1, job->key, key_len);
    key->len = len;
    key->item.hash = map_hash(&keys->map, key->text, len);
    heap_item_init(&key->age);
    return key;
}

void spool_key_free(struct spool_key *key)
{
    mem_free(key);
}

size_t spool_key_bytes(const struct spool_key *key)
{
    return key == NULL ? 0 : sizeof(*key) + key->len;
}

static void drop(struct spool_keys *keys, struct spool_key *key)
{
    if (key->entry != NULL)
        key->entry->key = NULL;
    heap_remove(&keys->settled, &key->age);
    map_remove(&keys->map, &key->item);
    spool_key_free(key);
}

static bool is_over(const struct spool_keys *keys, const struct spool_key *key,
                    int64_t now_ms)
{
    return heap_has(&key->age) && now_ms - key->created_ms >= keys->window_ms;
}

struct spool_key *spool_keys_find(struct spool_keys *keys,
                                  const struct spool_key *like, int64_t now_ms)
{
    struct map_item *item = map_first(&keys->map, like->item.hash);
    for (; item != NULL; item = map_next(item)) {
        struct spool_key *key = key_of(item);
        if (key->len != like->len ||
            memcmp(key->text, like->text, key->len) != 0)
            continue;
        if (!is_over(keys, key, now_ms))
            return key;
        drop(keys, key);
        return NULL;
    }
    return NULL;
}

void spool_keys_add(struct spool_keys *keys, struct spool_key *key,
                    struct spool_entry *entry, int64_t now_ms)
{
    for (unsigned i = 0; i < DROPS_MAX; i++) {
        struct heap_item *item = heap_peek(&keys->settled);
        if (item == NULL)
            break;
        struct spool_key *oldest = CONTAINER_OF(item, struct spool_key, age);
        if ((int64_t)keys->map.count < keys->max &&
            !is_over(keys, oldest, now_ms))
            break;
        drop(keys, oldest);
    }
    key->created_ms = now_ms;
    key->entry = entry;
    entry->key = key;
    map_add(&keys->map, &key->item, key->item.hash);
}

void spool_keys_settled(struct spool_keys *keys, struct spool_key *key,
                        enum job_state state)
{
    key->state = state;
    heap_push(&keys->settled, &key->age, key->created_ms);
}

void spool_keys_reopened(struct spool_keys *keys, struct spool_key *key,
                         int64_t now_ms)
{
    if (is_over(keys, key, now_ms))
        drop(keys, key);
    else
        heap_remove(&keys->settled, &key->age);
}
