/*
 * Load for postriderd: many connections from one thread, each with so many
 * submits in flight, all the same mail. Prints how many were answered a
 * second, how long an answer took, and on request how long it took until the
 * daemon had settled all of them. `bench_load --help` names the options.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "app/cli/cli_json.h"
#include "app/cli/client.h"
#include "app/cli/client_connect.h"
#include "app/cli/jsontree.h"
#include "app/cli/options.h"
#include "app/cli/reply.h"
#include "core/clock.h"
#include "core/mem.h"

#define REQUEST_MAX    ((size_t)64 << 20)
#define COPIES_BYTES   ((size_t)65536) /* of requests in one write, at least */
#define READ_BYTES     ((size_t)65536)
#define EVENTS_MAX     64
#define STATS_PAUSE_MS 20
#define NS_PER_US      1000
#define NS_PER_S       1e9
#define US_PER_S       1000000

/* Durations in µs, in steps of at most 1/32 of the value. */
#define STEPS       ((size_t)32)
#define RANGES      40U
#define HISTOGRAM_N (RANGES * STEPS)

struct histogram {
    uint64_t counts[HISTOGRAM_N];
    uint64_t total;
    uint64_t max_us;
};

struct load_options {
    const char *server;
    int64_t jobs;
    int64_t size;
    int64_t clients;
    int64_t in_flight;
    int64_t timeout_ms;
    const char *from;
    const char *to;
    const char *route;
    bool wait_settled;
    bool json;
    bool help;
};

struct link {
    int fd;
    bool wants_out;   /* epoll watches for room to write */
    size_t unwritten; /* bytes of requests that are due */
    size_t phase;     /* bytes written of the request under way */
    size_t outstanding;
    int64_t *stamps; /* ring: when each outstanding request was written */
    size_t oldest;
    char in[READ_BYTES];
    size_t in_len;
};

struct load {
    struct load_options options;
    struct endpoint endpoint;
    struct buf request;  /* one */
    struct buf requests; /* copies of it, one behind the other */
    struct link *links;
    int epoll;
    uint64_t to_send;
    uint64_t accepted;
    uint64_t retried;
    struct histogram answers;
    int64_t submit_ns;
    int64_t settled_ns; /* 0: not waited for */
    int64_t cpu_us;
};

struct ledger {
    int64_t accepted;
    int64_t delivered;
    int64_t failed;
    int64_t unsettled;
};

#define MEMBER(member) offsetof(struct load_options, member)

static const struct option_spec load_options[] = {
    {.name = "server",
     .letter = 's',
     .kind = OPTION_TEXT,
     .offset = MEMBER(server),
     .argument = "ADDRESS",
     .help = "tcp:HOST:PORT or unix:PATH"},
    {.name = "jobs",
     .kind = OPTION_COUNT,
     .offset = MEMBER(jobs),
     .min = 1,
     .max = 1000000000,
     .argument = "N",
     .by_default = "50000",
     .help = "how many"},
    {.name = "size",
     .kind = OPTION_COUNT,
     .offset = MEMBER(size),
     .max = 32 << 20,
     .argument = "BYTES",
     .by_default = "2048",
     .help = "of text in each"},
    {.name = "clients",
     .kind = OPTION_COUNT,
     .offset = MEMBER(clients),
     .min = 1,
     .max = 10000,
     .argument = "N",
     .by_default = "8",
     .help = "connections"},
    {.name = "in-flight",
     .kind = OPTION_COUNT,
     .offset = MEMBER(in_flight),
     .min = 1,
     .max = 65536,
     .argument = "N",
     .by_default = "16",
     .help = "submits under way on each"},
    {.name = "from",
     .kind = OPTION_TEXT,
     .offset = MEMBER(from),
     .argument = "MAILBOX",
     .by_default = "load@example.org",
     .help = "the sender"},
    {.name = "to",
     .kind = OPTION_TEXT,
     .offset = MEMBER(to),
     .argument = "MAILBOXES",
     .by_default = "sink@example.org",
     .help = "the recipients"},
    {.name = "route",
     .kind = OPTION_TEXT,
     .offset = MEMBER(route),
     .argument = "NAME",
     .by_default = "default",
     .help = "which relays may be used"},
    {.name = "timeout",
     .kind = OPTION_DURATION,
     .offset = MEMBER(timeout_ms),
     .min = 1,
     .max = 24LL * 3600 * 1000,
     .argument = "TIME",
     .by_default = "5m",
     .help = "for all of it"},
    {.name = "wait-settled",
     .kind = OPTION_FLAG,
     .offset = MEMBER(wait_settled),
     .help = "until the daemon's ledger has nothing waiting"},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = MEMBER(json),
     .help = "the figures as one JSON object"},
    {.name = "help",
     .letter = 'h',
     .kind = OPTION_FLAG,
     .offset = MEMBER(help),
     .help = "this text"},
};

