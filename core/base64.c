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

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* EVP_DecodeBlock trims blanks and trusts padding, so look first. */
static bool is_strict(struct str text, size_t *padding)
{
    *padding = 0;
    if (text.len % 4 != 0)
        return false;
    while (*padding < 2 && text.len > *padding &&
           text.data[text.len - 1 - *padding] == '=')
        ++*padding;
    for (size_t i = 0; i < text.len - *padding; i++)
        if (value_of(text.data[i]) < 0)
            return false;
    if (*padding == 0)
        return true;
    int last = value_of(text.data[text.len - 1 - *padding]);
    return (last & (*padding == 1 ? 3 : 15)) == 0;
}

static bool decode(char *out, struct str text)
{
    return EVP_DecodeBlock((unsigned char *)out,
                           (const unsigned char *)text.data,
                           (int)text.len) >= 0;
}

enum err_code base64_decode(struct str text, struct buf *out)
{
    size_t padding;
    if (!is_strict(text, &padding))
        return ERR_INVALID;
    while (text.len > 4) {
        size_t piece = text.len - 4 < PIECE ? text.len - 4 : PIECE;
        char *room = buf_reserve(out, piece / 4 * 3);
        if (room == NULL)
            return ERR_TOO_LARGE;
        if (!decode(room, str_of(text.data, piece)))
            return ERR_INVALID;
        out->len += piece / 4 * 3;
        text = str_after(text, piece);
    }
    if (text.len == 0)
        return ERR_NONE;
    /* The last three bytes may be fewer. */
    char last[3];
    if (!decode(last, text))
        return ERR_INVALID;
    buf_add(out, last, 3 - padding);
    return buf_ok(out) ? ERR_NONE : ERR_TOO_LARGE;
}
