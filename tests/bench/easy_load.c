/*
 * bench_easy: what an application does without Postrider. N threads, each with
 * one libcurl easy handle that it uses again and again, send mails to an SMTP
 * server. Only libcurl, pthread and libc: the figures beside ours.
 *
 *   bench_easy --url URL [--ca FILE] [--user NAME:PASSWORD] [--threads N]
 *              (--mails N | --seconds N) [--size BYTES] [--recipients N]
 *
 * Each thread first sends one mail that is not counted: connecting, TLS and
 * AUTH are in no figure. --seconds: as many mails as are begun in that time.
 * Prints one line of key=value; sent is all that the server took, the first
 * mails included. Any mail that fails ends it with status 1.
 */
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <curl/curl.h>

#define THREADS_MAX    1024
#define RECIPIENTS_MAX 100
#define SIZE_MAX_BYTES (32L << 20)
#define HEAD_MAX       512
#define LINE_BYTES     72
#define ADDRESS_MAX    64

struct plan {
    const char *url;
    const char *ca;
    char *user; /* NAME, the password is cut off */
    const char *password;
    long threads;
    long mails; /* 0: as many as fit into seconds */
    long seconds;
    long size_bytes;
    long recipients;
};

struct run {
    struct plan plan;
    char *text;
    size_t text_len;
    struct curl_slist *recipients;
    pthread_barrier_t connected; /* main waits, too */
    pthread_barrier_t started;
    int64_t until_ns; /* written before started */
    atomic_long left;
    atomic_bool failed;
};

struct sender {
    struct run *run;
    pthread_t thread;
    long number;
    long sent;
    int64_t end_ns; /* of the last mail */
    long connects;
    char head[HEAD_MAX];
    size_t head_len;
    size_t at; /* how much of head and text was read */
};

static _Noreturn void die(const char *what, const char *detail)
{
    (void)fprintf(stderr, "bench_easy: %s%s%s\n", what, detail[0] ? ": " : "",
                  detail);
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL)
        die("no memory", "");
    return memory;
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* ---- the mail ---- */

static void build_text(struct run *run)
{
    static const char letters[] = "The quick brown fox jumps over the dog. ";
    size_t size = (size_t)run->plan.size_bytes;
    run->text_len = size + 2;
    run->text = must(malloc(run->text_len));
    for (size_t i = 0; i < size; i++)
        run->text[i] = letters[i % (sizeof(letters) - 1)];
    for (size_t i = LINE_BYTES; i + 1 < size; i += LINE_BYTES)
        memcpy(run->text + i, "\r\n", 2);
    memcpy(run->text + size, "\r\n", 2);
}

static void build_recipients(struct run *run)
{
    for (long i = 0; i < run->plan.recipients; i++) {
        char address[ADDRESS_MAX];
        (void)snprintf(address, sizeof(address), "<sink%ld@example.org>", i);
        run->recipients = must(curl_slist_append(run->recipients, address));
    }
}

/* Each mail has a Message-ID of its own: the sink counts duplicates. */
static void next_mail(struct sender *s)
{
    int len = snprintf(s->head, sizeof(s->head),
                       "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
                       "From: load@example.org\r\nTo: sink@example.org\r\n"
                       "Subject: load\r\nMessage-ID: <easy.%ld.%ld@localhost>"
                       "\r\nMIME-Version: 1.0\r\n"
                       "Content-Type: text/plain; charset=utf-8\r\n\r\n",
                       s->number, s->sent);
    s->head_len = (size_t)len;
    s->at = 0;
}

static size_t read_mail(char *out, size_t size, size_t count, void *ctx)
{
    struct sender *s = ctx;
    size_t room = size * count;
    size_t done = 0;
    while (done < room && s->at < s->head_len + s->run->text_len) {
        bool in_head = s->at < s->head_len;
        const char *from =
            in_head ? s->head + s->at : s->run->text + (s->at - s->head_len);
        size_t have =
            (in_head ? s->head_len : s->head_len + s->run->text_len) - s->at;
        size_t n = have < room - done ? have : room - done;
        memcpy(out + done, from, n);
        s->at += n;
        done += n;
    }
    return done;
}

/* ---- a thread ---- */

