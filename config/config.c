#include "config/config.h"

#include <string.h>

#include <libconfig.h>

#include "config/check.h"
#include "config/reader.h"
#include "config/twice.h"
#include "core/mem.h"

/* A load under way. */
struct load {
    struct source source;
    struct report report;
    struct reader reader;
    config_t parsed;
    struct draft draft;
};

static void read_groups(struct load *l)
{
    size_t count;
    const struct key_section *sections = keys_sections(&count);
    const config_setting_t *root = config_root_setting(&l->parsed);
    reader_check_top(&l->reader, root);
    for (size_t i = 0; i < count; i++) {
        const char *name = sections[i].name;
        if (sections[i].is_list)
            continue;
        reader_group(
            &l->reader,
            name[0] == '\0' ? root : reader_find_group(&l->reader, root, name),
            str_from(name), &l->draft);
    }
    check_groups(&l->report, root, &l->draft);
}

static void free_list(const char *section, void *drafts, size_t element_bytes,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        reader_free(str_from(section), (char *)drafts + i * element_bytes);
    mem_free(drafts);
}

static void read_listen(struct load *l)
{
    size_t count;
    bool present;
    struct draft_listen *drafts =
        reader_list(&l->reader, config_root_setting(&l->parsed), "listen",
                    sizeof(*drafts), &count, &present);
    check_listen(&l->report, drafts, count, &l->draft.settings);
    free_list("listen", drafts, sizeof(*drafts), count);
}

static void read_relays(struct load *l)
{
    size_t count;
    bool present;
    struct draft_relay *drafts =
        reader_list(&l->reader, config_root_setting(&l->parsed), "relays",
                    sizeof(*drafts), &count, &present);
    if (!present)
        report_problem(&l->report, 1,
                       "relays is missing: say what to send mail through, for "
                       "example relays = ( { name = \"main\"; url = "
                       "\"smtps://smtp.example.com\"; } );");
    check_relays(&l->report, drafts, count, &l->draft.settings);
    free_list("relays", drafts, sizeof(*drafts), count);
}

static void read_routes(struct load *l)
{
    size_t count;
    bool present;
    struct draft_route *drafts =
        reader_list(&l->reader, config_root_setting(&l->parsed), "routes",
                    sizeof(*drafts), &count, &present);
    check_routes(&l->report, drafts, count, &l->draft.settings);
    free_list("routes", drafts, sizeof(*drafts), count);
}

/* libconfig says that a name is there twice, but not which. */
static bool name_twice(struct load *l)
{
    struct twice twice;
    if (!twice_find(buf_str(&l->source.text), &twice))
        return false;
    const struct source_line *first = source_at(&l->source, twice.first_line);
    report_problem(&l->report, twice.line,
                   "%.*s is set a second time (first in %s:%u): take one of "
                   "them out",
                   STR_ARG(twice.name), first->file, first->number);
    return true;
}

static void parse_failed(struct load *l)
{
    const char *text = config_error_text(&l->parsed);
    int line = config_error_line(&l->parsed);
    unsigned at = line > 0 ? (unsigned)line : 1;
    if (source_at(&l->source, at)->bad_value)
        return;
    if (text != NULL && strcmp(text, "syntax error") == 0)
        report_problem(&l->report, at,
                       "syntax error here or just before: look for a missing "
                       "quote, bracket, = or ; (a setting is NAME = VALUE;)");
    else if (text == NULL || strcmp(text, "duplicate setting name") != 0 ||
             !name_twice(l))
        report_problem(&l->report, at, "%s",
                       text != NULL ? text : "cannot be read");
}

static void load(struct load *l, const char *path)
{
    if (!source_load(&l->source, path, &l->report))
        return;
    if (config_read_string(&l->parsed, l->source.text.data) != CONFIG_TRUE) {
        parse_failed(l);
        return;
    }
    read_groups(l);
    read_listen(l);
    read_relays(l);
    read_routes(l);
}

enum err_code config_load(const char *path, struct settings **out,
                          struct buf *problems, struct buf *warnings)
{
    struct load l = {.parsed = {0}};
    struct settings *settings;
    source_init(&l.source);
    report_init(&l.report);
    config_init(&l.parsed);
    l.reader = (struct reader){&l.source, &l.report};
    load(&l, path);
    bool failed = l.report.problems > 0;
    MEM_NEW(settings);
    *settings = l.draft.settings;
    settings->workers.mode = SETTINGS_WORKERS_THREADS;
    mem_free(l.draft.spool_backend);
    mem_free(l.draft.workers_mode);
    report_write(&l.report, &l.source, problems, warnings);
    config_destroy(&l.parsed);
    report_fini(&l.report);
    source_fini(&l.source);
    if (failed) {
        settings_destroy(settings);
        return ERR_INVALID;
    }
    *out = settings;
    return ERR_NONE;
}
