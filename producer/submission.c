#include "producer/submission.h"

#include <stddef.h>
#include <stdio.h>

#include "core/base64.h"
#include "core/timetext.h"

static bool no_memory(const struct fields *f)
{
    return refusal_set(f->refusal, REFUSAL_INTERNAL, NULL,
                       "no memory for this request now");
}

/* ---- parts of the draft ---- */

static bool take_list(const struct fields *f, const struct json_value *value,
                      const char *path, void *out)
{
    struct draft_list *list = out;
    char item_path[FIELD_PATH_MAX];
    if (value->type == JSON_STRING) {
        struct str *only = arena_alloc(f->arena, sizeof(*only));
        if (only == NULL)
            return no_memory(f);
        *list = (struct draft_list){.items = only, .count = 1};
        return fields_text(f, value, path, only);
    }
    if (value->type != JSON_ARRAY)
        return refusal_set(f->refusal, REFUSAL_BAD_TYPE, path,
                           "must be a string or an array of strings, not %s",
                           json_type_name(value->type));
    struct str *items =
        arena_calloc(f->arena, value->count, sizeof(struct str));
    if (items == NULL)
        return no_memory(f);
    *list = (struct draft_list){
        .items = items, .count = value->count, .is_array = true};
    size_t i = 0;
    for (const struct json_value *v = value->first; v != NULL; v = v->next) {
        (void)snprintf(item_path, sizeof(item_path), "%s[%zu]", path, i);
        if (!fields_text(f, v, item_path, &items[i++]))
            return false;
    }
    return true;
}

/* A member's value of an object of strings. */
static bool take_member(const struct fields *f, const char *path,
                        const struct json_value *member, struct str *out)
{
    if (member->type != JSON_STRING)
        return refusal_set_member(f->refusal, REFUSAL_BAD_TYPE, path,
                                  member->name, "must be a string");
    if (member->has_nul)
        return refusal_set_member(f->refusal, REFUSAL_BAD_VALUE, path,
                                  member->name,
                                  "must not have a NUL character in it");
    *out = member->text;
    return true;
}

static bool take_headers(const struct fields *f, const struct json_value *value,
                         const char *path, void *out)
{
    struct draft *draft = out;
    if (!fields_expect(f, value, JSON_OBJECT, path))
        return false;
    struct draft_header *headers =
        arena_calloc(f->arena, value->count, sizeof(*headers));
    if (headers == NULL)
        return no_memory(f);
    size_t i = 0;
    for (const struct json_value *v = value->first; v != NULL; v = v->next) {
        headers[i].name = v->name;
        if (!take_member(f, path, v, &headers[i++].value))
            return false;
    }
    draft->headers = headers;
    draft->header_count = i;
    return true;
}

/* ---- attachments ---- */

struct attachment {
    struct draft_attachment draft;
    bool has_filename;
    bool has_content;
};

static bool take_base64(const struct fields *f, const struct json_value *value,
                        const char *path, void *out)
{
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    /* base64_decode() reserves a whole multiple of three. */
    size_t room = text.len / 4 * 3;
    char *memory = arena_alloc(f->arena, room);
    if (memory == NULL)
        return no_memory(f);
    struct buf bytes = {.data = memory, .capacity = room, .max = room};
    if (base64_decode(text, &bytes) != ERR_NONE)
        return refusal_set(f->refusal, REFUSAL_BAD_ATTACHMENT, path,
                           "is not base64 (RFC 4648 section 4, padded, "
                           "without line breaks)");
    *(struct str *)out = buf_str(&bytes);
    return true;
}

static const struct field attachment_fields[] = {
    {"filename", fields_text, offsetof(struct attachment, draft.filename),
     offsetof(struct attachment, has_filename)},
    {"content", take_base64, offsetof(struct attachment, draft.content),
     offsetof(struct attachment, has_content)},
    {"content_type", fields_text,
     offsetof(struct attachment, draft.content_type), FIELD_NO_FLAG},
    {"content_id", fields_text, offsetof(struct attachment, draft.content_id),
     offsetof(struct attachment, draft.has_content_id)},
    {0},
};

