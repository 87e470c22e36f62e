#include "producer/fields.h"

#include <stdio.h>

static const struct field *find(const struct field *table, struct str name)
{
    for (; table->name != NULL; table++)
        if (str_equal(str_from(table->name), name))
            return table;
    return NULL;
}

static bool take_one(const struct fields *fields, const struct field *field,
                     const struct json_value *value, void *out)
{
    const char *path = field->name;
    char joined[FIELD_PATH_MAX];
    char *object = out;
    if (fields->prefix[0] != '\0') {
        (void)snprintf(joined, sizeof(joined), "%s.%s", fields->prefix,
                       field->name);
        path = joined;
    }
    if (!field->take(fields, value, path, object + field->offset))
        return false;
    if (field->flag != FIELD_NO_FLAG)
        memcpy(object + field->flag, &(bool){true}, sizeof(bool));
    return true;
}

bool fields_take(const struct fields *fields, const struct field *table,
                 const struct json_value *object, void *out)
{
    const struct json_value *value;
    for (value = object->first; value != NULL; value = value->next) {
        const struct field *field = find(table, value->name);
        if (field == NULL)
            return refusal_set_member(fields->refusal, REFUSAL_UNKNOWN_FIELD,
                                      fields->prefix, value->name,
                                      "there is no field of this name here");
        if (field->take != NULL && !take_one(fields, field, value, out))
            return false;
    }
    return true;
}

bool fields_expect(const struct fields *fields, const struct json_value *value,
                   enum json_type type, const char *path)
{
    if (value->type == type)
        return true;
    return refusal_set(fields->refusal, REFUSAL_BAD_TYPE, path,
                       "must be %s, not %s", json_type_name(type),
                       json_type_name(value->type));
}

bool fields_text(const struct fields *fields, const struct json_value *value,
                 const char *path, void *out)
{
    if (!fields_expect(fields, value, JSON_STRING, path))
        return false;
    if (value->has_nul)
        return refusal_set(fields->refusal, REFUSAL_BAD_VALUE, path,
                           "must not have a NUL character in it");
    *(struct str *)out = value->text;
    return true;
}

bool fields_count(const struct fields *fields, const struct json_value *value,
                  const char *path, void *out)
{
    int64_t number;
    if (!fields_expect(fields, value, JSON_NUMBER, path))
        return false;
    if (!json_integer(value, &number) || number < 0)
        return refusal_set(fields->refusal, REFUSAL_BAD_VALUE, path,
                           "must be a whole number, 0 or more, below 2^53");
    *(int64_t *)out = number;
    return true;
}

bool fields_missing(const struct fields *fields, const char *path)
{
    return refusal_set(fields->refusal, REFUSAL_MISSING_FIELD, path,
                       "is required");
}
