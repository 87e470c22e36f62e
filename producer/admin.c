#include "producer/admin.h"

#include <stddef.h>

#include "core/log.h"
#include "core/timetext.h"
#include "producer/query.h"
#include "producer/service.h"

#define LIST_LIMIT_DEFAULT 100
#define LIST_LIMIT_MAX     1000

/* False: r was refused and may be gone. */
static bool is_allowed(struct request *r)
{
    if (r->sees_all)
        return true;
    request_refuse_word(r, REFUSAL_FORBIDDEN,
                        "this is for administrators: ask on the Unix socket, "
                        "as root or as the daemon's own user");
    return false;
}

static bool has_failed(const struct request *r)
{
    return r->err.code != ERR_NONE;
}

/* ---- list ---- */

struct list_query {
    unsigned states;
    const char *relay;
    const char *tag;
    int64_t older_ms;
    bool has_older;
    int64_t limit;
    struct id after;
    bool has_after;
};

static bool add_state(const struct fields *f, const struct json_value *value,
                      const char *path, unsigned *states)
{
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    for (unsigned i = 0; i < JOB_STATE_COUNT; i++) {
        if (str_equal(text, str_from(job_state_name((enum job_state)i)))) {
            *states |= 1U << i;
            return true;
        }
    }
    return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                       "must be queued, active, deferred, delivered, failed, "
                       "expired, cancelled or held");
}

static bool take_states(const struct fields *f, const struct json_value *value,
                        const char *path, void *out)
{
    if (value->type == JSON_STRING)
        return add_state(f, value, path, out);
    if (!fields_expect(f, value, JSON_ARRAY, path))
        return false;
    if (value->count == 0)
        return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                           "must name a state; leave it out for all of them");
    for (const struct json_value *v = value->first; v != NULL; v = v->next)
        if (!add_state(f, v, path, out))
            return false;
    return true;
}

static bool take_word(const struct fields *f, const struct json_value *value,
                      const char *path, void *out)
{
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    char *word = arena_calloc(f->arena, 1, text.len + 1);
    if (word == NULL)
        return refusal_set(f->refusal, REFUSAL_INTERNAL, NULL,
                           "no memory for this request now");
    if (text.len > 0)
        memcpy(word, text.data, text.len);
    *(const char **)out = word;
    return true;
}

static bool take_duration(const struct fields *f,
                          const struct json_value *value, const char *path,
                          void *out)
{
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    if (timetext_parse_duration(text, out, NULL) != ERR_NONE)
        return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                           "must be a duration such as \"90s\", \"30m\", "
                           "\"1h\" or \"2d\"");
    return true;
}

static bool take_limit(const struct fields *f, const struct json_value *value,
                       const char *path, void *out)
{
    int64_t number;
    if (!fields_count(f, value, path, &number))
        return false;
    if (number < 1 || number > LIST_LIMIT_MAX)
        return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                           "must be from 1 to %d", LIST_LIMIT_MAX);
    *(int64_t *)out = number;
    return true;
}

static bool take_after(const struct fields *f, const struct json_value *value,
                       const char *path, void *out)
{
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    if (!id_parse(text, out))
        return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                           "must be a job's id: the \"after\" of the answer "
                           "before");
    return true;
}

static const struct field list_fields[] = {
    QUERY_ANY,
    {"state", take_states, offsetof(struct list_query, states), FIELD_NO_FLAG},
    {"relay", take_word, offsetof(struct list_query, relay), FIELD_NO_FLAG},
    {"tag", take_word, offsetof(struct list_query, tag), FIELD_NO_FLAG},
    {"older", take_duration, offsetof(struct list_query, older_ms),
     offsetof(struct list_query, has_older)},
    {"limit", take_limit, offsetof(struct list_query, limit), FIELD_NO_FLAG},
    {"after", take_after, offsetof(struct list_query, after),
     offsetof(struct list_query, has_after)},
    {0},
};

static void show_list(struct request *r)
{
    r->service->outstanding--;
    if (has_failed(r)) {
        request_refuse_disk(r, "the jobs could not be looked up; ask again");
        return;
    }
    const struct answer_page page = {
        .jobs = r->jobs,
        .count = r->job_count,
        .more = r->more,
        .last = r->last.text[0] != '\0' ? &r->last : NULL,
    };
    answer_list(request_begin(r), &r->ref, &page);
    request_end(r);
}

