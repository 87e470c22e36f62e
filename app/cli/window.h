#ifndef APP_CLI_WINDOW_H
#define APP_CLI_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"

/*
 * Jobs that were read and are not settled with the daemon: sent, in the order
 * of sending, or held until they may be sent again. Bounded in number and
 * bytes.
 */
#define WINDOW_BYTES_MAX (64U << 20)

enum window_state {
    WINDOW_FREE,
    WINDOW_SENT,
    WINDOW_HELD,
};

struct window_slot {
    enum window_state state;
    uint64_t line; /* its number in the input */
    char *data;
    size_t len;
    unsigned tries;      /* answered "not now" so often */
    int64_t first_no_ms; /* mono time of the first such answer */
    int64_t due_ms;      /* when held: not before */
};

struct window {
    struct window_slot *slots;
    size_t capacity;
    size_t *free; /* stack of indexes */
    size_t free_count;
    size_t *sent; /* ring of indexes, oldest at sent_head */
    size_t sent_head;
    size_t sent_count;
    size_t held_count;
    size_t bytes;
};

void window_init(struct window *w, size_t capacity);
void window_fini(struct window *w);

/* Another job may come in; one always may when there is none. */
bool window_has_room(const struct window *w);

/* Copies the job; it counts as sent. There must be room. */
void window_add(struct window *w, uint64_t line, struct str job);

/*
 * Takes the job that was sent first, NULL if none is. It is then for
 * window_drop() or window_hold() at once.
 */
struct window_slot *window_answered(struct window *w);
void window_drop(struct window *w, struct window_slot *slot);
void window_hold(struct window *w, struct window_slot *slot, int64_t due_ms);

/* A held job that is due at now_ms, which counts as sent again; or NULL. */
struct window_slot *window_due(struct window *w, int64_t now_ms);

/* When the first held job is due, INT64_MAX if there is none. */
int64_t window_next_due(const struct window *w);

/*
 * The line numbers of jobs in that state, as "4 to 17, 20, 23", with the
 * middle left out when there are many. Empty if there are none.
 */
#define WINDOW_RANGES_MAX 256
void window_ranges(const struct window *w, enum window_state state,
                   char out[WINDOW_RANGES_MAX]);

#endif
