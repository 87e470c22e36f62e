#include "app/cli/jobline.h"

#include <stdbool.h>
#include <stddef.h>

#include <yajl/yajl_parse.h>

#include "core/str.h"

struct look {
    size_t depth;
    bool at_op;         /* the value that comes is the request's "op" */
    bool is_other_op;   /* ... and was not "submit" */
    bool has_raw_bytes; /* at the top */
};

static int on_value(struct look *l)
{
    if (l->at_op)
        l->is_other_op = true;
    l->at_op = false;
    return 1;
}

static int on_null(void *ctx)
{
    return on_value(ctx);
}

static int on_bool(void *ctx, int truth)
{
    (void)truth;
    return on_value(ctx);
}

static int on_number(void *ctx, const char *text, size_t len)
{
    (void)text;
    (void)len;
    return on_value(ctx);
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
    struct look *l = ctx;
    if (l->at_op && str_equal(str_of((const char *)text, len), STR("submit")))
        l->at_op = false;
    return on_value(l);
}

static int on_open(void *ctx)
{
    struct look *l = ctx;
    l->depth++;
    return on_value(l);
}

static int on_close(void *ctx)
{
    struct look *l = ctx;
    l->depth--;
    return 1;
}

static int on_name(void *ctx, const unsigned char *name, size_t len)
{
    struct look *l = ctx;
    struct str s = str_of((const char *)name, len);
    if (l->depth != 1)
        return 1;
    l->at_op = str_equal(s, STR("op"));
    if (str_equal(s, STR("raw_bytes")))
        l->has_raw_bytes = true;
    return 1;
}

static void look_at(struct str line, struct look *look)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_bool,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_open,
        .yajl_map_key = on_name,
        .yajl_end_map = on_close,
        .yajl_start_array = on_open,
        .yajl_end_array = on_close,
    };
    yajl_handle parser = yajl_alloc(&callbacks, NULL, look);
    /* Broken JSON ends this early; the daemon will say so. */
    (void)yajl_parse(parser, (const unsigned char *)line.data, line.len);
    yajl_free(parser);
}

enum err_code jobline_check(struct str line, struct err *err)
{
    struct look look = {0};
    if (line.len == 0 || line.data[0] != '{')
        return err_set(err, ERR_INVALID,
                       "no JSON object: each line is to be one job");
    look_at(line, &look);
    if (look.is_other_op)
        return err_set(err, ERR_INVALID,
                       "its \"op\" is not \"submit\", and only jobs are "
                       "enqueued");
    if (look.has_raw_bytes)
        return err_set(err, ERR_INVALID,
                       "\"raw_bytes\" cannot be used in lines");
    return ERR_NONE;
}
