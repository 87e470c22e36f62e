#ifndef APP_SINK_SINK_COUNTS_H
#define APP_SINK_SINK_COUNTS_H

#include <stdint.h>

/* What the summary counts. Plain numbers of one thread. */
enum sink_count {
    SINK_COUNT_CONNECTIONS,
    SINK_COUNT_CONNECTIONS_OPEN,
    SINK_COUNT_CONNECTIONS_REFUSED,
    SINK_COUNT_CONNECTIONS_IDLE,
    SINK_COUNT_TLS,
    SINK_COUNT_TLS_RESUMED,
    SINK_COUNT_TLS_FAILED,
    SINK_COUNT_AUTH,
    SINK_COUNT_AUTH_FAILED,
    SINK_COUNT_COMMANDS,
    SINK_COUNT_ERRORS,
    SINK_COUNT_PIPELINING_ERRORS,
    SINK_COUNT_FAULTS,
    SINK_COUNT_MESSAGES,
    SINK_COUNT_RECIPIENTS,
    SINK_COUNT_BYTES,
    SINK_COUNT_RECIPIENTS_REFUSED,
    SINK_COUNT_MESSAGES_REFUSED,
    SINK_COUNT_MESSAGES_CUT,
    SINK_COUNT_NO_MESSAGE_ID,
    SINK_COUNT_COUNT,
};

struct sink_counts {
    uint64_t values[SINK_COUNT_COUNT];
};

static inline void sink_counts_add(struct sink_counts *c, enum sink_count which,
                                   uint64_t amount)
{
    c->values[which] += amount;
}

/* "messages": its name in the summary. Static. */
const char *sink_counts_name(enum sink_count which);

#endif
