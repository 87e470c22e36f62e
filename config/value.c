#include "config/value.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "core/timetext.h"
#include "core/utf8.h"

#define SECONDS_PER_HOUR 3600.0

static void *place_of(const struct key *key, void *draft)
{
    return (char *)draft + key->offset;
}

static void problem(struct reader *r, const config_setting_t *s,
                    const struct key *key, const char *sentence)
{
    report_problem(r->report, config_setting_source_line(s), "%s %s", key->path,
                   sentence);
}

static void add_amount(struct buf *out, const struct key *key, int64_t amount)
{
    if (key->type == KEY_DURATION)
        timetext_add_duration(out, amount);
    else if (key->type == KEY_SIZE)
        timetext_add_size(out, amount);
    else if (key->type == KEY_RATE)
        timetext_add_rate(out, (double)amount / SECONDS_PER_HOUR);
    else
        buf_add_i64(out, amount);
}

static void out_of_range(struct reader *r, const config_setting_t *s,
                         const struct key *key)
{
    struct buf text;
    buf_init(&text, 128);
    buf_add_text(&text, "is out of range: it must be ");
    add_amount(&text, key, key->min);
    buf_add_text(&text, " to ");
    add_amount(&text, key, key->max);
    buf_add_char(&text, '\0');
    problem(r, s, key, text.data);
    buf_fini(&text);
}

static void read_bool(struct reader *r, const config_setting_t *s,
                      const struct key *key, bool *out)
{
    if (config_setting_type(s) != CONFIG_TYPE_BOOL) {
        problem(r, s, key, "must be true or false, without quotes");
        return;
    }
    *out = config_setting_get_bool(s) == CONFIG_TRUE;
}

static void read_int(struct reader *r, const config_setting_t *s,
                     const struct key *key, int64_t *out)
{
    if (config_setting_type(s) != CONFIG_TYPE_INT &&
        config_setting_type(s) != CONFIG_TYPE_INT64) {
        problem(r, s, key, "must be a whole number, without quotes");
        return;
    }
    long long value = config_setting_get_int64(s);
    if (value < key->min || value > key->max)
        out_of_range(r, s, key);
    else
        *out = value;
}

static void read_float(struct reader *r, const config_setting_t *s,
                       const struct key *key, double *out)
{
    double value = 0.0;
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        value = (double)config_setting_get_int64(s);
        break;
    case CONFIG_TYPE_FLOAT:
        value = config_setting_get_float(s);
        break;
    default:
        problem(r, s, key, "must be a number, without quotes");
        return;
    }
    if (value >= (double)key->min && value <= (double)key->max)
        *out = value;
    else
        out_of_range(r, s, key);
}

static const char *text_of(struct reader *r, const config_setting_t *s,
                           const struct key *key, const char *or_else)
{
    const char *text = config_setting_get_string(s);
    if (text == NULL)
        problem(r, s, key, or_else);
    return text;
}

static void read_amount(struct reader *r, const config_setting_t *s,
                        const struct key *key, int64_t *out)
{
    bool is_size = key->type == KEY_SIZE;
    struct err err;
    int64_t value;
    const char *text =
        text_of(r, s, key,
                is_size ? "must be a size in quotes, for example \"64K\""
                        : "must be a duration in quotes, for example \"30s\"");
    if (text == NULL)
        return;
    enum err_code code =
        is_size ? timetext_parse_size(str_from(text), &value, &err)
                : timetext_parse_duration(str_from(text), &value, &err);
    if (code != ERR_NONE)
        report_problem(r->report, config_setting_source_line(s), "%s: %s",
                       key->path, err.text);
    else if (value < key->min || value > key->max)
        out_of_range(r, s, key);
    else
        *out = value;
}

static void read_rate(struct reader *r, const config_setting_t *s,
                      const struct key *key, double *out)
{
    struct err err;
    double value;
    const char *text =
        text_of(r, s, key, "must be a rate in quotes, for example \"14/s\"");
    if (text == NULL)
        return;
    if (timetext_parse_rate(str_from(text), &value, &err) != ERR_NONE)
        report_problem(r->report, config_setting_source_line(s), "%s: %s",
                       key->path, err.text);
    else if (value < (double)key->min / SECONDS_PER_HOUR ||
             value > (double)key->max / SECONDS_PER_HOUR)
        out_of_range(r, s, key);
    else
        *out = value;
}

