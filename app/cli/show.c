#include "app/cli/show.h"

#include <stdbool.h>
#include <time.h>

#include "core/buf.h"
#include "core/utf8.h"

/* Input bytes that an excerpt shows at most. */
#define EXCERPT_BYTES ((size_t)60)

static bool is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
           c == 0x061c;
}

static void add_unsafe(struct buf *out, uint32_t c)
{
    if (c == '\n')
        buf_add_text(out, "\\n");
    else if (c == '\r')
        buf_add_text(out, "\\r");
    else if (c == '\t')
        buf_add_text(out, "\\t");
    else
        buf_add_format(out, c < 0x80 ? "\\x%02x" : "\\u%04x", c);
}

static void add_safe(struct buf *out, struct str text)
{
    size_t at = 0;
    while (at < text.len) {
        uint32_t c;
        size_t len = utf8_next(text, at, &c);
        if (len == 0) {
            buf_add_format(out, "\\x%02x", (unsigned char)text.data[at]);
            at++;
            continue;
        }
        if (is_unsafe(c))
            add_unsafe(out, c);
        else
            buf_add(out, text.data + at, len);
        at += len;
    }
}

void show_text(FILE *out, struct str text)
{
    struct buf safe;
    buf_init(&safe, text.len * 6 + 1);
    add_safe(&safe, text);
    if (safe.len > 0)
        (void)fwrite(safe.data, 1, safe.len, out);
    buf_fini(&safe);
}

void show_text_cut(FILE *out, struct str text, size_t max)
{
    if (text.len <= max) {
        show_text(out, text);
        return;
    }
    size_t len = 0;
    for (;;) {
        size_t step = utf8_next(text, len, NULL);
        step = step > 0 ? step : 1;
        if (len + step + 3 > max)
            break;
        len += step;
    }
    show_text(out, str_of(text.data, len));
    (void)fputs("...", out);
}

void show_excerpt(struct str text, char out[SHOW_EXCERPT_MAX])
{
    struct buf safe;
    struct str part = text;
    buf_init(&safe, EXCERPT_BYTES * 6);
    part.len = part.len < EXCERPT_BYTES ? part.len : EXCERPT_BYTES;
    add_safe(&safe, part);
    struct str shown = buf_str(&safe);
    bool cut = part.len < text.len || shown.len > SHOW_EXCERPT_MAX - 8;
    if (shown.len > SHOW_EXCERPT_MAX - 8)
        shown.len = SHOW_EXCERPT_MAX - 8;
    (void)snprintf(out, SHOW_EXCERPT_MAX, "\"%.*s\"%s", STR_ARG(shown),
                   cut ? "..." : "");
    buf_fini(&safe);
}

void show_relative(int64_t real_ms, int64_t now_ms, char out[SHOW_RELATIVE_MAX])
{
    static const struct {
        int64_t below_s; /* first unit whose bound is not reached */
        int64_t unit_s;
        const char *name;
    } units[] = {
        {120, 1, "s"},
        {7200, 60, "min"},
        {172800, 3600, "h"},
        {INT64_MAX, 86400, "days"},
    };
    int64_t apart_ms = real_ms > now_ms ? real_ms - now_ms : now_ms - real_ms;
    int64_t apart_s = apart_ms / 1000;
    size_t i = 0;
    if (apart_s == 0) {
        (void)snprintf(out, SHOW_RELATIVE_MAX, "now");
        return;
    }
    while (apart_s >= units[i].below_s)
        i++;
    (void)snprintf(out, SHOW_RELATIVE_MAX,
                   real_ms > now_ms ? "in %lld %s" : "%lld %s ago",
                   (long long)(apart_s / units[i].unit_s), units[i].name);
}

void show_time(FILE *out, int64_t real_ms, int64_t now_ms)
{
    char relative[SHOW_RELATIVE_MAX];
    char text[40] = "";
    time_t seconds = (time_t)(real_ms / 1000);
    struct tm parts;
    if (localtime_r(&seconds, &parts) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
    show_relative(real_ms, now_ms, relative);
    (void)fprintf(out, "%s (%s)", text, relative);
}

void show_number(int64_t number, char out[SHOW_NUMBER_MAX])
{
    char digits[SHOW_NUMBER_MAX];
    size_t to = 0;
    int len = snprintf(digits, sizeof(digits), "%lld", (long long)number);
    for (int i = 0; i < len && to + 1 < SHOW_NUMBER_MAX; i++) {
        out[to++] = digits[i];
        int behind = len - 1 - i;
        if (digits[i] != '-' && behind > 0 && behind % 3 == 0)
            out[to++] = ',';
    }
    out[to] = '\0';
}
