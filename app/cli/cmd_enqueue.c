#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "app/cli/client.h"
#include "app/cli/commands.h"
#include "app/cli/enqueue_report.h"
#include "app/cli/jobline.h"
#include "app/cli/lines.h"
#include "app/cli/window.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/timetext.h"

#define LINE_MAX_BYTES  (32U << 20)
#define IN_FLIGHT_MAX   65536
#define GIVE_UP_MAX_MS  (24LL * 3600 * 1000)
#define HOW_LONG_MAX    64
#define BACK_OFF_MS     100
#define BACK_OFF_MAX_MS 5000
/* After Ctrl-C, for the answers that are under way. */
#define LAST_ANSWERS_MS 2000

struct enqueue_options {
    int64_t in_flight;
    int64_t give_up_ms;
};

/*
 * One run. It ends when the input did and every job has its last word, or
 * when `over` says so: then exit_code is why.
 */
struct run {
    struct cli *cli;
    const struct enqueue_options *options;
    struct client *client; /* NULL: to be opened when there is work */
    struct lines lines;
    struct window window;
    struct enqueue_report report;
    int signals;      /* descriptor */
    bool input_waits; /* for more of the input */
    bool input_ended; /* or is not wanted any more */
    bool input_cut;   /* it had more */
    bool stopping;    /* only answers under way are waited for */
    bool over;
    int exit_code;
    uint64_t taken_line; /* the last one that was dealt with */
    int64_t progress_ms; /* when the daemon last answered or had nothing */
    int64_t accepted_ms; /* when it last accepted */
    int64_t until_ms;    /* when stopping */
};

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static void end_run(struct run *r, int exit_code)
{
    r->over = true;
    r->exit_code = exit_code;
}

/* The daemon cannot be talked to any more. */
static void lose(struct run *r, const struct err *err)
{
    enqueue_report_clear(&r->report);
    cli_complain(r->cli, "%s", err->text);
    end_run(r, err->code == ERR_INVALID ? EX_PROTOCOL : EX_TEMPFAIL);
}

/* No more is sent; what was sent gets a moment to be answered. */
static void stop(struct run *r, int exit_code)
{
    r->input_cut = r->input_cut || !r->input_ended;
    r->input_ended = true;
    r->stopping = true;
    r->exit_code = exit_code;
    r->until_ms = now_ms() + LAST_ANSWERS_MS;
}

/* ---- sending ---- */

/*
 * A daemon hangs up on who is silent for long. That loses nothing as long as
 * every job was answered, so the connection is made anew for the next one.
 */
static bool reconnect(struct run *r)
{
    struct err err = {0};
    if (r->client != NULL)
        return true;
    if (client_open(&r->client, &r->cli->endpoint, r->cli->timeout_ms, &err) ==
        ERR_NONE)
        return true;
    enqueue_report_clear(&r->report);
    (void)cli_no_daemon(r->cli, &err);
    end_run(r, EX_TEMPFAIL);
    return false;
}

static void send_job(struct run *r, struct str job)
{
    struct err err;
    if (r->window.sent_count == 1)
        r->progress_ms = now_ms();
    if (client_queue(r->client, job, &err) != ERR_NONE)
        lose(r, &err);
}

static void take_line(struct run *r, struct str line)
{
    struct err err;
    struct str job = str_trim(line);
    if (job.len > 0 && jobline_check(job, &err) != ERR_NONE) {
        enqueue_report_unfit(&r->report, r->lines.number, err.text);
    } else if (job.len > 0) {
        if (!reconnect(r))
            return;
        window_add(&r->window, r->lines.number, job);
        send_job(r, job);
    }
    r->taken_line = r->lines.number;
}

static void read_lines(struct run *r)
{
    struct str line;
    r->input_waits = false;
    while (!r->over && !r->input_ended && !r->input_waits &&
           window_has_room(&r->window)) {
        switch (lines_next(&r->lines, &line)) {
        case LINES_READY:
            take_line(r, line);
            break;
        case LINES_TOO_LONG:
            enqueue_report_unfit(&r->report, r->lines.number,
                                 "the line is longer than 32 MiB");
            r->taken_line = r->lines.number;
            break;
        case LINES_NEED_MORE:
            r->input_waits = true;
            break;
        case LINES_END:
            r->input_ended = true;
            break;
        }
    }
}

static void resend_due(struct run *r)
{
    int64_t now = now_ms();
    while (!r->over && !r->stopping && window_next_due(&r->window) <= now) {
        if (!reconnect(r))
            return;
        const struct window_slot *slot = window_due(&r->window, now);
        send_job(r, str_of(slot->data, slot->len));
    }
}

/* ---- answers ---- */

