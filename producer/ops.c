#include "producer/ops.h"

#include <stddef.h>

#include "producer/admin.h"
#include "producer/query.h"
#include "producer/service.h"
#include "producer/stats.h"
#include "producer/submission.h"
#include "producer/watch.h"

#define WAIT_DEFAULT_MS 30000

#define CANCEL_FAILED                                                          \
    "the job could not be cancelled, nothing has changed; ask again"

typedef void (*op_fn)(struct request *r, const struct json_value *object);

struct op {
    const char *name;
    bool datagram; /* is answered to datagrams too */
    op_fn run;
};

static const struct field wait_fields[] = {
    QUERY_ANY,
    QUERY_JOB,
    {"timeout_ms", fields_count, offsetof(struct query, timeout_ms),
     FIELD_NO_FLAG},
    {0},
};

static const struct field no_fields[] = {QUERY_ANY, {0}};

/* ---- one function each ---- */

static void run_submit(struct request *r, const struct json_value *object)
{
    struct service *s = r->service;
    const struct submission_options options = {
        .routes = s->options.routes,
        .route_count = s->options.route_count,
        .now_ms = service_real_ms(s),
    };
    struct submission submission;
    struct refusal refusal;
    if (submission_decode(object, &options, &s->arena, &submission, &refusal))
        admission_submit(r, &submission);
    else
        request_refuse(r, &refusal);
}

static void run_status(struct request *r, const struct json_value *object)
{
    if (query_take_id(r, object))
        watch_show(r);
}

static void run_wait(struct request *r, const struct json_value *object)
{
    struct query query = {.timeout_ms = WAIT_DEFAULT_MS};
    const int64_t longest_ms = r->service->options.limits.wait_ms;
    if (!query_take_job(r, wait_fields, object, &query))
        return;
    watch_begin(r,
                query.timeout_ms < longest_ms ? query.timeout_ms : longest_ms);
}

/* What is settled stays so, whatever the disk does. */
static void refuse_to_cancel(struct request *r)
{
    struct refusal refusal;
    enum job_state state = r->status->state;
    if (r->err.code != ERR_NONE && !job_state_is_settled(state)) {
        request_refuse_disk(r, CANCEL_FAILED);
        return;
    }
    (void)refusal_set(&refusal, REFUSAL_NOT_CANCELLABLE, NULL, "the job is %s",
                      job_state_name(state));
    request_refuse(r, &refusal);
}

/* Cancelled already counts as done: a repeated cancel is no error. */
static void show_cancelled(struct request *r)
{
    r->service->outstanding--;
    if (r->status == NULL && r->err.code != ERR_NONE) {
        request_refuse_disk(r, CANCEL_FAILED);
    } else if (r->status == NULL) {
        request_refuse_word(r, REFUSAL_NOT_FOUND, "there is no such job");
    } else if (r->changed || r->status->state == JOB_CANCELLED) {
        answer_cancelled(request_begin(r), &r->ref, &r->status->job->id);
        request_end(r);
    } else {
        refuse_to_cancel(r);
    }
}

static void on_cancelled(void *ctx, struct spool_status *status, bool changed,
                         const struct err *err)
{
    struct request *r = ctx;
    r->status = status;
    r->changed = changed;
    r->err = *err;
    service_resume(r, show_cancelled);
}

static void run_cancel(struct request *r, const struct json_value *object)
{
    if (!query_take_id(r, object))
        return;
    r->service->outstanding++;
    spool_cancel(r->service->options.spool, &r->id,
                 r->sees_all ? NULL : r->client, on_cancelled, r);
}

static void run_stats(struct request *r, const struct json_value *object)
{
    struct query none;
    if (!query_take(r, no_fields, object, &none))
        return;
    stats_answer(request_begin(r), &r->ref, &r->service->options);
    request_end(r);
}

static void run_ping(struct request *r, const struct json_value *object)
{
    struct query none;
    if (!query_take(r, no_fields, object, &none))
        return;
    answer_pong(request_begin(r), &r->ref, r->service->options.version);
    request_end(r);
}

static const struct op ops[] = {
    {"submit", true, run_submit},  {"status", true, run_status},
    {"cancel", false, run_cancel}, {"wait", false, run_wait},
    {"stats", false, run_stats},   {"ping", true, run_ping},
    {"list", false, admin_list},   {"retry", false, admin_retry},
    {"drop", false, admin_drop},
};

/* ---- which ---- */

static const struct op *find(struct str name)
{
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (str_equal(str_from(ops[i].name), name))
            return &ops[i];
    return NULL;
}

static bool choose(struct request *r, const struct json_value *object,
                   const struct op **op, struct refusal *refusal)
{
    const struct json_value *name = json_member(object, STR("op"));
    const struct fields fields = {.refusal = refusal, .prefix = ""};
    struct str text = STR("submit");
    if (name != NULL && !fields_text(&fields, name, "op", &text))
        return false;
    *op = find(text);
    if (*op == NULL)
        return refusal_set(refusal, REFUSAL_UNKNOWN_OP, "op",
                           "there is no operation \"%.*s\"", STR_ARG(text));
    r->op = (*op)->name;
    if (!r->transport->stream && !(*op)->datagram)
        return refusal_set(refusal, REFUSAL_UNKNOWN_OP, "op",
                           "\"%s\" is not answered over UDP; use TCP or the "
                           "Unix socket",
                           r->op);
    return true;
}

static bool read_request(struct request *r, struct str text,
                         struct json_value **object, struct refusal *refusal)
{
    struct service *s = r->service;
    if (!json_parse(text, s->values_max, &s->arena, object, refusal))
        return false;
    if ((*object)->type != JSON_OBJECT)
        return refusal_set(refusal, REFUSAL_BAD_TYPE, NULL,
                           "a request is an object, not %s",
                           json_type_name((*object)->type));
    r->raw_follows = json_member(*object, STR("raw_bytes")) != NULL;
    const struct json_value *ref = json_member(*object, STR("ref"));
    if (ref != NULL && !answer_ref_take(&r->ref, ref, refusal))
        return false;
    if (s->draining)
        return refusal_set(refusal, REFUSAL_SHUTTING_DOWN, NULL,
                           "the service is shutting down");
    return true;
}

void ops_run(struct request *r, struct str text)
{
    struct service *s = r->service;
    struct json_value *object;
    const struct op *op;
    struct refusal refusal;
    metrics_add(s->options.metrics, METRIC_REQUESTS, 1);
    if (read_request(r, text, &object, &refusal) &&
        choose(r, object, &op, &refusal))
        op->run(r, object);
    else
        request_refuse(r, &refusal);
    arena_reset(&s->arena); /* a large request leaves nothing behind */
}
