#include "message/draft.h"

#include <stdint.h>

#include <openssl/evp.h>

#include "core/panic.h"

static void add(EVP_MD_CTX *md, const void *data, size_t len)
{
    PANIC_IF(len > 0 && EVP_DigestUpdate(md, data, len) != 1);
}

static void add_count(EVP_MD_CTX *md, size_t count)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)((uint64_t)count >> (8 * i));
    add(md, bytes, sizeof(bytes));
}

static void add_str(EVP_MD_CTX *md, struct str s)
{
    add_count(md, s.len);
    add(md, s.data, s.len);
}

/* A count that no length can be, so that absent and empty differ. */
static void add_optional(EVP_MD_CTX *md, bool present, struct str s)
{
    if (present)
        add_str(md, s);
    else
        add_count(md, SIZE_MAX);
}

static void add_list(EVP_MD_CTX *md, const struct draft_list *list)
{
    add_count(md, list->count);
    for (size_t i = 0; i < list->count; i++)
        add_str(md, list->items[i]);
}

static void add_attachment(EVP_MD_CTX *md, const struct draft_attachment *a)
{
    add_str(md, a->filename);
    add_str(md, a->content);
    add_str(md, a->content_type);
    add_optional(md, a->has_content_id, a->content_id);
}

void draft_digest(const struct draft *d, unsigned char digest[DRAFT_DIGEST_LEN])
{
    unsigned len = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    PANIC_IF(md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1);
    add_optional(md, d->has_from, d->from);
    add_list(md, &d->to);
    add_list(md, &d->cc);
    add_list(md, &d->bcc);
    add_list(md, &d->reply_to);
    add_optional(md, d->has_subject, d->subject);
    add_optional(md, d->has_text, d->text);
    add_optional(md, d->has_html, d->html);
    add_count(md, d->header_count);
    for (size_t i = 0; i < d->header_count; i++) {
        add_str(md, d->headers[i].name);
        add_str(md, d->headers[i].value);
    }
    add_count(md, d->attachment_count);
    for (size_t i = 0; i < d->attachment_count; i++)
        add_attachment(md, &d->attachments[i]);
    PANIC_IF(EVP_DigestFinal_ex(md, digest, &len) != 1 ||
             len != DRAFT_DIGEST_LEN);
    EVP_MD_CTX_free(md);
}