static int64_t back_off(const struct run *r, const struct window_slot *slot,
                        const struct reply *reply, int64_t now)
{
    int64_t pause_ms = BACK_OFF_MS;
    for (unsigned i = 0; i < slot->tries && pause_ms < BACK_OFF_MAX_MS; i++)
        pause_ms *= 2;
    if (pause_ms > BACK_OFF_MAX_MS)
        pause_ms = BACK_OFF_MAX_MS;
    if (reply->retry_after_ms > pause_ms)
        pause_ms = reply->retry_after_ms;
    int64_t last_ms = slot->first_no_ms + r->options->give_up_ms;
    return pause_ms < last_ms - now ? now + pause_ms : last_ms;
}

/*
 * One job that the daemon never takes must not stop the others; a daemon that
 * takes nothing at all must not be asked for each of a million lines.
 */
static void give_up(struct run *r, int64_t now)
{
    int64_t give_up_ms = r->options->give_up_ms;
    if (r->stopping || give_up_ms == 0 || now - r->accepted_ms < give_up_ms)
        return;
    struct buf how_long;
    buf_init(&how_long, HOW_LONG_MAX);
    timetext_add_duration(&how_long, give_up_ms);
    enqueue_report_clear(&r->report);
    cli_complain(r->cli, "%s accepted nothing for %.*s: giving up",
                 r->cli->endpoint.text, STR_ARG(how_long));
    buf_fini(&how_long);
    stop(r, EX_TEMPFAIL);
}

static void refused_for_now(struct run *r, struct window_slot *slot,
                            const struct reply *reply)
{
    int64_t now = now_ms();
    if (slot->tries == 0)
        slot->first_no_ms = now;
    if (!r->stopping && now - slot->first_no_ms >= r->options->give_up_ms) {
        enqueue_report_refused(&r->report, slot->line, reply);
        window_drop(&r->window, slot);
        give_up(r, now);
        return;
    }
    window_hold(&r->window, slot, back_off(r, slot, reply, now));
    slot->tries++;
}

static void take_answer(struct run *r, struct str line)
{
    struct err err;
    struct reply reply;
    if (reply_parse(line, &reply, &err) != ERR_NONE) {
        lose(r, &err);
        return;
    }
    struct window_slot *slot = window_answered(&r->window);
    r->progress_ms = now_ms();
    if (slot == NULL) {
        enqueue_report_clear(&r->report);
        (void)fputs("postrider: the daemon says: ", r->cli->err);
        reply_print_error(r->cli->err, &reply);
        (void)fputc('\n', r->cli->err);
        end_run(r, reply.ok ? EX_PROTOCOL : reply_exit_code(&reply));
    } else if (!reply.ok && reply.retry) {
        refused_for_now(r, slot, &reply);
    } else {
        if (reply.ok) {
            enqueue_report_accepted(&r->report, &reply);
            r->accepted_ms = r->progress_ms;
        } else {
            enqueue_report_refused(&r->report, slot->line, &reply);
        }
        window_drop(&r->window, slot);
        if (r->cli->json)
            (void)fprintf(r->cli->out, "%.*s\n", STR_ARG(line));
    }
    reply_fini(&reply);
}

static void take_answers(struct run *r)
{
    struct str line;
    while (!r->over && r->client != NULL && client_next(r->client, &line))
        take_answer(r, line);
}

/* ---- waiting ---- */

