#include "app/sink/sink_log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "app/sink/sink_json.h"
#include "core/clock.h"
#include "core/timetext.h"

#define GATHER_BYTES    (64U << 10)
#define GATHER_MAX      (1U << 20)
#define LOG_FILE_ACCESS 0644

enum err_code sink_log_init(struct sink_log *log, const char *path,
                            struct err *err)
{
    *log = (struct sink_log){.fd = -1};
    buf_init(&log->lines, GATHER_MAX);
    if (path == NULL)
        return ERR_NONE;
    log->fd =
        open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, LOG_FILE_ACCESS);
    if (log->fd < 0)
        return err_system(err, errno, "cannot open the log %s", path);
    return ERR_NONE;
}

void sink_log_fini(struct sink_log *log)
{
    if (log->fd < 0)
        return;
    sink_log_flush(log);
    (void)close(log->fd);
    log->fd = -1;
    buf_fini(&log->lines);
}

void sink_log_write(struct sink_log *log)
{
    size_t at = 0;
    while (at < log->lines.len) {
        ssize_t n = write(log->fd, log->lines.data + at, log->lines.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            log->lost++;
            break;
        }
        at += (size_t)n;
    }
    buf_truncate(&log->lines, 0);
}

static void begin(struct sink_log *log, const char *event,
                  const struct sink_who *who)
{
    char now[TIMETEXT_RFC3339_MAX];
    timetext_rfc3339(clock_real_ms(clock_system()), now);
    sink_json_begin(&log->lines);
    sink_json_text(&log->lines, "event", str_from(event));
    sink_json_text(&log->lines, "time", str_from(now));
    sink_json_number(&log->lines, "connection", who->connection);
    sink_json_text(&log->lines, "listener", who->listener);
    sink_json_text_or_null(&log->lines, "tls", who->tls);
    sink_json_text_or_null(&log->lines, "auth", who->user);
}

static void add_envelope(struct sink_log *log, const struct sink_envelope *e)
{
    struct str sender = sink_envelope_sender(e);
    sink_json_text(&log->lines, "from", sender);
    sink_json_array(&log->lines, "to");
    for (size_t i = 0; i < e->count; i++)
        sink_json_element(&log->lines, sink_envelope_recipient(e, i));
    sink_json_array_end(&log->lines);
}

/* A line is whole or is not there. */
static void finish(struct sink_log *log, size_t start)
{
    sink_json_end(&log->lines);
    if (!buf_ok(&log->lines)) {
        buf_truncate(&log->lines, start);
        log->lost++;
    }
    if (log->lines.len >= GATHER_BYTES)
        sink_log_write(log);
}

void sink_log_message(struct sink_log *log, const struct sink_arrival *a)
{
    size_t start = log->lines.len;
    if (log->fd < 0)
        return;
    begin(log, "message", &a->who);
    sink_json_number(&log->lines, "number", a->number);
    add_envelope(log, a->envelope);
    sink_json_text_or_null(&log->lines, "message_id", a->message_id);
    sink_json_number(&log->lines, "size", a->size_bytes);
    sink_json_text(&log->lines, "command", str_from(a->command));
    sink_json_number(&log->lines, "duplicates", a->duplicates);
    sink_json_text_or_null(&log->lines, "file", a->file);
    finish(log, start);
}

void sink_log_fault(struct sink_log *log, const struct sink_who *who,
                    const struct sink_fault *fault,
                    const struct sink_facts *facts)
{
    size_t start = log->lines.len;
    if (log->fd < 0)
        return;
    begin(log, "fault", who);
    sink_json_text(&log->lines, "stage",
                   str_from(sink_stage_name(fault->stage)));
    sink_json_text(&log->lines, "rule", fault->text);
    sink_json_number(&log->lines, "fired", fault->fired);
    sink_json_text_or_null(&log->lines, "subject", facts->subject);
    if (facts->envelope != NULL && facts->envelope->open)
        add_envelope(log, facts->envelope);
    finish(log, start);
}
