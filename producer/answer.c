#include "producer/answer.h"

#include "producer/jsonout.h"

#define PROTOCOL_VERSION 1

bool answer_ref_take(struct answer_ref *ref, const struct json_value *value,
                     struct refusal *refusal)
{
    int64_t number;
    if (value->type != JSON_STRING && value->type != JSON_NUMBER)
        return refusal_set(refusal, REFUSAL_BAD_TYPE, "ref",
                           "must be a string or an integer, not %s",
                           json_type_name(value->type));
    bool fits = value->type == JSON_NUMBER ? json_integer(value, &number)
                                           : !value->has_nul;
    if (!fits || value->text.len > sizeof(ref->text))
        return refusal_set(refusal, REFUSAL_BAD_VALUE, "ref",
                           "must be a string of at most %d bytes without NUL, "
                           "or an integer within 2^53",
                           ANSWER_REF_MAX);
    ref->type = value->type;
    ref->len = (unsigned char)value->text.len;
    memcpy(ref->text, value->text.data, value->text.len);
    return true;
}

static void add_ref(struct buf *out, const struct answer_ref *ref)
{
    if (ref->type == JSON_NULL)
        return;
    jsonout_name(out, "ref");
    if (ref->type == JSON_STRING)
        jsonout_string(out, str_of(ref->text, ref->len));
    else
        buf_add(out, ref->text, ref->len);
}

void answer_begin(struct buf *out, const struct answer_ref *ref)
{
    jsonout_open(out, '{');
    jsonout_name(out, "ok");
    jsonout_boolean(out, true);
    add_ref(out, ref);
}

void answer_refusal(struct buf *out, const struct answer_ref *ref,
                    const struct refusal *refusal)
{
    bool retry = refusal_may_retry(refusal->word);
    int64_t retry_after_ms = refusal_retry_after_ms(refusal->word);
    jsonout_open(out, '{');
    jsonout_name(out, "ok");
    jsonout_boolean(out, false);
    add_ref(out, ref);
    jsonout_member(out, "error", str_from(refusal_name(refusal->word)));
    if (refusal->field[0] != '\0')
        jsonout_member(out, "field", str_from(refusal->field));
    jsonout_member(out, "message", str_from(refusal->text));
    jsonout_name(out, "retry");
    jsonout_boolean(out, retry);
    if (retry && retry_after_ms > 0)
        jsonout_member_integer(out, "retry_after_ms", retry_after_ms);
    jsonout_close(out, '}');
}

void answer_accepted(struct buf *out, const struct answer_ref *ref,
                     const struct spool_accepted *accepted,
                     const char *durability)
{
    answer_begin(out, ref);
    jsonout_member(out, "id", str_of(accepted->id.text, ID_LEN));
    jsonout_member(out, "state", str_from(job_state_name(accepted->state)));
    jsonout_member(out, "durable", str_from(durability));
    if (accepted->answer == SPOOL_DUPLICATE) {
        jsonout_name(out, "duplicate");
        jsonout_boolean(out, true);
    }
    jsonout_close(out, '}');
}

void answer_cancelled(struct buf *out, const struct answer_ref *ref,
                      const struct id *id)
{
    answer_begin(out, ref);
    jsonout_member(out, "id", str_of(id->text, ID_LEN));
    jsonout_member(out, "state", str_from(job_state_name(JOB_CANCELLED)));
    jsonout_close(out, '}');
}

void answer_pong(struct buf *out, const struct answer_ref *ref,
                 const char *version)
{
    answer_begin(out, ref);
    jsonout_member(out, "version", str_from(version));
    jsonout_member_integer(out, "protocol", PROTOCOL_VERSION);
    jsonout_close(out, '}');
}

/* ---- status ---- */

static void add_metadata(struct buf *out, const struct job *job)
{
    if (job->metadata_count == 0)
        return;
    jsonout_name(out, "metadata");
    jsonout_open(out, '{');
    for (size_t i = 0; i < job->metadata_count; i++) {
        /* A name may hold anything: written as a string, then its colon. */
        jsonout_string(out, str_from(job->metadata[i].name));
        buf_add_char(out, ':');
        jsonout_string(out, str_from(job->metadata[i].value));
    }
    jsonout_close(out, '}');
}

static void add_recipient(struct buf *out, const struct spool_recipient *r)
{
    jsonout_open(out, '{');
    jsonout_member(out, "address", str_from(r->address));
    jsonout_member(out, "state", str_from(recipient_state_name(r->state)));
    jsonout_member_integer(out, "attempts", r->attempts);
    if (r->reply != NULL)
        jsonout_member(out, "reply", str_from(r->reply));
    if (r->relay != NULL)
        jsonout_member(out, "relay", str_from(r->relay));
    jsonout_close(out, '}');
}

