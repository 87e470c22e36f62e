#include "app/cli/window.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/panic.h"

/* Ranges that window_ranges() names; the text has room for them. */
#define RANGES_SHOWN 5

void window_init(struct window *w, size_t capacity)
{
    *w = (struct window){.capacity = capacity};
    w->slots = mem_calloc(capacity, sizeof(*w->slots));
    w->free = mem_calloc(capacity, sizeof(*w->free));
    w->sent = mem_calloc(capacity, sizeof(*w->sent));
    for (size_t i = 0; i < capacity; i++)
        w->free[w->free_count++] = capacity - 1 - i;
}

void window_fini(struct window *w)
{
    for (size_t i = 0; i < w->capacity; i++)
        mem_free(w->slots[i].data);
    mem_free(w->slots);
    mem_free(w->free);
    mem_free(w->sent);
    *w = (struct window){0};
}

bool window_has_room(const struct window *w)
{
    return w->free_count > 0 && w->bytes < WINDOW_BYTES_MAX;
}

static size_t index_of(const struct window *w, const struct window_slot *slot)
{
    return (size_t)(slot - w->slots);
}

static void push_sent(struct window *w, size_t index)
{
    size_t tail = (w->sent_head + w->sent_count) % w->capacity;
    w->sent[tail] = index;
    w->sent_count++;
    w->slots[index].state = WINDOW_SENT;
}

void window_add(struct window *w, uint64_t line, struct str job)
{
    PANIC_IF(w->free_count == 0);
    size_t index = w->free[--w->free_count];
    struct window_slot *slot = &w->slots[index];
    *slot = (struct window_slot){.line = line, .len = job.len};
    slot->data = mem_alloc(job.len);
    memcpy(slot->data, job.data, job.len);
    w->bytes += job.len;
    push_sent(w, index);
}

struct window_slot *window_answered(struct window *w)
{
    if (w->sent_count == 0)
        return NULL;
    size_t index = w->sent[w->sent_head];
    w->sent_head = (w->sent_head + 1) % w->capacity;
    w->sent_count--;
    return &w->slots[index];
}

void window_drop(struct window *w, struct window_slot *slot)
{
    w->bytes -= slot->len;
    mem_free(slot->data);
    *slot = (struct window_slot){0};
    w->free[w->free_count++] = index_of(w, slot);
}

void window_hold(struct window *w, struct window_slot *slot, int64_t due_ms)
{
    slot->state = WINDOW_HELD;
    slot->due_ms = due_ms;
    w->held_count++;
}

struct window_slot *window_due(struct window *w, int64_t now_ms)
{
    struct window_slot *first = NULL;
    for (size_t i = 0; i < w->capacity && w->held_count > 0; i++) {
        struct window_slot *s = &w->slots[i];
        if (s->state == WINDOW_HELD && s->due_ms <= now_ms &&
            (first == NULL || s->line < first->line))
            first = s;
    }
    if (first == NULL)
        return NULL;
    w->held_count--;
    push_sent(w, index_of(w, first));
    return first;
}

int64_t window_next_due(const struct window *w)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < w->capacity && w->held_count > 0; i++)
        if (w->slots[i].state == WINDOW_HELD && w->slots[i].due_ms < next)
            next = w->slots[i].due_ms;
    return next;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static size_t add_range(char *out, size_t len, uint64_t from, uint64_t to)
{
    const char *comma = len > 0 ? ", " : "";
    int n =
        from == to
            ? snprintf(out + len, WINDOW_RANGES_MAX - len, "%s%llu", comma,
                       (unsigned long long)from)
            : snprintf(out + len, WINDOW_RANGES_MAX - len, "%s%llu to %llu",
                       comma, (unsigned long long)from, (unsigned long long)to);
    return len + (n > 0 ? (size_t)n : 0);
}

void window_ranges(const struct window *w, enum window_state state,
                   char out[WINDOW_RANGES_MAX])
{
    uint64_t *lines = mem_calloc(w->capacity, sizeof(*lines));
    size_t count = 0;
    size_t len = 0;
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < w->capacity; i++)
        if (w->slots[i].state == state)
            lines[count++] = w->slots[i].line;
    qsort(lines, count, sizeof(*lines), by_number);
    for (int shown = 0; at < count && shown < RANGES_SHOWN; shown++) {
        size_t from = at++;
        while (at < count && lines[at] == lines[at - 1] + 1)
            at++;
        len = add_range(out, len, lines[from], lines[at - 1]);
    }
    if (at < count && len < WINDOW_RANGES_MAX)
        (void)snprintf(out + len, WINDOW_RANGES_MAX - len, ", ... %llu",
                       (unsigned long long)lines[count - 1]);
    mem_free(lines);
}
