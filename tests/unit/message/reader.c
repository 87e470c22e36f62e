#include "tests/unit/message/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gmime/gmime.h>

#include "core/buf.h"

static void equal_text(const char *what, const char *got, struct str wanted)
{
    if (got == NULL || !str_equal(str_from(got), wanted))
        fail_msg("%s: got \"%s\", wanted \"%.*s\"", what,
                 got == NULL ? "(none)" : got, STR_ARG(wanted));
}

static void check_list(GMimeMessage *m, GMimeAddressType type,
                       const struct sample_list *wanted)
{
    InternetAddressList *list = g_mime_message_get_addresses(m, type);
    int count = internet_address_list_length(list);
    assert_int_equal(count, wanted->count);
    for (int i = 0; i < count; i++) {
        InternetAddress *a = internet_address_list_get_address(list, i);
        assert_true(INTERNET_ADDRESS_IS_MAILBOX(a));
        equal_text(
            "mailbox",
            internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(a)),
            wanted->boxes[i].mailbox);
        const char *name = internet_address_get_name(a);
        /* GMime gives names without blanks at their ends. */
        equal_text("name", name == NULL ? "" : name,
                   str_trim(wanted->boxes[i].name));
    }
}

/* Without to and cc there must be the empty group. */
static void check_to(GMimeMessage *m, const struct sample *s)
{
    if (s->to.count > 0 || s->cc.count > 0) {
        check_list(m, GMIME_ADDRESS_TYPE_TO, &s->to);
        return;
    }
    InternetAddressList *list =
        g_mime_message_get_addresses(m, GMIME_ADDRESS_TYPE_TO);
    assert_int_equal(internet_address_list_length(list), 1);
    InternetAddress *a = internet_address_list_get_address(list, 0);
    assert_true(INTERNET_ADDRESS_IS_GROUP(a));
    assert_int_equal(
        internet_address_list_length(
            internet_address_group_get_members(INTERNET_ADDRESS_GROUP(a))),
        0);
}

static void check_head(GMimeMessage *m, const struct sample *s)
{
    GMimeObject *o = GMIME_OBJECT(m);
    check_list(m, GMIME_ADDRESS_TYPE_FROM, &s->from);
    check_to(m, s);
    check_list(m, GMIME_ADDRESS_TYPE_CC, &s->cc);
    check_list(m, GMIME_ADDRESS_TYPE_REPLY_TO, &s->reply_to);
    assert_null(g_mime_object_get_header(o, "Bcc"));
    if (s->draft.has_subject)
        equal_text("subject", g_mime_message_get_subject(m), s->draft.subject);
    else
        assert_null(g_mime_object_get_header(o, "Subject"));
    equal_text("id", g_mime_message_get_message_id(m),
               STR("sample-1.id@mail.example.com"));
    equal_text("version", g_mime_object_get_header(o, "MIME-Version"),
               STR("1.0"));
    assert_int_equal(g_date_time_to_unix(g_mime_message_get_date(m)),
                     1795000000);
    for (size_t i = 0; i < s->draft.header_count; i++) {
        char name[100];
        struct str wanted = s->draft.headers[i].name;
        memcpy(name, wanted.data, wanted.len);
        name[wanted.len] = '\0';
        equal_text(name, g_mime_object_get_header(o, name),
                   s->draft.headers[i].value);
    }
}

/* Whether o is type/subtype with count parts; count < 0: no multipart. */
static GMimeMultipart *is_multipart(GMimeObject *o, const char *subtype,
                                    int count)
{
    assert_true(GMIME_IS_MULTIPART(o));
    assert_true(g_mime_content_type_is_type(g_mime_object_get_content_type(o),
                                            "multipart", subtype));
    GMimeMultipart *multipart = GMIME_MULTIPART(o);
    assert_int_equal(g_mime_multipart_get_count(multipart), count);
    return multipart;
}

static void content_of(GMimeObject *o, struct buf *out)
{
    GMimeStream *memory = g_mime_stream_mem_new();
    assert_true(GMIME_IS_PART(o));
    GMimeDataWrapper *content = g_mime_part_get_content(GMIME_PART(o));
    assert_non_null(content);
    assert_true(g_mime_data_wrapper_write_to_stream(content, memory) >= 0);
    GByteArray *bytes =
        g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory));
    buf_init(out, 1 << 24);
    buf_add(out, bytes->data, bytes->len);
    g_object_unref(memory);
}

static void add_crlf(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\n' && i > 0 && text.data[i - 1] == '\r')
            continue;
        if (c == '\r' || c == '\n')
            buf_add_text(out, "\r\n");
        else
            buf_add_char(out, c);
    }
}

static void check_text(GMimeObject *o, const char *subtype, struct str text,
                       bool alone)
{
    struct buf got;
    struct buf wanted;
    content_of(o, &got);
    buf_init(&wanted, 1 << 24);
    add_crlf(&wanted, text);
    GMimeContentEncoding encoding =
        g_mime_part_get_content_encoding(GMIME_PART(o));
    bool ended = str_ends_nocase(buf_str(&wanted), STR("\r\n"));
    if (alone && !ended && encoding != GMIME_CONTENT_ENCODING_BASE64 &&
        text.len > 0)
        buf_add_text(&wanted, "\r\n");
    GMimeContentType *type = g_mime_object_get_content_type(o);
    assert_true(g_mime_content_type_is_type(type, "text", subtype));
    equal_text("charset", g_mime_content_type_get_parameter(type, "charset"),
               STR("utf-8"));
    if (!str_equal(buf_str(&got), buf_str(&wanted)))
        fail_msg("text: got \"%.*s\", wanted \"%.*s\"", STR_ARG(buf_str(&got)),
                 STR_ARG(buf_str(&wanted)));
    buf_fini(&got);
    buf_fini(&wanted);
}

