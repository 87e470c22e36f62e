#include "producer/admission.h"

#include <assert.h>

#include "core/log.h"
#include "core/mem.h"
#include "message/compose.h"
#include "producer/service.h"

/* Larger messages keep the memory they were composed in. */
#define COPY_MAX_BYTES ((size_t)256 << 10)
#define FAILED_LOG_MS  1000

static_assert(DRAFT_DIGEST_LEN == JOB_DIGEST_LEN, "one digest");

void admission_init(struct admission *a, struct service *service)
{
    uint64_t frames =
        (uint64_t)service->options.limits.frame_bytes * ADMISSION_FRAMES;
    *a = (struct admission){
        .service = service,
        .held_bytes_max =
            frames > ADMISSION_HELD_BYTES ? frames : ADMISSION_HELD_BYTES,
    };
    TAILQ_INIT(&a->line);
    atomic_init(&a->rooms, 0);
}

/* ---- the job ---- */

/* Memory as large as the message, because it may wait for long. */
static struct body *take_body(struct buf *composed, uint64_t *size)
{
    size_t len = composed->len;
    char *data;
    if (len <= COPY_MAX_BYTES) {
        data = mem_alloc(len);
        memcpy(data, composed->data, len);
        buf_truncate(composed, 0);
    } else {
        data = mem_realloc(buf_take(composed, &len), len);
    }
    *size = len;
    return body_from_memory(data, len);
}

static void copy_metadata(struct job *job, const struct submission *s)
{
    if (s->metadata_count == 0)
        return;
    job->metadata = mem_calloc(s->metadata_count, sizeof(struct job_pair));
    job->metadata_count = s->metadata_count;
    for (size_t i = 0; i < s->metadata_count; i++) {
        job->metadata[i].name = mem_strdup(s->metadata[i].name);
        job->metadata[i].value = mem_strdup(s->metadata[i].value);
    }
}

static void copy_options(struct job *job, const struct submission *s,
                         int64_t give_up_ms)
{
    int64_t first_ms =
        s->send_at_ms > job->created_ms ? s->send_at_ms : job->created_ms;
    job->route = mem_strdup(s->route);
    job->priority = s->priority;
    job->on_unknown = s->on_unknown;
    job->send_at_ms = s->send_at_ms;
    job->expires_at_ms = s->expires_at_ms;
    job->give_up_at_ms = first_ms + give_up_ms;
    if (s->has_tag)
        job->tag = mem_strdup(s->tag);
    copy_metadata(job, s);
    if (s->has_key) {
        job->key = mem_strdup(s->key);
        draft_digest(&s->draft, job->digest);
    }
}

static struct job *make_job(struct request *r, const struct submission *s,
                            struct problem *problem)
{
    struct service *service = r->service;
    const int64_t now_ms = service_real_ms(service);
    struct job *job = job_new();
    struct envelope envelope;
    id_new(&job->id, now_ms);
    const struct compose_options options = {
        .date_ms = now_ms,
        .id = job->id.text,
        .hostname = service->options.hostname,
        .max_recipients = service->options.limits.recipients,
    };
    envelope_init(&envelope);
    if (compose(&s->draft, &options, &envelope, &service->composed, problem) !=
        PROBLEM_NONE) {
        buf_fini(&service->composed);
        envelope_fini(&envelope);
        job_unref(job);
        return NULL;
    }
    job->created_ms = now_ms;
    job->client = mem_strdup(str_from(r->client));
    envelope_take(&envelope, &job->sender, &job->recipients,
                  &job->recipient_count);
    envelope_fini(&envelope);
    job->body = take_body(&service->composed, &job->size_bytes);
    copy_options(job, s, service->options.give_up_ms);
    return job;
}

/* ---- in line ---- */

static void let_go(struct request *r)
{
    r->service->admission.held_bytes -= r->job->size_bytes;
    job_unref(r->job);
    r->job = NULL;
}

