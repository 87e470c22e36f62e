#ifndef CORE_FILE_H
#define CORE_FILE_H

#include "core/buf.h"
#include "core/err.h"

/*
 * Adds a whole file to out. ERR_TOO_LARGE when out's cap is passed; err names
 * the path. Blocking: as long as the disk takes.
 */
MUST_CHECK enum err_code file_read(const char *path, struct buf *out,
                                   struct err *err);

#endif
