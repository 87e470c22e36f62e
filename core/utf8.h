#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"

/* RFC 3629: no overlong forms, no surrogates, nothing over U+10FFFF. */
bool utf8_is_valid(struct str s);

bool utf8_is_ascii(struct str s);

/*
 * Bytes of the character at s.data[at], and its number in *code_point (may be
 * NULL). 0 at the end or for bytes that are no UTF-8.
 */
size_t utf8_next(struct str s, size_t at, uint32_t *code_point);

#endif
