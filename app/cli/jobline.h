#ifndef APP_CLI_JOBLINE_H
#define APP_CLI_JOBLINE_H

#include "core/err.h"
#include "core/str.h"

/*
 * Whether a line may go to the daemon as a job: it begins with '{' (another
 * byte would choose the other framing), its "op" if any is "submit" (a file
 * of jobs is to cancel none), and it has no "raw_bytes" (the lines behind it
 * would be taken for a message). Everything else is the daemon's to judge,
 * JSON that is broken included.
 *
 * ERR_INVALID says what is wrong.
 */
MUST_CHECK enum err_code jobline_check(struct str line, struct err *err);

#endif
