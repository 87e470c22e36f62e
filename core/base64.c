#include "core/base64.h"

#include <openssl/evp.h>

/* OpenSSL counts in int: a multiple of 3 and of 4 well below INT_MAX. */
#define PIECE ((size_t)3 << 24)

void base64_encode(struct str data, struct buf *out)
{
    while (data.len > 0) {
        size_t piece = data.len < PIECE ? data.len : PIECE;
        /* EVP_EncodeBlock ends its output with a NUL. */
        char *room = buf_reserve(out, (piece + 2) / 3 * 4 + 1);
        if (room == NULL)
            return;
        int len = EVP_EncodeBlock((unsigned char *)room,
                                  (const unsigned char *)data.data, (int)piece);
        out->len += (size_t)len;
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

enum err_code base64_decode(struct str text, struct buf *out)
{
    size_t padding;
    if (!is_strict(text, &padding))
        return ERR_INVALID;
    while (text.len > 0) {
        size_t piece = text.len < PIECE ? text.len : PIECE;
        char *room = buf_reserve(out, piece / 4 * 3);
        if (room == NULL)
            return ERR_TOO_LARGE;
        int len = EVP_DecodeBlock((unsigned char *)room,
                                  (const unsigned char *)text.data, (int)piece);
        if (len < 0)
            return ERR_INVALID;
        out->len += (size_t)len;
        text = str_after(text, piece);
    }
    out->len -= padding;
    return ERR_NONE;
}
