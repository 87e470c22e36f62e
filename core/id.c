#include "core/id.h"

#include "core/random.h"

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

#define TIME_LEN 10

void id_new(struct id *id, int64_t real_ms)
{
    uint64_t time = (uint64_t)real_ms & ((1ULL << 48) - 1);
    unsigned char noise[ID_LEN - TIME_LEN];
    for (int i = TIME_LEN - 1; i >= 0; i--) {
        id->text[i] = alphabet[time & 31];
        time >>= 5;
    }
    random_secure(noise, sizeof(noise));
    for (size_t i = 0; i < sizeof(noise); i++)
        id->text[TIME_LEN + i] = alphabet[noise[i] & 31];
    id->text[ID_LEN] = '\0';
}

bool id_parse(struct str text, struct id *id)
{
    /* 48 bits in ten characters of five: the first holds three of them. */
    if (text.len != ID_LEN || text.data[0] > '7')
        return false;
    for (size_t i = 0; i < ID_LEN; i++)
        if (text.data[i] == '\0' || strchr(alphabet, text.data[i]) == NULL)
            return false;
    memcpy(id->text, text.data, ID_LEN);
    id->text[ID_LEN] = '\0';
    return true;
}
