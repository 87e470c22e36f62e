#ifndef APP_SINK_SINK_FAULT_PARSE_H
#define APP_SINK_SINK_FAULT_PARSE_H

#include "app/sink/sink_fault.h"
#include "core/err.h"
#include "core/str.h"

/*
 * "STAGE:ITEM,ITEM..." into a rule, whose reply the caller frees with
 * mem_free(). *out keeps views of text. ERR_INVALID with a helpful err; *out
 * is untouched then.
 */
MUST_CHECK enum err_code
sink_fault_parse(struct str text, struct sink_fault *out, struct err *err);

#endif
