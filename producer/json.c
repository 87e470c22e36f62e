#include "producer/json.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "core/mem.h"
#include "core/utf8.h"

struct reader {
    struct str text;
    struct arena *arena;
    struct refusal *refusal;
    size_t values_left;
    struct json_value *root;
    struct json_value *open[JSON_DEPTH_MAX]; /* containers around here */
    struct json_value *last[JSON_DEPTH_MAX]; /* newest child of each */
    size_t depth;
    struct str name; /* of the value that comes next */
};

static bool bad(struct reader *r, const char *sentence)
{
    return refusal_set(r->refusal, REFUSAL_BAD_JSON, NULL, "%s", sentence);
}

static bool no_memory(struct reader *r)
{
    return refusal_set(r->refusal, REFUSAL_INTERNAL, NULL,
                       "no memory for this request now");
}

/* ---- names ---- */

static int compare_names(const void *left, const void *right)
{
    const struct str a = (*(struct json_value *const *)left)->name;
    const struct str b = (*(struct json_value *const *)right)->name;
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static const struct json_value *twice_in_few(const struct json_value *object)
{
    for (const struct json_value *a = object->first; a != NULL; a = a->next)
        for (const struct json_value *b = a->next; b != NULL; b = b->next)
            if (str_equal(a->name, b->name))
                return b;
    return NULL;
}

/* Sorted, because a client chooses how many there are. */
static bool names_differ(struct reader *r, const struct json_value *object)
{
    const struct json_value *twice = NULL;
    if (object->count <= 32) {
        twice = twice_in_few(object);
    } else {
        struct json_value **sorted =
            arena_alloc(r->arena, object->count * sizeof(struct json_value *));
        if (sorted == NULL)
            return no_memory(r);
        size_t n = 0;
        for (struct json_value *v = object->first; v != NULL; v = v->next)
            sorted[n++] = v;
        qsort(sorted, n, sizeof(struct json_value *), compare_names);
        for (size_t i = 1; i < n && twice == NULL; i++)
            if (str_equal(sorted[i - 1]->name, sorted[i]->name))
                twice = sorted[i];
    }
    if (twice == NULL)
        return true;
    return refusal_set_member(r->refusal, REFUSAL_BAD_JSON, "", twice->name,
                              "this name stands twice in one object");
}

/* ---- events ---- */

static struct json_value *add(struct reader *r, enum json_type type)
{
    if (r->values_left == 0) {
        (void)refusal_set(r->refusal, REFUSAL_TOO_LARGE, NULL,
                          "the request has too many values");
        return NULL;
    }
    struct json_value *v = arena_calloc(r->arena, 1, sizeof(*v));
    if (v == NULL) {
        (void)no_memory(r);
        return NULL;
    }
    r->values_left--;
    v->type = type;
    v->name = r->name;
    r->name = (struct str){NULL, 0};
    if (r->depth == 0) {
        r->root = v;
        return v;
    }
    size_t level = r->depth - 1;
    if (r->last[level] == NULL)
        r->open[level]->first = v;
    else
        r->last[level]->next = v;
    r->last[level] = v;
    r->open[level]->count++;
    return v;
}

static int open_container(struct reader *r, enum json_type type)
{
    if (r->depth == JSON_DEPTH_MAX)
        return refusal_set(r->refusal, REFUSAL_BAD_JSON, NULL,
                           "nested deeper than %d levels", JSON_DEPTH_MAX);
    struct json_value *v = add(r, type);
    if (v == NULL)
        return 0;
    r->open[r->depth] = v;
    r->last[r->depth] = NULL;
    r->depth++;
    return 1;
}

/* yajl points into the text, or into a buffer of its own that it reuses. */
static bool keep_text(struct reader *r, const unsigned char *data, size_t len,
                      struct str *out, bool *has_nul)
{
    struct str s = str_of((const char *)data, len);
    *has_nul = false;
    if (len == 0) {
        *out = STR("");
        return true;
    }
    if (s.data >= r->text.data && s.data < r->text.data + r->text.len) {
        *out = s;
        return true;
    }
    *has_nul = memchr(s.data, '\0', len) != NULL;
    *out = arena_copy(r->arena, s);
    return out->data != NULL || no_memory(r);
}

static int on_null(void *ctx)
{
    return add(ctx, JSON_NULL) != NULL;
}

static int on_boolean(void *ctx, int value)
{
    struct json_value *v = add(ctx, JSON_BOOLEAN);
    if (v == NULL)
        return 0;
    v->boolean = value != 0;
    return 1;
}

static int on_number(void *ctx, const char *data, size_t len)
{
    struct json_value *v = add(ctx, JSON_NUMBER);
    bool has_nul;
    return v != NULL &&
           keep_text(ctx, (const unsigned char *)data, len, &v->text, &has_nul);
}

static int on_string(void *ctx, const unsigned char *data, size_t len)
{
    struct json_value *v = add(ctx, JSON_STRING);
    return v != NULL && keep_text(ctx, data, len, &v->text, &v->has_nul);
}

static int on_name(void *ctx, const unsigned char *data, size_t len)
{
    struct reader *r = ctx;
    bool has_nul;
    if (!keep_text(r, data, len, &r->name, &has_nul))
        return 0;
    return has_nul ? bad(r, "a name has a NUL in it") : 1;
}

static int on_object(void *ctx)
{
    return open_container(ctx, JSON_OBJECT);
}

static int on_array(void *ctx)
{
    return open_container(ctx, JSON_ARRAY);
}

static int on_object_end(void *ctx)
{
    struct reader *r = ctx;
    return names_differ(r, r->open[--r->depth]);
}

static int on_array_end(void *ctx)
{
    struct reader *r = ctx;
    r->depth--;
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object,
    .yajl_map_key = on_name,
    .yajl_end_map = on_object_end,
    .yajl_start_array = on_array,
    .yajl_end_array = on_array_end,
};

/* ---- what yajl lets through ---- */

static bool hex4(struct str s, size_t at, unsigned *out)
{
    unsigned value = 0;
    if (at + 4 > s.len)
        return false;
    for (size_t i = at; i < at + 4; i++) {
        int digit = ascii_hex(s.data[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (unsigned)digit;
    }
    *out = value;
    return true;
}

/*
 * at is behind a backslash. Length of the escape, 0 for half a surrogate pair;
 * what is no escape at all is left to yajl.
 */
static size_t escape_len(struct str s, size_t at)
{
    unsigned unit;
    unsigned second;
    if (s.data[at] != 'u' || !hex4(s, at + 1, &unit))
        return 1;
    if (unit < 0xd800 || unit > 0xdfff)
        return 5;
    if (unit > 0xdbff || at + 7 > s.len || s.data[at + 5] != '\\' ||
        s.data[at + 6] != 'u' || !hex4(s, at + 7, &second) || second < 0xdc00 ||
        second > 0xdfff)
        return 0;
    return 11;
}

/* A backslash is JSON in strings only, so strings need not be known here. */
static bool surrogates_are_paired(struct str s)
{
    size_t at = str_find(s, '\\') + 1;
    while (at < s.len) {
        size_t len = escape_len(s, at);
        if (len == 0)
            return false;
        at += len;
        at += str_find(str_after(s, at), '\\') + 1;
    }
    return true;
}

static bool check_text(struct reader *r)
{
    if (!utf8_is_valid(r->text))
        return bad(r, "the text is not valid UTF-8");
    if (str_find(r->text, '\f') < r->text.len ||
        str_find(r->text, '\v') < r->text.len)
        return bad(r, "a raw form feed or vertical tab is not JSON");
    if (!surrogates_are_paired(r->text))
        return bad(r, "a \\u escape is half of a surrogate pair");
    return true;
}

/* ---- parse ---- */

static void *yajl_take(void *ctx, size_t size)
{
    (void)ctx;
    return mem_alloc(size);
}

static void *yajl_retake(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    return mem_realloc(memory, size);
}

static void yajl_give(void *ctx, void *memory)
{
    (void)ctx;
    mem_free(memory);
}

/* Whether the text looks like a line of an object over several lines. */
static bool is_piece(struct str text)
{
    struct str trimmed = str_trim(text);
    return trimmed.len > 0 && strchr("{[", trimmed.data[0]) == NULL;
}

/* yajl's words for it, which quote nothing of the text. */
static void explain(struct reader *r, yajl_handle handle, bool at_end)
{
    static const char hint[] =
        " (in newline framing a request must be on one line)";
    if (at_end) {
        (void)refusal_set(r->refusal, REFUSAL_BAD_JSON, NULL,
                          "the text ends in the middle of its JSON%s", hint);
        return;
    }
    size_t at = yajl_get_bytes_consumed(handle);
    unsigned char *words = yajl_get_error(
        handle, 0, (const unsigned char *)r->text.data, r->text.len);
    struct str reason = str_trim(str_from((const char *)words));
    (void)refusal_set(r->refusal, REFUSAL_BAD_JSON, NULL,
                      "not valid JSON near byte %zu: %.*s%s", at,
                      STR_ARG(reason), is_piece(r->text) ? hint : "");
    if (words != NULL)
        yajl_free_error(handle, words);
}

static bool run_yajl(struct reader *r)
{
    yajl_alloc_funcs memory = {yajl_take, yajl_retake, yajl_give, NULL};
    yajl_handle handle = yajl_alloc(&callbacks, &memory, r);
    if (handle == NULL)
        return no_memory(r);
    /* The whole text was checked, and better. */
    (void)yajl_config(handle, yajl_dont_validate_strings, 1);
    yajl_status status =
        yajl_parse(handle, (const unsigned char *)r->text.data, r->text.len);
    bool at_end = status == yajl_status_ok;
    if (at_end)
        status = yajl_complete_parse(handle);
    if (status == yajl_status_error)
        explain(r, handle, at_end);
    yajl_free(handle);
    return status == yajl_status_ok;
}

bool json_parse(struct str text, size_t max_values, struct arena *arena,
                struct json_value **out, struct refusal *refusal)
{
    struct reader reader = {
        .text = text,
        .arena = arena,
        .refusal = refusal,
        .values_left = max_values,
    };
    if (text.len == 0)
        return bad(&reader, "the text is empty");
    if (!check_text(&reader) || !run_yajl(&reader))
        return false;
    *out = reader.root;
    return true;
}

/* ---- values ---- */

const struct json_value *json_member(const struct json_value *object,
                                     struct str name)
{
    for (const struct json_value *v = object->first; v != NULL; v = v->next)
        if (str_equal(v->name, name))
            return v;
    return NULL;
}

bool json_integer(const struct json_value *value, int64_t *out)
{
    if (value->type != JSON_NUMBER)
        return false;
    struct str digits = value->text;
    bool negative = digits.len > 0 && digits.data[0] == '-';
    unsigned long long number;
    if (negative)
        digits = str_after(digits, 1);
    if (!str_to_u64(digits, (unsigned long long)JSON_INTEGER_MAX, &number))
        return false;
    *out = negative ? -(int64_t)number : (int64_t)number;
    return true;
}

const char *json_type_name(enum json_type type)
{
    switch (type) {
    case JSON_NULL:
        return "null";
    case JSON_BOOLEAN:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "an array";
    case JSON_OBJECT:
        return "an object";
    }
    return "";
}
