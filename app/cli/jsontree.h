#ifndef APP_CLI_JSONTREE_H
#define APP_CLI_JSONTREE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/str.h"

/*
 * One JSON text as a tree, for replies: read once, looked at, freed. What a
 * peer can make of it is bounded: depth JSONTREE_DEPTH_MAX, JSONTREE_NODES_MAX
 * values.
 */
#define JSONTREE_DEPTH_MAX 16
#define JSONTREE_NODES_MAX 1000000

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_OBJECT,
    JSON_ARRAY,
};

struct json_node {
    enum json_kind kind;
    bool truth;      /* of a bool */
    struct str name; /* in an object, else empty */
    struct str text; /* a string's bytes (any, NUL too), a number as written */
    struct json_node *first; /* child */
    struct json_node *last;
    struct json_node *next; /* sibling */
};

/*
 * Exactly one value, strict UTF-8. ERR_INVALID when it is no JSON,
 * ERR_TOO_LARGE past the bounds; *out untouched then. The tree keeps no
 * reference to text. Freed by jsontree_destroy().
 */
MUST_CHECK enum err_code jsontree_parse(struct str text, struct json_node **out,
                                        struct err *err);
void jsontree_destroy(struct json_node *root); /* NULL is allowed */

/* The member of that name and kind; NULL if there is none. node may be NULL. */
const struct json_node *jsontree_get(const struct json_node *node,
                                     const char *name, enum json_kind kind);

/* The string member, or the empty view. */
struct str jsontree_text(const struct json_node *node, const char *name);

/* The member is true. */
bool jsontree_true(const struct json_node *node, const char *name);

/* A whole number within ±2^53; false, and *out untouched, for others. */
bool jsontree_int(const struct json_node *number, int64_t *out);

#endif
