#include "app/cli/jsontree.h"

#include <yajl/yajl_parse.h>

#include "core/mem.h"

#define INT_MAX_EXACT (1LL << 53)

struct builder {
    struct json_node *root;
    struct json_node *open[JSONTREE_DEPTH_MAX];
    size_t depth;
    size_t nodes;
    struct str name; /* of the next value; from mem_alloc() */
    bool too_large;
};

static struct str copy(const unsigned char *data, size_t len)
{
    char *bytes = mem_alloc(len + 1);
    if (len > 0)
        memcpy(bytes, data, len);
    bytes[len] = '\0';
    return str_of(bytes, len);
}

static struct json_node *add(struct builder *b, enum json_kind kind)
{
    struct json_node *node;
    if (++b->nodes > JSONTREE_NODES_MAX) {
        b->too_large = true;
        return NULL;
    }
    MEM_NEW(node);
    node->kind = kind;
    node->name = b->name;
    b->name = str_from(NULL);
    if (b->depth == 0) {
        b->root = node;
        return node;
    }
    struct json_node *parent = b->open[b->depth - 1];
    if (parent->last == NULL)
        parent->first = node;
    else
        parent->last->next = node;
    parent->last = node;
    return node;
}

static int on_null(void *ctx)
{
    return add(ctx, JSON_NULL) != NULL;
}

static int on_bool(void *ctx, int truth)
{
    struct json_node *node = add(ctx, JSON_BOOL);
    if (node != NULL)
        node->truth = truth != 0;
    return node != NULL;
}

static int on_number(void *ctx, const char *text, size_t len)
{
    struct json_node *node = add(ctx, JSON_NUMBER);
    if (node != NULL)
        node->text = copy((const unsigned char *)text, len);
    return node != NULL;
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
    struct json_node *node = add(ctx, JSON_STRING);
    if (node != NULL)
        node->text = copy(text, len);
    return node != NULL;
}

static int open_node(struct builder *b, enum json_kind kind)
{
    if (b->depth == JSONTREE_DEPTH_MAX) {
        b->too_large = true;
        return 0;
    }
    struct json_node *node = add(b, kind);
    if (node != NULL)
        b->open[b->depth++] = node;
    return node != NULL;
}

static int on_object(void *ctx)
{
    return open_node(ctx, JSON_OBJECT);
}

static int on_array(void *ctx)
{
    return open_node(ctx, JSON_ARRAY);
}

static int on_name(void *ctx, const unsigned char *name, size_t len)
{
    struct builder *b = ctx;
    b->name = copy(name, len);
    return 1;
}

static int on_end(void *ctx)
{
    struct builder *b = ctx;
    b->depth--;
    return 1;
}

static void free_text(struct str s)
{
    union {
        const char *view;
        char *owned;
    } text = {.view = s.data};
    mem_free(text.owned);
}

enum err_code jsontree_parse(struct str text, struct json_node **out,
                             struct err *err)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_bool,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_object,
        .yajl_map_key = on_name,
        .yajl_end_map = on_end,
        .yajl_start_array = on_array,
        .yajl_end_array = on_end,
    };
    struct builder b = {0};
    yajl_handle parser = yajl_alloc(&callbacks, NULL, &b);
    yajl_status status =
        yajl_parse(parser, (const unsigned char *)text.data, text.len);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(parser);
    yajl_free(parser);
    free_text(b.name);
    if (status == yajl_status_ok && b.root != NULL) {
        *out = b.root;
        return ERR_NONE;
    }
    jsontree_destroy(b.root);
    if (b.too_large)
        return err_set(err, ERR_TOO_LARGE,
                       "JSON nested deeper than %d or with more than %d values",
                       JSONTREE_DEPTH_MAX, JSONTREE_NODES_MAX);
    return err_set(err, ERR_INVALID, "not JSON");
}

void jsontree_destroy(struct json_node *root)
{
    struct json_node *node = root;
    while (node != NULL) {
        struct json_node *next = node->next;
        /* As deep as JSONTREE_DEPTH_MAX at most. */
        jsontree_destroy(node->first);
        free_text(node->name);
        free_text(node->text);
        mem_free(node);
        node = next;
    }
}

const struct json_node *jsontree_get(const struct json_node *node,
                                     const char *name, enum json_kind kind)
{
    if (node == NULL || node->kind != JSON_OBJECT)
        return NULL;
    for (const struct json_node *n = node->first; n != NULL; n = n->next)
        if (str_equal(n->name, str_from(name)))
            return n->kind == kind ? n : NULL;
    return NULL;
}

struct str jsontree_text(const struct json_node *node, const char *name)
{
    const struct json_node *n = jsontree_get(node, name, JSON_STRING);
    return n == NULL ? str_from(NULL) : n->text;
}

bool jsontree_true(const struct json_node *node, const char *name)
{
    const struct json_node *n = jsontree_get(node, name, JSON_BOOL);
    return n != NULL && n->truth;
}

bool jsontree_int(const struct json_node *number, int64_t *out)
{
    unsigned long long magnitude;
    if (number == NULL || number->kind != JSON_NUMBER)
        return false;
    bool negative = number->text.len > 0 && number->text.data[0] == '-';
    if (!str_to_u64(str_after(number->text, negative ? 1 : 0), INT_MAX_EXACT,
                    &magnitude))
        return false;
    *out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}
