#include "tests/unit/message/sample.h"

#include <stdio.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/panic.h"
#include "core/utf8.h"

static const char *const words[] = {
    "a",
    "order",
    "4711",
    "Re:",
    "a.b",
    "it's",
    "100%",
    "x=y",
    "what?",
    "\"quoted\"",
    "back\\slash",
    "comma,",
    "<b>",
    "a@b",
    "(c)",
    "semi;",
    "[x]",
    "=?utf-8?q?no?=",
    "=3D",
    "=?",
    "?=",
    "under_score",
    "gr\xc3\xbc\xc3\x9ft",
    "\xc3\xa9t\xc3\xa9",
    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
    "\xf0\x9f\x98\x80\xf0\x9f\x98\x81",
    "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
    "a\xcc\x88",
    "--=_boundary",
    ".",
    "From",
};

static bool one_in(struct random *r, unsigned n)
{
    return random_below(r, n) == 0;
}

static struct str keep(struct sample *s, struct buf *b)
{
    size_t len = 0;
    PANIC_IF(!buf_ok(b));
    PANIC_IF(s->owned_count == sizeof(s->owned) / sizeof(s->owned[0]));
    if (b->data == NULL)
        (void)buf_reserve(b, 1);
    char *data = buf_take(b, &len);
    s->owned[s->owned_count++] = data;
    return str_of(data, len);
}

static void add_word(struct buf *b, struct random *r)
{
    if (one_in(r, 12)) {
        /* Long, with nothing to break it at. */
        size_t len = random_below(r, one_in(r, 6) ? 1500 : 100);
        for (size_t i = 0; i < len; i++)
            buf_add_char(b, (char)('a' + (char)(i % 26)));
        return;
    }
    /* Mails in ASCII only must come up too. */
    size_t count = one_in(r, 2) ? 5 : sizeof(words) / sizeof(words[0]);
    buf_add_text(b, words[random_below(r, count)]);
}

/* One line of up to max words, never empty. */
static struct str phrase(struct sample *s, struct random *r, unsigned max)
{
    struct buf b;
    size_t count = 1 + random_below(r, max);
    buf_init(&b, 1 << 16);
    if (one_in(r, 20))
        buf_add_char(&b, ' ');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_text(&b, one_in(r, 15) ? "   " : " ");
        add_word(&b, r);
    }
    if (one_in(r, 20) || b.len == 0)
        buf_add_text(&b, "! ");
    return keep(s, &b);
}

/* Lines with all kinds of ends, possibly with bytes that need encoding. */
static struct str text(struct sample *s, struct random *r)
{
    static const char *const ends[] = {"\n",   "\r\n", "\r",
                                       "\n\n", " \n",  "\t\r\n"};
    struct buf b;
    size_t lines = random_below(r, 30);
    bool mixed = one_in(r, 3);
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < lines; i++) {
        size_t count = random_below(r, 12);
        for (size_t w = 0; w < count; w++) {
            add_word(&b, r);
            buf_add_char(&b, one_in(r, 30) ? '\t' : ' ');
        }
        if (one_in(r, 100))
            buf_add(&b, "\0\x01\x7f\f", 4);
        buf_add_text(&b, ends[mixed ? random_below(r, 6) : 0]);
    }
    if (one_in(r, 2))
        buf_add_text(&b, "the end");
    return keep(s, &b);
}

static struct str noise(struct sample *s, struct random *r)
{
    struct buf b;
    size_t len = random_below(r, 400);
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < len; i++)
        buf_add_char(&b, (char)random_next(r));
    return keep(s, &b);
}

static struct str mailbox(struct sample *s, struct random *r,
                          const char *domain)
{
    static const char *const locals[] = {
        "user%u",
        "first.last%u",
        "a+b=%u",
        "\"a b%u\"",
        "\"a,\\\"%u@b\"",
        "a-very-long-local-part-with-many-characters-and-a-number-%u"};
    struct buf b;
    char local[80];
    size_t which = random_below(r, sizeof(locals) / sizeof(locals[0]));
    /* The formats are the constants above. */
    unsigned number = s->serial++;
    const char *percent = strstr(locals[which], "%u");
    (void)snprintf(local, sizeof(local), "%.*s%u%s",
                   (int)(percent - locals[which]), locals[which], number,
                   percent + 2);
    buf_init(&b, 320);
    buf_add_text(&b, local);
    buf_add_char(&b, '@');
    if (one_in(r, 10))
        for (int i = 0; i < 9; i++)
            buf_add_text(&b, "a-long-label.");
    buf_add_text(&b, domain);
    return keep(s, &b);
}

static void add_quoted(struct buf *b, struct str name)
{
    buf_add_char(b, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '"' || name.data[i] == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, name.data[i]);
    }
    buf_add_char(b, '"');
}

