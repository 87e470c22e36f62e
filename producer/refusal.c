#include "producer/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/panic.h"
#include "core/utf8.h"

struct word {
    const char *name;
    bool retry;
    int64_t retry_after_ms;
};

static const struct word words[REFUSAL_COUNT] = {
    [REFUSAL_NONE] = {"", false, 0},
    [REFUSAL_BAD_FRAME] = {"bad_frame", false, 0},
    [REFUSAL_BAD_JSON] = {"bad_json", false, 0},
    [REFUSAL_TOO_LARGE] = {"too_large", false, 0},
    [REFUSAL_UNKNOWN_OP] = {"unknown_op", false, 0},
    [REFUSAL_UNKNOWN_FIELD] = {"unknown_field", false, 0},
    [REFUSAL_MISSING_FIELD] = {"missing_field", false, 0},
    [REFUSAL_BAD_TYPE] = {"bad_type", false, 0},
    [REFUSAL_BAD_VALUE] = {"bad_value", false, 0},
    [REFUSAL_BAD_ADDRESS] = {"bad_address", false, 0},
    [REFUSAL_BAD_HEADER] = {"bad_header", false, 0},
    [REFUSAL_BAD_ATTACHMENT] = {"bad_attachment", false, 0},
    [REFUSAL_TOO_MANY_RECIPIENTS] = {"too_many_recipients", false, 0},
    [REFUSAL_KEY_CONFLICT] = {"key_conflict", false, 0},
    [REFUSAL_FORBIDDEN] = {"forbidden", false, 0},
    [REFUSAL_RATE_LIMITED] = {"rate_limited", true, 1000},
    [REFUSAL_QUEUE_FULL] = {"queue_full", true, 500},
    [REFUSAL_SPOOL_FULL] = {"spool_full", true, 2000},
    [REFUSAL_SHUTTING_DOWN] = {"shutting_down", true, 2000},
    [REFUSAL_NOT_FOUND] = {"not_found", false, 0},
    [REFUSAL_NOT_CANCELLABLE] = {"not_cancellable", false, 0},
    [REFUSAL_INTERNAL] = {"internal", true, 2000},
};

const char *refusal_name(enum refusal_word word)
{
    return words[word].name;
}

bool refusal_may_retry(enum refusal_word word)
{
    return words[word].retry;
}

int64_t refusal_retry_after_ms(enum refusal_word word)
{
    return words[word].retry_after_ms;
}

/* Cut at a character; nothing in it that breaks a line or is no UTF-8. */
static void clean(char *out, size_t size, struct str s)
{
    size_t at = 0;
    size_t len = 0;
    while (at < s.len) {
        uint32_t code_point = 0;
        size_t step = utf8_next(s, at, &code_point);
        bool plain = step > 0 && code_point >= 0x20 && code_point != 0x7f &&
                     !(code_point >= 0x80 && code_point < 0xa0);
        size_t need = plain ? step : 1;
        if (len + need >= size)
            break;
        if (plain)
            memcpy(out + len, s.data + at, step);
        else
            out[len] = '?';
        len += need;
        at += step > 0 ? step : 1;
    }
    out[len] = '\0';
}

bool refusal_set(struct refusal *r, enum refusal_word word, const char *field,
                 const char *format, ...)
{
    char text[2 * sizeof(r->text)];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    PANIC_IF(len < 0);
    r->word = word;
    clean(r->field, sizeof(r->field), str_from(field));
    clean(r->text, sizeof(r->text), str_from(text));
    return false;
}

bool refusal_set_member(struct refusal *r, enum refusal_word word,
                        const char *prefix, struct str name, const char *text)
{
    char path[2 * sizeof(r->field)];
    const size_t half = sizeof(path) / 2;
    int joined = snprintf(path, half, "%s%s", prefix, *prefix ? "." : "");
    PANIC_IF(joined < 0);
    size_t len = (size_t)joined < half ? (size_t)joined : half - 1;
    size_t more = name.len < half ? name.len : half;
    if (more > 0)
        memcpy(path + len, name.data, more);
    r->word = word;
    clean(r->field, sizeof(r->field), str_of(path, len + more));
    clean(r->text, sizeof(r->text), str_from(text));
    return false;
}

static enum refusal_word word_of(enum problem_kind kind)
{
    switch (kind) {
    case PROBLEM_MISSING_FIELD:
        return REFUSAL_MISSING_FIELD;
    case PROBLEM_BAD_VALUE:
        return REFUSAL_BAD_VALUE;
    case PROBLEM_BAD_ADDRESS:
        return REFUSAL_BAD_ADDRESS;
    case PROBLEM_BAD_HEADER:
        return REFUSAL_BAD_HEADER;
    case PROBLEM_BAD_ATTACHMENT:
        return REFUSAL_BAD_ATTACHMENT;
    case PROBLEM_TOO_MANY_RECIPIENTS:
        return REFUSAL_TOO_MANY_RECIPIENTS;
    case PROBLEM_TOO_LARGE:
        return REFUSAL_TOO_LARGE;
    case PROBLEM_NONE:
        break;
    }
    return REFUSAL_INTERNAL;
}

bool refusal_from_problem(struct refusal *r, const struct problem *problem)
{
    return refusal_set(r, word_of(problem->kind), problem->field, "%s",
                       problem->text);
}
