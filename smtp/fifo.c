#include "smtp/fifo.h"

#include "core/mem.h"
#include "core/panic.h"

void smtp_fifo_init(struct smtp_fifo *f)
{
    *f = (struct smtp_fifo){0};
}

void smtp_fifo_fini(struct smtp_fifo *f)
{
    mem_free(f->items);
    smtp_fifo_init(f);
}

static void grow(struct smtp_fifo *f)
{
    size_t capacity = f->capacity == 0 ? 8 : f->capacity * 2;
    struct smtp_expected *items = mem_calloc(capacity, sizeof(*items));
    for (size_t i = 0; i < f->count; i++)
        items[i] = f->items[(f->first + i) & (f->capacity - 1)];
    mem_free(f->items);
    f->items = items;
    f->first = 0;
    f->capacity = capacity;
}

void smtp_fifo_push(struct smtp_fifo *f, const struct smtp_expected *expected)
{
    if (f->count == f->capacity)
        grow(f);
    f->items[(f->first + f->count) & (f->capacity - 1)] = *expected;
    f->count++;
}

void smtp_fifo_clear(struct smtp_fifo *f)
{
    f->first = 0;
    f->count = 0;
}

bool smtp_fifo_pop(struct smtp_fifo *f, struct smtp_expected *out)
{
    if (f->count == 0)
        return false;
    *out = f->items[f->first];
    f->first = (f->first + 1) & (f->capacity - 1);
    f->count--;
    return true;
}

const struct smtp_expected *smtp_fifo_at(const struct smtp_fifo *f,
                                         size_t place)
{
    PANIC_IF(place >= f->count);
    return &f->items[(f->first + place) & (f->capacity - 1)];
}

const struct smtp_expected *smtp_fifo_front(const struct smtp_fifo *f)
{
    return f->count == 0 ? NULL : smtp_fifo_at(f, 0);
}
