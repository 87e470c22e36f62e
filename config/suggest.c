#include "config/suggest.h"

#define WORD_MAX 64

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static unsigned char cell(unsigned char (*d)[WORD_MAX + 1], struct str a,
                          struct str b, size_t i, size_t j)
{
    char x = ascii_lower(a.data[i - 1]);
    char y = ascii_lower(b.data[j - 1]);
    size_t best = least(d[i - 1][j], d[i][j - 1]) + (size_t)1;
    best = least(best, d[i - 1][j - 1] + (x == y ? 0U : 1U));
    if (i > 1 && j > 1 && x == ascii_lower(b.data[j - 2]) &&
        y == ascii_lower(a.data[i - 2]))
        best = least(best, d[i - 2][j - 2] + (size_t)1);
    return (unsigned char)best;
}

/* Insertions, deletions, replacements and swaps that lead from a to b. */
static size_t distance(struct str a, struct str b)
{
    unsigned char d[WORD_MAX + 1][WORD_MAX + 1];
    if (a.len > WORD_MAX || b.len > WORD_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= a.len; i++)
        d[i][0] = (unsigned char)i;
    for (size_t j = 0; j <= b.len; j++)
        d[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= a.len; i++)
        for (size_t j = 1; j <= b.len; j++)
            d[i][j] = cell(d, a, b, i, j);
    return d[a.len][b.len];
}

void suggest_init(struct suggest *s, struct str word)
{
    /* A third of the letters may be wrong, at most three. */
    *s = (struct suggest){.word = word, .distance = word.len / 3 + 1};
    if (s->distance > 4)
        s->distance = 4;
}

void suggest_offer(struct suggest *s, struct str known)
{
    size_t d = distance(s->word, known);
    if (d >= s->distance)
        return;
    s->distance = d;
    s->best = known;
}