static void on_signal(struct run *r)
{
    struct signalfd_siginfo info;
    if (read(r->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (r->stopping)
        end_run(r, EX_TEMPFAIL);
    stop(r, EX_TEMPFAIL);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_event(const struct run *r)
{
    int64_t until = enqueue_report_next(&r->report);
    if (r->stopping)
        until = earlier(until, r->window.sent_count > 0 ? r->until_ms : 0);
    else
        until = earlier(until, window_next_due(&r->window));
    if (r->window.sent_count > 0)
        until = earlier(until, r->progress_ms + r->cli->timeout_ms);
    return until;
}

static void check_times(struct run *r)
{
    struct err err;
    int64_t now = now_ms();
    if (r->window.sent_count > 0 &&
        now >= r->progress_ms + r->cli->timeout_ms) {
        (void)err_set(&err, ERR_TIMEOUT,
                      "%s gave no answer within the time allowed (--timeout)",
                      r->cli->endpoint.text);
        lose(r, &err);
    }
    if (r->stopping && (now >= r->until_ms || r->window.sent_count == 0))
        end_run(r, r->exit_code);
    enqueue_report_progress(&r->report, now, r->window.sent_count);
}

static void wait_some(struct run *r)
{
    struct err err = {0};
    struct pollfd extra[2] = {{.fd = r->signals, .events = POLLIN},
                              {.fd = r->lines.fd, .events = POLLIN}};
    size_t count = r->input_waits && !r->input_ended ? 2 : 1;
    int64_t until_ms = next_event(r);
    enum err_code code = client_step(r->client, extra, count, until_ms, &err);
    if (code == ERR_CLOSED && r->window.sent_count == 0) {
        client_close(r->client);
        r->client = NULL;
    } else if (code != ERR_NONE) {
        lose(r, &err);
        return;
    }
    if (extra[0].revents != 0)
        on_signal(r);
    if (count == 2 && extra[1].revents != 0 && !r->over &&
        lines_fill(&r->lines, &err) != ERR_NONE) {
        enqueue_report_clear(&r->report);
        cli_complain(r->cli, "%s", err.text);
        stop(r, EX_NOINPUT);
    }
}

/* Every line was read and has its last answer. */
static bool is_complete(const struct run *r)
{
    return r->input_ended && !r->input_cut && r->window.sent_count == 0 &&
           r->window.held_count == 0;
}

/* ---- the whole ---- */

static void say_what_is_left(struct run *r)
{
    char lines[WINDOW_RANGES_MAX];
    if (r->window.sent_count > 0) {
        window_ranges(&r->window, WINDOW_SENT, lines);
        cli_complain(r->cli,
                     "not answered, so possibly accepted all the same: lines "
                     "%s (safe to send again only with an idempotency_key)",
                     lines);
    }
    if (r->window.held_count > 0) {
        window_ranges(&r->window, WINDOW_HELD, lines);
        cli_complain(r->cli, "not accepted so far: lines %s", lines);
    }
    r->report.temporary += r->window.held_count;
    if (!r->input_ended || r->input_cut)
        cli_complain(r->cli, "not sent: every line from %llu on",
                     (unsigned long long)r->taken_line + 1);
}

static int finish(struct run *r)
{
    bool complete = is_complete(r);
    enqueue_report_clear(&r->report);
    if (!complete)
        say_what_is_left(r);
    enqueue_report_summary(&r->report, now_ms());
    return complete ? enqueue_report_exit_code(&r->report) : r->exit_code;
}

static int run_all(struct run *r)
{
    struct err err = {0};
    if (client_open(&r->client, &r->cli->endpoint, r->cli->timeout_ms, &err) !=
        ERR_NONE)
        return cli_no_daemon(r->cli, &err);
    for (;;) {
        take_answers(r);
        resend_due(r);
        read_lines(r);
        if (r->over || is_complete(r))
            return finish(r);
        wait_some(r);
        check_times(r);
    }
}

static int open_input(struct cli *cli, const char *path)
{
    struct err err;
    if (path == NULL || strcmp(path, "-") == 0) {
        if (isatty(cli->in) == 1)
            (void)fputs("type jobs, a JSON object a line, end with Ctrl-D\n",
                        cli->err);
        return fcntl(cli->in, F_DUPFD_CLOEXEC, 0);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)err_system(&err, errno, "cannot open %s", path);
        cli_complain(cli, "%s", err.text);
    }
    return fd;
}

static int run(struct cli *cli, const void *options, char **operands)
{
    sigset_t set;
    sigset_t before;
    struct run r = {.cli = cli, .options = options};
    int fd = open_input(cli, operands[0]);
    if (fd < 0)
        return EX_NOINPUT;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, &before);
    r.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    lines_init(&r.lines, fd, LINE_MAX_BYTES);
    window_init(&r.window, (size_t)r.options->in_flight);
    enqueue_report_init(&r.report, cli, now_ms());
    r.accepted_ms = now_ms();
    int code = run_all(&r);
    client_close(r.client);
    window_fini(&r.window);
    lines_fini(&r.lines);
    (void)close(r.signals);
    (void)close(fd);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static const struct option_spec enqueue_options[] = {
    {.name = "in-flight",
     .kind = OPTION_COUNT,
     .offset = offsetof(struct enqueue_options, in_flight),
     .min = 1,
     .max = IN_FLIGHT_MAX,
     .argument = "N",
     .by_default = "64",
     .help = "jobs sent and not answered yet, at most"},
    {.name = "give-up",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct enqueue_options, give_up_ms),
     .max = GIVE_UP_MAX_MS,
     .argument = "TIME",
     .by_default = "1m",
     .help = "how long to try again what the daemon cannot take\n"
             "now; 0 is not at all"},
};

static const char enqueue_details[] =
    "Reads jobs, one JSON object a line, as docs/protocol.md describes them "
    "for\n"
    "submit, and hands them over without waiting for each answer. Lines that "
    "are\n"
    "refused are named with the daemon's reason, the first 20 of them. What "
    "the\n"
    "daemon cannot take now is sent again, so that jobs may be accepted in "
    "another\n"
    "order than they were read. With --json each line's last answer is printed "
    "as\n"
    "it came; give lines a \"ref\" of their own to tell answers apart.\n"
    "Exits 0 when all were accepted, 75 when some may be accepted later (or "
    "the\n"
    "connection was lost: it says which lines had no answer), else 65.\n";

const struct cli_command *cmd_enqueue(void)
{
    static const struct cli_command command = {
        .name = "enqueue",
        .operands = "[FILE]",
        .summary = "hand over many jobs, a JSON object a line",
        .details = enqueue_details,
        .options = enqueue_options,
        .option_count = sizeof(enqueue_options) / sizeof(enqueue_options[0]),
        .options_size = sizeof(struct enqueue_options),
        .operands_max = 1,
        .stream_only = true,
        .run = run,
    };
    return &command;
}