static bool has_controls(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] < ' ' || s.data[i] == 0x7f)
            return true;
    return false;
}

static void read_text(struct reader *r, const config_setting_t *s,
                      const struct key *key, char **out)
{
    const char *text = text_of(r, s, key, "must be text in quotes");
    struct str view = str_from(text);
    if (text == NULL)
        return;
    if (has_controls(view))
        problem(r, s, key, "has a control character in it: take it out");
    else if (key->type == KEY_TEXT && !utf8_is_valid(view))
        problem(r, s, key, "is not valid UTF-8");
    else if (view.len == 0)
        problem(r, s, key, "is empty: leave it out or fill it in");
    else if (view.len > (unsigned long long)key->max)
        report_problem(r->report, config_setting_source_line(s),
                       "%s is longer than %lld bytes", key->path,
                       (long long)key->max);
    else if (key->type == KEY_PATH)
        *out = source_beside(
            source_at(r->source, config_setting_source_line(s))->file, view);
    else
        *out = mem_strdup(view);
}

/* Calls of this walk the words between blanks; false at the end. */
static bool next_word(struct str *words, struct str *word)
{
    if (words->len == 0)
        return false;
    size_t blank = str_find(*words, ' ');
    *word = str_of(words->data, blank);
    *words = str_after(*words, blank + 1);
    return true;
}

static void read_choice(struct reader *r, const config_setting_t *s,
                        const struct key *key, char **out)
{
    struct str words = str_from(key->choices);
    struct str word;
    struct buf list;
    const char *text = text_of(r, s, key, "must be text in quotes");
    if (text == NULL)
        return;
    buf_init(&list, 256);
    while (next_word(&words, &word)) {
        if (str_equal(word, str_from(text))) {
            *out = mem_strdup(word);
            buf_fini(&list);
            return;
        }
        buf_add_format(&list, "%s\"%.*s\"", list.len > 0 ? " or " : "",
                       STR_ARG(word));
    }
    if (key->later != NULL && strcmp(text, key->later) == 0)
        report_problem(r->report, config_setting_source_line(s),
                       "%s \"%s\" is not available in this version; use %.*s",
                       key->path, text, STR_ARG(buf_str(&list)));
    else
        report_problem(r->report, config_setting_source_line(s),
                       "%s must be %.*s", key->path, STR_ARG(buf_str(&list)));
    buf_fini(&list);
}

static bool parse_mode(struct str text, int64_t *out)
{
    int64_t value = 0;
    if (text.len < 3 || text.len > 4)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '7')
            return false;
        value = value * 8 + (text.data[i] - '0');
    }
    *out = value;
    return true;
}

static void read_mode(struct reader *r, const config_setting_t *s,
                      const struct key *key, int64_t *out)
{
    int64_t value;
    const char *text = text_of(
        r, s, key, "must be permission bits in quotes, for example \"0660\"");
    if (text == NULL)
        return;
    if (!parse_mode(str_from(text), &value) || value > key->max)
        problem(r, s, key,
                "must be three or four octal digits up to \"0777\", for "
                "example \"0660\"");
    else
        *out = value;
}

static void read_names(struct reader *r, const config_setting_t *s,
                       const struct key *key, struct draft_names *out)
{
    int count = config_setting_length(s);
    if (!config_setting_is_array(s) && !config_setting_is_list(s)) {
        problem(r, s, key,
                "must be names in brackets, for example [ \"main\" ]");
        return;
    }
    if (count < key->min || count > key->max) {
        report_problem(r->report, config_setting_source_line(s),
                       "%s has %d names: there must be %lld to %lld", key->path,
                       count, (long long)key->min, (long long)key->max);
        return;
    }
    out->items = mem_calloc((size_t)count, sizeof(out->items[0]));
    out->lines = mem_calloc((size_t)count, sizeof(out->lines[0]));
    for (int i = 0; i < count; i++) {
        const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
        const char *text =
            text_of(r, e, key, "has an element that is no name in quotes");
        if (text == NULL)
            continue;
        out->items[out->count] = mem_strdup(str_from(text));
        out->lines[out->count++] = config_setting_source_line(e);
    }
}

