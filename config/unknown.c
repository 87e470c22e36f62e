#include "config/unknown.h"

#include <string.h>

#include "config/suggest.h"

/* Names that people try and that are refused for a reason. */
static const struct {
    const char *path;
    const char *sentence;
} refused_keys[] = {
    {"relays.password",
     "relays.password is refused: a config file is no place for a secret; put "
     "the password into a file of its own and name that in password_file, or "
     "into an environment variable named in password_env"},
};

static const char *refusal(const char *path)
{
    size_t count = sizeof(refused_keys) / sizeof(refused_keys[0]);
    for (size_t i = 0; i < count; i++)
        if (strcmp(path, refused_keys[i].path) == 0)
            return refused_keys[i].sentence;
    return NULL;
}

static void list_names(struct buf *out, struct str section)
{
    size_t count;
    const struct key *keys = keys_all(&count);
    for (size_t i = 0; i < count; i++)
        if (str_equal(section, keys_section_of(&keys[i])))
            buf_add_format(out, "%s%.*s", out->len > 0 ? ", " : "",
                           STR_ARG(keys_name_of(&keys[i])));
}

void unknown_key(struct reader *r, const config_setting_t *s,
                 struct str section)
{
    const char *name = config_setting_name(s);
    unsigned line = config_setting_source_line(s);
    struct suggest suggest;
    struct buf text;
    size_t count;
    const struct key *keys = keys_all(&count);
    buf_init(&text, 1024);
    buf_add_format(&text, "%.*s.%.64s", STR_ARG(section), name);
    buf_add_char(&text, '\0');
    const char *why = refusal(text.data);
    suggest_init(&suggest, str_from(name));
    for (size_t i = 0; i < count; i++)
        if (str_equal(section, keys_section_of(&keys[i])))
            suggest_offer(&suggest, keys_name_of(&keys[i]));
    if (why != NULL) {
        report_problem(r->report, line, "%s", why);
    } else if (suggest.best.len > 0) {
        report_problem(r->report, line, "unknown key %s: did you mean %.*s?",
                       text.data, STR_ARG(suggest.best));
    } else {
        struct buf names;
        buf_init(&names, 512);
        list_names(&names, section);
        report_problem(r->report, line,
                       "unknown key %s: the keys of %.*s are %.*s", text.data,
                       STR_ARG(section), STR_ARG(buf_str(&names)));
        buf_fini(&names);
    }
    buf_fini(&text);
}

void unknown_top(struct reader *r, const config_setting_t *s)
{
    struct suggest suggest;
    size_t key_count;
    size_t section_count;
    const char *name = config_setting_name(s);
    const struct key *keys = keys_all(&key_count);
    const struct key_section *sections = keys_sections(&section_count);
    suggest_init(&suggest, str_from(name));
    for (size_t i = 0; i < section_count; i++)
        if (sections[i].name[0] != '\0')
            suggest_offer(&suggest, str_from(sections[i].name));
    for (size_t i = 0; i < key_count; i++)
        if (keys_section_of(&keys[i]).len == 0)
            suggest_offer(&suggest, str_from(keys[i].path));
    if (suggest.best.len > 0) {
        report_problem(r->report, config_setting_source_line(s),
                       "unknown key %.64s: did you mean %.*s?", name,
                       STR_ARG(suggest.best));
        return;
    }
    for (size_t i = 0; i < key_count; i++) {
        if (str_equal(str_from(name), keys_name_of(&keys[i]))) {
            report_problem(r->report, config_setting_source_line(s),
                           "unknown key %.64s: it belongs into %.*s", name,
                           STR_ARG(keys_section_of(&keys[i])));
            return;
        }
    }
    struct buf names;
    buf_init(&names, 512);
    list_names(&names, STR(""));
    for (size_t i = 0; i < section_count; i++)
        if (sections[i].name[0] != '\0')
            buf_add_format(&names, ", %s", sections[i].name);
    report_problem(r->report, config_setting_source_line(s),
                   "unknown key %.64s: there are %.*s", name,
                   STR_ARG(buf_str(&names)));
    buf_fini(&names);
}
