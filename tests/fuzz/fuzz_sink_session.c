#include <stddef.h>
#include <stdint.h>

#include "app/sink/sink_session.h"
#include "core/panic.h"

/*
 * A hostile client's bytes through a whole session of postrider-sink. Must
 * neither crash nor depend on the pieces in which the bytes come: the first
 * byte of the input says how large they are.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SAID_MAX (4U << 20)

static void talk(struct sink *sink, struct str input, size_t step,
                 struct buf *said)
{
    struct sink_session s;
    size_t from = 0;
    size_t until = 0;
    sink_session_init(&s, sink, SINK_LISTENER_STARTTLS, 1);
    sink_session_greet(&s);
    while (until < input.len || from < until) {
        size_t used;
        until = until + step < input.len ? until + step : input.len;
        used = sink_session_feed(&s, str_of(input.data + from, until - from));
        PANIC_IF(used > until - from);
        from += used;
        buf_add_str(said, buf_str(&s.out));
        buf_truncate(&s.out, 0);
        if (s.want == SINK_WANT_TLS)
            sink_session_tls_started(&s, "TLSv1.3");
        if (s.want != SINK_WANT_INPUT || (used == 0 && until == input.len))
            break;
    }
    sink_session_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char program[] = "sink";
    static char listen[] = "--smtp=0";
    char *argv[] = {program, listen, NULL};
    struct sink_options options;
    struct sink sink = {.options = &options};
    struct buf whole;
    struct buf pieces;
    struct err err;
    if (size == 0)
        return 0;
    struct str input = str_of((const char *)data + 1, size - 1);
    PANIC_IF(sink_options_parse(&options, 2, argv, &err) != ERR_NONE);
    PANIC_IF(sink_log_init(&sink.log, NULL, &err) != ERR_NONE);
    sink.store.tmp_fd = sink.store.new_fd = -1;
    buf_init(&whole, SAID_MAX);
    buf_init(&pieces, SAID_MAX);
    sink_tally_init(&sink.tally, 100);
    talk(&sink, input, input.len + 1, &whole);
    sink.counts = (struct sink_counts){{0}};
    talk(&sink, input, data[0] % 32U + 1, &pieces);
    /* STARTTLS with more behind it is refused, and that depends on time. */
    if (!str_contains(buf_str(&whole), STR("STARTTLS before")) &&
        !str_contains(buf_str(&pieces), STR("220 2.0.0 Go")))
        PANIC_IF(!str_equal(buf_str(&whole), buf_str(&pieces)));
    sink_tally_fini(&sink.tally);
    sink_options_fini(&options);
    buf_fini(&whole);
    buf_fini(&pieces);
    return 0;
}
