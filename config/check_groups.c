#include <string.h>
#include <unistd.h>

#include "config/check.h"
#include "config/host.h"
#include "config/reader.h"
#include "core/mem.h"

#define HOST_NAME_BYTES 256

static unsigned line_of(const config_setting_t *root, const char *section,
                        const char *name)
{
    const config_setting_t *group = config_setting_get_member(root, section);
    return group == NULL ? 1 : reader_line(group, name);
}

static void check_hostname(struct report *report, const config_setting_t *root,
                           struct settings *s)
{
    char name[HOST_NAME_BYTES] = "";
    if (s->hostname != NULL) {
        if (!host_is_name(str_from(s->hostname)))
            report_problem(report, reader_line(root, "hostname"),
                           "hostname is no name of a machine, for example "
                           "mail.example.com");
        return;
    }
    if (gethostname(name, sizeof(name) - 1) != 0 ||
        !host_is_name(str_from(name)))
        s->hostname = mem_strdup(STR("localhost"));
    else
        s->hostname = mem_strdup(str_from(name));
}

/* A message that no room would ever be enough for would wait for ever. */
static void check_room(struct report *report, const config_setting_t *root,
                       const char *section, int64_t max_bytes,
                       const struct settings *s)
{
    if (max_bytes < s->limits.message_bytes)
        report_problem(report, line_of(root, section, "max_bytes"),
                       "%s.max_bytes is less than limits.message: the largest "
                       "message would never fit; make limits.message smaller "
                       "or this larger",
                       section);
}

/* What depends on the backend. */
static void set_spool(struct report *report, const config_setting_t *root,
                      struct draft *draft)
{
    struct settings *s = &draft->settings;
    bool memory = draft->spool_backend != NULL &&
                  strcmp(draft->spool_backend, "memory") == 0;
    s->spool.backend = memory ? SETTINGS_SPOOL_MEMORY : SETTINGS_SPOOL_SQLITE;
    if (s->spool.max_jobs == 0)
        s->spool.max_jobs = memory ? 200000 : 2000000;
    if (s->spool.max_bytes == 0)
        s->spool.max_bytes = memory ? 512LL << 20 : 8LL << 30;
    if (s->history.max_jobs == 0)
        s->history.max_jobs = memory ? 20000 : 500000;
    if (s->idempotency.max_keys == 0)
        s->idempotency.max_keys = memory ? 200000 : 5000000;
    if (memory && s->spool.path != NULL)
        report_warning(report, line_of(root, "spool", "path"),
                       "spool.path is not used: the spool is in memory");
    if (!memory && s->spool.path == NULL)
        s->spool.path = mem_strdup(STR("/var/lib/postrider/spool.db"));
}

void check_groups(struct report *report, const config_setting_t *root,
                  struct draft *draft)
{
    struct settings *s = &draft->settings;
    check_hostname(report, root, s);
    set_spool(report, root, draft);
    check_room(report, root, "spool", s->spool.max_bytes, s);
    check_room(report, root, "queue", s->queue.max_bytes, s);
    if (s->retry.longest_ms < s->retry.first_ms)
        report_problem(report, line_of(root, "retry", "longest"),
                       "retry.longest must not be less than retry.first");
    if (s->retry.give_up_ms < s->retry.first_ms)
        report_problem(report, line_of(root, "retry", "give_up"),
                       "retry.give_up must not be less than retry.first");
    if (s->history.keep_failed_ms < s->history.keep_ms)
        report_problem(report, line_of(root, "history", "keep_failed"),
                       "history.keep_failed must not be less than "
                       "history.keep");
}
