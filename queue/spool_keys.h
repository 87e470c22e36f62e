#ifndef QUEUE_SPOOL_KEYS_H
#define QUEUE_SPOOL_KEYS_H

#include <stdint.h>

#include "core/heap.h"
#include "core/map.h"
#include "queue/spool_entry.h"

/*
 * The idempotency keys that the memory spool knows, of one client each. A key
 * outlives its job's entry; it goes when the job is settled and the window is
 * over, or when the table is full and it is the oldest such.
 *
 * Threads: guarded by the spool's lock, but spool_key_new().
 */
struct spool_key {
    struct map_item item;
    struct heap_item age;      /* among those whose job is settled */
    struct spool_entry *entry; /* NULL: forgotten; state is its last */
    enum job_state state;
    struct id id;
    unsigned char digest[JOB_DIGEST_LEN];
    int64_t created_ms;
    size_t len;
    char text[]; /* the client, NUL, the key */
};

struct spool_keys {
    struct map map;
    struct heap settled;
    int64_t window_ms;
    int64_t max;
};

void spool_keys_init(struct spool_keys *keys, int64_t window_ms, int64_t max);
void spool_keys_fini(struct spool_keys *keys); /* with all keys */

/* For a job that has a key. No lock. */
struct spool_key *spool_key_new(const struct spool_keys *keys,
                                const struct job *job);
void spool_key_free(struct spool_key *key); /* NULL allowed. No lock. */
size_t spool_key_bytes(const struct spool_key *key);

/* The known key that is equal to this one, or NULL. */
struct spool_key *spool_keys_find(struct spool_keys *keys,
                                  const struct spool_key *like, int64_t now_ms);

/* Takes key, whose job is entry; makes room for it if it can. */
void spool_keys_add(struct spool_keys *keys, struct spool_key *key,
                    struct spool_entry *entry, int64_t now_ms);

/* The key's job is settled: from now on the key may go. */
void spool_keys_settled(struct spool_keys *keys, struct spool_key *key,
                        enum job_state state);

/* The job waits again: if the window is not over yet, the key stays with it. */
void spool_keys_reopened(struct spool_keys *keys, struct spool_key *key,
                         int64_t now_ms);

#endif
