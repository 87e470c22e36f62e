#ifndef MESSAGE_PROBLEM_H
#define MESSAGE_PROBLEM_H

#include "core/err.h"

/*
 * Why a draft cannot become a mail, in the client's terms. The kinds are the
 * protocol's error words (docs/protocol.md); producer/ turns them into text.
 */
enum problem_kind {
    PROBLEM_NONE,
    PROBLEM_MISSING_FIELD,
    PROBLEM_BAD_VALUE,
    PROBLEM_BAD_ADDRESS,
    PROBLEM_BAD_HEADER,
    PROBLEM_BAD_ATTACHMENT,
    PROBLEM_TOO_MANY_RECIPIENTS,
    PROBLEM_TOO_LARGE,
};

struct problem {
    enum problem_kind kind;
    char field[64]; /* "to[1]", "attachments[0].filename", "" for none */
    char text[256]; /* a sentence for a person, valid UTF-8, one line */
};

/*
 * Sets p; the text is cut at a character to what fits, and control
 * characters in it become "?". Returns kind.
 */
enum problem_kind problem_set(struct problem *p, enum problem_kind kind,
                              const char *field, const char *format, ...)
    PRINTF_LIKE(4, 5);

#endif
