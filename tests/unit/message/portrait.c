#include "tests/unit/message/portrait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gmime/gmime.h>

#include "tests/unit/message/mixture.h"

#define MAX_BYTES ((size_t)1 << 24)

struct painter {
    struct portrait *p;
    bool is_seven;
    bool is_in_signed; /* there labels stay as they are */
};

static bool may_change(const char *name, const char *value)
{
    struct str s = str_from(name);
    return str_equal_nocase(s, STR("Content-Transfer-Encoding")) ||
           str_equal_nocase(s, STR("MIME-Version")) ||
           (str_equal_nocase(s, STR("Content-Type")) &&
            str_contains(str_from(value), STR("unknown-8bit")));
}

static void add_headers(struct painter *w, GMimeObject *o)
{
    GMimeHeaderList *list = g_mime_object_get_header_list(o);
    for (int i = 0; i < g_mime_header_list_get_count(list); i++) {
        GMimeHeader *h = g_mime_header_list_get_header_at(list, i);
        const char *name = g_mime_header_get_raw_name(h);
        const char *value = g_mime_header_get_raw_value(h);
        if (!may_change(name, value))
            buf_add_format(&w->p->all, "%s:%s", name, value);
    }
}

static void add_content(struct painter *w, GMimePart *part)
{
    GMimeStream *memory = g_mime_stream_mem_new();
    GMimeDataWrapper *content = g_mime_part_get_content(part);
    GMimeContentEncoding e = g_mime_part_get_content_encoding(part);
    if (w->is_seven && !w->is_in_signed &&
        (e == GMIME_CONTENT_ENCODING_8BIT ||
         e == GMIME_CONTENT_ENCODING_BINARY))
        fail_msg("a part of 8 bits is left");
    if (content != NULL)
        assert_true(g_mime_data_wrapper_write_to_stream(content, memory) >= 0);
    GByteArray *bytes =
        g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory));
    struct str s = str_of((const char *)bytes->data, bytes->len);
    mixture_add_content(&w->p->all, s);
    mixture_add_content(&w->p->contents, s);
    g_object_unref(memory);
}

static void add_around(struct painter *w, const char *what, const char *text)
{
    buf_add_format(&w->p->all, "%s: %s\n", what, text == NULL ? "" : text);
}

static void add_object(struct painter *w, GMimeObject *o);

static void add_multipart(struct painter *w, GMimeMultipart *m)
{
    bool was_in_signed = w->is_in_signed;
    w->is_in_signed = was_in_signed || GMIME_IS_MULTIPART_SIGNED(m);
    add_around(w, "before", g_mime_multipart_get_prologue(m));
    for (int i = 0; i < g_mime_multipart_get_count(m); i++)
        add_object(w, g_mime_multipart_get_part(m, i));
    add_around(w, "behind", g_mime_multipart_get_epilogue(m));
    w->is_in_signed = was_in_signed;
}

static void add_message(struct painter *w, GMimeMessage *m)
{
    buf_add_text(&w->p->all, "message\n");
    add_headers(w, GMIME_OBJECT(m));
    add_object(w, g_mime_message_get_mime_part(m));
}

static void add_object(struct painter *w, GMimeObject *o)
{
    assert_non_null(o);
    char *type =
        g_mime_content_type_get_mime_type(g_mime_object_get_content_type(o));
    const char *encoding =
        g_mime_object_get_header(o, "Content-Transfer-Encoding");
    buf_add_format(&w->p->all, "part %s\n", type);
    g_free(type);
    add_headers(w, o);
    if (GMIME_IS_MULTIPART(o)) {
        assert_true(!w->is_seven || w->is_in_signed || encoding == NULL ||
                    str_equal(str_from(encoding), STR("7bit")));
        add_multipart(w, GMIME_MULTIPART(o));
    } else if (GMIME_IS_MESSAGE_PART(o)) {
        add_message(w, g_mime_message_part_get_message(GMIME_MESSAGE_PART(o)));
    } else {
        assert_true(GMIME_IS_PART(o));
        add_content(w, GMIME_PART(o));
    }
}

void portrait_make(struct portrait *p, struct str message, bool is_seven)
{
    struct painter w = {.p = p, .is_seven = is_seven};
    GMimeStream *stream =
        g_mime_stream_mem_new_with_buffer(message.data, message.len);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeMessage *m = g_mime_parser_construct_message(parser, NULL);
    assert_non_null(m);
    buf_init(&p->all, MAX_BYTES);
    buf_init(&p->contents, MAX_BYTES);
    add_message(&w, m);
    assert_true(buf_ok(&p->all) && buf_ok(&p->contents));
    g_object_unref(m);
    g_object_unref(parser);
    g_object_unref(stream);
}

void portrait_fini(struct portrait *p)
{
    buf_fini(&p->all);
    buf_fini(&p->contents);
}
