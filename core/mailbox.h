#ifndef CORE_MAILBOX_H
#define CORE_MAILBOX_H

#include <stdbool.h>
#include <sys/queue.h>

#include "core/err.h"
#include "core/thread.h"
#include "core/wake.h"

/*
 * How other threads hand whole objects to a thread that runs an event loop:
 * a list under a lock and a descriptor to poll. The object embeds a
 * mailbox_item and belongs to the mailbox from post to take.
 *
 * Threads: many post, one takes. Blocking: never beyond the short lock.
 * Bounded by what its users allow to be under way.
 */
struct mailbox_item {
    STAILQ_ENTRY(mailbox_item) next;
};

STAILQ_HEAD(mailbox_list, mailbox_item);

struct mailbox {
    struct mutex lock;
    struct mailbox_list items; /* guarded by lock */
    struct wake wake;          /* raised while items is not empty */
};

MUST_CHECK enum err_code mailbox_init(struct mailbox *m, struct err *err);

/* The mailbox must be empty, and nobody may post any more. */
void mailbox_fini(struct mailbox *m);

static inline int mailbox_fd(const struct mailbox *m)
{
    return m->wake.fd;
}

void mailbox_post(struct mailbox *m, struct mailbox_item *item);

/*
 * Moves everything into *out, oldest first, and clears the descriptor. Returns
 * whether there was anything.
 */
bool mailbox_take(struct mailbox *m, struct mailbox_list *out);

#endif
