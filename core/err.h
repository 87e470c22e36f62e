#ifndef CORE_ERR_H
#define CORE_ERR_H

/*
 * Errors of the world and of input: a code by value, and a sentence for a
 * person in the caller's struct err. Bugs of ours go to panic.h; a mail that
 * a relay refused is an outcome (smtp/outcome.h), not an error.
 */

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_index)                                 \
    __attribute__((format(printf, format_index, first_index)))

enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,   /* input or setting refused */
    ERR_TOO_LARGE, /* a limit in size was passed */
    ERR_FULL,      /* a limit in number was reached; room may come */
    ERR_AGAIN,     /* nothing to be had now without blocking */
    ERR_TIMEOUT,   /* the deadline passed */
    ERR_CLOSED,    /* the other side, or the object, was closed */
    ERR_NOT_FOUND,
    ERR_EXISTS, /* somebody else has it already */
    ERR_DENIED, /* permission */
    ERR_SYSTEM, /* a system or library call failed */
};

struct err {
    enum err_code code;
    char text[320]; /* what was wrong, where, and what to do; no newline */
};

/*
 * Set err (which may be NULL) to code and the formatted text, cut to what
 * fits. Returns code, so that `return err_set(err, ERR_INVALID, ...)` works.
 */
enum err_code err_set(struct err *err, enum err_code code, const char *format,
                      ...) PRINTF_LIKE(3, 4);

/*
 * As err_set() with ": " and the words for errno_value behind the text.
 * EACCES and EPERM give ERR_DENIED, ENOENT ERR_NOT_FOUND, EADDRINUSE and
 * EEXIST ERR_EXISTS, anything else ERR_SYSTEM.
 */
enum err_code err_system(struct err *err, int errno_value, const char *format,
                         ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before the text that err has. Returns err->code. */
enum err_code err_prefix(struct err *err, const char *format, ...)
    PRINTF_LIKE(2, 3);

#endif
