#include "core/mailbox.h"

#include "core/panic.h"

enum err_code mailbox_init(struct mailbox *m, struct err *err)
{
    enum err_code code = wake_init(&m->wake, err);
    if (code != ERR_NONE)
        return code;
    mutex_init(&m->lock);
    STAILQ_INIT(&m->items);
    return ERR_NONE;
}

void mailbox_fini(struct mailbox *m)
{
    PANIC_IF(!STAILQ_EMPTY(&m->items));
    mutex_fini(&m->lock);
    wake_fini(&m->wake);
}

void mailbox_post(struct mailbox *m, struct mailbox_item *item)
{
    mutex_lock(&m->lock);
    bool was_empty = STAILQ_EMPTY(&m->items);
    STAILQ_INSERT_TAIL(&m->items, item, next);
    /* Under the lock: else a take between the two leaves the flag raised. */
    if (was_empty)
        wake_raise(&m->wake);
    mutex_unlock(&m->lock);
}

/* NOLINTNEXTLINE(readability-function-size): the nesting is STAILQ_CONCAT's */
bool mailbox_take(struct mailbox *m, struct mailbox_list *out)
{
    STAILQ_INIT(out);
    mutex_lock(&m->lock);
    bool any = !STAILQ_EMPTY(&m->items);
    if (any) {
        STAILQ_CONCAT(out, &m->items);
        wake_clear(&m->wake);
    }
    mutex_unlock(&m->lock);
    return any;
}
