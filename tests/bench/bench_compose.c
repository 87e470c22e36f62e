/*
 * Composes mails of several kinds over and over and prints what one costs in
 * CPU time and in bytes a second: compose_bench [SECONDS a kind].
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/random.h"
#include "message/compose.h"

struct kind {
    const char *name;
    struct draft draft;
};

static int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* len bytes of lines of about 72, each made of pattern. */
static struct str lines(const char *pattern, size_t len)
{
    size_t step = strlen(pattern);
    char *text = mem_alloc(len + step);
    size_t at = 0;
    size_t column = 0;
    while (at + step < len) {
        memcpy(text + at, pattern, step);
        at += step;
        column += step;
        if (column >= 72) {
            text[at++] = '\n';
            column = 0;
        }
    }
    return str_of(text, at);
}

static struct str noise(size_t len)
{
    struct random r;
    char *data = mem_alloc(len);
    random_init(&r, 1);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)random_next(&r);
    return str_of(data, len);
}

static const struct compose_options options = {
    .date_ms = 1795000000000,
    .id = "01jd0000000000000000000000",
    .hostname = "mail.example.com",
    .max_recipients = 100,
};

/* Returns the message's size, 0 when it was refused. */
static size_t once(const struct draft *draft)
{
    struct envelope envelope;
    struct buf out;
    struct problem problem;
    envelope_init(&envelope);
    buf_init(&out, (size_t)256 << 20);
    enum problem_kind kind =
        compose(draft, &options, &envelope, &out, &problem);
    size_t size = kind == PROBLEM_NONE ? out.len : 0;
    if (kind != PROBLEM_NONE)
        (void)fprintf(stderr, "%s: %s\n", problem.field, problem.text);
    buf_fini(&out);
    envelope_fini(&envelope);
    return size;
}

static bool measure(const struct kind *kind, double seconds)
{
    int64_t limit_ns = (int64_t)(seconds * 1e9);
    size_t size = once(&kind->draft);
    if (size == 0)
        return false;
    int64_t began = cpu_ns();
    int64_t spent = 0;
    long rounds = 0;
    do {
        for (int i = 0; i < (size > 100000 ? 1 : 100); i++, rounds++)
            if (once(&kind->draft) != size)
                return false;
        spent = cpu_ns() - began;
    } while (spent < limit_ns);
    double each_us = (double)spent / 1e3 / (double)rounds;
    (void)printf("%-34s %10zu bytes %10.2f us %8.0f MB/s\n", kind->name, size,
                 each_us, (double)size / each_us);
    return true;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
    struct str to = STR("Max Example <max@example.org>");
    struct str five[] = {STR("a@example.org"), STR("b@example.org"),
                         STR("\"C, D\" <c@example.org>"),
                         STR("d@example.org, e@example.org")};
    const struct draft base = {.from = STR("Shop <shop@example.com>"),
                               .has_from = true,
                               .to = {.items = &to, .count = 1},
                               .subject = STR("Your order has been sent"),
                               .has_subject = true,
                               .has_text = true};
    struct draft_attachment noise_10m = {.filename = STR("noise.bin"),
                                         .content = noise(10 << 20)};
    struct kind kinds[] = {{"text 2 KiB, ASCII", base},
                           {"text 2 KiB, ASCII, CRLF", base},
                           {"text 2 KiB, German", base},
                           {"text 2 KiB, Chinese", base},
                           {"text and html 2 KiB, 5 recipients", base},
                           {"text 10 MiB, ASCII", base},
                           {"text 10 MiB, German", base},
                           {"attachment 10 MiB", base}};
    kinds[0].draft.text = lines("The quick fox. ", 2048);
    kinds[1].draft.text = lines("Pack my box with five dozen jugs\r\n", 2048);
    kinds[2].draft.text = lines("Schöne Grüße aus Köln. ", 2048);
    kinds[3].draft.text = lines("敏捷的棕色狐狸跳过", 2048);
    kinds[4].draft.text = lines("The quick fox. ", 1024);
    kinds[4].draft.html = lines("<p>The quick fox.</p>", 1024);
    kinds[4].draft.has_html = true;
    kinds[4].draft.to = (struct draft_list){five, 4, true};
    kinds[4].draft.subject = STR("Grüße aus Köln");
    kinds[5].draft.text = lines("The quick fox. ", 10 << 20);
    kinds[6].draft.text = lines("Schöne Grüße aus Köln. ", 10 << 20);
    kinds[7].draft.text = STR("See the attachment.\n");
    kinds[7].draft.attachments = &noise_10m;
    kinds[7].draft.attachment_count = 1;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!measure(&kinds[i], seconds))
            return 1;
    return 0;
}