static _Noreturn void die(const char *what, const struct err *err)
{
    (void)fprintf(stderr, "bench_load: %s%s%s\n", what, err ? ": " : "",
                  err ? err->text : "");
    exit(1);
}

/* ---- histogram ---- */

static size_t bucket_of(uint64_t us)
{
    unsigned range = 0;
    while (us >> range >= 2 * STEPS)
        range++;
    size_t bucket = (size_t)range * STEPS + (size_t)(us >> range);
    return bucket < HISTOGRAM_N ? bucket : HISTOGRAM_N - 1;
}

/* The largest value that falls into it. */
static uint64_t bucket_top(size_t bucket)
{
    size_t range = bucket < 2 * STEPS ? 0 : bucket / STEPS - 1;
    return ((bucket - range * STEPS + 1) << range) - 1;
}

static void histogram_add(struct histogram *h, uint64_t us)
{
    h->counts[bucket_of(us)]++;
    h->total++;
    if (us > h->max_us)
        h->max_us = us;
}

static uint64_t histogram_at(const struct histogram *h, double part)
{
    uint64_t rank = (uint64_t)(part * (double)h->total);
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_N; i++) {
        seen += h->counts[i];
        if (seen > rank)
            return bucket_top(i) < h->max_us ? bucket_top(i) : h->max_us;
    }
    return h->max_us;
}

/* ---- the mail ---- */

static void build_request(struct load *l)
{
    static const char letters[] =
        "The quick brown fox jumps over the lazy dog, and over it again.\n";
    struct buf text;
    size_t size = (size_t)l->options.size;
    buf_init(&text, REQUEST_MAX);
    for (size_t i = 0; i < size; i++)
        buf_add_char(&text, letters[i % (sizeof(letters) - 1)]);
    buf_init(&l->request, REQUEST_MAX);
    struct cli_json j = cli_json_to(&l->request);
    cli_json_open(&j, '{');
    cli_json_pair(&j, "from", l->options.from);
    cli_json_pair(&j, "to", l->options.to);
    cli_json_pair(&j, "route", l->options.route);
    cli_json_pair(&j, "subject", "load");
    cli_json_name(&j, STR("text"));
    cli_json_text(&j, buf_str(&text));
    cli_json_close(&j, '}');
    buf_add_char(&l->request, '\n');
    buf_fini(&text);
    buf_init(&l->requests, 2 * REQUEST_MAX);
    do
        buf_add_str(&l->requests, buf_str(&l->request));
    while (l->requests.len < COPIES_BYTES + l->request.len);
    if (!buf_ok(&l->requests))
        die("the mail is too large", NULL);
}

/* ---- connections ---- */

static void watch(const struct load *l, struct link *k, int operation)
{
    struct epoll_event event = {
        .events = k->wants_out ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = k};
    if (epoll_ctl(l->epoll, operation, k->fd, &event) != 0)
        die("epoll_ctl", NULL);
}

static void open_links(struct load *l)
{
    size_t count = (size_t)l->options.clients;
    struct err err;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        die("epoll_create1", NULL);
    l->links = mem_calloc(count, sizeof(*l->links));
    for (size_t i = 0; i < count; i++) {
        struct link *k = &l->links[i];
        if (client_connect(&l->endpoint, l->options.timeout_ms, &k->fd, &err) !=
            ERR_NONE)
            die("no daemon", &err);
        k->stamps =
            mem_calloc((size_t)l->options.in_flight, sizeof(*k->stamps));
        watch(l, k, EPOLL_CTL_ADD);
    }
}

static void close_links(struct load *l)
{
    for (size_t i = 0; i < (size_t)l->options.clients; i++) {
        (void)close(l->links[i].fd);
        mem_free(l->links[i].stamps);
    }
    mem_free(l->links);
    (void)close(l->epoll);
}

