#ifndef PRODUCER_STATS_H
#define PRODUCER_STATS_H

#include "core/buf.h"
#include "producer/answer.h"
#include "producer/producer.h"

/*
 * Answers `stats`: the ledger, the spool, relays and counters as they are now.
 * Blocking: no longer than the spool's short lock.
 */
void stats_answer(struct buf *out, const struct answer_ref *ref,
                  const struct producer_options *options);

#endif
