#ifndef CONFIG_TWICE_H
#define CONFIG_TWICE_H

#include <stdbool.h>

#include "core/str.h"

/*
 * The first setting whose name stands twice in one group: libconfig says that
 * there is one, but not which. Pure.
 */
struct twice {
    struct str name; /* of the text */
    unsigned first_line;
    unsigned line;
};

/* text: with comments and strings that end. False: there is none. */
bool twice_find(struct str text, struct twice *out);

#endif
