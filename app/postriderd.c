#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "app/daemon.h"
#include "config/config.h"
#include "core/buf.h"
#include "core/log.h"
#include "queue/spool.h"

#define PROBLEMS_MAX 65536

/* Blocks from this size on are given back to the system when they are freed. */
#define LARGE_BLOCK_BYTES (1 << 20)

/* A heap keeps so much at its end, so as not to ask for it again. */
#define HEAP_KEPT_BYTES (4 << 20)

static const char usage[] =
    "usage: postriderd [-c FILE] [--check | --verify]\n"
    "\n"
    "Accepts mail jobs on sockets and delivers them to relays over SMTPS.\n"
    "Runs in the foreground and logs to stderr.\n"
    "\n"
    "  -c, --config FILE  configuration (default /etc/postrider/postrider.conf)"
    "\n"
    "      --check        read the configuration, say what is wrong, end\n"
    "      --verify       check the spool of a stopped daemon: integrity, every"
    "\n"
    "                     record, the ledger; exit 65 on any difference\n"
    "      --help-config  print every key of the configuration\n"
    "      --help         print this\n"
    "      --version      print the version\n"
    "\n"
    "SIGTERM or SIGINT: accept nothing new, finish what is being sent, exit 0;"
    "\n"
    "a second one ends at once.\n"
    "\n"
    "Exit status:\n"
    "  0   ended as it was told, or nothing is wrong with the configuration\n"
    "  64  wrong usage\n"
    "  65  --verify found a difference\n"
    "  69  cannot start: a listener or another resource cannot be had\n"
    "  78  the configuration cannot be used\n";

struct options {
    const char *config;
    bool check;
    bool verify;
};

/* The signals we take, as a descriptor. */
struct signals {
    int fd;
    bool again; /* a second order to stop came */
};

static int parse(int argc, char **argv, struct options *options)
{
    enum {
        OPTION_CHECK = 256,
        OPTION_VERIFY,
        OPTION_MANUAL,
        OPTION_HELP,
        OPTION_VERSION
    };
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"verify", no_argument, NULL, OPTION_VERIFY},
        {"help-config", no_argument, NULL, OPTION_MANUAL},
        {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION},
        {NULL, 0, NULL, 0},
    };
    int c;
    *options = (struct options){.config = "/etc/postrider/postrider.conf"};
    while ((c = getopt_long(argc, argv, "c:", known, NULL)) != -1) {
        switch (c) {
        case 'c':
            options->config = optarg;
            break;
        case OPTION_CHECK:
            options->check = true;
            break;
        case OPTION_VERIFY:
            options->verify = true;
            break;
        case OPTION_MANUAL:
            config_print_manual(stdout);
            exit(EX_OK);
        case OPTION_HELP:
            (void)fputs(usage, stdout);
            exit(EX_OK);
        case OPTION_VERSION:
            (void)puts("postriderd " POSTRIDER_VERSION);
            exit(EX_OK);
        default:
            (void)fputs(usage, stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "postriderd: unexpected argument \"%s\"\n%s",
                      argv[optind], usage);
        return EX_USAGE;
    }
    return EX_OK;
}

/* Each line as an event, before the level is set: at every start. */
static void log_warnings(struct str text)
{
    while (text.len > 0) {
        size_t end = str_find(text, '\n');
        log_event(LOG_LEVEL_WARNING, "config.warning",
                  LOG_STR("text", str_of(text.data, end)));
        text = str_after(text, end + 1);
    }
}

static void print_warnings(struct str text)
{
    while (text.len > 0) {
        size_t end = str_find(text, '\n');
        (void)fprintf(stderr, "warning: %.*s\n",
                      STR_ARG(str_of(text.data, end)));
        text = str_after(text, end + 1);
    }
}

static int load(const struct options *options, struct settings **settings)
{
    struct buf problems;
    struct buf warnings;
    buf_init(&problems, PROBLEMS_MAX);
    buf_init(&warnings, PROBLEMS_MAX);
    enum err_code code =
        config_load(options->config, settings, &problems, &warnings);
    (void)fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems)));
    if (code == ERR_NONE && !options->check)
        log_warnings(buf_str(&warnings));
    else
        print_warnings(buf_str(&warnings));
    buf_fini(&problems);
    buf_fini(&warnings);
    return code == ERR_NONE ? EX_OK : EX_CONFIG;
}

