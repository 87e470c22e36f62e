#include "message/chars.h"

bool chars_has_control(struct str s)
{
    return str_find(s, '\t') < s.len || chars_has_control_but_tab(s);
}

bool chars_has_control_but_tab(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (chars_is_control(s.data[i]) && s.data[i] != '\t')
            return true;
        /* U+0080 to U+009F are C2 80 to C2 9F. */
        if ((unsigned char)s.data[i] == 0xc2 && i + 1 < s.len &&
            ((unsigned char)s.data[i + 1] & 0xe0) == 0x80)
            return true;
    }
    return false;
}

bool chars_is_dot_atom(struct str s)
{
    bool after_atom = false;
    for (size_t i = 0; i < s.len; i++) {
        bool dot = s.data[i] == '.';
        if (dot ? !after_atom : !chars_is_atext(s.data[i]))
            return false;
        after_atom = !dot;
    }
    return after_atom;
}
