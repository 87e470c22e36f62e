#include "producer/service.h"

/* Lists of mailboxes in four fields, and what else a request may hold. */
#define VALUES_PER_RECIPIENT 4
#define VALUES_BESIDES       4096

enum err_code service_init(struct service *s,
                           const struct producer_options *options,
                           struct err *err)
{
    *s = (struct service){.options = *options};
    enum err_code code = mailbox_init(&s->mailbox, err);
    if (code != ERR_NONE)
        return code;
    mailbox_join(&s->mailbox, spool_round(options->spool));
    timers_init(&s->timers);
    arena_init(&s->arena);
    buf_init(&s->composed, options->limits.message_bytes);
    admission_init(&s->admission, s);
    TAILQ_INIT(&s->watches);
    s->values_max =
        options->limits.recipients * VALUES_PER_RECIPIENT + VALUES_BESIDES;
    atomic_init(&s->entered, false);
    atomic_init(&s->draining, false);
    return ERR_NONE;
}

void service_fini(struct service *s)
{
    mailbox_fini(&s->mailbox);
    timers_fini(&s->timers);
    arena_fini(&s->arena);
    buf_fini(&s->composed);
}

void service_enter(struct service *s)
{
    s->thread = pthread_self();
    atomic_store(&s->entered, true);
}

void service_leave(struct service *s)
{
    atomic_store(&s->entered, false);
}

void service_resume(struct request *r, void (*fn)(struct request *r))
{
    struct service *s = r->service;
    r->resume = fn;
    if (atomic_load(&s->entered) && pthread_equal(s->thread, pthread_self()))
        fn(r);
    else
        mailbox_post(&s->mailbox, &r->posted);
}

void service_take_mail(struct service *s)
{
    struct mailbox_list list;
    if (!mailbox_take(&s->mailbox, &list))
        return;
    struct mailbox_item *item;
    while ((item = STAILQ_FIRST(&list)) != NULL) {
        STAILQ_REMOVE_HEAD(&list, next);
        struct request *r = (struct request *)item;
        r->resume(r);
    }
}
