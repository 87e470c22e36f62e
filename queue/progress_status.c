#include <string.h>

#include "core/mem.h"
#include "queue/progress.h"

static size_t text_len(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static size_t all_text_len(const struct progress *p)
{
    size_t len = text_len(p->note);
    for (size_t i = 0; i < p->recipient_count; i++)
        len +=
            text_len(p->recipients[i].reply) + text_len(p->recipients[i].relay);
    for (size_t i = 0; i < p->event_count; i++)
        len += text_len(p->events[i].relay) + text_len(p->events[i].text);
    return len;
}

/* Returns the copy; *to goes on behind it. */
static char *copy_text(char **to, const char *text)
{
    if (text == NULL)
        return NULL;
    size_t len = strlen(text) + 1;
    char *copy = memcpy(*to, text, len);
    *to += len;
    return copy;
}

static void copy_recipients(const struct progress *p, const struct job *job,
                            struct spool_recipient *out, char **text)
{
    for (size_t i = 0; i < p->recipient_count; i++) {
        const struct progress_recipient *r = &p->recipients[i];
        out[i] = (struct spool_recipient){
            .address = job->recipients[i],
            .state = r->state,
            .attempts = r->attempts,
            .reply = copy_text(text, r->reply),
            .relay = copy_text(text, r->relay),
        };
    }
}

static void copy_events(const struct progress *p, struct spool_event *out,
                        char **text)
{
    for (size_t i = 0; i < p->event_count; i++) {
        const struct progress_event *e = &p->events[i];
        out[i] = (struct spool_event){
            .at_ms = e->at_ms,
            .kind = e->kind,
            .attempt = e->attempt,
            .relay = copy_text(text, e->relay),
            .text = copy_text(text, e->text),
        };
    }
}

struct spool_status *progress_status(const struct progress *p, struct job *job,
                                     enum job_state state, bool has_body)
{
    struct spool_status *status = mem_alloc(
        sizeof(*status) + p->recipient_count * sizeof(struct spool_recipient) +
        p->event_count * sizeof(struct spool_event) + all_text_len(p));
    *status = (struct spool_status){
        .job = job_ref(job),
        .state = state,
        .attempts = p->attempts,
        .expires_at_ms = p->expires_at_ms,
        .settled_ms = p->settled_ms,
        .recipients = (struct spool_recipient *)(status + 1),
        .recipient_count = p->recipient_count,
        .event_count = p->event_count,
        .has_body = has_body,
    };
    void *events = status->recipients + p->recipient_count;
    status->events = events;
    char *text = (char *)(status->events + p->event_count);
    if (state == JOB_QUEUED || state == JOB_DEFERRED)
        status->next_attempt_ms = p->due_ms;
    status->note = copy_text(&text, p->note);
    copy_recipients(p, job, status->recipients, &text);
    copy_events(p, status->events, &text);
    return status;
}