static void add_optional_time(struct buf *out, const char *name, int64_t ms)
{
    if (ms != 0)
        jsonout_member_time(out, name, ms);
}

static void add_job(struct buf *out, const struct spool_status *status)
{
    const struct job *job = status->job;
    jsonout_member_time(out, "created_at", job->created_ms);
    add_optional_time(out, "send_at", job->send_at_ms);
    add_optional_time(out, "expires_at", status->expires_at_ms);
    jsonout_member(out, "route", str_from(job->route));
    jsonout_member(out, "priority", str_from(job_priority_name(job->priority)));
    if (job->tag != NULL)
        jsonout_member(out, "tag", str_from(job->tag));
    add_metadata(out, job);
    jsonout_member_integer(out, "size", (int64_t)job->size_bytes);
}

static void add_event(struct buf *out, const struct spool_event *e)
{
    jsonout_open(out, '{');
    jsonout_member_time(out, "at", e->at_ms);
    jsonout_member(out, "event", str_from(spool_event_name(e->kind)));
    if (e->attempt > 0)
        jsonout_member_integer(out, "attempt", e->attempt);
    if (e->relay != NULL)
        jsonout_member(out, "relay", str_from(e->relay));
    if (e->text != NULL)
        jsonout_member(out, "text", str_from(e->text));
    jsonout_close(out, '}');
}

static void add_trail(struct buf *out, const struct spool_status *status)
{
    jsonout_name(out, "trail");
    jsonout_open(out, '[');
    for (size_t i = 0; i < status->event_count; i++)
        add_event(out, &status->events[i]);
    jsonout_close(out, ']');
}

/* As many as begin within max_bytes. */
static void add_recipients(struct buf *out, const struct spool_status *status,
                           size_t max_bytes)
{
    size_t begin = out->len;
    size_t i = 0;
    jsonout_name(out, "recipients");
    jsonout_open(out, '[');
    for (; i < status->recipient_count && out->len - begin < max_bytes; i++)
        add_recipient(out, &status->recipients[i]);
    jsonout_close(out, ']');
    if (i < status->recipient_count)
        jsonout_member_integer(out, "recipients_left_out",
                               (int64_t)(status->recipient_count - i));
}

static void add_status(struct buf *out, const struct spool_status *status,
                       enum answer_parts parts, size_t recipients_bytes)
{
    jsonout_open(out, '{');
    jsonout_member(out, "id", str_of(status->job->id.text, ID_LEN));
    jsonout_member(out, "state", str_from(job_state_name(status->state)));
    add_job(out, status);
    jsonout_name(out, "body");
    jsonout_boolean(out, status->has_body);
    jsonout_member_integer(out, "attempts", status->attempts);
    add_optional_time(out, "next_attempt_at", status->next_attempt_ms);
    add_optional_time(out, "settled_at", status->settled_ms);
    if (status->note != NULL)
        jsonout_member(out, "note", str_from(status->note));
    add_recipients(out, status, recipients_bytes);
    if (parts == ANSWER_TRAIL)
        add_trail(out, status);
    jsonout_close(out, '}');
}

void answer_status(struct buf *out, const struct answer_ref *ref,
                   const struct spool_status *status, enum answer_parts parts)
{
    answer_begin(out, ref);
    jsonout_name(out, "job");
    add_status(out, status, parts, SIZE_MAX);
    jsonout_close(out, '}');
}

void answer_changed(struct buf *out, const struct answer_ref *ref,
                    const struct spool_status *status, bool changed)
{
    answer_begin(out, ref);
    jsonout_name(out, "changed");
    jsonout_boolean(out, changed);
    jsonout_name(out, "job");
    add_status(out, status, ANSWER_TRAIL, SIZE_MAX);
    jsonout_close(out, '}');
}

void answer_list(struct buf *out, const struct answer_ref *ref,
                 const struct answer_page *page)
{
    const struct id *last = page->last;
    size_t begin = out->len;
    size_t i = 0;
    answer_begin(out, ref);
    jsonout_name(out, "jobs");
    jsonout_open(out, '[');
    for (; i < page->count && out->len - begin < ANSWER_LIST_BYTES; i++)
        add_status(out, page->jobs[i], ANSWER_PLAIN, ANSWER_LIST_JOB_BYTES);
    jsonout_close(out, ']');
    if (i < page->count)
        last = &page->jobs[i - 1]->job->id;
    jsonout_name(out, "more");
    jsonout_boolean(out, page->more || i < page->count);
    if (last != NULL)
        jsonout_member(out, "after", str_of(last->text, ID_LEN));
    jsonout_close(out, '}');
}