static void refuse_full(struct request *r, bool spool_full)
{
    let_go(r);
    if (spool_full)
        request_refuse_word(r, REFUSAL_SPOOL_FULL,
                            "the spool is full; try again later");
    else
        request_refuse_word(r, REFUSAL_QUEUE_FULL,
                            "too many submits are being stored; try again "
                            "later");
}

static void leave_line(struct request *r)
{
    struct admission *a = &r->service->admission;
    TAILQ_REMOVE(&a->line, r, in_line);
    r->waits_for_room = false;
    timers_cancel(&r->service->timers, &r->timer);
}

static void on_deadline(void *ctx)
{
    struct request *r = ctx;
    struct admission *a = &r->service->admission;
    leave_line(r);
    r->transport->hold(r, false);
    refuse_full(r, a->full);
}

static void join_line(struct request *r)
{
    struct admission *a = &r->service->admission;
    struct request *before = TAILQ_LAST(&a->line, request_line);
    while (before != NULL && before->order > r->order)
        before = TAILQ_PREV(before, request_line, in_line);
    if (before == NULL)
        TAILQ_INSERT_HEAD(&a->line, r, in_line);
    else
        TAILQ_INSERT_AFTER(&a->line, before, r, in_line);
    r->waits_for_room = true;
    r->timer.fn = on_deadline;
    timers_set(&r->service->timers, &r->timer, r->deadline_ms);
    r->transport->hold(r, true);
}

static bool may_wait(const struct request *r)
{
    return r->transport->stream && r->owner != NULL && !r->service->draining &&
           service_mono_ms(r->service) < r->deadline_ms;
}

/* ---- the spool's answer ---- */

static void log_accepted(const struct request *r)
{
    const struct job *job = r->job;
    bool duplicate = r->accepted.answer == SPOOL_DUPLICATE;
    log_event(LOG_LEVEL_INFO, duplicate ? "job.duplicate" : "job.accepted",
              LOG_STR("job", str_of(r->accepted.id.text, ID_LEN)),
              LOG_TEXT("client", job->client),
              LOG_TEXT("listener", r->listener->name),
              LOG_INT("recipients", job->recipient_count),
              LOG_INT("size", job->size_bytes), LOG_TEXT("route", job->route));
}

static void answer_yes(struct request *r)
{
    const struct producer_options *options = &r->service->options;
    metrics_add(options->metrics,
                r->accepted.answer == SPOOL_DUPLICATE ? METRIC_SUBMITS_DUPLICATE
                                                      : METRIC_SUBMITS_ACCEPTED,
                1);
    log_accepted(r);
    let_go(r);
    answer_accepted(request_begin(r), &r->ref, &r->accepted,
                    spool_durability(options->spool));
    request_end(r);
}

static void answer_full(struct request *r)
{
    struct admission *a = &r->service->admission;
    a->full = true;
    a->full_rooms = r->rooms;
    if (may_wait(r))
        join_line(r);
    else
        refuse_full(r, true);
}

static void answer_conflict(struct request *r)
{
    struct refusal refusal;
    let_go(r);
    (void)refusal_set(&refusal, REFUSAL_KEY_CONFLICT, "idempotency_key",
                      "this key was used for a different mail");
    request_refuse(r, &refusal);
}

/* A broken disk refuses thousands in a second: the log gets a line of them. */
static void log_failure(struct request *r)
{
    struct admission *a = &r->service->admission;
    int64_t now_ms = service_mono_ms(r->service);
    if (a->failing && now_ms - a->failed_log_ms < FAILED_LOG_MS)
        return;
    a->failing = true;
    a->failed_log_ms = now_ms;
    log_event(LOG_LEVEL_ERROR, "spool.failed",
              LOG_TEXT("error", r->accepted.err.text));
}

