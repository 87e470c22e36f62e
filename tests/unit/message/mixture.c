#include "tests/unit/message/mixture.h"

#include "core/base64.h"

#define MAX_BYTES    ((size_t)1 << 24)
#define DEPTH_MAX    5
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static size_t below(struct mixture *m, size_t bound)
{
    return (size_t)random_below(m->random, bound);
}

static bool one_in(struct mixture *m, size_t n)
{
    return below(m, n) == 0;
}

static const char *any(struct mixture *m, const char *const *texts,
                       size_t count)
{
    return texts[below(m, count)];
}

#define ANY(m, texts) any(m, texts, COUNT(texts))

void mixture_add_content(struct buf *contents, struct str content)
{
    buf_add_format(contents, "\n[%zu]", content.len);
    buf_add_str(contents, content);
}

/* ---- contents ---- */

static const char *const words[] = {
    "word ",  "=",     "=C3=A9", "two words", "\t",    " ",       ".",
    "From x", "--",    "-",      "--=_",      "--=_x", "--=_xyz", "--=_xy--z",
    "x--=_x", "=3D--", "\x1b",   "..",        "(",     "\"",
};

static const char *const high_words[] = {
    "\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac",         "\xff",
    "caf\xe9 ", "\x80\x81\x82\x83\x84\x85\x86\x87",
};

struct style {
    size_t high_in; /* one word in that many has high bytes; 0: none */
    bool is_binary; /* NUL, CR and LF, too */
    size_t lines;
    size_t words; /* in a line, at most */
};

static void add_word(struct mixture *m, const struct style *s, struct buf *out)
{
    if (s->high_in > 0 && one_in(m, s->high_in)) {
        buf_add_text(out, ANY(m, high_words));
    } else if (s->is_binary && one_in(m, 5)) {
        static const struct str odd[] = {
            {"\0", 1}, {"\r", 1}, {"z\nz", 3}, {"\x7f", 1}};
        buf_add_str(out, odd[below(m, COUNT(odd))]);
    } else {
        buf_add_text(out, ANY(m, words));
    }
}

/* No line is a boundary: "z" stands behind the last word. */
static void add_line(struct mixture *m, const struct style *s, struct buf *out)
{
    size_t count = below(m, s->words + 1);
    for (size_t i = 0; i < count; i++) {
        add_word(m, s, out);
        if (one_in(m, 3) && s->words > 20)
            buf_add_text(out, "many words that fill the line ");
    }
    if (count > 0)
        buf_add_char(out, 'z');
}

static void make_content(struct mixture *m, const struct style *s,
                         struct buf *out)
{
    size_t lines = below(m, s->lines + 1);
    for (size_t i = 0; i < lines; i++) {
        add_line(m, s, out);
        if (i + 1 < lines || one_in(m, 2))
            buf_add_text(out, "\r\n");
    }
}

static struct style any_style(struct mixture *m, bool may_be_high)
{
    static const size_t highs[] = {0, 1, 2, 5, 50};
    struct style s = {
        .high_in = may_be_high ? highs[below(m, COUNT(highs))] : 0,
        .is_binary = may_be_high && one_in(m, 6),
        .lines = one_in(m, 10) ? 400 : 8,
        .words = one_in(m, 10) ? 2000 : 12,
    };
    if (s.lines > 8 && s.words > 12)
        s.words = 12;
    return s;
}

/* ---- headers ---- */

static void add_other_fields(struct mixture *m)
{
    static const char *const fields[] = {
        "Subject: a\r\n b\r\n", "X-Content-Type: x\r\n",
        "Content-Description: a; b\r\n", "Content-ID: <a@b>\r\n"};
    while (one_in(m, 2))
        buf_add_text(&m->message, ANY(m, fields));
}

/* of_message: MIME-Version may be missing. */
static void add_version(struct mixture *m, bool of_message)
{
    if (of_message && !one_in(m, 5))
        buf_add_text(&m->message, "MIME-Version: 1.0\r\n");
}

static void end_head(struct mixture *m)
{
    add_other_fields(m);
    buf_add_text(&m->message, "\r\n");
}

/* ---- parts ---- */

