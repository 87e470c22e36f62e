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

void check_groups(struct report *report, const config_setting_t *root,
                  struct draft *draft)
{
    struct settings *s = &draft->settings;
    check_hostname(report, root, s);
    check_room(report, root, "spool", s->spool.max_bytes, s);
    check_room(report, root, "queue", s->queue.max_bytes, s);
    if (s->retry.longest_ms < s->retry.first_ms)
        report_problem(report, line_of(root, "retry", "longest"),
                       "retry.longest must not be less than retry.first");
    if (s->retry.give_up_ms < s->retry.first_ms)
        report_problem(report, line_of(root, "retry", "give_up"),
                       "retry.give_up must not be less than retry.first");
    if (draft->spool_path != NULL && draft->spool_backend != NULL &&
        strcmp(draft->spool_backend, "memory") == 0)
        report_warning(report, line_of(root, "spool", "path"),
                       "spool.path is not used: the spool is in memory");
}
