#include "app/lost_jobs.h"

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"

#define PAGE           100
#define RECIPIENTS_MAX 2048

struct walk {
    struct spool_filter filter;
    size_t logged;
    bool more;
};

static void log_one(const struct spool_status *status)
{
    struct buf left;
    buf_init(&left, RECIPIENTS_MAX);
    for (size_t i = 0; i < status->recipient_count && buf_ok(&left); i++) {
        const struct spool_recipient *r = &status->recipients[i];
        if (r->state == RECIPIENT_DELIVERED || r->state == RECIPIENT_FAILED)
            continue;
        if (left.len > 0)
            buf_add_char(&left, ',');
        buf_add_text(&left, r->address);
    }
    log_event(LOG_LEVEL_WARNING, "job.lost",
              LOG_STR("job", str_of(status->job->id.text, ID_LEN)),
              LOG_TEXT("state", job_state_name(status->state)),
              LOG_TEXT("client", status->job->client),
              LOG_TEXT("tag", status->job->tag),
              LOG_STR("recipients", buf_str(&left)));
    buf_fini(&left);
}

static void on_page(void *ctx, struct spool_status **jobs, size_t count,
                    bool more, const struct id *last, const struct err *err)
{
    struct walk *w = ctx;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        log_one(jobs[i]);
        spool_status_destroy(jobs[i]);
    }
    mem_free(jobs);
    w->logged += count;
    w->more = more && w->logged < LOST_JOBS_MAX;
    if (more) {
        w->filter.after = *last;
        w->filter.has_after = true;
    }
}

void lost_jobs_log(struct spool *spool)
{
    struct walk w = {
        .filter = {.states = 1U << JOB_QUEUED | 1U << JOB_ACTIVE |
                             1U << JOB_DEFERRED | 1U << JOB_HELD,
                   .limit = PAGE},
        .more = true,
    };
    /* The memory spool answers before it returns. */
    while (w.more)
        spool_list(spool, &w.filter, on_page, &w);
}
