#include "core/utf8.h"

static bool is_tail(struct str s, size_t at)
{
    return at < s.len && ((unsigned char)s.data[at] & 0xc0) == 0x80;
}

/* Length that the first byte announces, and the least number it may hold. */
static size_t announced(unsigned char first, uint32_t *bits, uint32_t *least)
{
    if (first < 0x80) {
        *bits = first;
        *least = 0;
        return 1;
    }
    if (first >= 0xc2 && first < 0xe0) {
        *bits = first & 0x1fU;
        *least = 0x80;
        return 2;
    }
    if (first >= 0xe0 && first < 0xf0) {
        *bits = first & 0x0fU;
        *least = 0x800;
        return 3;
    }
    if (first >= 0xf0 && first < 0xf5) {
        *bits = first & 0x07U;
        *least = 0x10000;
        return 4;
    }
    return 0;
}

size_t utf8_next(struct str s, size_t at, uint32_t *code_point)
{
    uint32_t value;
    uint32_t least;
    if (at >= s.len)
        return 0;
    size_t len = announced((unsigned char)s.data[at], &value, &least);
    for (size_t i = 1; i < len; i++) {
        if (!is_tail(s, at + i))
            return 0;
        value = (value << 6) | ((unsigned char)s.data[at + i] & 0x3fU);
    }
    if (len == 0 || value < least || value > 0x10ffff ||
        (value >= 0xd800 && value <= 0xdfff))
        return 0;
    if (code_point != NULL)
        *code_point = value;
    return len;
}

/* The end of the ASCII that begins at: most text is little else. */
static size_t ascii_end(struct str s, size_t at)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    uint64_t eight;
    for (; s.len - at >= sizeof(eight); at += sizeof(eight)) {
        memcpy(&eight, s.data + at, sizeof(eight));
        if ((eight & high_bits) != 0)
            break;
    }
    while (at < s.len && (unsigned char)s.data[at] < 0x80)
        at++;
    return at;
}

bool utf8_is_valid(struct str s)
{
    size_t at = ascii_end(s, 0);
    while (at < s.len) {
        size_t len = utf8_next(s, at, NULL);
        if (len == 0)
            return false;
        at += len;
        if (at < s.len && (unsigned char)s.data[at] < 0x80)
            at = ascii_end(s, at);
    }
    return true;
}

bool utf8_is_ascii(struct str s)
{
    return ascii_end(s, 0) == s.len;
}