static CURL *make_handle(struct sender *s)
{
    const struct plan *p = &s->run->plan;
    CURL *c = must(curl_easy_init());
    curl_easy_setopt(c, CURLOPT_URL, p->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(c, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    if (p->ca != NULL) {
        curl_easy_setopt(c, CURLOPT_CAINFO, p->ca);
        curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    }
    if (p->user != NULL) {
        curl_easy_setopt(c, CURLOPT_USERNAME, p->user);
        curl_easy_setopt(c, CURLOPT_PASSWORD, p->password);
        curl_easy_setopt(c, CURLOPT_SASL_IR, 1L);
    }
    curl_easy_setopt(c, CURLOPT_MAIL_FROM, "<load@example.org>");
    curl_easy_setopt(c, CURLOPT_MAIL_RCPT, s->run->recipients);
    curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(c, CURLOPT_READFUNCTION, read_mail);
    curl_easy_setopt(c, CURLOPT_READDATA, s);
    return c;
}

static bool send_one(struct sender *s, CURL *handle)
{
    long connects = 0;
    next_mail(s);
    CURLcode code = curl_easy_perform(handle);
    if (code != CURLE_OK) {
        (void)fprintf(stderr, "bench_easy: %s\n", curl_easy_strerror(code));
        atomic_store(&s->run->failed, true);
        return false;
    }
    (void)curl_easy_getinfo(handle, CURLINFO_NUM_CONNECTS, &connects);
    s->connects += connects;
    s->sent++;
    s->end_ns = now_ns();
    return true;
}

static bool is_there_one_more(struct run *run)
{
    if (atomic_load(&run->failed))
        return false;
    if (run->plan.mails > 0)
        return atomic_fetch_sub(&run->left, 1) > 0;
    return now_ns() < run->until_ns;
}

static void *send_all(void *arg)
{
    struct sender *s = arg;
    CURL *handle = make_handle(s);
    bool well = send_one(s, handle);
    (void)pthread_barrier_wait(&s->run->connected);
    (void)pthread_barrier_wait(&s->run->started);
    while (well && is_there_one_more(s->run))
        well = send_one(s, handle);
    curl_easy_cleanup(handle);
    return NULL;
}

/* ---- the whole ---- */

static void report(const struct run *run, const struct sender *senders,
                   int64_t start_ns, int64_t used_us)
{
    long sent = 0;
    long connects = 0;
    int64_t end_ns = start_ns;
    for (long i = 0; i < run->plan.threads; i++) {
        sent += senders[i].sent;
        connects += senders[i].connects;
        if (senders[i].end_ns > end_ns)
            end_ns = senders[i].end_ns;
    }
    long counted = sent - run->plan.threads;
    double seconds = (double)(end_ns - start_ns) / 1e9;
    (void)printf(
        "sent=%ld counted=%ld seconds=%.3f per_second=%.1f "
        "cpu_us=%.1f connects=%ld\n",
        sent, counted, seconds, seconds > 0 ? (double)counted / seconds : 0.0,
        counted > 0 ? (double)used_us / (double)counted : 0.0, connects);
}

static void run_all(struct run *run)
{
    size_t count = (size_t)run->plan.threads;
    struct sender *senders = must(calloc(count, sizeof(*senders)));
    if (pthread_barrier_init(&run->connected, NULL, (unsigned)count + 1) != 0 ||
        pthread_barrier_init(&run->started, NULL, (unsigned)count + 1) != 0)
        die("no barrier", "");
    for (size_t i = 0; i < count; i++) {
        senders[i].run = run;
        senders[i].number = (long)i;
        if (pthread_create(&senders[i].thread, NULL, send_all, &senders[i]))
            die("no thread", "");
    }
    (void)pthread_barrier_wait(&run->connected);
    int64_t used_us = cpu_us();
    int64_t start_ns = now_ns();
    run->until_ns = start_ns + run->plan.seconds * INT64_C(1000000000);
    (void)pthread_barrier_wait(&run->started);
    for (size_t i = 0; i < count; i++)
        (void)pthread_join(senders[i].thread, NULL);
    report(run, senders, start_ns, cpu_us() - used_us);
    (void)pthread_barrier_destroy(&run->connected);
    (void)pthread_barrier_destroy(&run->started);
    free(senders);
}

static long number_of(const char *name, const char *text, long min, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < min || value > max)
        die(name, "no number, or out of range");
    return value;
}

static void read_option(struct plan *p, int option)
{
    switch (option) {
    case 'u':
        p->url = optarg;
        break;
    case 'c':
        p->ca = optarg;
        break;
    case 'a':
        p->user = optarg;
        break;
    case 't':
        p->threads = number_of("--threads", optarg, 1, THREADS_MAX);
        break;
    case 'm':
        p->mails = number_of("--mails", optarg, 1, INT_MAX);
        break;
    case 's':
        p->seconds = number_of("--seconds", optarg, 1, 3600);
        break;
    case 'b':
        p->size_bytes = number_of("--size", optarg, 1, SIZE_MAX_BYTES);
        break;
    case 'r':
        p->recipients = number_of("--recipients", optarg, 1, RECIPIENTS_MAX);
        break;
    default:
        die("usage", "the comment at the top of easy_load.c has it");
    }
}

static void read_options(struct plan *p, int argc, char **argv)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},
        {"ca", required_argument, NULL, 'c'},
        {"user", required_argument, NULL, 'a'},
        {"threads", required_argument, NULL, 't'},
        {"mails", required_argument, NULL, 'm'},
        {"seconds", required_argument, NULL, 's'},
        {"size", required_argument, NULL, 'b'},
        {"recipients", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        read_option(p, option);
    if (p->url == NULL || (p->mails == 0) == (p->seconds == 0) ||
        optind != argc)
        die("usage", "--url and one of --mails and --seconds");
    char *colon = p->user == NULL ? NULL : strchr(p->user, ':');
    if (p->user != NULL && colon == NULL)
        die("--user", "NAME:PASSWORD");
    if (colon != NULL) {
        *colon = '\0';
        p->password = colon + 1;
    }
}

int main(int argc, char **argv)
{
    struct run run = {
        .plan = {.threads = 16, .size_bytes = 2048, .recipients = 1}};
    read_options(&run.plan, argc, argv);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        die("libcurl", "cannot be used");
    atomic_init(&run.left, run.plan.mails);
    atomic_init(&run.failed, false);
    build_text(&run);
    build_recipients(&run);
    run_all(&run);
    curl_slist_free_all(run.recipients);
    free(run.text);
    curl_global_cleanup();
    return atomic_load(&run.failed) ? 1 : 0;
}