static bool take_attachment(const struct fields *f,
                            const struct json_value *value, const char *path,
                            struct draft_attachment *out)
{
    struct attachment attachment = {0};
    struct fields inner = *f;
    inner.prefix = path;
    if (!fields_expect(f, value, JSON_OBJECT, path) ||
        !fields_take(&inner, attachment_fields, value, &attachment))
        return false;
    const char *missing = NULL;
    if (!attachment.has_filename)
        missing = "filename";
    else if (!attachment.has_content)
        missing = "content";
    if (missing != NULL)
        return refusal_set_member(f->refusal, REFUSAL_MISSING_FIELD, path,
                                  str_from(missing), "is required");
    *out = attachment.draft;
    return true;
}

static bool take_attachments(const struct fields *f,
                             const struct json_value *value, const char *path,
                             void *out)
{
    struct draft *draft = out;
    char item_path[FIELD_PATH_MAX];
    if (!fields_expect(f, value, JSON_ARRAY, path))
        return false;
    struct draft_attachment *list =
        arena_calloc(f->arena, value->count, sizeof(*list));
    if (list == NULL)
        return no_memory(f);
    size_t i = 0;
    for (const struct json_value *v = value->first; v != NULL; v = v->next) {
        (void)snprintf(item_path, sizeof(item_path), "%s[%zu]", path, i);
        if (!take_attachment(f, v, item_path, &list[i++]))
            return false;
    }
    draft->attachments = list;
    draft->attachment_count = i;
    return true;
}

/* ---- how the job is to be treated ---- */

static bool is_word(struct str text, const char *word)
{
    return str_equal(text, str_from(word));
}

static bool take_priority(const struct fields *f,
                          const struct json_value *value, const char *path,
                          void *out)
{
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    for (unsigned i = 0; i < JOB_PRIORITY_COUNT; i++) {
        if (is_word(text, job_priority_name((enum job_priority)i))) {
            *(enum job_priority *)out = (enum job_priority)i;
            return true;
        }
    }
    return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                       "must be \"high\", \"normal\" or \"low\"");
}

static bool take_on_unknown(const struct fields *f,
                            const struct json_value *value, const char *path,
                            void *out)
{
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    bool hold = is_word(text, "hold");
    if (!hold && !is_word(text, "retry"))
        return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                           "must be \"retry\" or \"hold\"");
    *(enum job_on_unknown *)out =
        hold ? JOB_ON_UNKNOWN_HOLD : JOB_ON_UNKNOWN_RETRY;
    return true;
}

static bool take_time(const struct fields *f, const struct json_value *value,
                      const char *path, void *out)
{
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    if (timetext_parse_rfc3339(text, out) != ERR_NONE)
        return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                           "must be an RFC 3339 time such as "
                           "\"2026-11-20T11:22:33Z\"");
    return true;
}

/* "default", "bulk": for a sentence. */
static void name_routes(const struct submission_options *o, struct buf *out)
{
    for (size_t i = 0; i < o->route_count; i++)
        buf_add_format(out, "%s\"%s\"", i == 0 ? "" : ", ", o->routes[i]);
}

static bool take_route(const struct fields *f, const struct json_value *value,
                       const char *path, void *out)
{
    const struct submission_options *o = f->options;
    struct str text;
    if (!fields_text(f, value, path, &text))
        return false;
    for (size_t i = 0; i < o->route_count; i++) {
        if (is_word(text, o->routes[i])) {
            *(struct str *)out = text;
            return true;
        }
    }
    struct buf names;
    buf_init(&names, sizeof(f->refusal->text));
    name_routes(o, &names);
    (void)refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                      "there is no such route; configured: %.*s",
                      STR_ARG(buf_str(&names)));
    buf_fini(&names);
    return false;
}

static bool take_short(const struct fields *f, const struct json_value *value,
                       const char *path, void *out)
{
    if (!fields_text(f, value, path, out))
        return false;
    const struct str *text = out;
    if (text->len > 0 && text->len <= SUBMISSION_WORD_MAX)
        return true;
    return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                       "must have 1 to %d bytes", SUBMISSION_WORD_MAX);
}

