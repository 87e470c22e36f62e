#include "message/field.h"

#include <stdbool.h>

#include "message/chars.h"
#include "message/word.h"

/*
 * Names up to this length go into a line as they are; readers are about that
 * take a fold in them for a part of the name. Longer ones are encoded words.
 */
#define QUOTED_MAX 70

void field_text(struct header *h, struct str text)
{
    if (text.len == 0)
        return;
    if (word_is_needed(text) || !header_can_fold(text))
        word_encode(h, text);
    else
        header_verbatim(h, text);
}

/* Atoms with one blank between them: can stand as a phrase unquoted. */
static bool is_atoms(struct str s)
{
    bool after_atom = false;
    for (size_t i = 0; i < s.len; i++) {
        bool blank = s.data[i] == ' ';
        if (blank ? !after_atom : !chars_is_atext(s.data[i]))
            return false;
        after_atom = !blank;
    }
    return after_atom;
}

/* False when the quoted string would be longer than QUOTED_MAX. */
static bool write_quoted(struct header *h, struct str s)
{
    char quoted[QUOTED_MAX];
    size_t len = 0;
    quoted[len++] = '"';
    for (size_t i = 0; i < s.len; i++) {
        if (len + 3 > sizeof(quoted))
            return false;
        if (s.data[i] == '"' || s.data[i] == '\\')
            quoted[len++] = '\\';
        quoted[len++] = s.data[i];
    }
    quoted[len++] = '"';
    header_token(h, str_of(quoted, len));
    return true;
}

static void write_phrase(struct header *h, struct str s)
{
    if (!word_is_needed(s) && s.len <= QUOTED_MAX) {
        if (is_atoms(s)) {
            header_token(h, s);
            return;
        }
        if (write_quoted(h, s))
            return;
    }
    word_encode(h, s);
}

void field_mailbox(struct header *h, const struct address *a)
{
    struct str mailbox = str_from(a->mailbox);
    char angle[ADDRESS_MAX + 2];
    struct buf display;
    buf_init(&display, a->display.len);
    address_add_display(a, &display);
    if (display.len == 0) {
        header_item(h, mailbox);
    } else {
        write_phrase(h, buf_str(&display));
        angle[0] = '<';
        memcpy(angle + 1, mailbox.data, mailbox.len);
        angle[mailbox.len + 1] = '>';
        header_item(h, str_of(angle, mailbox.len + 2));
    }
    buf_fini(&display);
}
