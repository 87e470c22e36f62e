#ifndef MESSAGE_DOWNGRADE_PLAN_H
#define MESSAGE_DOWNGRADE_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "core/body.h"
#include "core/err.h"
#include "core/str.h"

/*
 * What has to be changed in a message for it to be 7 bits (see
 * message/downgrade.h): found by one reading of it, done by another. What no
 * edit names stays as it is.
 *
 * Threads: none.
 */
#define DOWNGRADE_DEPTH_MAX 16   /* parts in parts */
#define DOWNGRADE_EDITS_MAX 8192 /* in a message: three or fewer a part */

enum downgrade_action {
    DOWNGRADE_NOTHING,
    DOWNGRADE_REPLACE, /* with text */
    DOWNGRADE_QUOTED_PRINTABLE,
    DOWNGRADE_BASE64,
};

struct downgrade_edit {
    enum downgrade_action action;
    uint64_t at; /* these bytes of the message */
    uint64_t len;
    struct str text; /* constant */
};

/* In the order of `at`; those with the same one in their own order. */
struct downgrade_plan {
    struct downgrade_edit *edits;
    size_t count;
};

/*
 * Fills *plan, which downgrade_plan_fini() frees, also after an error.
 * Blocking: as body_read(). Errors: as message_to_7bit().
 */
MUST_CHECK enum err_code downgrade_plan_make(struct downgrade_plan *plan,
                                             const struct body *in,
                                             struct err *err);

void downgrade_plan_fini(struct downgrade_plan *plan);

#endif
