#include "core/str.h"

bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool str_equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_equal(str_of(s.data, prefix.len), prefix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len &&
           str_equal_nocase(str_of(s.data, prefix.len), prefix);
}

bool str_ends_nocase(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           str_equal_nocase(str_after(s, s.len - suffix.len), suffix);
}

size_t str_find(struct str s, char c)
{
    if (s.len == 0)
        return 0;
    const char *hit = memchr(s.data, c, s.len);
    return hit == NULL ? s.len : (size_t)(hit - s.data);
}

bool str_contains(struct str s, struct str part)
{
    if (part.len == 0)
        return true;
    return s.len >= part.len &&
           memmem(s.data, s.len, part.data, part.len) != NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool str_to_u64(struct str s, unsigned long long max, unsigned long long *out)
{
    unsigned long long value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.data[i]))
            return false;
        unsigned digit = (unsigned)(s.data[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

int ascii_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}
