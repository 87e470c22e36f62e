#include "message/transfer.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "message/chars.h"

#define LINE_MAX_7BIT 998

/* What TRANSFER_BASE64_BYTES give. */
#define BASE64_CHARS 76

#define EACH_01 0x0101010101010101ULL
#define EACH_60 0x6060606060606060ULL
#define EACH_80 0x8080808080808080ULL

/*
 * Sets the high bit of each byte of word that is an ASCII control character,
 * and clears all others. No carry leaves a byte: the sums are made of seven
 * bits each.
 */
static uint64_t control_bytes(uint64_t word)
{
    uint64_t low = word & ~EACH_80;
    uint64_t not_below_20 = low + EACH_60;
    uint64_t is_7f = low + EACH_01;
    return (~not_below_20 | is_7f) & ~word & EACH_80;
}

static size_t count_high_bytes(uint64_t word)
{
    /* The product's highest byte is the sum of all bytes. */
    return (size_t)(((word & EACH_80) >> 7) * EACH_01 >> 56);
}

struct look {
    struct transfer_facts *facts;
    struct str text;
    size_t line; /* where the line began */
};

static void end_line(struct look *l, size_t at, size_t next)
{
    if (at - l->line > l->facts->longest)
        l->facts->longest = at - l->line;
    l->line = next;
}

static void look_at(struct look *l, size_t at)
{
    const char *s = l->text.data;
    switch (s[at]) {
    case '\t':
        break;
    case '\r':
        l->facts->returns++;
        if (at + 1 < l->text.len && s[at + 1] == '\n') {
            end_line(l, at, at + 2);
        } else {
            l->facts->bare_breaks++;
            end_line(l, at, at + 1);
        }
        break;
    case '\n':
        if (at > 0 && s[at - 1] == '\r')
            break;
        l->facts->bare_breaks++;
        end_line(l, at, at + 1);
        break;
    default:
        l->facts->unsafe++;
        l->facts->high += chars_is_high(s[at]);
    }
}

void transfer_look(struct str text, struct transfer_facts *facts)
{
    struct look l = {.facts = facts, .text = text};
    size_t at = 0;
    *facts = (struct transfer_facts){0};
    for (; at + sizeof(uint64_t) <= text.len; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text.data + at, sizeof(word));
        uint64_t controls = control_bytes(le64toh(word));
        size_t high = count_high_bytes(word);
        facts->unsafe += high;
        facts->high += high;
        while (controls != 0) {
            look_at(&l, at + (size_t)__builtin_ctzll(controls) / 8);
            controls &= controls - 1;
        }
    }
    for (; at < text.len; at++)
        if (chars_is_control(text.data[at]) || chars_is_high(text.data[at]))
            look_at(&l, at);
    end_line(&l, text.len, text.len);
}

static size_t count(struct str s, char c)
{
    size_t found = 0;
    for (size_t i = 0; i < s.len; i++)
        found += s.data[i] == c;
    return found;
}

enum transfer transfer_shorter(size_t len, size_t escaped)
{
    size_t printable = len + 2 * escaped;
    /* Each full line of 75 costs "=" CRLF more. */
    printable += printable / 75 * 3;
    return printable <= transfer_base64_len(len) ? TRANSFER_QUOTED_PRINTABLE
                                                 : TRANSFER_BASE64;
}

enum transfer transfer_choose(struct str text,
                              const struct transfer_facts *facts,
                              struct str forbidden)
{
    if (facts->unsafe == 0 && facts->longest <= LINE_MAX_7BIT &&
        (forbidden.len == 0 || !str_contains(text, forbidden)))
        return TRANSFER_7BIT;
    size_t crlf_len = text.len + facts->bare_breaks;
    /* Counting the "=" can be spared where base64 is shorter without them. */
    if (transfer_shorter(crlf_len, facts->unsafe) == TRANSFER_BASE64)
        return TRANSFER_BASE64;
    return transfer_shorter(crlf_len, facts->unsafe + count(text, '='));
}

struct str transfer_name(enum transfer transfer)
{
    switch (transfer) {
    case TRANSFER_QUOTED_PRINTABLE:
        return STR("quoted-printable");
    case TRANSFER_BASE64:
        return STR("base64");
    case TRANSFER_7BIT:
    default:
        return STR("7bit");
    }
}

static size_t put(char *out, size_t at, struct str s)
{
    memcpy(out + at, s.data, s.len);
    return at + s.len;
}

/* With LF only: line by line, found by memchr. */
static size_t copy_lines(char *out, struct str text)
{
    size_t len = 0;
    while (text.len > 0) {
        size_t line = str_find(text, '\n');
        len = put(out, len, str_of(text.data, line));
        if (line < text.len)
            len = put(out, len, STR("\r\n"));
        text = str_after(text, line + 1);
    }
    return len;
}

static size_t copy_mixed(char *out, struct str text)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '\r' && text.data[i] != '\n') {
            out[len++] = text.data[i];
            continue;
        }
        len = put(out, len, STR("\r\n"));
        if (text.data[i] == '\r' && i + 1 < text.len &&
            text.data[i + 1] == '\n')
            i++;
    }
    return len;
}

