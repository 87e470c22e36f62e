#ifndef CORE_STR_H
#define CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*
 * A view of bytes that belong to somebody else: never freed, never assumed to
 * end in NUL. {NULL, 0} is the empty, absent one. Comparing without case is
 * ASCII only, as mail's protocols want it.
 */
struct str {
    const char *data;
    size_t len;
};

#define STR(literal)                                                           \
    ((struct str){.data = "" literal, .len = sizeof(literal) - 1})

/* For printf: "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).data == NULL ? "" : (s).data

static inline struct str str_from(const char *text)
{
    return (struct str){text, text == NULL ? 0 : strlen(text)};
}

static inline struct str str_of(const char *data, size_t len)
{
    return (struct str){data, len};
}

/* From offset on; empty when offset is past the end. */
static inline struct str str_after(struct str s, size_t offset)
{
    if (offset >= s.len)
        return (struct str){NULL, 0};
    return (struct str){s.data + offset, s.len - offset};
}

bool str_equal(struct str a, struct str b);
bool str_equal_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends_nocase(struct str s, struct str suffix);

/* Index of the first c, or s.len. */
size_t str_find(struct str s, char c);
bool str_contains(struct str s, struct str part);

/* Without spaces, tabs, CR and LF at both ends. */
struct str str_trim(struct str s);

/*
 * Decimal digits only, all of s, in 0..max; false otherwise, and *out is
 * untouched.
 */
bool str_to_u64(struct str s, unsigned long long max, unsigned long long *out);

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char ascii_lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c | 0x20);
    return c;
}

/* 0..15, or -1 for what is no hexadecimal digit. */
int ascii_hex(char c);

#endif
