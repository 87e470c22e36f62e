#include "app/cli/enqueue_report.h"

#include <sysexits.h>
#include <unistd.h>

#include "app/cli/show.h"

#define PROGRESS_MS 200
#define MS_PER_S    1000.0

void enqueue_report_init(struct enqueue_report *r, struct cli *cli,
                         int64_t now_ms)
{
    *r = (struct enqueue_report){.cli = cli, .began_ms = now_ms};
    r->is_terminal = isatty(fileno(cli->err)) == 1;
    r->next_progress_ms = now_ms + PROGRESS_MS;
}

void enqueue_report_clear(struct enqueue_report *r)
{
    if (r->progress_shown)
        (void)fputs("\r\033[K", r->cli->err);
    r->progress_shown = false;
}

/* True when this complaint is to be shown. */
static bool complain(struct enqueue_report *r, uint64_t line)
{
    if (++r->complaints > ENQUEUE_REPORT_LINES_SHOWN + 1)
        return false;
    enqueue_report_clear(r);
    if (r->complaints > ENQUEUE_REPORT_LINES_SHOWN) {
        (void)fputs("postrider: more lines were refused: they are counted, "
                    "not shown\n",
                    r->cli->err);
        return false;
    }
    (void)fprintf(r->cli->err,
                  "postrider: line %llu: ", (unsigned long long)line);
    return true;
}

void enqueue_report_accepted(struct enqueue_report *r,
                             const struct reply *reply)
{
    r->accepted++;
    if (reply->duplicate)
        r->duplicates++;
}

void enqueue_report_refused(struct enqueue_report *r, uint64_t line,
                            const struct reply *reply)
{
    int code = reply_exit_code(reply);
    if (code == EX_TEMPFAIL)
        r->temporary++;
    else
        r->refused++;
    if (code == EX_NOPERM)
        r->denied++;
    if (!complain(r, line))
        return;
    reply_print_error(r->cli->err, reply);
    (void)fputc('\n', r->cli->err);
}

void enqueue_report_unfit(struct enqueue_report *r, uint64_t line,
                          const char *why)
{
    r->refused++;
    if (complain(r, line))
        (void)fprintf(r->cli->err, "not sent: %s\n", why);
}

static double rate(const struct enqueue_report *r, int64_t now_ms)
{
    int64_t took_ms = now_ms > r->began_ms ? now_ms - r->began_ms : 1;
    return (double)r->accepted * MS_PER_S / (double)took_ms;
}

void enqueue_report_progress(struct enqueue_report *r, int64_t now_ms,
                             size_t in_flight)
{
    char accepted[SHOW_NUMBER_MAX];
    char refused[SHOW_NUMBER_MAX];
    char per_second[SHOW_NUMBER_MAX];
    if (!r->is_terminal || now_ms < r->next_progress_ms)
        return;
    r->next_progress_ms = now_ms + PROGRESS_MS;
    show_number((int64_t)r->accepted, accepted);
    show_number((int64_t)r->refused, refused);
    show_number((int64_t)rate(r, now_ms), per_second);
    (void)fprintf(r->cli->err,
                  "\r\033[K%s accepted, %s refused, %s/s, %zu in flight",
                  accepted, refused, per_second, in_flight);
    (void)fflush(r->cli->err);
    r->progress_shown = true;
}

int64_t enqueue_report_next(const struct enqueue_report *r)
{
    return r->is_terminal ? r->next_progress_ms : INT64_MAX;
}

void enqueue_report_summary(struct enqueue_report *r, int64_t now_ms)
{
    FILE *out = r->cli->json ? r->cli->err : r->cli->out;
    char text[SHOW_NUMBER_MAX];
    enqueue_report_clear(r);
    show_number((int64_t)r->accepted, text);
    (void)fprintf(out, "%s accepted", text);
    show_number((int64_t)r->duplicates, text);
    (void)fprintf(out, " (%s known before)", text);
    show_number((int64_t)r->refused, text);
    (void)fprintf(out, ", %s refused", text);
    show_number((int64_t)r->temporary, text);
    (void)fprintf(out, ", %s to be tried later", text);
    show_number((int64_t)rate(r, now_ms), text);
    (void)fprintf(out, "; %.2f s, %s/s\n",
                  (double)(now_ms - r->began_ms) / MS_PER_S, text);
}

int enqueue_report_exit_code(const struct enqueue_report *r)
{
    if (r->temporary > 0)
        return EX_TEMPFAIL;
    if (r->refused > 0)
        return r->denied == r->refused ? EX_NOPERM : EX_DATAERR;
    return EX_OK;
}
