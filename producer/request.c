#include "producer/request.h"

#include "core/log.h"
#include "core/mem.h"
#include "producer/service.h"
#include "producer/watch.h"

/* A reply kept until its turn; status of many recipients is the largest. */
#define REPLY_MAX_BYTES ((size_t)64 << 20)

struct request *request_new(struct service *service,
                            const struct request_transport *transport,
                            void *owner)
{
    struct request *r;
    MEM_NEW(r);
    r->service = service;
    r->transport = transport;
    r->owner = owner;
    r->ref.type = JSON_NULL;
    buf_init(&r->reply, REPLY_MAX_BYTES);
    timer_init(&r->timer, NULL, r);
    return r;
}

void request_free(struct request *r)
{
    timers_cancel(&r->service->timers, &r->timer);
    spool_status_destroy(r->status);
    for (size_t i = 0; i < r->job_count; i++)
        spool_status_destroy(r->jobs[i]);
    mem_free(r->jobs);
    job_unref(r->job);
    buf_fini(&r->reply);
    mem_free(r);
}

struct buf *request_begin(struct request *r)
{
    r->out = r->transport->begin(r);
    r->json_at = r->out->len;
    return r->out;
}

void request_end(struct request *r)
{
    if (!buf_ok(r->out)) {
        struct refusal refusal;
        (void)refusal_set(&refusal, r->transport->overflow, NULL,
                          "the answer is too large to be sent here");
        buf_truncate(r->out, r->json_at);
        answer_refusal(r->out, &r->ref, &refusal);
    }
    r->transport->end(r);
}

static void log_refusal(const struct request *r, const struct refusal *refusal)
{
    bool submit = r->op != NULL && strcmp(r->op, "submit") == 0;
    log_event(submit ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
              submit ? "submit.refused" : "request.refused",
              LOG_TEXT("error", refusal_name(refusal->word)),
              LOG_TEXT("field", refusal->field),
              LOG_TEXT("client", r->owner == NULL ? "gone" : r->client),
              LOG_TEXT("listener", r->listener->name));
}

void request_refuse(struct request *r, const struct refusal *refusal)
{
    struct metrics *metrics = r->service->options.metrics;
    metrics_add(metrics, METRIC_REQUESTS_REFUSED, 1);
    if (r->op != NULL && strcmp(r->op, "submit") == 0)
        metrics_add(metrics, METRIC_SUBMITS_REFUSED, 1);
    log_refusal(r, refusal);
    answer_refusal(request_begin(r), &r->ref, refusal);
    request_end(r);
}

void request_refuse_word(struct request *r, enum refusal_word word,
                         const char *sentence)
{
    struct refusal refusal;
    (void)refusal_set(&refusal, word, NULL, "%s", sentence);
    request_refuse(r, &refusal);
}

void request_refuse_disk(struct request *r, const char *failed)
{
    struct refusal refusal;
    (void)refusal_set(&refusal, REFUSAL_INTERNAL, NULL, "%s: %s", failed,
                      r->err.text);
    request_refuse(r, &refusal);
}

bool request_abandon(struct request *r)
{
    if (r->waits_for_room) {
        admission_forget(r);
        return true;
    }
    return r->watching && watch_abandon(r);
}
