#include "core/mailbox.h"

#include <pthread.h>

#include "core/mem.h"
#include "core/panic.h"

_Static_assert(sizeof(pthread_t) == sizeof(unsigned long),
               "a round keeps its poster as a number");

enum err_code mailbox_init(struct mailbox *m, struct err *err)
{
    struct mailbox_bell *bell;
    MEM_NEW(bell);
    enum err_code code = wake_init(&bell->wake, err);
    if (code != ERR_NONE) {
        mem_free(bell);
        return code;
    }
    atomic_init(&bell->refs, 1);
    m->bell = bell;
    m->round = NULL;
    mutex_init(&m->lock);
    STAILQ_INIT(&m->items);
    return ERR_NONE;
}

static void bell_unref(struct mailbox_bell *bell)
{
    if (atomic_fetch_sub(&bell->refs, 1) != 1)
        return;
    wake_fini(&bell->wake);
    mem_free(bell);
}

void mailbox_fini(struct mailbox *m)
{
    PANIC_IF(!STAILQ_EMPTY(&m->items));
    mutex_fini(&m->lock);
    bell_unref(m->bell);
    m->bell = NULL;
}

/* Whether this thread's round sees to the bell. */
static bool put_off(struct mailbox_round *r, struct mailbox_bell *bell)
{
    if (r == NULL || atomic_load_explicit(&r->poster, memory_order_relaxed) !=
                         (unsigned long)pthread_self())
        return false;
    for (size_t i = 0; i < r->count; i++)
        if (r->bells[i] == bell)
            return true;
    if (r->count == MAILBOX_ROUND_MAX)
        return false;
    atomic_fetch_add(&bell->refs, 1);
    r->bells[r->count++] = bell;
    return true;
}

void mailbox_post(struct mailbox *m, struct mailbox_item *item)
{
    mutex_lock(&m->lock);
    bool was_empty = STAILQ_EMPTY(&m->items);
    STAILQ_INSERT_TAIL(&m->items, item, next);
    /* Under the lock: once it is taken, the mailbox may be gone. */
    if (was_empty && !put_off(m->round, m->bell))
        wake_raise(&m->bell->wake);
    mutex_unlock(&m->lock);
}

/* NOLINTNEXTLINE(readability-function-size): the nesting is STAILQ_CONCAT's */
bool mailbox_take(struct mailbox *m, struct mailbox_list *out)
{
    STAILQ_INIT(out);
    mutex_lock(&m->lock);
    bool any = !STAILQ_EMPTY(&m->items);
    if (any)
        STAILQ_CONCAT(out, &m->items);
    /* Also if there was nothing: a round may ring for what was taken. */
    wake_clear(&m->bell->wake);
    mutex_unlock(&m->lock);
    return any;
}

/* ---- rounds ---- */

void mailbox_round_init(struct mailbox_round *r)
{
    atomic_init(&r->poster, 0);
    r->count = 0;
}

void mailbox_join(struct mailbox *m, struct mailbox_round *round)
{
    m->round = round;
}

void mailbox_round_begin(struct mailbox_round *r)
{
    PANIC_IF(r->count != 0);
    atomic_store_explicit(&r->poster, (unsigned long)pthread_self(),
                          memory_order_relaxed);
}

void mailbox_round_end(struct mailbox_round *r)
{
    atomic_store_explicit(&r->poster, 0, memory_order_relaxed);
    for (size_t i = 0; i < r->count; i++) {
        wake_raise(&r->bells[i]->wake);
        bell_unref(r->bells[i]);
    }
    r->count = 0;
}
