#include "app/sink/sink_summary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/sink/sink_json.h"

#define SUMMARY_MAX_BYTES (1U << 20)
#define FILE_ACCESS       0644

static uint64_t in_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_usec;
}

static void add_faults(const struct sink_faults *f, struct buf *out)
{
    sink_json_object(out, "fired");
    for (size_t i = 0; i < f->count; i++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "%zu", i + 1);
        sink_json_number(out, name, f->rules[i].fired);
    }
    sink_json_object_end(out);
}

void sink_summary_add(const struct sink *sink, int64_t uptime_ms,
                      struct buf *out)
{
    struct rusage used = {0};
    (void)getrusage(RUSAGE_SELF, &used);
    sink_json_begin(out);
    sink_json_text(out, "event", STR("summary"));
    sink_json_number(out, "uptime_ms", (uint64_t)uptime_ms);
    sink_json_number(out, "cpu_us",
                     in_us(used.ru_utime) + in_us(used.ru_stime));
    sink_json_number(out, "cpu_user_us", in_us(used.ru_utime));
    sink_json_number(out, "max_rss_kib", (uint64_t)used.ru_maxrss);
    for (int i = 0; i < SINK_COUNT_COUNT; i++)
        sink_json_number(out, sink_counts_name((enum sink_count)i),
                         sink->counts.values[i]);
    sink_json_number(out, "unique", sink->tally.unique);
    sink_json_number(out, "duplicates", sink->tally.duplicates);
    sink_json_number(out, "forgotten", sink->tally.forgotten);
    sink_json_number(out, "log_lost", sink->log.lost);
    add_faults(&sink->options->faults, out);
    sink_json_end(out);
}

static enum err_code write_all(int fd, struct str bytes, const char *name,
                               struct err *err)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_system(err, errno, "cannot write the summary to %s",
                              name);
        bytes = str_after(bytes, (size_t)n);
    }
    return ERR_NONE;
}

static enum err_code replace_file(const char *path, struct str bytes,
                                  struct err *err)
{
    char fresh[4096];
    int len =
        snprintf(fresh, sizeof(fresh), "%s.%ld.tmp", path, (long)getpid());
    if (len < 0 || (size_t)len >= sizeof(fresh))
        return err_set(err, ERR_INVALID, "the path of the summary is too long");
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_ACCESS);
    if (fd < 0)
        return err_system(err, errno, "cannot write the summary to %s", fresh);
    enum err_code code = write_all(fd, bytes, fresh, err);
    (void)close(fd);
    if (code == ERR_NONE && rename(fresh, path) != 0)
        code = err_system(err, errno, "cannot write the summary to %s", path);
    if (code != ERR_NONE)
        (void)unlink(fresh);
    return code;
}

enum err_code sink_summary_write(const struct sink *sink, int64_t uptime_ms,
                                 struct err *err)
{
    const char *path = sink->options->summary_file;
    struct buf line;
    buf_init(&line, SUMMARY_MAX_BYTES);
    sink_summary_add(sink, uptime_ms, &line);
    enum err_code code =
        path == NULL ? write_all(STDOUT_FILENO, buf_str(&line), "stdout", err)
                     : replace_file(path, buf_str(&line), err);
    buf_fini(&line);
    return code;
}
