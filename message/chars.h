#ifndef MESSAGE_CHARS_H
#define MESSAGE_CHARS_H

#include <stdbool.h>
#include <string.h>

#include "core/str.h"

/* Character classes of mail's grammars: ASCII only, whatever the locale. */

static inline bool chars_is_alnum(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c);
}

static inline bool chars_is_one_of(struct str set, char c)
{
    return memchr(set.data, c, set.len) != NULL;
}

/* RFC 5322 section 3.2.3: what atoms are made of. */
static inline bool chars_is_atext(char c)
{
    return chars_is_alnum(c) || chars_is_one_of(STR("!#$%&'*+-/=?^_`{|}~"), c);
}

/* RFC 5322 section 3.6.8: what names of header fields are made of. */
static inline bool chars_is_ftext(char c)
{
    return c > ' ' && c < 0x7f && c != ':';
}

/* RFC 2045 section 5.1: what tokens are made of. */
static inline bool chars_is_token(char c)
{
    return c > ' ' && c < 0x7f && !chars_is_one_of(STR("()<>@,;:\\\"/[]?="), c);
}

/* Printable ASCII with the blank. */
static inline bool chars_is_printable(char c)
{
    return c >= ' ' && c < 0x7f;
}

static inline bool chars_is_high(char c)
{
    return (unsigned char)c >= 0x80;
}

/* NUL, CR, LF and the rest of C0, DEL. */
static inline bool chars_is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* Whether s holds a control character: C0, DEL, or C1 written in UTF-8. */
bool chars_has_control(struct str s);

/* The same, but tabs are allowed. */
bool chars_has_control_but_tab(struct str s);

/*
 * Whether s is a dot-atom (RFC 5322 section 3.2.3) in ASCII: atoms with
 * single dots between them.
 */
bool chars_is_dot_atom(struct str s);

#endif