static void on_listed(void *ctx, struct spool_status **jobs, size_t count,
                      bool more, const struct id *last, const struct err *err)
{
    struct request *r = ctx;
    r->err = *err;
    r->jobs = jobs;
    r->job_count = count;
    r->more = more;
    if (last != NULL)
        r->last = *last;
    service_resume(r, show_list);
}

void admin_list(struct request *r, const struct json_value *object)
{
    struct service *s = r->service;
    struct list_query query = {.limit = LIST_LIMIT_DEFAULT};
    if (!is_allowed(r) || !query_take(r, list_fields, object, &query))
        return;
    const struct spool_filter filter = {
        .states = query.states,
        .relay = query.relay,
        .tag = query.tag,
        .created_before_ms =
            query.has_older ? service_real_ms(s) - query.older_ms : 0,
        .after = query.after,
        .has_after = query.has_after,
        .limit = (size_t)query.limit,
    };
    s->outstanding++;
    spool_list(s->options.spool, &filter, on_listed, r);
}

/* ---- retry, drop ---- */

static void show_changed(struct request *r, const char *event)
{
    if (r->changed)
        log_event(LOG_LEVEL_INFO, event,
                  LOG_STR("job", str_of(r->id.text, ID_LEN)),
                  LOG_TEXT("client", r->owner == NULL ? "gone" : r->client),
                  LOG_TEXT("listener", r->listener->name));
    answer_changed(request_begin(r), &r->ref, r->status, r->changed);
    request_end(r);
}

static void refuse_unstored(struct request *r)
{
    request_refuse_disk(r, "this could not be stored, nothing has changed; "
                           "ask again");
}

static void refuse_running(struct request *r)
{
    request_refuse_word(r, REFUSAL_NOT_CANCELLABLE,
                        "an attempt to send the job is running; ask again "
                        "when it is over");
}

/* Delivered, or without its message: that stays, whatever the disk does. */
static void refuse_to_retry(struct request *r)
{
    struct refusal refusal;
    if (r->status->state == JOB_DELIVERED) {
        (void)refusal_set(&refusal, REFUSAL_BAD_VALUE, "id",
                          "the job is delivered: every recipient has the mail");
        request_refuse(r, &refusal);
    } else if (!r->status->has_body) {
        (void)refusal_set(&refusal, REFUSAL_BAD_VALUE, "id",
                          "the job's message is no longer kept; hand the mail "
                          "in again");
        request_refuse(r, &refusal);
    } else if (has_failed(r)) {
        refuse_unstored(r);
    } else {
        refuse_running(r);
    }
}

/* It waits already, and is on its way to a relay or soon will be. */
static bool waits_anyway(const struct request *r)
{
    return r->status->state == JOB_QUEUED ||
           (r->status->state == JOB_DEFERRED && !has_failed(r));
}

static void refuse_missing(struct request *r)
{
    if (has_failed(r))
        refuse_unstored(r);
    else
        request_refuse_word(r, REFUSAL_NOT_FOUND, "there is no such job");
}

static void show_retried(struct request *r)
{
    r->service->outstanding--;
    if (r->status == NULL)
        refuse_missing(r);
    else if (r->changed || waits_anyway(r))
        show_changed(r, "job.retried");
    else
        refuse_to_retry(r);
}

static void show_dropped(struct request *r)
{
    r->service->outstanding--;
    if (r->status == NULL)
        refuse_missing(r);
    else if (r->changed)
        show_changed(r, "job.dropped");
    else if (has_failed(r))
        refuse_unstored(r);
    else
        refuse_running(r);
}

static void on_retried(void *ctx, struct spool_status *status, bool changed,
                       const struct err *err)
{
    struct request *r = ctx;
    r->status = status;
    r->changed = changed;
    r->err = *err;
    service_resume(r, show_retried);
}

static void on_dropped(void *ctx, struct spool_status *status, bool changed,
                       const struct err *err)
{
    struct request *r = ctx;
    r->status = status;
    r->changed = changed;
    r->err = *err;
    service_resume(r, show_dropped);
}

void admin_retry(struct request *r, const struct json_value *object)
{
    if (!is_allowed(r) || !query_take_id(r, object))
        return;
    r->service->outstanding++;
    spool_retry(r->service->options.spool, &r->id, on_retried, r);
}

void admin_drop(struct request *r, const struct json_value *object)
{
    if (!is_allowed(r) || !query_take_id(r, object))
        return;
    r->service->outstanding++;
    spool_drop(r->service->options.spool, &r->id, on_dropped, r);
}
