#ifndef APP_CLI_CONTENT_TYPE_H
#define APP_CLI_CONTENT_TYPE_H

#include "core/str.h"

/*
 * The media type that a file name's ending stands for;
 * "application/octet-stream" for endings it does not know. Static.
 */
const char *content_type_of(struct str file_name);

#endif