static void add_encoded_leaf(struct mixture *m, struct str content)
{
    struct buf encoded;
    buf_init(&encoded, MAX_BYTES);
    base64_encode(content, &encoded);
    buf_add_text(&m->message, "Content-Transfer-Encoding: BASE64\r\n");
    end_head(m);
    for (struct str s = buf_str(&encoded); s.len > 0; s = str_after(s, 76)) {
        buf_add(&m->message, s.data, s.len < 76 ? s.len : 76);
        if (s.len > 76)
            buf_add_text(&m->message, "\r\n");
    }
    buf_fini(&encoded);
}

static void add_leaf(struct mixture *m, bool of_message, bool may_be_high)
{
    static const char *const types[] = {
        "Content-Type: text/plain; charset=utf-8\r\n",
        "Content-Type: text/html\r\n",
        "Content-Type: application/octet-stream\r\n",
        "Content-Type: image/png; name=x.png\r\n",
        "",
    };
    static const char *const encodings[] = {
        "",
        "Content-Transfer-Encoding: 7bit\r\n",
        "Content-Transfer-Encoding: 8bit\r\n",
        "Content-Transfer-Encoding: Binary\r\n",
        "content-transfer-encoding:\r\n 8BIT (x)\r\n",
    };
    struct style style = any_style(m, may_be_high);
    struct buf content;
    buf_init(&content, MAX_BYTES);
    make_content(m, &style, &content);
    mixture_add_content(&m->contents, buf_str(&content));
    add_version(m, of_message);
    add_other_fields(m);
    buf_add_text(&m->message, ANY(m, types));
    if (one_in(m, 4)) {
        add_encoded_leaf(m, buf_str(&content));
    } else {
        buf_add_text(&m->message, ANY(m, encodings));
        end_head(m);
        buf_add_str(&m->message, buf_str(&content));
    }
    buf_fini(&content);
}

static void add_entity(struct mixture *m, size_t depth, bool of_message,
                       bool may_be_high);

/* "=_", and an "x" more at each level: each is the beginning of the next. */
static void add_boundary(struct mixture *m, size_t depth)
{
    buf_add_text(&m->message, "=_");
    for (size_t i = 0; i <= depth; i++)
        buf_add_char(&m->message, 'x');
}

static void add_delimiter(struct mixture *m, size_t depth, const char *end)
{
    buf_add_text(&m->message, "--");
    add_boundary(m, depth);
    buf_add_text(&m->message, end);
    buf_add_text(&m->message, one_in(m, 5) ? " \t\r\n" : "\r\n");
}

static void add_multipart(struct mixture *m, size_t depth, bool of_message,
                          bool may_be_high)
{
    static const char *const subtypes[] = {"mixed", "Alternative", "related",
                                           "x-unknown"};
    bool is_signed = one_in(m, 8);
    add_version(m, of_message);
    buf_add_format(&m->message, "Content-Type: multipart/%s; boundary=\"",
                   is_signed ? "signed" : ANY(m, subtypes));
    add_boundary(m, depth);
    buf_add_text(&m->message, "\"\r\n");
    if (one_in(m, 3))
        buf_add_text(&m->message, "Content-Transfer-Encoding: 8bit\r\n");
    end_head(m);
    if (one_in(m, 4))
        buf_add_text(&m->message, "before\r\n");
    for (size_t parts = 1 + below(m, 3); parts > 0; parts--) {
        add_delimiter(m, depth, "");
        add_entity(m, depth + 1, false, may_be_high && !is_signed);
        buf_add_text(&m->message, "\r\n");
    }
    add_delimiter(m, depth, "--");
    if (one_in(m, 4))
        buf_add_text(&m->message, "behind");
}

static void add_entity(struct mixture *m, size_t depth, bool of_message,
                       bool may_be_high)
{
    size_t what = below(m, 10);
    if (depth == DEPTH_MAX || what < 5) {
        add_leaf(m, of_message, may_be_high);
    } else if (what < 9) {
        add_multipart(m, depth, of_message, may_be_high);
    } else {
        add_version(m, of_message);
        buf_add_text(&m->message, "Content-Type: message/rfc822\r\n");
        end_head(m);
        buf_add_text(&m->message, "From: a@x.org\r\n");
        add_entity(m, depth + 1, true, may_be_high);
    }
}

void mixture_make(struct mixture *m, struct random *r)
{
    buf_init(&m->message, MAX_BYTES);
    buf_init(&m->contents, MAX_BYTES);
    m->random = r;
    buf_add_text(&m->message, "From: a@x.org\r\n");
    add_entity(m, 0, true, true);
}

void mixture_fini(struct mixture *m)
{
    buf_fini(&m->message);
    buf_fini(&m->contents);
}
