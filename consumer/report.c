#include "consumer/report.h"

#include <string.h>

#include "core/log.h"
#include "core/mem.h"

#define RELAY_NAME_MAX 63
#define REPLY_MAX      255

/* What the line of a job says, kept until the spool has answered. */
struct report {
    report_done_fn done;
    void *ctx;
    struct id id;
    unsigned attempt;
    size_t recipients;
    int64_t age_ms;
    int64_t at_ms;
    size_t relay_len;
    size_t reply_len;
    char relay[RELAY_NAME_MAX];
    char reply[REPLY_MAX];
};

static const char *event_of(enum job_state state)
{
    switch (state) {
    case JOB_DELIVERED:
        return "job.delivered";
    case JOB_FAILED:
        return "job.failed";
    case JOB_EXPIRED:
        return "job.expired";
    case JOB_HELD:
        return "job.held";
    case JOB_CANCELLED:
        return "job.cancelled";
    case JOB_QUEUED:
    case JOB_ACTIVE:
    case JOB_DEFERRED:
    case JOB_STATE_COUNT:
        break;
    }
    return "job.deferred";
}

static void say(const struct report *r, const struct spool_settled *settled)
{
    struct str relay = str_of(r->relay, r->relay_len);
    struct str reply = str_of(r->reply, r->reply_len);
    if (settled->err.code != ERR_NONE) {
        log_event(LOG_LEVEL_ERROR, "job.unsettled", LOG_TEXT("job", r->id.text),
                  LOG_TEXT("error", settled->err.text));
    } else if (settled->state == JOB_DELIVERED) {
        log_event(LOG_LEVEL_INFO, "job.delivered", LOG_TEXT("job", r->id.text),
                  LOG_STR("relay", relay), LOG_INT("attempt", r->attempt),
                  LOG_INT("recipients", r->recipients),
                  LOG_INT("age_ms", r->age_ms));
    } else if (settled->state == JOB_DEFERRED) {
        log_event(LOG_LEVEL_INFO, "job.deferred", LOG_TEXT("job", r->id.text),
                  LOG_STR("relay", relay), LOG_INT("attempt", r->attempt),
                  LOG_INT("next_in_ms", settled->next_attempt_ms - r->at_ms),
                  LOG_STR("reply", reply));
    } else {
        /* Somebody will not get a mail, or should look: never too quiet. */
        log_event(settled->state == JOB_CANCELLED ? LOG_LEVEL_INFO
                                                  : LOG_LEVEL_WARNING,
                  event_of(settled->state), LOG_TEXT("job", r->id.text),
                  LOG_STR("relay", relay), LOG_INT("attempt", r->attempt),
                  LOG_STR("reply", reply));
    }
}

static void on_settled(void *ctx, const struct spool_settled *settled)
{
    struct report *r = ctx;
    say(r, settled);
    if (r->done != NULL)
        r->done(r->ctx);
    mem_free(r);
}

static size_t copy(char *out, size_t size, struct str text)
{
    size_t len = text.len < size ? text.len : size;
    if (len > 0)
        memcpy(out, text.data, len);
    return len;
}

static void say_recipient(const struct claim *claim, struct str relay,
                          const struct settle_recipient *r)
{
    static const char *const events[RECIPIENT_STATE_COUNT] = {
        [RECIPIENT_DEFERRED] = "recipient.deferred",
        [RECIPIENT_FAILED] = "recipient.failed",
        [RECIPIENT_UNKNOWN] = "recipient.unknown",
    };
    if (events[r->state] == NULL)
        return;
    enum log_level level =
        r->state == RECIPIENT_UNKNOWN ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
    log_event(level, events[r->state], LOG_TEXT("job", claim->job->id.text),
              LOG_TEXT("recipient", claim->job->recipients[r->index]),
              LOG_STR("relay", relay), LOG_STR("reply", r->reply));
}

void report_attempt(const struct claim *claim, const char *relay)
{
    log_event(LOG_LEVEL_DEBUG, "job.attempt",
              LOG_TEXT("job", claim->job->id.text), LOG_TEXT("relay", relay),
              LOG_INT("attempt", claim->attempt),
              LOG_INT("recipients", claim->pending_count));
}

void report_release(struct spool *spool, struct claim *claim, const char *relay,
                    int64_t due_ms, struct str note)
{
    log_event(LOG_LEVEL_DEBUG, "job.released",
              LOG_TEXT("job", claim->job->id.text), LOG_TEXT("relay", relay),
              LOG_STR("reason", note));
    spool_release(spool, claim, due_ms, str_from(relay), note);
}

void report_settle(struct spool *spool, struct claim *claim,
                   const struct settlement *settlement, report_done_fn done,
                   void *ctx)
{
    struct report *r = mem_alloc(sizeof(*r));
    struct str reply = settlement->note;
    for (size_t i = 0; i < settlement->count; i++) {
        const struct settle_recipient *recipient = &settlement->recipients[i];
        say_recipient(claim, settlement->relay, recipient);
        if (recipient->state != RECIPIENT_DELIVERED && reply.len == 0)
            reply = recipient->reply;
    }
    r->done = done;
    r->ctx = ctx;
    r->id = claim->job->id;
    r->attempt = claim->attempt;
    r->recipients = claim->job->recipient_count;
    r->at_ms = settlement->at_ms;
    r->age_ms = settlement->at_ms - claim->job->created_ms;
    r->relay_len = copy(r->relay, sizeof(r->relay), settlement->relay);
    r->reply_len = copy(r->reply, sizeof(r->reply), reply);
    spool_settle(spool, claim, settlement, on_settled, r);
}
