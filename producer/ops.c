#include "producer/ops.h"

#include <stddef.h>

#include "producer/fields.h"
#include "producer/service.h"
#include "producer/stats.h"
#include "producer/submission.h"
#include "producer/watch.h"

#define WAIT_DEFAULT_MS 30000

typedef void (*op_fn)(struct request *r, const struct json_value *object);

struct op {
    const char *name;
    bool datagram; /* is answered to datagrams too */
    op_fn run;
};

/* ---- fields of the operations that name a job ---- */

struct job_query {
    struct str id;
    bool has_id;
    int64_t timeout_ms;
};

#define ANY_QUERY                                                              \
    {"op", NULL, 0, 0}, {"ref", NULL, 0, 0},                                   \
    {                                                                          \
        "id", fields_text, offsetof(struct job_query, id),                     \
            offsetof(struct job_query, has_id)                                 \
    }

static const struct field id_fields[] = {ANY_QUERY, {0}};

static const struct field wait_fields[] = {
    ANY_QUERY,
    {"timeout_ms", fields_count, offsetof(struct job_query, timeout_ms),
     FIELD_NO_FLAG},
    {0},
};

static const struct field no_fields[] = {
    {"op", NULL, 0, 0},
    {"ref", NULL, 0, 0},
    {0},
};

/* False: r was refused and may be gone. */
static bool take(struct request *r, const struct field *table,
                 const struct json_value *object, struct job_query *query)
{
    struct refusal refusal;
    const struct fields fields = {
        .arena = &r->service->arena, .refusal = &refusal, .prefix = ""};
    if (fields_take(&fields, table, object, query))
        return true;
    request_refuse(r, &refusal);
    return false;
}

/* As take(), and r->id is the job's. */
static bool take_job(struct request *r, const struct field *table,
                     const struct json_value *object, struct job_query *query)
{
    struct refusal refusal;
    if (!take(r, table, object, query))
        return false;
    if (!query->has_id)
        (void)refusal_set(&refusal, REFUSAL_MISSING_FIELD, "id", "is required");
    else if (!id_parse(query->id, &r->id))
        (void)refusal_set(&refusal, REFUSAL_NOT_FOUND, NULL,
                          "there is no such job");
    else
        return true;
    request_refuse(r, &refusal);
    return false;
}

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
    struct job_query query = {0};
    if (take_job(r, id_fields, object, &query))
        watch_show(r);
}

static void run_wait(struct request *r, const struct json_value *object)
{
    struct job_query query = {.timeout_ms = WAIT_DEFAULT_MS};
    const int64_t longest_ms = r->service->options.limits.wait_ms;
    if (!take_job(r, wait_fields, object, &query))
        return;
    watch_begin(r,
                query.timeout_ms < longest_ms ? query.timeout_ms : longest_ms);
}

/* Cancelled already counts as done: a repeated cancel is no error. */
static void show_cancelled(struct request *r)
{
    r->service->outstanding--;
    if (r->status == NULL) {
        request_refuse_word(r, REFUSAL_NOT_FOUND, "there is no such job");
    } else if (r->cancelled || r->status->state == JOB_CANCELLED) {
        answer_cancelled(request_begin(r), &r->ref, &r->status->job->id);
        request_end(r);
    } else {
        struct refusal refusal;
        (void)refusal_set(&refusal, REFUSAL_NOT_CANCELLABLE, NULL,
                          "the job is %s", job_state_name(r->status->state));
        request_refuse(r, &refusal);
    }
}

static void on_cancelled(void *ctx, struct spool_status *status, bool cancelled)
{
    struct request *r = ctx;
    r->status = status;
    r->cancelled = cancelled;
    service_resume(r, show_cancelled);
}

static void run_cancel(struct request *r, const struct json_value *object)
{
    struct job_query query = {0};
    if (!take_job(r, id_fields, object, &query))
        return;
    r->service->outstanding++;
    spool_cancel(r->service->options.spool, &r->id,
                 r->sees_all ? NULL : r->client, on_cancelled, r);
}

static void run_stats(struct request *r, const struct json_value *object)
{
    struct job_query none;
    if (!take(r, no_fields, object, &none))
        return;
    stats_answer(request_begin(r), &r->ref, &r->service->options);
    request_end(r);
}

static void run_ping(struct request *r, const struct json_value *object)
{
    struct job_query none;
    if (!take(r, no_fields, object, &none))
        return;
    answer_pong(request_begin(r), &r->ref, r->service->options.version);
    request_end(r);
}

static const struct op ops[] = {
    {"submit", true, run_submit},  {"status", true, run_status},
    {"cancel", false, run_cancel}, {"wait", false, run_wait},
    {"stats", false, run_stats},   {"ping", true, run_ping},
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