static void write_due(struct load *l, struct link *k)
{
    while (k->unwritten > 0) {
        size_t room = l->requests.len - k->phase;
        size_t want = k->unwritten < room ? k->unwritten : room;
        ssize_t n = write(k->fd, l->requests.data + k->phase, want);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            die("the daemon closed a connection", NULL);
        if (n < 0)
            break;
        k->unwritten -= (size_t)n;
        k->phase = (k->phase + (size_t)n) % l->request.len;
    }
    bool wants_out = k->unwritten > 0;
    if (wants_out != k->wants_out) {
        k->wants_out = wants_out;
        watch(l, k, EPOLL_CTL_MOD);
    }
}

/* As many as may be in flight, stamped as written now. */
static void send_more(struct load *l, struct link *k)
{
    size_t limit = (size_t)l->options.in_flight;
    int64_t now = clock_mono_ns();
    while (k->outstanding < limit && l->to_send > 0) {
        k->stamps[(k->oldest + k->outstanding) % limit] = now;
        k->outstanding++;
        k->unwritten += l->request.len;
        l->to_send--;
    }
    write_due(l, k);
}

/* ---- answers ---- */

static void take_no(struct load *l, struct str line)
{
    struct reply reply;
    struct err err;
    if (reply_parse(line, &reply, &err) != ERR_NONE)
        die("an answer", &err);
    if (!reply.ok && !reply.retry) {
        (void)fputs("bench_load: refused: ", stderr);
        reply_print_error(stderr, &reply);
        (void)fputc('\n', stderr);
        exit(1);
    }
    if (reply.ok) {
        l->accepted++;
    } else {
        l->retried++;
        l->to_send++;
    }
    reply_fini(&reply);
}

static void take_answer(struct load *l, struct link *k, struct str line,
                        int64_t now)
{
    if (k->outstanding == 0)
        die("an answer nobody asked for", NULL);
    int64_t took_ns = now - k->stamps[k->oldest];
    k->oldest = (k->oldest + 1) % (size_t)l->options.in_flight;
    k->outstanding--;
    histogram_add(&l->answers, (uint64_t)(took_ns / NS_PER_US));
    if (str_starts(line, STR("{\"ok\":true,")))
        l->accepted++;
    else
        take_no(l, line);
}

static void read_answers(struct load *l, struct link *k)
{
    ssize_t n = read(k->fd, k->in + k->in_len, sizeof(k->in) - k->in_len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        die("the daemon closed a connection", NULL);
    int64_t now = clock_mono_ns();
    k->in_len += (size_t)n;
    struct str rest = str_of(k->in, k->in_len);
    size_t end = str_find(rest, '\n');
    while (end < rest.len) {
        take_answer(l, k, str_of(rest.data, end), now);
        rest = str_after(rest, end + 1);
        end = str_find(rest, '\n');
    }
    if (rest.len == sizeof(k->in))
        die("an answer is too long", NULL);
    if (rest.len > 0)
        memmove(k->in, rest.data, rest.len);
    k->in_len = rest.len;
}

static void submit_all(struct load *l, int64_t until_ms)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t wanted = (uint64_t)l->options.jobs;
    int64_t began_ns = clock_mono_ns();
    l->to_send = wanted;
    for (size_t i = 0; i < (size_t)l->options.clients; i++)
        send_more(l, &l->links[i]);
    while (l->accepted < wanted) {
        int n = epoll_wait(l->epoll, events, EVENTS_MAX, 1000);
        for (int i = 0; i < n; i++) {
            struct link *k = events[i].data.ptr;
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
                read_answers(l, k);
            send_more(l, k);
        }
        if (clock_mono_ms(clock_system()) >= until_ms)
            die("the time is over (--timeout)", NULL);
    }
    l->submit_ns = clock_mono_ns() - began_ns;
}

/* ---- settling ---- */

static int64_t number_of(const struct json_node *ledger, const char *name)
{
    int64_t n;
    if (!jsontree_int(jsontree_get(ledger, name, JSON_NUMBER), &n))
        die("the daemon's stats have no ledger", NULL);
    return n;
}

static struct ledger ask_ledger(struct client *client, int64_t until_ms)
{
    struct str line;
    struct reply reply;
    struct err err;
    if (client_call(client, STR("{\"op\":\"stats\"}"), until_ms, &line, &err) !=
            ERR_NONE ||
        reply_parse(line, &reply, &err) != ERR_NONE)
        die("stats", &err);
    const struct json_node *n = jsontree_get(reply.root, "ledger", JSON_OBJECT);
    struct ledger ledger = {
        .accepted = number_of(n, "accepted"),
        .delivered = number_of(n, "delivered"),
        .failed = number_of(n, "failed"),
        .unsettled = number_of(n, "waiting") + number_of(n, "active"),
    };
    reply_fini(&reply);
    return ledger;
}

