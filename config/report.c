#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

#define WHOLE_FILE 0U /* lines count from 1 */

void report_init(struct report *r)
{
    *r = (struct report){0};
}

void report_fini(struct report *r)
{
    for (size_t i = 0; i < r->count; i++)
        mem_free(r->entries[i].text);
    mem_free(r->entries);
    report_init(r);
}

PRINTF_LIKE(4, 0)
static void add(struct report *r, unsigned line, bool is_warning,
                const char *format, va_list args)
{
    char text[640];
    if (r->count == REPORT_MAX) {
        r->left_out++;
        return;
    }
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    if (r->count == r->capacity) {
        r->capacity = r->capacity == 0 ? 8 : r->capacity * 2;
        r->entries = mem_realloc(r->entries, r->capacity * sizeof(*r->entries));
    }
    r->entries[r->count] = (struct report_entry){line, is_warning, r->count,
                                                 mem_strdup(str_from(text))};
    r->count++;
}

void report_problem(struct report *r, unsigned line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(r, line, false, format, args);
    va_end(args);
    r->problems++;
}

void report_file_problem(struct report *r, const char *sentence)
{
    report_problem(r, WHOLE_FILE, "%s", sentence);
}

void report_warning(struct report *r, unsigned line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(r, line, true, format, args);
    va_end(args);
}

static int by_line(const void *left, const void *right)
{
    const struct report_entry *a = left;
    const struct report_entry *b = right;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

void report_write(struct report *r, const struct source *source,
                  struct buf *problems, struct buf *warnings)
{
    if (r->count > 1)
        qsort(r->entries, r->count, sizeof(*r->entries), by_line);
    for (size_t i = 0; i < r->count; i++) {
        const struct report_entry *e = &r->entries[i];
        const struct source_line *at = source_at(source, e->line);
        struct buf *out = e->is_warning ? warnings : problems;
        if (out != NULL && e->line == WHOLE_FILE)
            buf_add_format(out, "%s: %s\n", at->file, e->text);
        else if (out != NULL)
            buf_add_format(out, "%s:%u: %s\n", at->file, at->number, e->text);
    }
    if (r->left_out > 0 && problems != NULL)
        buf_add_format(problems, "%s:1: and %zu more\n",
                       source_at(source, 1)->file, r->left_out);
}
