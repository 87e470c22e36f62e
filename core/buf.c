#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/panic.h"

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

/* Capacities double from 64, so that adding is constant time on average. */
static bool grow(struct buf *b, size_t needed)
{
    size_t capacity = b->capacity < 64 ? 64 : b->capacity;
    while (capacity < needed)
        capacity = capacity > b->max / 2 ? b->max : capacity * 2;
    if (capacity > b->max && needed <= b->max)
        capacity = b->max;
    char *moved = realloc(b->data, capacity);
    if (moved == NULL)
        return false;
    b->data = moved;
    b->capacity = capacity;
    return true;
}

char *buf_reserve(struct buf *b, size_t len)
{
    if (b->overflow || len > b->max || b->len > b->max - len) {
        b->overflow = true;
        return NULL;
    }
    if ((b->len + len > b->capacity || b->data == NULL) &&
        !grow(b, b->len + len)) {
        b->overflow = true;
        return NULL;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    char *room = buf_reserve(b, len);
    if (room == NULL)
        return;
    memcpy(room, data, len);
    b->len += len;
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.data, s.len);
}

void buf_add_text(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_add_u64(struct buf *b, unsigned long long value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_add_i64(struct buf *b, long long value)
{
    if (value < 0) {
        buf_add_char(b, '-');
        buf_add_u64(b, 0ULL - (unsigned long long)value);
        return;
    }
    buf_add_u64(b, (unsigned long long)value);
}

void buf_add_format(struct buf *b, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof(small)) {
        buf_add(b, small, (size_t)len);
    } else if (len >= 0 && buf_reserve(b, (size_t)len) != NULL) {
        /* vsnprintf writes a NUL that the cap need not have room for. */
        char *large = mem_try_alloc((size_t)len + 1);
        if (large == NULL)
            b->overflow = true;
        else if (vsnprintf(large, (size_t)len + 1, format, again) == len)
            buf_add(b, large, (size_t)len);
        mem_free(large);
    }
    va_end(again);
}

void buf_consume(struct buf *b, size_t len)
{
    PANIC_IF(len > b->len);
    if (len == 0)
        return;
    b->len -= len;
    if (b->len > 0)
        memmove(b->data, b->data + len, b->len);
}

void buf_truncate(struct buf *b, size_t len)
{
    PANIC_IF(len > b->len);
    b->len = len;
    b->overflow = false;
}

char *buf_take(struct buf *b, size_t *len)
{
    char *data = b->data;
    *len = b->len;
    buf_init(b, b->max);
    return data;
}
