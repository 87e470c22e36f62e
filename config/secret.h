#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include "core/err.h"

/*
 * Passwords from files and the environment. *out is a NUL-terminated string
 * for secret_free(). No error text has any part of the secret in it.
 */
#define SECRET_MAX_BYTES 1024

/*
 * The file's bytes without one newline at its end. Refused: what is no plain
 * file, a file that everybody may read or write, an empty or large one, NUL,
 * CR or LF in the secret. Blocking: as long as the disk takes.
 */
MUST_CHECK enum err_code secret_from_file(const char *path, char **out,
                                          struct err *err);

MUST_CHECK enum err_code secret_from_env(const char *name, char **out,
                                         struct err *err);

/* Wipes and frees. NULL is allowed. */
void secret_free(char *secret);

#endif
