#include "core/base64.h"

#include <openssl/evp.h>

/* OpenSSL counts in int: a multiple of 3 and of 4 well below INT_MAX. */
#define PIECE ((size_t)3 << 24)

static size_t encode(char *out, struct str data)
{
    return (size_t)EVP_EncodeBlock(
        (unsigned char *)out, (const unsigned char *)data.data, (int)data.len);
}

void base64_encode(struct str data, struct buf *out)
{
    while (data.len > 0) {
        /* EVP_EncodeBlock ends with a NUL: the last four are put there. */
        char last[5];
        size_t piece = data.len < PIECE ? data.len : PIECE;
        size_t whole = (piece - 1) / 3 * 3;
        char *room = buf_reserve(out, whole / 3 * 4 + 4);
        if (room == NULL)
            return;
        size_t len = whole > 0 ? encode(room, str_of(data.data, whole)) : 0;
        (void)encode(last, str_of(data.data + whole, piece - whole));
        memcpy(room + len, last, 4);
        out->len += len + 4;
        data = str_after(data, piece);
    }
}

/* What each byte stands for; BAD_BIT for what is no digit of base64. */
#define BAD_BIT 0x80U

struct digits {
    unsigned char value[256];
};

static void digits_init(struct digits *d)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789+/";
    memset(d->value, BAD_BIT, sizeof(d->value));
    for (unsigned char i = 0; i < 64; i++)
        d->value[(unsigned char)alphabet[i]] = i;
}

/* Four digits to three bytes; false when one is none. */
static bool decode_group(const struct digits *d, const char *text,
                         unsigned char out[3])
{
    const unsigned char *in = (const unsigned char *)text;
    unsigned a = d->value[in[0]];
    unsigned b = d->value[in[1]];
    unsigned c = d->value[in[2]];
    unsigned e = d->value[in[3]];
    out[0] = (unsigned char)(a << 2 | b >> 4);
    out[1] = (unsigned char)(b << 4 | c >> 2);
    out[2] = (unsigned char)(c << 6 | e);
    return ((a | b | c | e) & BAD_BIT) == 0;
}

/* text has no padding. */
static bool decode(const struct digits *d, struct str text, char *out)
{
    unsigned char *at = (unsigned char *)out;
    bool good = true;
    for (size_t i = 0; i + 4 <= text.len; i += 4, at += 3)
        good &= decode_group(d, text.data + i, at);
    return good;
}

/* The last group may have one or two "=", and no bit set that none needs. */
static bool decode_last(const struct digits *d, const char text[4],
                        struct buf *out)
{
    char group[4];
    unsigned char bytes[3];
    size_t len = 3;
    memcpy(group, text, sizeof(group));
    if (group[3] == '=') {
        group[3] = 'A';
        len = 2;
        if (group[2] == '=') {
            group[2] = 'A';
            len = 1;
        }
    }
    if (!decode_group(d, group, bytes))
        return false;
    for (size_t i = len; i < 3; i++)
        if (bytes[i] != 0)
            return false;
    buf_add(out, bytes, len);
    return true;
}

enum err_code base64_decode(struct str text, struct buf *out)
{
    struct digits digits;
    if (text.len % 4 != 0)
        return ERR_INVALID;
    if (text.len == 0)
        return ERR_NONE;
    size_t whole = text.len - 4;
    digits_init(&digits);
    if (whole > 0) {
        char *room = buf_reserve(out, whole / 4 * 3);
        if (room == NULL)
            return ERR_TOO_LARGE;
        if (!decode(&digits, str_of(text.data, whole), room))
            return ERR_INVALID;
        out->len += whole / 4 * 3;
    }
    if (!decode_last(&digits, text.data + whole, out))
        return ERR_INVALID;
    return buf_ok(out) ? ERR_NONE : ERR_TOO_LARGE;
}
