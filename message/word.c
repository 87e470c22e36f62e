#include "message/word.h"

#include "core/utf8.h"
#include "message/chars.h"
#include "message/transfer.h"

#define PREFIX_LEN 10 /* "=?UTF-8?Q?" */
#define SUFFIX_LEN 2  /* "?=" */
#define WORD_MAX   75

/* A word shorter than this at the end of a line is not worth it. */
#define PAYLOAD_MIN 16

bool word_is_needed(struct str text)
{
    return text.data[0] == ' ' || text.data[text.len - 1] == ' ' ||
           str_contains(text, STR("=?")) || !utf8_is_ascii(text);
}

static bool is_literal(char c)
{
    return chars_is_alnum(c) || chars_is_one_of(STR("!*+-/"), c);
}

static size_t q_len(struct str s)
{
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++)
        len += is_literal(s.data[i]) || s.data[i] == ' ' ? 1 : 3;
    return len;
}

static size_t b_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

static size_t char_len(struct str s, size_t at)
{
    size_t len = utf8_next(s, at, NULL);
    return len == 0 ? 1 : len;
}

/* How many bytes of s, whole characters, are at most room of Q. */
static size_t take_q(struct str s, size_t room)
{
    size_t taken = 0;
    size_t used = 0;
    while (taken < s.len) {
        size_t len = char_len(s, taken);
        used += q_len(str_of(s.data + taken, len));
        if (used > room)
            break;
        taken += len;
    }
    return taken;
}

/*
 * How many bytes of s, whole characters, are at most room of B without
 * padding, save at the end of s: readers are about that join words before
 * they decode them, and stop at padding between. 0 when there is no such
 * place.
 */
static size_t take_b(struct str s, size_t room)
{
    size_t taken = 0;
    size_t at = 0;
    while (at < s.len) {
        at += char_len(s, at);
        if (b_len(at) > room)
            break;
        if (at % 3 == 0 || at == s.len)
            taken = at;
    }
    return taken;
}

static size_t write_q(char *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (is_literal(s.data[i]) || c == ' ') {
            out[len++] = (char)(c == ' ' ? '_' : c);
            continue;
        }
        out[len++] = '=';
        out[len++] = hex[c >> 4];
        out[len++] = hex[c & 15];
    }
    return len;
}

void word_encode(struct header *h, struct str text)
{
    bool prefer_b = b_len(text.len) < q_len(text);
    const size_t around = PREFIX_LEN + SUFFIX_LEN;
    while (text.len > 0) {
        char word[WORD_MAX];
        if (h->column + 1 + around + PAYLOAD_MIN > HEADER_FOLD)
            header_fold(h);
        size_t room = HEADER_FOLD - 1 - around - h->column;
        size_t taken = prefer_b ? take_b(text, room) : 0;
        bool b = taken > 0;
        if (!b)
            taken = take_q(text, room);
        struct str piece = str_of(text.data, taken);
        struct str prefix = b ? STR("=?UTF-8?B?") : STR("=?UTF-8?Q?");
        memcpy(word, prefix.data, PREFIX_LEN);
        size_t len = b ? transfer_base64_raw(word + PREFIX_LEN, piece)
                       : write_q(word + PREFIX_LEN, piece);
        word[PREFIX_LEN + len] = '?';
        word[PREFIX_LEN + len + 1] = '=';
        header_token(h, str_of(word, len + around));
        text = str_after(text, taken);
    }
}
