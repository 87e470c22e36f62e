#ifndef PRODUCER_FIELDS_H
#define PRODUCER_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "producer/json.h"

/*
 * From the members of a JSON object into a struct, by a table: what is not in
 * the table is refused by name, what has another type is refused with it.
 */
struct fields {
    struct arena *arena;
    struct refusal *refusal;
    const char *prefix;  /* path of the object, "" for the request itself */
    const void *options; /* for the table's own takers; may be NULL */
};

/*
 * Puts value at out. False: fields->refusal is set. path is the field's whole
 * name.
 */
typedef bool (*field_take_fn)(const struct fields *fields,
                              const struct json_value *value, const char *path,
                              void *out);

#define FIELD_NO_FLAG  SIZE_MAX
#define FIELD_PATH_MAX 96

struct field {
    const char *name;
    field_take_fn take; /* NULL: known, and somebody else's business */
    size_t offset;      /* of the value in the struct */
    size_t flag;        /* of a bool that says it was there, or NO_FLAG */
};

/*
 * All members of object by table, which ends with a NULL name, into out.
 */
bool fields_take(const struct fields *fields, const struct field *table,
                 const struct json_value *object, void *out);

/* False, with bad_type, when value is of another type. */
bool fields_expect(const struct fields *fields, const struct json_value *value,
                   enum json_type type, const char *path);

/* A string without NUL into a struct str. Takes many names of a table. */
bool fields_text(const struct fields *fields, const struct json_value *value,
                 const char *path, void *out);

/* An integer, 0 or more, into an int64_t. */
bool fields_count(const struct fields *fields, const struct json_value *value,
                  const char *path, void *out);

/* missing_field for path. Returns false. */
bool fields_missing(const struct fields *fields, const char *path);

#endif