static void answer_error(struct request *r)
{
    const struct err *err = &r->accepted.err;
    let_go(r);
    if (err->code == ERR_TOO_LARGE) {
        request_refuse_word(r, REFUSAL_TOO_LARGE, err->text);
        return;
    }
    log_failure(r);
    if (err->code == ERR_FULL)
        request_refuse_word(r, REFUSAL_SPOOL_FULL, err->text);
    else
        request_refuse_word(r, REFUSAL_INTERNAL,
                            "the job could not be stored; the log says why");
}

static void answered(struct request *r)
{
    struct admission *a = &r->service->admission;
    a->committing--;
    r->service->outstanding--;
    switch (r->accepted.answer) {
    case SPOOL_ACCEPTED:
    case SPOOL_DUPLICATE:
        a->failing = false;
        if (a->window > 0)
            a->window *= 2;
        answer_yes(r);
        break;
    case SPOOL_KEY_CONFLICT:
        answer_conflict(r);
        break;
    case SPOOL_FULL:
        answer_full(r);
        break;
    case SPOOL_ERROR:
        answer_error(r);
        break;
    }
    admission_pump(a);
}

static void on_accepted(void *ctx, const struct spool_accepted *accepted)
{
    struct request *r = ctx;
    r->accepted = *accepted;
    service_resume(r, answered);
}

static void start(struct request *r)
{
    struct admission *a = &r->service->admission;
    a->committing++;
    r->service->outstanding++;
    r->rooms = atomic_load(&a->rooms);
    spool_accept(r->service->options.spool, r->job, on_accepted, r);
}

/* ---- in ---- */

static bool may_start(struct admission *a)
{
    const struct producer_limits *limits = &a->service->options.limits;
    if (a->full) {
        if (atomic_load(&a->rooms) == a->full_rooms)
            return false;
        /* There may be room for one only: the others follow in steps. */
        a->full = false;
        a->window = 1;
    }
    return a->committing < limits->pending_submits &&
           (a->window == 0 || a->committing < a->window);
}

void admission_pump(struct admission *a)
{
    struct request *first;
    if (a->pumping)
        return;
    a->pumping = true;
    while ((first = TAILQ_FIRST(&a->line)) != NULL && may_start(a)) {
        leave_line(first);
        first->transport->hold(first, false);
        start(first);
    }
    if (first == NULL)
        a->window = 0;
    a->pumping = false;
}

static void admit(struct request *r)
{
    struct admission *a = &r->service->admission;
    bool line = !TAILQ_EMPTY(&a->line);
    bool busy = a->committing >= r->service->options.limits.pending_submits;
    if (!line && !busy)
        start(r);
    else if (may_wait(r))
        join_line(r);
    else
        refuse_full(r, !busy && a->full);
}

void admission_submit(struct request *r, const struct submission *s)
{
    struct admission *a = &r->service->admission;
    struct problem problem;
    struct job *job = make_job(r, s, &problem);
    if (job == NULL) {
        struct refusal refusal;
        (void)refusal_from_problem(&refusal, &problem);
        request_refuse(r, &refusal);
        return;
    }
    r->job = job;
    r->order = a->next_order++;
    r->deadline_ms =
        service_mono_ms(r->service) + r->service->options.limits.full_wait_ms;
    a->held_bytes += job->size_bytes;
    if (a->held_bytes > a->held_bytes_max && a->held_bytes != job->size_bytes)
        refuse_full(r, false);
    else
        admit(r);
}

bool admission_is_loaded(const struct admission *a)
{
    return a->held_bytes >= a->held_bytes_max / 3;
}

void admission_note_room(struct admission *a)
{
    (void)atomic_fetch_add(&a->rooms, 1);
}

void admission_forget(struct request *r)
{
    leave_line(r);
    let_go(r);
}

void admission_drain(struct admission *a)
{
    struct request *r;
    while ((r = TAILQ_FIRST(&a->line)) != NULL) {
        leave_line(r);
        r->transport->hold(r, false);
        let_go(r);
        request_refuse_word(r, REFUSAL_SHUTTING_DOWN,
                            "the service is shutting down");
    }
}