static struct ledger wait_settled(struct client *client, int64_t accepted,
                                  int64_t until_ms)
{
    for (;;) {
        struct ledger now = ask_ledger(client, until_ms);
        if (now.unsettled == 0 && now.accepted >= accepted)
            return now;
        if (clock_mono_ms(clock_system()) >= until_ms)
            die("the time is over (--timeout)", NULL);
        (void)poll(NULL, 0, STATS_PAUSE_MS);
    }
}

/* ---- the whole ---- */

static int64_t own_cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * US_PER_S +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static double per_second(int64_t count, int64_t ns)
{
    return ns > 0 ? (double)count * NS_PER_S / (double)ns : 0.0;
}

static void print_figures(const struct load *l, const struct ledger *before,
                          const struct ledger *after)
{
    const struct load_options *o = &l->options;
    const struct {
        const char *name;
        double value;
        bool settled; /* known only after waiting */
    } rows[] = {
        {"jobs", (double)o->jobs, false},
        {"size_bytes", (double)o->size, false},
        {"clients", (double)o->clients, false},
        {"in_flight", (double)o->in_flight, false},
        {"retried", (double)l->retried, false},
        {"submit_s", (double)l->submit_ns / NS_PER_S, false},
        {"submits_per_s", per_second(o->jobs, l->submit_ns), false},
        {"submit_p50_us", (double)histogram_at(&l->answers, 0.5), false},
        {"submit_p99_us", (double)histogram_at(&l->answers, 0.99), false},
        {"submit_max_us", (double)l->answers.max_us, false},
        {"load_us", (double)l->cpu_us / (double)o->jobs, false},
        {"settled_s", (double)l->settled_ns / NS_PER_S, true},
        {"jobs_per_s", per_second(o->jobs, l->settled_ns), true},
        {"delivered", (double)(after->delivered - before->delivered), true},
        {"failed", (double)(after->failed - before->failed), true},
    };
    const char *comma = "{";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].settled && !o->wait_settled)
            continue;
        if (o->json)
            (void)printf("%s\"%s\":%.3f", comma, rows[i].name, rows[i].value);
        else
            (void)printf("%-16s %14.3f\n", rows[i].name, rows[i].value);
        comma = ",";
    }
    if (o->json)
        (void)puts("}");
}

static void run(struct load *l)
{
    struct err err;
    struct client *client = NULL;
    struct ledger before = {0};
    struct ledger after = {0};
    int64_t until_ms = clock_mono_ms(clock_system()) + l->options.timeout_ms;
    build_request(l);
    open_links(l);
    if (l->options.wait_settled) {
        if (client_open(&client, &l->endpoint, l->options.timeout_ms, &err) !=
            ERR_NONE)
            die("no daemon", &err);
        before = ask_ledger(client, until_ms);
    }
    int64_t cpu_us = own_cpu_us();
    int64_t began_ns = clock_mono_ns();
    submit_all(l, until_ms);
    l->cpu_us = own_cpu_us() - cpu_us;
    if (l->options.wait_settled) {
        after =
            wait_settled(client, before.accepted + l->options.jobs, until_ms);
        l->settled_ns = clock_mono_ns() - began_ns;
    }
    print_figures(l, &before, &after);
    client_close(client);
    close_links(l);
    buf_fini(&l->request);
    buf_fini(&l->requests);
}

int main(int argc, char **argv)
{
    struct err err;
    struct load l = {0};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    const size_t count = sizeof(load_options) / sizeof(load_options[0]);
    const struct option_set set = {load_options, count, &l.options};
    struct option_words words = {.argv = argv + 1, .argc = argc - 1};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    options_defaults(&set);
    if (options_parse(&set, 1, false, &words, &err) != ERR_NONE)
        die("usage", &err);
    if (l.options.help) {
        options_help(stdout, load_options, count);
        return EX_OK;
    }
    if (l.options.server == NULL || words.operands > 0)
        die("usage: bench_load -s ADDRESS [OPTIONS]: see --help", NULL);
    if (endpoint_parse(l.options.server, &l.endpoint, &err) != ERR_NONE)
        die("usage", &err);
    if (l.endpoint.kind == ENDPOINT_UDP)
        die("UDP has no connections: use tcp: or unix:", NULL);
    run(&l);
    return EX_OK;
}
