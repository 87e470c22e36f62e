#ifndef CORE_WAKE_H
#define CORE_WAKE_H

#include "core/err.h"

/*
 * A flag that an event loop can poll: eventfd(2). Readable from wake_raise()
 * until wake_clear(). Raising again while raised changes nothing.
 *
 * Threads: any thread may raise. Blocking: never.
 */
struct wake {
    int fd; /* poll it for reading; -1 after fini */
};

MUST_CHECK enum err_code wake_init(struct wake *w, struct err *err);
void wake_fini(struct wake *w);
void wake_raise(struct wake *w);
void wake_clear(struct wake *w);

#endif
