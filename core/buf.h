#ifndef CORE_BUF_H
#define CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/str.h"

/*
 * Bytes that grow up to a cap given at the start. Adding past the cap (or
 * past the machine's memory) adds nothing and sets overflow, which stays set:
 * a writer adds freely and asks buf_ok() once at the end.
 *
 * Ownership: the buf owns data; buf_fini() frees it. Threads: none.
 */
struct buf {
    char *data; /* not NUL-terminated */
    size_t len;
    size_t capacity;
    size_t max; /* cap of len, in bytes */
    bool overflow;
};

void buf_init(struct buf *b, size_t max_bytes);

/* Frees; b is then empty and usable again with the same cap. */
void buf_fini(struct buf *b);

static inline bool buf_ok(const struct buf *b)
{
    return !b->overflow;
}

static inline struct str buf_str(const struct buf *b)
{
    return str_of(b->data, b->len);
}

void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, struct str s);
void buf_add_text(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, unsigned long long value);
void buf_add_i64(struct buf *b, long long value);
void buf_add_format(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * Room for at least len more bytes at data + len; the caller fills some of it
 * and adds to b->len himself. NULL (and overflow set) past the cap.
 */
char *buf_reserve(struct buf *b, size_t len);

/* Removes the first len bytes; what is behind moves to the front. */
void buf_consume(struct buf *b, size_t len);

/* Keeps the first len bytes; clears overflow too. */
void buf_truncate(struct buf *b, size_t len);

/* Gives data to the caller, who frees it with mem_free(); b is empty then. */
char *buf_take(struct buf *b, size_t *len);

#endif