static void fill_list(struct sample *s, struct random *r,
                      struct sample_list *list, struct draft_list *out,
                      const char *domain)
{
    size_t items = 1 + random_below(r, 4);
    for (size_t i = 0; i < items; i++) {
        struct buf b;
        size_t boxes = 1 + random_below(r, 2);
        buf_init(&b, 1 << 16);
        for (size_t n = 0; n < boxes; n++) {
            struct sample_mailbox *box = &list->boxes[list->count++];
            *box = (struct sample_mailbox){.mailbox = mailbox(s, r, domain)};
            if (one_in(r, 2))
                box->name = phrase(s, r, 6);
            if (n > 0)
                buf_add_text(&b, one_in(r, 2) ? ", " : ",");
            if (box->name.len > 0)
                add_quoted(&b, box->name);
            buf_add_text(&b, box->name.len > 0 ? " <" : "");
            buf_add_str(&b, box->mailbox);
            buf_add_text(&b, box->name.len > 0 ? ">" : "");
        }
        list->items[i] = keep(s, &b);
    }
    *out = (struct draft_list){list->items, items, true};
}

static void fill_from(struct sample *s, struct random *r)
{
    struct sample_list list = {.count = 0};
    struct draft_list out;
    fill_list(s, r, &list, &out, "sender.example");
    struct str item = list.items[0];
    /* One mailbox only: take what stands before the second. */
    struct buf b;
    buf_init(&b, 1 << 16);
    if (list.boxes[0].name.len > 0)
        add_quoted(&b, list.boxes[0].name);
    buf_add_text(&b, " <");
    buf_add_str(&b, list.boxes[0].mailbox);
    buf_add_char(&b, '>');
    item = keep(s, &b);
    s->from.boxes[0] = list.boxes[0];
    s->from.count = 1;
    s->draft.from = item;
    s->draft.has_from = true;
}

static void fill_headers(struct sample *s, struct random *r)
{
    size_t count = random_below(r, 5);
    for (size_t i = 0; i < count; i++) {
        struct buf b;
        buf_init(&b, 100);
        buf_add_format(&b, "X-Test-%zu", i);
        if (one_in(r, 5))
            buf_add_text(&b, "-with-a-name-that-leaves-little-of-a-line-for-"
                             "what-follows-it");
        s->headers[i].name = keep(s, &b);
        s->headers[i].value = phrase(s, r, 20);
    }
    if (one_in(r, 3)) {
        struct buf b;
        size_t ids = 1 + random_below(r, 30);
        buf_init(&b, 1 << 16);
        for (size_t i = 0; i < ids; i++)
            buf_add_format(&b, "%s<%zu.=?%llu@mail.example>", i > 0 ? " " : "",
                           i, (unsigned long long)random_next(r));
        s->headers[count].name = STR("References");
        s->headers[count++].value = keep(s, &b);
    }
    s->draft.headers = s->headers;
    s->draft.header_count = count;
}

static struct str filename(struct sample *s, struct random *r)
{
    struct str name = phrase(s, r, one_in(r, 4) ? 40 : 3);
    char *data = s->owned[s->owned_count - 1];
    for (size_t i = 0; i < name.len; i++)
        if (data[i] == '/' || data[i] == '\\')
            data[i] = '-';
    while (name.len > 900 || !utf8_is_valid(name))
        name.len--;
    return str_equal(name, STR(".")) ? STR("dot") : name;
}

static void fill_attachments(struct sample *s, struct random *r)
{
    static const char *const types[] = {
        "", "image/png", "text/plain; charset=utf-8", "Text/Calendar",
        "application/x-a; b=\"c; d\"; e=f"};
    size_t count = random_below(r, 6);
    for (size_t i = 0; i < count; i++) {
        struct draft_attachment *a = &s->attachments[i];
        struct buf b;
        a->filename = filename(s, r);
        a->content = noise(s, r);
        a->content_type = str_from(types[random_below(r, 5)]);
        a->has_content_id = one_in(r, 2);
        buf_init(&b, 100);
        buf_add_format(&b, "part%zu%s", i, one_in(r, 2) ? "" : "@x.example");
        if (a->has_content_id)
            a->content_id = keep(s, &b);
        else
            buf_fini(&b);
    }
    s->draft.attachments = s->attachments;
    s->draft.attachment_count = count;
}

void sample_make(struct sample *s, struct random *r)
{
    *s = (struct sample){.serial = 0};
    struct draft *d = &s->draft;
    fill_from(s, r);
    size_t shape = 1 + random_below(r, 7);
    if ((shape & 1) != 0)
        fill_list(s, r, &s->to, &d->to, "to.example");
    if ((shape & 2) != 0)
        fill_list(s, r, &s->cc, &d->cc, "cc.example");
    if ((shape & 4) != 0)
        fill_list(s, r, &s->bcc, &d->bcc, "hidden.example");
    if (one_in(r, 3))
        fill_list(s, r, &s->reply_to, &d->reply_to, "reply.example");
    d->has_subject = !one_in(r, 8);
    if (d->has_subject)
        d->subject = phrase(s, r, 30);
    fill_headers(s, r);
    fill_attachments(s, r);
    d->has_text = one_in(r, 2);
    d->has_html = one_in(r, 2);
    if (!d->has_html && d->attachment_count == 0)
        d->has_text = true;
    if (d->has_text)
        d->text = text(s, r);
    if (d->has_html)
        d->html = text(s, r);
}

void sample_fini(struct sample *s)
{
    for (size_t i = 0; i < s->owned_count; i++)
        mem_free(s->owned[i]);
    s->owned_count = 0;
}
