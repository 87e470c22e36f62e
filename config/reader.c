#include "config/reader.h"

#include <string.h>

#include "config/unknown.h"
#include "config/value.h"
#include "core/mem.h"
#include "core/panic.h"

#define LIST_MAX 64

unsigned reader_line(const config_setting_t *group, const char *name)
{
    if (group == NULL)
        return 1;
    const config_setting_t *member = config_setting_get_member(group, name);
    return config_setting_source_line(member != NULL ? member : group);
}

bool reader_is_known_bad(const struct reader *r, const config_setting_t *s)
{
    return source_at(r->source, config_setting_source_line(s))->bad_value;
}

void reader_group(struct reader *r, const config_setting_t *group,
                  struct str section, void *draft)
{
    size_t count;
    const struct key *keys = keys_all(&count);
    int members =
        group == NULL || section.len == 0 ? 0 : config_setting_length(group);
    for (int i = 0; i < members; i++) {
        const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
        if (keys_find(section, str_from(config_setting_name(s))) == NULL)
            unknown_key(r, s, section);
    }
    for (size_t i = 0; i < count; i++) {
        const struct key *key = &keys[i];
        if (!str_equal(section, keys_section_of(key)))
            continue;
        const config_setting_t *s =
            group == NULL
                ? NULL
                : config_setting_get_member(group, keys_name_of(key).data);
        /* A wrong number becomes the default, so that checks go on. */
        if (key->standard != NULL && (s == NULL || key->type != KEY_CHOICE))
            value_set_standard(key, draft);
        if (s == NULL && key->required)
            report_problem(r->report, reader_line(group, ""),
                           "%s is missing: every entry needs it", key->path);
        if (s != NULL)
            value_read(r, s, key, draft);
    }
}

void reader_check_top(struct reader *r, const config_setting_t *root)
{
    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);
        struct str name = str_from(config_setting_name(s));
        if (keys_section(name) == NULL && keys_find(STR(""), name) == NULL)
            unknown_top(r, s);
    }
}

const config_setting_t *reader_find_group(struct reader *r,
                                          const config_setting_t *root,
                                          const char *section)
{
    const config_setting_t *s = config_setting_get_member(root, section);
    if (s == NULL || config_setting_is_group(s))
        return s;
    if (!reader_is_known_bad(r, s))
        report_problem(r->report, config_setting_source_line(s),
                       "%s must be a group: %s = { ... };", section, section);
    return NULL;
}

void *reader_list(struct reader *r, const config_setting_t *root,
                  const char *section, size_t element_bytes, size_t *count,
                  bool *present)
{
    const config_setting_t *s = config_setting_get_member(root, section);
    int length = s == NULL ? 0 : config_setting_length(s);
    PANIC_IF(section == NULL);
    *count = 0;
    *present = s != NULL;
    if (s == NULL || reader_is_known_bad(r, s))
        return NULL;
    unsigned line = config_setting_source_line(s);
    if (!config_setting_is_list(s)) {
        report_problem(r->report, line,
                       "%s must be a list of groups: %s = ( { ... }, ... );",
                       section, section);
        return NULL;
    }
    if (length < 1 || length > LIST_MAX) {
        report_problem(r->report, line,
                       "%s has %d entries: there must be 1 to %d", section,
                       length, LIST_MAX);
        return NULL;
    }
    char *drafts = mem_calloc((size_t)length, element_bytes);
    for (int i = 0; i < length; i++) {
        const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
        char *draft = drafts + *count * element_bytes;
        if (!config_setting_is_group(e)) {
            report_problem(r->report, config_setting_source_line(e),
                           "an entry of %s must be a group in braces: { ... }",
                           section);
            continue;
        }
        *(const config_setting_t **)(void *)draft = e;
        reader_group(r, e, str_from(section), draft);
        ++*count;
    }
    return drafts;
}

void reader_free(struct str section, void *draft)
{
    size_t count;
    const struct key *keys = keys_all(&count);
    for (size_t i = 0; i < count; i++)
        if (str_equal(section, keys_section_of(&keys[i])))
            value_free(&keys[i], draft);
}
