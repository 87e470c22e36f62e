#ifndef PRODUCER_JSON_H
#define PRODUCER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"
#include "producer/arena.h"
#include "producer/refusal.h"

/*
 * Strict JSON (RFC 8259) into values in an arena. Beyond the grammar it
 * refuses: bytes behind the value, invalid UTF-8, escapes of lone surrogates,
 * a name twice in one object, a NUL in a name, more than JSON_DEPTH_MAX
 * levels, a raw form feed or vertical tab between tokens.
 *
 * Strings lie in the text where they hold no escapes, else in the arena: both
 * must outlive the values.
 */
#define JSON_DEPTH_MAX   16
#define JSON_INTEGER_MAX ((int64_t)1 << 53)

enum json_type {
    JSON_NULL,
    JSON_BOOLEAN,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_value {
    enum json_type type;
    bool boolean;
    bool has_nul;             /* a string with U+0000 in it */
    struct str name;          /* of a member of an object */
    struct str text;          /* string: decoded; number: as written */
    struct json_value *first; /* of an array or object, in order */
    struct json_value *next;
    size_t count; /* of an array or object */
};

/*
 * Memory: at most max_values values of 64 bytes, and the strings with escapes
 * three times. False: refusal says why (bad_json; too_large for more values).
 */
bool json_parse(struct str text, size_t max_values, struct arena *arena,
                struct json_value **out, struct refusal *refusal);

/* The member of that name, or NULL. */
const struct json_value *json_member(const struct json_value *object,
                                     struct str name);

/*
 * A number without fraction and exponent, within +-JSON_INTEGER_MAX. False
 * for anything else.
 */
bool json_integer(const struct json_value *value, int64_t *out);

/* "a string", "an object": for sentences. Static. */
const char *json_type_name(enum json_type type);

#endif
