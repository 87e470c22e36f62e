#include "message/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/str.h"
#include "message/quote.h"

PRINTF_LIKE(3, 0)
static void vformat(char *out, size_t size, const char *format, va_list args)
{
    if (vsnprintf(out, size, format, args) < 0)
        out[0] = '\0';
}

enum problem_kind problem_set(struct problem *p, enum problem_kind kind,
                              const char *field, const char *format, ...)
{
    char raw[sizeof(p->text) * 2];
    va_list args;
    va_start(args, format);
    vformat(raw, sizeof(raw), format, args);
    va_end(args);
    p->kind = kind;
    (void)quote_clean(p->field, sizeof(p->field), str_from(field));
    (void)quote_clean(p->text, sizeof(p->text), str_from(raw));
    return kind;
}