static bool check_metadata(const struct fields *f,
                           const struct json_value *value, const char *path)
{
    size_t bytes = 0;
    if (value->count > SUBMISSION_METADATA_MAX)
        return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                           "must not have more than %d pairs",
                           SUBMISSION_METADATA_MAX);
    for (const struct json_value *v = value->first; v != NULL; v = v->next) {
        if (v->name.len == 0 || v->name.len > SUBMISSION_METADATA_NAME_MAX)
            return refusal_set_member(f->refusal, REFUSAL_BAD_VALUE, path,
                                      v->name,
                                      "the name must have 1 to 128 bytes");
        bytes += v->name.len + v->text.len;
    }
    if (bytes > SUBMISSION_METADATA_BYTES_MAX)
        return refusal_set(f->refusal, REFUSAL_BAD_VALUE, path,
                           "must not have more than %d bytes in all",
                           SUBMISSION_METADATA_BYTES_MAX);
    return true;
}

static bool take_metadata(const struct fields *f,
                          const struct json_value *value, const char *path,
                          void *out)
{
    struct submission *submission = out;
    if (!fields_expect(f, value, JSON_OBJECT, path) ||
        !check_metadata(f, value, path))
        return false;
    struct submission_pair *pairs =
        arena_calloc(f->arena, value->count, sizeof(*pairs));
    if (pairs == NULL)
        return no_memory(f);
    size_t i = 0;
    for (const struct json_value *v = value->first; v != NULL; v = v->next) {
        pairs[i].name = v->name;
        if (!take_member(f, path, v, &pairs[i++].value))
            return false;
    }
    submission->metadata = pairs;
    submission->metadata_count = i;
    return true;
}

/* ---- the table ---- */

#define DRAFT(member) offsetof(struct submission, draft.member)
#define OWN(member)   offsetof(struct submission, member)

static const struct field submission_fields[] = {
    {"op", NULL, 0, 0},
    {"ref", NULL, 0, 0},
    {"from", fields_text, DRAFT(from), DRAFT(has_from)},
    {"to", take_list, DRAFT(to), FIELD_NO_FLAG},
    {"cc", take_list, DRAFT(cc), FIELD_NO_FLAG},
    {"bcc", take_list, DRAFT(bcc), FIELD_NO_FLAG},
    {"reply_to", take_list, DRAFT(reply_to), FIELD_NO_FLAG},
    {"subject", fields_text, DRAFT(subject), DRAFT(has_subject)},
    {"text", fields_text, DRAFT(text), DRAFT(has_text)},
    {"html", fields_text, DRAFT(html), DRAFT(has_html)},
    {"headers", take_headers, OWN(draft), FIELD_NO_FLAG},
    {"attachments", take_attachments, OWN(draft), FIELD_NO_FLAG},
    {"idempotency_key", take_short, OWN(key), OWN(has_key)},
    {"priority", take_priority, OWN(priority), FIELD_NO_FLAG},
    {"send_at", take_time, OWN(send_at_ms), FIELD_NO_FLAG},
    {"expires_at", take_time, OWN(expires_at_ms), OWN(has_expires_at)},
    {"route", take_route, OWN(route), FIELD_NO_FLAG},
    {"on_unknown", take_on_unknown, OWN(on_unknown), FIELD_NO_FLAG},
    {"tag", take_short, OWN(tag), OWN(has_tag)},
    {"metadata", take_metadata, 0, FIELD_NO_FLAG},
    {0},
};

static bool check_times(const struct submission *s, int64_t now_ms,
                        struct refusal *refusal)
{
    if (!s->has_expires_at)
        return true;
    if (s->expires_at_ms <= now_ms)
        return refusal_set(refusal, REFUSAL_BAD_VALUE, "expires_at",
                           "must lie in the future");
    if (s->expires_at_ms <= s->send_at_ms)
        return refusal_set(refusal, REFUSAL_BAD_VALUE, "expires_at",
                           "must be later than send_at");
    return true;
}

bool submission_decode(const struct json_value *object,
                       const struct submission_options *options,
                       struct arena *arena, struct submission *out,
                       struct refusal *refusal)
{
    const struct fields fields = {
        .arena = arena,
        .refusal = refusal,
        .prefix = "",
        .options = options,
    };
    *out = (struct submission){
        .priority = JOB_PRIORITY_NORMAL,
        .on_unknown = JOB_ON_UNKNOWN_RETRY,
        .route = STR("default"),
    };
    return fields_take(&fields, submission_fields, object, out) &&
           check_times(out, options->now_ms, refusal);
}
