#include "app/sink/sink_counts.h"

static const char *const names[SINK_COUNT_COUNT] = {
    [SINK_COUNT_CONNECTIONS] = "connections",
    [SINK_COUNT_CONNECTIONS_OPEN] = "connections_open",
    [SINK_COUNT_CONNECTIONS_REFUSED] = "connections_refused",
    [SINK_COUNT_CONNECTIONS_IDLE] = "connections_idle",
    [SINK_COUNT_TLS] = "tls",
    [SINK_COUNT_TLS_RESUMED] = "tls_resumed",
    [SINK_COUNT_TLS_FAILED] = "tls_failed",
    [SINK_COUNT_AUTH] = "auth",
    [SINK_COUNT_AUTH_FAILED] = "auth_failed",
    [SINK_COUNT_COMMANDS] = "commands",
    [SINK_COUNT_ERRORS] = "errors",
    [SINK_COUNT_PIPELINING_ERRORS] = "pipelining_errors",
    [SINK_COUNT_FAULTS] = "faults",
    [SINK_COUNT_MESSAGES] = "messages",
    [SINK_COUNT_RECIPIENTS] = "recipients",
    [SINK_COUNT_BYTES] = "bytes",
    [SINK_COUNT_RECIPIENTS_REFUSED] = "recipients_refused",
    [SINK_COUNT_MESSAGES_REFUSED] = "messages_refused",
    [SINK_COUNT_MESSAGES_CUT] = "messages_cut",
    [SINK_COUNT_NO_MESSAGE_ID] = "no_message_id",
};

const char *sink_counts_name(enum sink_count which)
{
    return names[which];
}
