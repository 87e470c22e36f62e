#include <string.h>

#include "config/config.h"
#include "config/keys.h"
#include "core/timetext.h"

#define TEXT_COLUMNS 76
#define INDENT       4

#define SECONDS_PER_HOUR 3600.0

/* Words of text, in lines of at most TEXT_COLUMNS behind an indent. */
static void print_wrapped(FILE *out, const char *text)
{
    struct str rest = str_from(text);
    size_t column = 0;
    while (rest.len > 0) {
        struct str word = str_of(rest.data, str_find(rest, ' '));
        rest = str_after(rest, word.len + 1);
        if (column > 0 && column + 1 + word.len > TEXT_COLUMNS) {
            (void)fputc('\n', out);
            column = 0;
        }
        (void)fprintf(out, "%*s%.*s", column == 0 ? INDENT : 1, "",
                      STR_ARG(word));
        column += (column == 0 ? INDENT : 1) + word.len;
    }
    (void)fputc('\n', out);
}

static const char *type_name(enum key_type type)
{
    switch (type) {
    case KEY_BOOL:
        return "true or false";
    case KEY_INT:
        return "whole number";
    case KEY_FLOAT:
        return "number";
    case KEY_SIZE:
        return "size";
    case KEY_DURATION:
        return "duration";
    case KEY_TEXT:
        return "text";
    case KEY_PATH:
        return "path";
    case KEY_CHOICE:
        return "one of";
    case KEY_MODE:
        return "permission bits";
    case KEY_RATE:
        return "rate";
    case KEY_NAMES:
        return "array of names";
    case KEY_INTS:
        return "array of whole numbers";
    }
    return "";
}

static bool is_quoted(enum key_type type)
{
    return type != KEY_BOOL && type != KEY_INT && type != KEY_FLOAT;
}

/* The range in the key's own unit: "10ms to 10m". */
static void add_range(struct buf *b, const struct key *key)
{
    switch (key->type) {
    case KEY_INT:
    case KEY_FLOAT:
        buf_add_format(b, " %lld to %lld", (long long)key->min,
                       (long long)key->max);
        break;
    case KEY_SIZE:
        buf_add_char(b, ' ');
        timetext_add_size(b, key->min);
        buf_add_text(b, " to ");
        timetext_add_size(b, key->max);
        break;
    case KEY_DURATION:
        buf_add_char(b, ' ');
        timetext_add_duration(b, key->min);
        buf_add_text(b, " to ");
        timetext_add_duration(b, key->max);
        break;
    case KEY_TEXT:
    case KEY_PATH:
        buf_add_format(b, " of 1 to %lld bytes", (long long)key->max);
        break;
    case KEY_RATE:
        buf_add_char(b, ' ');
        timetext_add_rate(b, (double)key->min / SECONDS_PER_HOUR);
        buf_add_text(b, " to ");
        timetext_add_rate(b, (double)key->max / SECONDS_PER_HOUR);
        break;
    case KEY_NAMES:
        buf_add_format(b, ", %lld to %lld", (long long)key->min,
                       (long long)key->max);
        break;
    case KEY_INTS:
        buf_add_format(b, ", each %lld to %lld", (long long)key->min,
                       (long long)key->max);
        break;
    case KEY_BOOL:
    case KEY_CHOICE:
    case KEY_MODE:
        break;
    }
}

static void add_choices(struct buf *b, const struct key *key)
{
    struct str rest = str_from(key->choices);
    while (rest.len > 0) {
        struct str word = str_of(rest.data, str_find(rest, ' '));
        rest = str_after(rest, word.len + 1);
        buf_add_format(b, " \"%.*s\"", STR_ARG(word));
    }
}

static void print_key(FILE *out, const struct key *key)
{
    struct buf b;
    buf_init(&b, 512);
    buf_add_text(&b, type_name(key->type));
    add_range(&b, key);
    add_choices(&b, key);
    if (key->required)
        buf_add_text(&b, "; required");
    if (key->standard != NULL)
        buf_add_format(
            &b, is_quoted(key->type) ? "; default \"%s\"" : "; default %s",
            key->standard);
    (void)fprintf(out, "%s\n    (%.*s)\n", key->path, STR_ARG(buf_str(&b)));
    print_wrapped(out, key->help);
    buf_fini(&b);
}

void config_print_manual(FILE *out)
{
    size_t section_count;
    size_t key_count;
    const struct key_section *sections = keys_sections(&section_count);
    const struct key *keys = keys_all(&key_count);
    for (size_t i = 0; i < section_count; i++) {
        struct str name = str_from(sections[i].name);
        if (name.len > 0)
            (void)fprintf(out, "\n%s = %s\n", sections[i].name,
                          sections[i].is_list ? "( { ... }, ... );"
                                              : "{ ... };");
        if (name.len > 0)
            print_wrapped(out, sections[i].help);
        for (size_t k = 0; k < key_count; k++)
            if (str_equal(name, keys_section_of(&keys[k])))
                print_key(out, &keys[k]);
    }
}
