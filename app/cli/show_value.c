#include "app/cli/show_value.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/show.h"
#include "core/buf.h"
#include "core/str.h"
#include "core/timetext.h"

#define NAME_COLUMN   26
#define INDENT        2
#define SECOND_MS     1000
#define MINUTE_MS     60000LL
#define HOUR_MS       (60 * MINUTE_MS)
#define DAY_MS        (24 * HOUR_MS)
#define SIZE_UNIT     1024.0
#define SIZE_UNIT_MAX 4
#define RATE_MAX      1e12
#define RATE_TEXT_MAX 64

static bool ends(struct str name, struct str end)
{
    return name.len > end.len && str_ends_nocase(name, end);
}

static bool is_size(struct str name)
{
    return ends(name, STR("_bytes")) || str_equal(name, STR("bytes")) ||
           str_equal(name, STR("size"));
}

/* The name without its unit, and with blanks. Returns its width. */
static int show_name(FILE *out, struct str name)
{
    struct str s = name;
    int width = 0;
    if (ends(s, STR("_at")) || ends(s, STR("_ms")))
        s.len -= sizeof("_at") - 1;
    for (size_t i = 0; i < s.len; i++) {
        show_text(out, s.data[i] == '_' ? STR(" ") : str_of(s.data + i, 1));
        width++;
    }
    return width;
}

static void show_duration(FILE *out, int64_t ms)
{
    if (ms < SECOND_MS)
        (void)fprintf(out, "%lld ms", (long long)ms);
    else if (ms < 2 * MINUTE_MS)
        (void)fprintf(out, "%.1f s", (double)ms / SECOND_MS);
    else if (ms < 2 * HOUR_MS)
        (void)fprintf(out, "%lld min", (long long)(ms / MINUTE_MS));
    else if (ms < 2 * DAY_MS)
        (void)fprintf(out, "%lld h %lld min", (long long)(ms / HOUR_MS),
                      (long long)(ms % HOUR_MS / MINUTE_MS));
    else
        (void)fprintf(out, "%lld days %lld h", (long long)(ms / DAY_MS),
                      (long long)(ms % DAY_MS / HOUR_MS));
}

static void show_size(FILE *out, int64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double amount = (double)bytes;
    int unit = 0;
    while (amount >= SIZE_UNIT && unit < SIZE_UNIT_MAX) {
        amount /= SIZE_UNIT;
        unit++;
    }
    (void)fprintf(out, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
}

static bool show_rate(FILE *out, struct str number)
{
    char text[SHOW_NUMBER_MAX];
    char *end;
    struct buf rate;
    if (number.len >= sizeof(text))
        return false;
    memcpy(text, number.data, number.len);
    text[number.len] = '\0';
    double per_s = strtod(text, &end);
    if (end == text || *end != '\0' || !(per_s > 0.0 && per_s < RATE_MAX))
        return false;
    buf_init(&rate, RATE_TEXT_MAX);
    timetext_add_rate(&rate, per_s);
    show_text(out, buf_str(&rate));
    buf_fini(&rate);
    return true;
}

static void show_number_value(FILE *out, const struct json_node *node)
{
    int64_t number;
    char text[SHOW_NUMBER_MAX];
    if (str_equal(node->name, STR("rate")) && show_rate(out, node->text))
        return;
    if (!jsontree_int(node, &number)) {
        show_text(out, node->text);
    } else if (ends(node->name, STR("_ms")) && number >= 0) {
        show_duration(out, number);
    } else if (is_size(node->name) && number >= 0) {
        show_size(out, number);
    } else {
        show_number(number, text);
        (void)fputs(text, out);
    }
}

static void show_scalar(FILE *out, const struct json_node *node, int64_t now_ms)
{
    int64_t ms;
    if (node->kind == JSON_BOOL)
        (void)fputs(node->truth ? "yes" : "no", out);
    else if (node->kind == JSON_NUMBER)
        show_number_value(out, node);
    else if (ends(node->name, STR("_at")) &&
             timetext_parse_rfc3339(node->text, &ms) == ERR_NONE)
        show_time(out, ms, now_ms);
    else
        show_text(out, node->text);
}

static bool is_nothing(const struct json_node *node)
{
    switch (node->kind) {
    case JSON_NULL:
        return true;
    case JSON_STRING:
        return node->text.len == 0;
    case JSON_OBJECT:
    case JSON_ARRAY:
        return node->first == NULL;
    case JSON_BOOL:
    case JSON_NUMBER:
        break;
    }
    return false;
}

/*
 * Members of an object in a list begin at the left with its "name", the rest
 * follows below. As deep as JSONTREE_DEPTH_MAX.
 */
static void show_block(FILE *out, const struct json_node *node, int indent,
                       int64_t now_ms)
{
    struct str own = jsontree_text(node, "name");
    if (node->name.len > 0 || own.len > 0) {
        (void)fprintf(out, "%*s", indent, "");
        if (node->name.len > 0)
            (void)show_name(out, node->name);
        else
            show_text(out, own);
        (void)fputc('\n', out);
    }
    for (const struct json_node *n = node->first; n != NULL; n = n->next)
        if (node->name.len > 0 || !str_equal(n->name, STR("name")))
            show_member(out, n, indent + INDENT, now_ms);
}

void show_member(FILE *out, const struct json_node *node, int indent,
                 int64_t now_ms)
{
    if (is_nothing(node))
        return;
    if (node->kind == JSON_OBJECT || node->kind == JSON_ARRAY) {
        show_block(out, node, indent, now_ms);
        return;
    }
    (void)fprintf(out, "%*s", indent, "");
    int width = indent + show_name(out, node->name);
    if (node->name.len > 0)
        (void)fprintf(out, "%*s", width < NAME_COLUMN ? NAME_COLUMN - width : 1,
                      "");
    show_scalar(out, node, now_ms);
    (void)fputc('\n', out);
}