/* All of them, or none and a complaint. */
static void read_ints(struct reader *r, const config_setting_t *s,
                      const struct key *key, struct draft_ints *out)
{
    int count = config_setting_length(s);
    if (!config_setting_is_array(s) && !config_setting_is_list(s)) {
        problem(r, s, key,
                "must be whole numbers in brackets, for example [ 3, 1 ]");
        return;
    }
    out->items = mem_calloc((size_t)count, sizeof(out->items[0]));
    for (int i = 0; i < count; i++) {
        const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
        size_t problems = r->report->problems;
        read_int(r, e, key, &out->items[i]);
        if (r->report->problems > problems) {
            mem_free(out->items);
            *out = (struct draft_ints){0};
            return;
        }
        out->count++;
    }
}

void value_read(struct reader *r, const config_setting_t *s,
                const struct key *key, void *draft)
{
    void *place = place_of(key, draft);
    if (reader_is_known_bad(r, s))
        return;
    switch (key->type) {
    case KEY_BOOL:
        read_bool(r, s, key, place);
        break;
    case KEY_INT:
        read_int(r, s, key, place);
        break;
    case KEY_FLOAT:
        read_float(r, s, key, place);
        break;
    case KEY_SIZE:
    case KEY_DURATION:
        read_amount(r, s, key, place);
        break;
    case KEY_TEXT:
    case KEY_PATH:
        read_text(r, s, key, place);
        break;
    case KEY_CHOICE:
        read_choice(r, s, key, place);
        break;
    case KEY_MODE:
        read_mode(r, s, key, place);
        break;
    case KEY_RATE:
        read_rate(r, s, key, place);
        break;
    case KEY_NAMES:
        read_names(r, s, key, place);
        break;
    case KEY_INTS:
        read_ints(r, s, key, place);
        break;
    }
}

static int64_t standard_int(struct str text)
{
    unsigned long long value;
    PANIC_IF(!str_to_u64(text, INT64_MAX, &value));
    return (int64_t)value;
}

static double standard_float(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    PANIC_IF(end == text || *end != '\0');
    return value;
}

void value_set_standard(const struct key *key, void *draft)
{
    void *place = place_of(key, draft);
    struct str text = str_from(key->standard);
    switch (key->type) {
    case KEY_BOOL:
        *(bool *)place = str_equal(text, STR("true"));
        break;
    case KEY_INT:
        *(int64_t *)place = standard_int(text);
        break;
    case KEY_FLOAT:
        *(double *)place = standard_float(key->standard);
        break;
    case KEY_SIZE:
        PANIC_IF(timetext_parse_size(text, place, NULL) != ERR_NONE);
        break;
    case KEY_DURATION:
        PANIC_IF(timetext_parse_duration(text, place, NULL) != ERR_NONE);
        break;
    case KEY_TEXT:
    case KEY_PATH:
    case KEY_CHOICE:
        *(char **)place = mem_strdup(text);
        break;
    case KEY_MODE:
        PANIC_IF(!parse_mode(text, place));
        break;
    case KEY_RATE:
        PANIC_IF(timetext_parse_rate(text, place, NULL) != ERR_NONE);
        break;
    case KEY_NAMES:
    case KEY_INTS:
        PANIC("%s cannot have a default", key->path);
    }
}

static void free_names(struct draft_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->items[i]);
    mem_free(names->items);
    mem_free(names->lines);
    *names = (struct draft_names){0};
}

void value_free(const struct key *key, void *draft)
{
    void *place = place_of(key, draft);
    if (key->type == KEY_NAMES) {
        free_names(place);
    } else if (key->type == KEY_INTS) {
        mem_free(((struct draft_ints *)place)->items);
        *(struct draft_ints *)place = (struct draft_ints){0};
    } else if (key->type == KEY_TEXT || key->type == KEY_PATH ||
               key->type == KEY_CHOICE) {
        mem_free(*(char **)place);
        *(char **)place = NULL;
    }
}
