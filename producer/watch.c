#include "producer/watch.h"

#include "producer/service.h"

/* NULL: an administrator's, who sees everybody's jobs. */
static const char *visible_to(const struct request *r)
{
    return r->sees_all ? NULL : r->client;
}

static void show(struct request *r)
{
    r->service->outstanding--;
    if (r->err.code != ERR_NONE) {
        request_refuse_disk(r, "the job could not be looked up; ask again");
        return;
    }
    if (r->status == NULL) {
        request_refuse_word(r, REFUSAL_NOT_FOUND, "there is no such job");
        return;
    }
    answer_status(request_begin(r), &r->ref, r->status, ANSWER_TRAIL);
    if (!buf_ok(r->out)) { /* a datagram has no room for it */
        buf_truncate(r->out, r->json_at);
        answer_status(r->out, &r->ref, r->status, ANSWER_PLAIN);
    }
    request_end(r);
}

static void on_found(void *ctx, struct spool_status *status, bool changed,
                     const struct err *err)
{
    struct request *r = ctx;
    (void)changed;
    r->status = status;
    r->err = *err;
    service_resume(r, show);
}

void watch_show(struct request *r)
{
    r->service->outstanding++;
    spool_find(r->service->options.spool, &r->id, visible_to(r), on_found, r);
}

/* ---- wait ---- */

static void stop_watching(struct request *r)
{
    TAILQ_REMOVE(&r->service->watches, r, in_line);
    r->watching = false;
    timers_cancel(&r->service->timers, &r->timer);
}

static void show_settled(struct request *r)
{
    if (r->watching)
        stop_watching(r);
    show(r);
}

static void on_settled(void *ctx, struct spool_status *status, bool changed,
                       const struct err *err)
{
    struct request *r = ctx;
    (void)changed;
    r->status = status;
    r->err = *err;
    service_resume(r, show_settled);
}

/* False: the spool is calling on_settled(), which will answer. */
static bool unwatch(struct request *r)
{
    stop_watching(r);
    if (!spool_unwatch(r->service->options.spool, &r->watch))
        return false;
    r->service->outstanding--;
    return true;
}

static void on_timeout(void *ctx)
{
    struct request *r = ctx;
    if (unwatch(r))
        watch_show(r);
}

void watch_begin(struct request *r, int64_t timeout_ms)
{
    struct service *s = r->service;
    r->watching = true;
    TAILQ_INSERT_TAIL(&s->watches, r, in_line);
    r->timer.fn = on_timeout;
    timers_set(&s->timers, &r->timer, service_mono_ms(s) + timeout_ms);
    s->outstanding++;
    spool_watch(s->options.spool, &r->id, visible_to(r), &r->watch, on_settled,
                r);
}

bool watch_abandon(struct request *r)
{
    return unwatch(r);
}

void watch_end_all(struct service *s)
{
    struct request *r;
    while ((r = TAILQ_FIRST(&s->watches)) != NULL)
        on_timeout(r);
}
