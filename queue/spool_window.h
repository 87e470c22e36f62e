#ifndef QUEUE_SPOOL_WINDOW_H
#define QUEUE_SPOOL_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "queue/spool_loaded.h"
#include "queue/store.h"

/*
 * What of one lane is in memory: all rows that wait, are not claimed and have
 * their place up to `upto`, in order. What lies behind is in the store only.
 * So a job that comes back, or comes to be due earlier, is either put in here,
 * or the window is cut in front of it and it is read from the store again.
 *
 * Ownership: the items are the user's. Threads: none of its own.
 */
struct spool_window {
    struct spool_loaded_list items; /* by due_ms, then seq */
    size_t count;
    struct store_cursor upto;
    bool beyond_known;
    int64_t beyond_ms; /* when the first behind upto is due, if known */
};

void spool_window_init(struct spool_window *w);

/* Whether a row of this place must be in the window. */
bool spool_window_covers(const struct spool_window *w, int64_t due_ms,
                         int64_t seq);

/* Its place must be covered. */
void spool_window_insert(struct spool_window *w, struct spool_loaded *item);

/* The earliest, or NULL. It stays in. */
struct spool_loaded *spool_window_first(const struct spool_window *w);

/* Only when it is claimed, or its row has changed. */
void spool_window_remove(struct spool_window *w, struct spool_loaded *item);

/* Takes the last out, which is then to be found in the store; or NULL. */
struct spool_loaded *spool_window_evict(struct spool_window *w);

/*
 * The row of this place is to be read from the store: from there on nothing is
 * covered any more. True while an item lies behind, which spool_window_evict()
 * then gives: call both until it is false.
 */
MUST_CHECK bool spool_window_cut(struct spool_window *w, int64_t due_ms,
                                 int64_t seq);

/* There is a row behind the window with this due_ms. */
void spool_window_beyond(struct spool_window *w, int64_t due_ms);

/* A row behind the window is not there any more. */
void spool_window_gone(struct spool_window *w, int64_t due_ms);

/* All rows before this time are in now; the first behind is due then. */
void spool_window_reach(struct spool_window *w, int64_t beyond_ms);

/* All rows up to this place are in now. */
void spool_window_read(struct spool_window *w, int64_t due_ms, int64_t seq);

#endif
