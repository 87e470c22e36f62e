#ifndef PRODUCER_OPS_H
#define PRODUCER_OPS_H

#include "core/str.h"
#include "producer/request.h"

/*
 * The operations of the protocol: a table of names and one function each.
 *
 * Reads text, the JSON of one request, and answers r now or later. text is
 * not used after the return; r may be gone by then. Sets r->raw_follows
 * before the answer when what comes next on the stream is no request.
 */
void ops_run(struct request *r, struct str text);

#endif