static enum err_code signals_init(struct signals *s, struct err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    /* Before any thread, so that all inherit the mask. */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_system(err, errno, "cannot block signals");
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) != 0)
        return err_system(err, errno, "cannot ignore SIGPIPE");
    s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->fd < 0)
        return err_system(err, errno, "cannot take signals");
    return ERR_NONE;
}

/* Whether an order to stop is there; waits for one if timeout_ms is -1. */
static bool stop_ordered(struct signals *s, int timeout_ms)
{
    for (;;) {
        struct signalfd_siginfo info;
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (poll(&p, 1, timeout_ms) < 0 && errno != EINTR)
            return true;
        ssize_t n = read(s->fd, &info, sizeof(info));
        if (n == (ssize_t)sizeof(info) && info.ssi_signo != SIGHUP)
            return true;
        if (n == (ssize_t)sizeof(info))
            log_event(LOG_LEVEL_WARNING, "daemon.no_reload",
                      LOG_TEXT("do", "restart postriderd to read the "
                                     "configuration again"));
        else if (timeout_ms >= 0)
            return false;
    }
}

static bool hurry(void *ctx)
{
    struct signals *s = ctx;
    s->again = s->again || stop_ordered(s, 0);
    return s->again;
}

static int run(const struct settings *settings)
{
    struct daemon *daemon = NULL;
    struct signals signals = {.fd = -1};
    struct err err = {0};
    enum err_code code = signals_init(&signals, &err);
    if (code == ERR_NONE)
        code = daemon_create(&daemon, settings, &err);
    if (code == ERR_NONE)
        code = daemon_start(daemon, &err);
    if (code == ERR_NONE) {
        daemon_log_ready(daemon);
        (void)stop_ordered(&signals, -1);
        log_event(LOG_LEVEL_INFO, "draining",
                  LOG_INT("at_most_ms", settings->shutdown.drain_ms));
        daemon_drain(daemon, hurry, &signals);
    } else {
        log_event(LOG_LEVEL_ERROR, "daemon.cannot_start",
                  LOG_TEXT("why", err.text));
    }
    daemon_destroy(daemon);
    if (signals.fd >= 0)
        (void)close(signals.fd);
    return code == ERR_NONE ? EX_OK : EX_UNAVAILABLE;
}

static int verify(const struct settings *settings)
{
    struct err err = {0};
    if (settings->spool.backend != SETTINGS_SPOOL_SQLITE) {
        (void)fprintf(stderr, "postriderd: spool.backend is \"memory\": there "
                              "is no spool to verify\n");
        return EX_CONFIG;
    }
    enum err_code code =
        spool_verify_sqlite(settings->spool.path, stdout, &err);
    if (code == ERR_NONE) {
        (void)printf("%s: no difference found\n", settings->spool.path);
        return EX_OK;
    }
    (void)fprintf(stderr, "postriderd: %s\n", err.text);
    return code == ERR_INVALID ? EX_DATAERR : EX_UNAVAILABLE;
}

/*
 * glibc takes each large block that is freed as a sign to keep such blocks, up
 * to 32 MiB: after a few messages of 25 MiB at a time their memory would stay
 * with the process for ever.
 */
static void give_large_blocks_back(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
#endif
}

int main(int argc, char **argv)
{
    struct options options;
    struct settings *settings = NULL;
    enum log_level level = LOG_LEVEL_INFO;
    give_large_blocks_back();
    int status = parse(argc, argv, &options);
    if (status == EX_OK)
        status = load(&options, &settings);
    if (status != EX_OK)
        return status;
    if (options.check) {
        (void)printf("%s: no problem found\n", options.config);
    } else if (options.verify) {
        status = verify(settings);
    } else {
        if (log_level_parse(str_from(settings->log_level), &level))
            log_setup(STDERR_FILENO, level);
        status = run(settings);
    }
    settings_destroy(settings);
    return status;
}
