#ifndef TESTS_UNIT_MESSAGE_MIXTURE_H
#define TESTS_UNIT_MESSAGE_MIXTURE_H

#include "core/buf.h"
#include "core/random.h"

/*
 * MIME messages made from a seed, with 8-bit contents in all sorts of parts
 * and texts that nearly are boundaries. All of them can be converted to 7
 * bits.
 */
struct mixture {
    struct buf message;
    struct buf contents; /* of its leaves, decoded; mixture_add_content() */
    struct random *random;
};

void mixture_make(struct mixture *m, struct random *r);
void mixture_fini(struct mixture *m);

/* One leaf more, told apart from those before it. */
void mixture_add_content(struct buf *contents, struct str content);

#endif
