/*
 * What sending alone costs: one engine, n sessions, against a relay that
 * runs already. bench_smtp.py starts one.
 *
 *   bench_smtp HOST PORT smtps|starttls|none CA_FILE SESSIONS MESSAGES SIZE
 *       UNCONFIRMED
 *
 * How it speaks is up to what the relay offers. room is how many mails a
 * session takes at once: 1, or 2 with PIPELINING, or UNCONFIRMED with BDAT.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <event2/event.h>

#include "core/mem.h"
#include "core/str.h"
#include "smtp/session.h"

struct bench {
    struct event_base *base;
    struct smtp_relay relay;
    struct body *body;
    const char *recipients[1];
    struct smtp_mail mail;
    uint64_t sessions;
    uint64_t ready;
    uint64_t messages;
    uint64_t size_bytes;
    uint64_t sent;
    uint64_t delivered;
    uint64_t closed;
    size_t room;
    bool is_over;
    int64_t start_ns;
    int64_t start_cpu_us;
    struct smtp_session *waiting[1024]; /* until all are connected */
};

static int64_t cpu_us(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
           use.ru_utime.tv_usec + use.ru_stime.tv_usec;
}

static void next(struct bench *b, struct smtp_session *s)
{
    while (b->sent < b->messages && smtp_session_room(s) > 0) {
        b->sent++;
        if (smtp_session_send(s, &b->mail, NULL) != ERR_NONE)
            exit(1);
    }
    if (b->sent == b->messages)
        smtp_session_quit(s);
}

/* The clock starts when all are connected: a session is not per message. */
static void on_ready(void *ctx, struct smtp_session *s)
{
    struct bench *b = ctx;
    b->room = smtp_session_room(s);
    b->waiting[b->ready++] = s;
    if (b->ready < b->sessions)
        return;
    b->start_ns = clock_mono_ns();
    b->start_cpu_us = cpu_us();
    for (uint64_t i = 0; i < b->ready; i++)
        next(b, b->waiting[i]);
}

static void print_result(const struct bench *b)
{
    double seconds = (double)(clock_mono_ns() - b->start_ns) / 1e9;
    double cpu = (double)(cpu_us() - b->start_cpu_us);
    double count = (double)b->messages;
    (void)printf("room=%zu per_second=%.0f cpu_us=%.2f\n", b->room,
                 count / seconds, cpu / count);
}

static void on_result(void *ctx, struct smtp_session *s,
                      const struct smtp_mail *mail,
                      const struct smtp_result *result)
{
    (void)mail;
    struct bench *b = ctx;
    if (result->recipients[0].outcome == OUTCOME_DELIVERED)
        b->delivered++;
    if (b->delivered == b->messages)
        print_result(b);
    next(b, s);
}

static void on_closed(void *ctx, struct smtp_session *s,
                      const struct smtp_closing *why)
{
    struct bench *b = ctx;
    (void)s;
    if (!why->by_us)
        (void)fprintf(stderr, "%s\n", why->err.text);
    if (++b->closed == b->sessions)
        b->is_over = true;
}

static const struct smtp_session_events events = {
    .ready = on_ready,
    .result = on_result,
    .closed = on_closed,
};

static struct body *make_body(size_t size)
{
    static const char line[] = "An ordinary line of text, of some length, as "
                               "they stand in most mails.\r\n";
    char *data = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = line[i % (sizeof(line) - 1)];
    return body_from_memory(data, size);
}

static uint64_t number(const char *text, uint64_t max)
{
    unsigned long long value;
    if (!str_to_u64(str_from(text), max, &value)) {
        (void)fprintf(stderr, "no number, or too large: %s\n", text);
        exit(64);
    }
    return value;
}

static void read_arguments(struct bench *b, char **argv)
{
    bool smtps = strcmp(argv[3], "smtps") == 0;
    bool starttls = strcmp(argv[3], "starttls") == 0;
    b->relay = (struct smtp_relay){
        .name = "bench",
        .host = argv[1],
        .port = (unsigned)number(argv[2], 65535),
        .tls = smtps      ? SMTP_TLS_IMPLICIT
               : starttls ? SMTP_TLS_STARTTLS
                          : SMTP_TLS_NONE,
        .username = smtps || starttls ? "user" : NULL,
        .password = "secret",
        .ca_file = argv[4],
        .verify = true,
        .hostname = "bench.example",
        .pipelining = true,
        .chunking = true,
        .unconfirmed = (unsigned)number(argv[8], SMTP_UNCONFIRMED_MAX),
        .connect_timeout_ms = 10000,
        .mail_timeout_ms = 10000,
        .rcpt_timeout_ms = 10000,
        .data_timeout_ms = 10000,
        .body_timeout_ms = 10000,
        .final_timeout_ms = 10000,
    };
    b->sessions = number(argv[5], 1024);
    b->messages = number(argv[6], UINT64_MAX);
    b->size_bytes = number(argv[7], 1U << 30);
}

static void run(struct bench *b)
{
    struct smtp_engine *engine;
    struct smtp_session *s;
    if (smtp_engine_create(&engine, b->base, clock_system(), NULL) != ERR_NONE)
        exit(1);
    for (uint64_t i = 0; i < b->sessions; i++)
        if (smtp_session_open(&s, engine, &b->relay, &events, b) != ERR_NONE)
            exit(1);
    while (!b->is_over) {
        smtp_engine_flush(engine);
        (void)event_base_loop(b->base, EVLOOP_ONCE);
    }
    smtp_engine_destroy(engine);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct err err;
    if (argc != 9) {
        (void)fprintf(stderr,
                      "usage: %s HOST PORT smtps|starttls|none CA_FILE "
                      "SESSIONS MESSAGES SIZE UNCONFIRMED\n",
                      argv[0]);
        return 64;
    }
    read_arguments(&b, argv);
    if (smtp_global_init(&err) != ERR_NONE)
        return 1;
    b.base = event_base_new();
    b.body = make_body((size_t)b.size_bytes);
    b.recipients[0] = "to@bench.example";
    b.mail = (struct smtp_mail){
        .sender = "from@bench.example",
        .recipients = b.recipients,
        .recipient_count = 1,
        .body = b.body,
    };
    run(&b);
    body_unref(b.body);
    event_base_free(b.base);
    smtp_global_fini();
    return b.delivered == b.messages ? 0 : 1;
}
