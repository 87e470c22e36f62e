#include "producer/query.h"

#include "producer/service.h"

bool query_take(struct request *r, const struct field *table,
                const struct json_value *object, void *out)
{
    struct refusal refusal;
    const struct fields fields = {
        .arena = &r->service->arena, .refusal = &refusal, .prefix = ""};
    if (fields_take(&fields, table, object, out))
        return true;
    request_refuse(r, &refusal);
    return false;
}

bool query_take_job(struct request *r, const struct field *table,
                    const struct json_value *object, struct query *query)
{
    struct refusal refusal;
    if (!query_take(r, table, object, query))
        return false;
    if (!query->has_id)
        (void)refusal_set(&refusal, REFUSAL_MISSING_FIELD, "id", "is required");
    else if (!id_parse(query->id, &r->id))
        (void)refusal_set(&refusal, REFUSAL_NOT_FOUND, NULL,
                          "there is no such job");
    else
        return true;
    request_refuse(r, &refusal);
    return false;
}

bool query_take_id(struct request *r, const struct json_value *object)
{
    static const struct field id_fields[] = {QUERY_ANY, QUERY_JOB, {0}};
    struct query query = {0};
    return query_take_job(r, id_fields, object, &query);
}
