#include "app/cli/options.h"

#include <string.h>

#include "core/mem.h"
#include "core/str.h"
#include "core/timetext.h"

/* Column where the words of --help begin. */
#define HELP_COLUMN 28

struct cursor {
    const struct option_set *sets;
    size_t set_count;
    int argc;
    char **argv;
    int at;
};

static void *place(const struct option_set *set, const struct option_spec *o)
{
    return (char *)set->target + o->offset;
}

static enum err_code bad_value(const struct option_spec *o, const char *value,
                               const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "--%s %s: %s", o->name, value, why);
}

static enum err_code store_duration(const struct option_spec *o, int64_t *to,
                                    const char *value, struct err *err)
{
    struct err why;
    int64_t ms;
    if (timetext_parse_duration(str_from(value), &ms, &why) != ERR_NONE)
        return bad_value(o, value, why.text, err);
    if (ms < o->min || ms > o->max)
        return bad_value(o, value, "this duration is out of range", err);
    *to = ms;
    return ERR_NONE;
}

static enum err_code store_count(const struct option_spec *o, int64_t *to,
                                 const char *value, struct err *err)
{
    unsigned long long number;
    if (!str_to_u64(str_from(value), (unsigned long long)o->max, &number) ||
        (int64_t)number < o->min)
        return err_set(err, ERR_INVALID,
                       "--%s %s: give a whole number from %lld to %lld",
                       o->name, value, (long long)o->min, (long long)o->max);
    *to = (int64_t)number;
    return ERR_NONE;
}

static void store_item(struct text_list *list, const char *value)
{
    list->items =
        mem_realloc(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = value;
}

static enum err_code store(const struct option_set *set,
                           const struct option_spec *o, const char *value,
                           struct err *err)
{
    void *to = place(set, o);
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)to = true;
        return ERR_NONE;
    case OPTION_TEXT:
        *(const char **)to = value;
        return ERR_NONE;
    case OPTION_LIST:
        store_item(to, value);
        return ERR_NONE;
    case OPTION_DURATION:
        return store_duration(o, to, value, err);
    case OPTION_COUNT:
        return store_count(o, to, value, err);
    }
    return ERR_INVALID;
}

static const struct option_spec *find(const struct cursor *c, struct str name,
                                      char letter,
                                      const struct option_set **set)
{
    for (size_t s = 0; s < c->set_count; s++) {
        *set = &c->sets[s];
        for (size_t i = 0; i < (*set)->count; i++) {
            const struct option_spec *o = &(*set)->table[i];
            if (letter != 0 ? o->letter == letter
                            : str_equal(str_from(o->name), name))
                return o;
        }
    }
    return NULL;
}

/* The value of o: what stands behind it, the next argument, or none. */
static enum err_code value_of(struct cursor *c, const struct option_spec *o,
                              const char *attached, const char **value,
                              struct err *err)
{
    const char *next = c->at < c->argc ? c->argv[c->at] : NULL;
    *value = attached;
    if (o->kind == OPTION_FLAG)
        return attached == NULL
                   ? ERR_NONE
                   : err_set(err, ERR_INVALID, "--%s takes no value", o->name);
    if (attached != NULL)
        return ERR_NONE;
    *value = o->when_alone;
    if (o->when_alone != NULL && (next == NULL || !ascii_is_digit(next[0])))
        return ERR_NONE;
    if (next == NULL)
        return err_set(err, ERR_INVALID, "--%s needs a value: %s", o->name,
                       o->argument);
    *value = next;
    c->at++;
    return ERR_NONE;
}

/* argv[at] begins with a dash and is longer than that. */
static enum err_code parse_one(struct cursor *c, struct err *err)
{
    const struct option_set *set;
    const char *text = c->argv[c->at++];
    const char *attached = NULL;
    const char *value;
    struct str name = str_from(text);
    char letter = 0;
    if (text[1] == '-') {
        name = str_after(name, 2);
        size_t equals = str_find(name, '=');
        if (equals < name.len)
            attached = name.data + equals + 1;
        name.len = equals;
    } else {
        letter = text[1];
        attached = text[2] == '\0' ? NULL : text + 2;
    }
    const struct option_spec *o = find(c, name, letter, &set);
    if (o == NULL)
        return err_set(err, ERR_INVALID, "there is no option %s", text);
    enum err_code code = value_of(c, o, attached, &value, err);
    return code != ERR_NONE ? code : store(set, o, value, err);
}

void options_defaults(const struct option_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct option_spec *o = &set->table[i];
        if (o->by_default != NULL)
            (void)store(set, o, o->by_default, NULL);
    }
}

enum err_code options_parse(const struct option_set *sets, size_t set_count,
                            bool until_operand, struct option_words *words,
                            struct err *err)
{
    struct cursor c = {sets, set_count, words->argc, words->argv, 0};
    int kept = 0;
    bool ended = false;
    while (c.at < c.argc) {
        char *text = c.argv[c.at];
        bool is_option = !ended && text[0] == '-' && text[1] != '\0';
        if (!is_option && until_operand)
            break;
        if (!is_option) {
            c.argv[kept++] = text;
            c.at++;
        } else if (strcmp(text, "--") == 0) {
            ended = true;
            c.at++;
        } else {
            enum err_code code = parse_one(&c, err);
            if (code != ERR_NONE)
                return code;
        }
    }
    words->operands = until_operand ? c.at : kept;
    return ERR_NONE;
}

void options_fini(const struct option_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->table[i].kind != OPTION_LIST)
            continue;
        struct text_list *list = place(set, &set->table[i]);
        mem_free(list->items);
        *list = (struct text_list){0};
    }
}

static int print_name(FILE *out, const struct option_spec *o)
{
    int width = o->letter != 0 ? fprintf(out, "  -%c, --%s", o->letter, o->name)
                               : fprintf(out, "      --%s", o->name);
    if (o->argument != NULL && o->when_alone != NULL)
        width += fprintf(out, " [%s]", o->argument);
    else if (o->argument != NULL)
        width += fprintf(out, " %s", o->argument);
    return width;
}

static void print_words(FILE *out, const struct option_spec *o, int width)
{
    struct str rest = str_from(o->help);
    if (width >= HELP_COLUMN - 1) {
        (void)fputc('\n', out);
        width = 0;
    }
    while (rest.len > 0) {
        size_t end = str_find(rest, '\n');
        (void)fprintf(out, "%*s%.*s", HELP_COLUMN - width, "", (int)end,
                      rest.data);
        rest = str_after(rest, end + 1);
        width = 0;
        if (rest.len > 0)
            (void)fputc('\n', out);
    }
    if (o->by_default != NULL)
        (void)fprintf(out, " (default %s)", o->by_default);
    (void)fputc('\n', out);
}

void options_help(FILE *out, const struct option_spec *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        print_words(out, &table[i], print_name(out, &table[i]));
}
