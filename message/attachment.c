#include "message/attachment.h"

#include <stdio.h>

#include "core/panic.h"
#include "message/chars.h"
#include "message/header.h"
#include "message/media.h"
#include "message/parameter.h"
#include "message/quote.h"
#include "message/transfer.h"

static const char *check_filename(struct str name)
{
    if (name.len > ATTACHMENT_FILENAME_MAX)
        return "it is longer than 1024 bytes";
    if (chars_has_control(name))
        return "it holds a line break or another control character";
    if (str_find(name, '/') < name.len || str_find(name, '\\') < name.len)
        return "it must be a plain name, without / and \\";
    if (str_equal(name, STR(".")) || str_equal(name, STR("..")))
        return "it names a directory";
    return NULL;
}

static const char *check_content_id(const struct draft *draft, size_t index)
{
    struct str id = draft->attachments[index].content_id;
    if (id.len == 0)
        return "it is empty";
    if (id.len > ATTACHMENT_CONTENT_ID_MAX)
        return "it is longer than 200 bytes";
    for (size_t i = 0; i < id.len; i++)
        if (!chars_is_atext(id.data[i]) && id.data[i] != '.' &&
            id.data[i] != '@')
            return "it may hold ASCII letters, digits, . @ - _ and the like "
                   "only, and no <>";
    for (size_t i = 0; i < index; i++)
        if (draft->attachments[i].has_content_id &&
            str_equal(draft->attachments[i].content_id, id))
            return "another attachment has it too";
    return NULL;
}

static enum problem_kind check_one(const struct draft *draft, size_t index,
                                   struct problem *problem)
{
    const struct draft_attachment *a = &draft->attachments[index];
    char field[64];
    struct quote q;
    struct media media;
    struct err err;
    (void)snprintf(field, sizeof(field), "attachments[%zu].filename", index);
    if (a->filename.len == 0)
        return problem_set(problem, PROBLEM_MISSING_FIELD, field,
                           "an attachment needs a file name");
    const char *why = check_filename(a->filename);
    if (why != NULL)
        return problem_set(problem, PROBLEM_BAD_ATTACHMENT, field,
                           "file name \"%s\" cannot be used: %s",
                           quote_text(&q, a->filename), why);
    (void)snprintf(field, sizeof(field), "attachments[%zu].content_type",
                   index);
    if (a->content_type.len > 0 &&
        media_parse(a->content_type, &media, &err) != ERR_NONE)
        return problem_set(problem, PROBLEM_BAD_ATTACHMENT, field, "%s",
                           err.text);
    if (!a->has_content_id)
        return PROBLEM_NONE;
    (void)snprintf(field, sizeof(field), "attachments[%zu].content_id", index);
    why = check_content_id(draft, index);
    if (why != NULL)
        return problem_set(problem, PROBLEM_BAD_ATTACHMENT, field,
                           "content id \"%s\" cannot be used: %s",
                           quote_text(&q, a->content_id), why);
    return PROBLEM_NONE;
}

enum problem_kind attachment_check(const struct draft *draft,
                                   struct problem *problem)
{
    if (draft->attachment_count > ATTACHMENT_MAX)
        return problem_set(problem, PROBLEM_BAD_ATTACHMENT, "attachments",
                           "%zu attachments are more than the allowed %d",
                           draft->attachment_count, ATTACHMENT_MAX);
    for (size_t i = 0; i < draft->attachment_count; i++) {
        enum problem_kind kind = check_one(draft, i, problem);
        if (kind != PROBLEM_NONE)
            return kind;
    }
    return PROBLEM_NONE;
}

static void write_type(struct buf *out, const struct draft_attachment *a)
{
    struct header h;
    struct media media = {.type = STR("application/octet-stream")};
    PANIC_IF(a->content_type.len > 0 &&
             media_parse(a->content_type, &media, NULL) != ERR_NONE);
    header_begin(&h, out, STR("Content-Type"));
    media_write(&h, &media);
    /* For readers that know no Content-Disposition. */
    if (parameter_is_plain(STR("name"), a->filename) &&
        !media_has_parameter(&media, STR("name")))
        parameter_write(&h, STR("name"), a->filename);
    header_end(&h);
}

void attachment_write(struct buf *out, const struct draft_attachment *a)
{
    struct header h;
    write_type(out, a);
    header_begin(&h, out, STR("Content-Disposition"));
    header_token(&h, a->has_content_id ? STR("inline") : STR("attachment"));
    parameter_write(&h, STR("filename"), a->filename);
    header_end(&h);
    if (a->has_content_id) {
        char id[ATTACHMENT_CONTENT_ID_MAX + 2];
        id[0] = '<';
        memcpy(id + 1, a->content_id.data, a->content_id.len);
        id[a->content_id.len + 1] = '>';
        header_begin(&h, out, STR("Content-ID"));
        header_token(&h, str_of(id, a->content_id.len + 2));
        header_end(&h);
    }
    buf_add_str(out, STR("Content-Transfer-Encoding: base64\r\n\r\n"));
    transfer_base64(out, a->content);
}
