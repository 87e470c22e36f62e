#ifndef APP_SINK_SINK_JSON_H
#define APP_SINK_SINK_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/str.h"

/*
 * One JSON object after another, each on its line (RFC 8259). Bytes that are
 * no UTF-8 become U+FFFD.
 */
void sink_json_begin(struct buf *out);
void sink_json_end(struct buf *out); /* with a newline */

void sink_json_text(struct buf *out, const char *name, struct str value);
void sink_json_number(struct buf *out, const char *name, uint64_t value);
void sink_json_bool(struct buf *out, const char *name, bool value);
void sink_json_null(struct buf *out, const char *name);

/* text, or null when value.data is NULL. */
void sink_json_text_or_null(struct buf *out, const char *name,
                            struct str value);

/* "name":[ ; then any number of elements; then ] */
void sink_json_array(struct buf *out, const char *name);
void sink_json_element(struct buf *out, struct str value);
void sink_json_array_end(struct buf *out);

/* "name":{ ; then members; then } */
void sink_json_object(struct buf *out, const char *name);
void sink_json_object_end(struct buf *out);

#endif
