#ifndef TESTS_UNIT_MESSAGE_PORTRAIT_H
#define TESTS_UNIT_MESSAGE_PORTRAIT_H

#include <stdbool.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * What GMime finds in a message: its structure, its header fields as they are
 * written, its contents decoded. Left out is what a conversion to 7 bits may
 * change: Content-Transfer-Encoding, MIME-Version, a Content-Type with
 * charset=unknown-8bit.
 */
struct portrait {
    struct buf all;
    struct buf contents; /* see mixture_add_content() */
};

/* is_seven: fails the test for an encoding of more than 7 bits. */
void portrait_make(struct portrait *p, struct str message, bool is_seven);
void portrait_fini(struct portrait *p);

#endif