static void check_attachment(GMimeObject *o, const struct draft_attachment *a)
{
    struct buf got;
    content_of(o, &got);
    assert_true(str_equal(buf_str(&got), a->content));
    buf_fini(&got);
    equal_text("file name", g_mime_part_get_filename(GMIME_PART(o)),
               a->filename);
    equal_text("disposition", g_mime_object_get_disposition(o),
               a->has_content_id ? STR("inline") : STR("attachment"));
    if (a->has_content_id)
        equal_text("content id", g_mime_object_get_content_id(o),
                   a->content_id);
    else
        assert_null(g_mime_object_get_content_id(o));
    GMimeContentType *type = g_mime_object_get_content_type(o);
    char *mime = g_mime_content_type_get_mime_type(type);
    struct str wanted = a->content_type;
    wanted.len = str_find(wanted, ';');
    equal_text("type", mime,
               wanted.len > 0 ? wanted : STR("application/octet-stream"));
    g_free(mime);
    if (str_contains(a->content_type, STR("b=\"c; d\""))) {
        equal_text("b", g_mime_content_type_get_parameter(type, "b"),
                   STR("c; d"));
        equal_text("e", g_mime_content_type_get_parameter(type, "e"), STR("f"));
    }
    assert_int_equal(g_mime_part_get_content_encoding(GMIME_PART(o)),
                     GMIME_CONTENT_ENCODING_BASE64);
}

static size_t count_parts(const struct draft *d, bool with_id)
{
    size_t count = 0;
    for (size_t i = 0; i < d->attachment_count; i++)
        count += d->attachments[i].has_content_id == with_id;
    return count;
}

/* The page: html, or related with it and all that have a content id. */
static void check_page(GMimeObject *o, const struct draft *d, bool alone)
{
    size_t related = count_parts(d, true);
    if (related == 0) {
        check_text(o, "html", d->html, alone);
        return;
    }
    GMimeMultipart *m = is_multipart(o, "related", (int)related + 1);
    equal_text("type", g_mime_object_get_content_type_parameter(o, "type"),
               STR("text/html"));
    check_text(g_mime_multipart_get_part(m, 0), "html", d->html, false);
    int at = 1;
    for (size_t i = 0; i < d->attachment_count; i++)
        if (d->attachments[i].has_content_id)
            check_attachment(g_mime_multipart_get_part(m, at++),
                             &d->attachments[i]);
}

static void check_text_and_page(GMimeObject *o, const struct draft *d,
                                bool alone)
{
    if (!d->has_html) {
        check_text(o, "plain", d->text, alone);
    } else if (!d->has_text) {
        check_page(o, d, alone);
    } else {
        GMimeMultipart *m = is_multipart(o, "alternative", 2);
        check_text(g_mime_multipart_get_part(m, 0), "plain", d->text, false);
        check_page(g_mime_multipart_get_part(m, 1), d, false);
    }
}

static void check_body(GMimeObject *o, const struct draft *d)
{
    size_t attached =
        count_parts(d, false) + (d->has_html ? 0 : count_parts(d, true));
    bool has_body = d->has_text || d->has_html;
    if (attached == 0) {
        check_text_and_page(o, d, true);
        return;
    }
    GMimeMultipart *m = is_multipart(o, "mixed", (int)attached + has_body);
    int at = 0;
    if (has_body)
        check_text_and_page(g_mime_multipart_get_part(m, at++), d, false);
    for (size_t i = 0; i < d->attachment_count; i++)
        if (!d->has_html || !d->attachments[i].has_content_id)
            check_attachment(g_mime_multipart_get_part(m, at++),
                             &d->attachments[i]);
}

static GMimeParserOptions *strict_options(void)
{
    GMimeParserOptions *o = g_mime_parser_options_new();
    g_mime_parser_options_set_address_compliance_mode(
        o, GMIME_RFC_COMPLIANCE_STRICT);
    g_mime_parser_options_set_parameter_compliance_mode(
        o, GMIME_RFC_COMPLIANCE_STRICT);
    g_mime_parser_options_set_rfc2047_compliance_mode(
        o, GMIME_RFC_COMPLIANCE_STRICT);
    return o;
}

void reader_check(const struct sample *s, struct str message)
{
    GMimeParserOptions *options = strict_options();
    GMimeStream *stream =
        g_mime_stream_mem_new_with_buffer(message.data, message.len);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeMessage *m = g_mime_parser_construct_message(parser, options);
    assert_non_null(m);
    check_head(m, s);
    check_body(g_mime_message_get_mime_part(m), &s->draft);
    g_object_unref(m);
    g_object_unref(parser);
    g_object_unref(stream);
    g_mime_parser_options_free(options);
}