static void write_crlf(struct buf *out, struct str text,
                       const struct transfer_facts *facts)
{
    if (facts->bare_breaks == 0) {
        buf_add_str(out, text);
        return;
    }
    char *room = buf_reserve(out, text.len + facts->bare_breaks);
    if (room != NULL)
        out->len += facts->returns == 0 ? copy_lines(room, text)
                                        : copy_mixed(room, text);
}

static void qp_end_line(struct transfer_qp *w, struct str end)
{
    w->len = put(w->line, w->len, end);
    buf_add(w->out, w->line, w->len);
    w->len = 0;
}

/* One byte, after a soft line break where no room for it and "=" is left. */
static void qp_add(struct transfer_qp *w, char c, bool literal)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char byte = (unsigned char)c;
    if (w->len + (literal ? 1 : 3) > TRANSFER_QP_LINE - 1) {
        qp_end_line(w, STR("=\r\n"));
        literal = literal && c != '-';
    }
    if (literal) {
        w->line[w->len++] = c;
        return;
    }
    w->line[w->len++] = '=';
    w->line[w->len++] = hex[byte >> 4];
    w->line[w->len++] = hex[byte & 15];
}

static bool is_line_end(struct str text, size_t at)
{
    return at >= text.len || text.data[at] == '\n' || text.data[at] == '\r';
}

void transfer_qp_begin(struct transfer_qp *w, struct buf *out)
{
    w->out = out;
    w->len = 0;
}

void transfer_qp_add(struct transfer_qp *w, struct str piece)
{
    for (size_t i = 0; i < piece.len && buf_ok(w->out); i++) {
        char c = piece.data[i];
        if (c == '\r' || c == '\n') {
            qp_end_line(w, STR("\r\n"));
            if (c == '\r' && i + 1 < piece.len && piece.data[i + 1] == '\n')
                i++;
        } else if (c == ' ' || c == '\t') {
            qp_add(w, c, !is_line_end(piece, i + 1));
        } else {
            qp_add(w, c, c > ' ' && c < 0x7f && c != '=');
        }
    }
}

void transfer_qp_end(struct transfer_qp *w)
{
    qp_end_line(w, STR(""));
}

static void write_qp(struct buf *out, struct str text)
{
    struct transfer_qp w;
    transfer_qp_begin(&w, out);
    transfer_qp_add(&w, text);
    transfer_qp_end(&w);
}

void transfer_text(struct buf *out, struct str text,
                   const struct transfer_facts *facts, enum transfer transfer)
{
    if (transfer == TRANSFER_7BIT) {
        write_crlf(out, text, facts);
    } else if (transfer == TRANSFER_QUOTED_PRINTABLE) {
        write_qp(out, text);
    } else {
        struct buf lines;
        buf_init(&lines, text.len + facts->bare_breaks);
        write_crlf(&lines, text, facts);
        transfer_base64(out, buf_str(&lines));
        /* No memory for the copy is no less than none for the message. */
        out->overflow = out->overflow || !buf_ok(&lines);
        buf_fini(&lines);
    }
}

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t transfer_base64_raw(char *out, struct str bytes)
{
    const unsigned char *in = (const unsigned char *)bytes.data;
    char *to = out;
    size_t left = bytes.len;
    for (; left >= 3; left -= 3, in += 3, to += 4) {
        uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        to[0] = base64_alphabet[group >> 18];
        to[1] = base64_alphabet[group >> 12 & 63];
        to[2] = base64_alphabet[group >> 6 & 63];
        to[3] = base64_alphabet[group & 63];
    }
    if (left > 0) {
        uint32_t group =
            (uint32_t)in[0] << 16 | (left == 2 ? (uint32_t)in[1] << 8 : 0);
        to[0] = base64_alphabet[group >> 18];
        to[1] = base64_alphabet[group >> 12 & 63];
        to[2] = (char)(left == 2 ? base64_alphabet[group >> 6 & 63] : '=');
        to[3] = '=';
        to += 4;
    }
    return (size_t)(to - out);
}

size_t transfer_base64_len(size_t len)
{
    size_t chars = (len + 2) / 3 * 4;
    return chars == 0 ? 0 : chars + (chars - 1) / BASE64_CHARS * 2;
}

void transfer_base64(struct buf *out, struct str bytes)
{
    char *room = buf_reserve(out, transfer_base64_len(bytes.len));
    if (room == NULL)
        return;
    size_t len = 0;
    while (bytes.len > TRANSFER_BASE64_BYTES) {
        len += transfer_base64_raw(room + len,
                                   str_of(bytes.data, TRANSFER_BASE64_BYTES));
        len = put(room, len, STR("\r\n"));
        bytes = str_after(bytes, TRANSFER_BASE64_BYTES);
    }
    out->len += len + transfer_base64_raw(room + len, bytes);
}
