#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stddef.h>
#include <stdint.h>

#include "core/str.h"

/*
 * The known word nearest to one that is not known, for "did you mean".
 * Words are views of the caller's. Threads: none.
 */
struct suggest {
    struct str word;
    struct str best; /* empty: nothing near enough */
    size_t distance;
};

void suggest_init(struct suggest *s, struct str word);

/* Considers one known word; of equally near ones the first stays. */
void suggest_offer(struct suggest *s, struct str known);

#endif
