#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

PRINTF_LIKE(3, 0)
static void vformat(struct err *err, enum err_code code, const char *format,
                    va_list args)
{
    err->code = code;
    if (vsnprintf(err->text, sizeof(err->text), format, args) < 0)
        err->text[0] = '\0';
    for (char *p = err->text; *p != '\0'; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
}

enum err_code err_set(struct err *err, enum err_code code, const char *format,
                      ...)
{
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, format);
    vformat(err, code, format, args);
    va_end(args);
    return code;
}

static enum err_code code_of_errno(int errno_value)
{
    switch (errno_value) {
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EADDRINUSE:
    case EEXIST:
        return ERR_EXISTS;
    default:
        return ERR_SYSTEM;
    }
}

enum err_code err_system(struct err *err, int errno_value, const char *format,
                         ...)
{
    enum err_code code = code_of_errno(errno_value);
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, format);
    vformat(err, code, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    char words[96];
    /* The GNU form: it may return a static string instead of words. */
    const char *text = strerror_r(errno_value, words, sizeof(words));
    (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", text);
    return code;
}

enum err_code err_prefix(struct err *err, const char *format, ...)
{
    char old[sizeof(err->text)];
    memcpy(old, err->text, sizeof(old));
    va_list args;
    va_start(args, format);
    vformat(err, err->code, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", old);
    return err->code;
}
