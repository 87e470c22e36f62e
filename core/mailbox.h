#ifndef CORE_MAILBOX_H
#define CORE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
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

/* A descriptor that outlives its mailbox while a round has still to ring. */
struct mailbox_bell {
    struct wake wake;
    atomic_uint refs;
};

struct mailbox_round;

struct mailbox {
    struct mutex lock;
    struct mailbox_list items;   /* guarded by lock */
    struct mailbox_bell *bell;   /* raised while items is not empty, or will be
                                  * at the end of a round */
    struct mailbox_round *round; /* NULL: none */
};

MUST_CHECK enum err_code mailbox_init(struct mailbox *m, struct err *err);

/* The mailbox must be empty, and nobody may post any more. */
void mailbox_fini(struct mailbox *m);

static inline int mailbox_fd(const struct mailbox *m)
{
    return m->bell->wake.fd;
}

void mailbox_post(struct mailbox *m, struct mailbox_item *item);

/*
 * Moves everything into *out, oldest first, and clears the descriptor. Returns
 * whether there was anything: not always when the descriptor was readable.
 */
bool mailbox_take(struct mailbox *m, struct mailbox_list *out);

/*
 * A round: one thread that posts a lot at a time, into several mailboxes,
 * wakes each of their threads once, when it has posted everything. Else each
 * wakes for the first item and again for the next, on a core that the poster
 * could have used.
 *
 * Posts of other threads are not put off, unless they come behind one that is.
 *
 * Threads: begin and end are the poster's, one thread's at a time.
 */
#define MAILBOX_ROUND_MAX 32 /* mailboxes; further ones are woken at once */

struct mailbox_round {
    atomic_ulong poster; /* pthread_t while the round is on; 0: it is not */
    struct mailbox_bell *bells[MAILBOX_ROUND_MAX];
    size_t count;
};

void mailbox_round_init(struct mailbox_round *r);

/* For a new mailbox, before anybody posts. round must outlive it; NULL: none.
 */
void mailbox_join(struct mailbox *m, struct mailbox_round *round);

void mailbox_round_begin(struct mailbox_round *r);
void mailbox_round_end(struct mailbox_round *r);

#endif
