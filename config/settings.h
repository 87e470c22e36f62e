#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The checked settings: every number in range, every reference resolved,
 * every secret read. Units are in the names. Read-only after loading, so any
 * thread may read. Owned by whoever loaded them; settings_destroy() frees and
 * wipes the secrets.
 */
enum settings_listen_type {
    SETTINGS_LISTEN_TCP,
    SETTINGS_LISTEN_UDP,
    SETTINGS_LISTEN_UNIX,
};

struct settings_listen {
    enum settings_listen_type type;
    char *address; /* tcp, udp: numeric, "localhost" or "*" */
    unsigned port; /* 0: any free one */
    char *path;    /* unix */
    unsigned mode; /* unix: permission bits of the socket file */
    bool insecure; /* allowed to be neither loopback nor Unix */
};

enum settings_tls {
    SETTINGS_TLS_IMPLICIT, /* smtps:// */
    SETTINGS_TLS_STARTTLS, /* smtp:// */
    SETTINGS_TLS_NONE,     /* smtp:// and tls = "none" */
};

struct settings_relay {
    char *name;
    char *url;  /* as written, without credentials */
    char *host; /* name or numeric address, without brackets */
    unsigned port;
    enum settings_tls tls;
    char *username; /* NULL: no authentication */
    char *password; /* from password_file or password_env; never logged */
    char *ca_file;  /* NULL: the system's */
    bool verify;    /* certificate and host name are checked */
    int64_t connections;
    int64_t recipients_per_message;
    int64_t jobs_per_connection;
    bool pipelining;           /* used where the relay offers it */
    bool chunking;             /* likewise */
    int64_t unconfirmed;       /* mails sent without an answer to the first */
    double rate_per_s;         /* transactions; 0: no limit */
    int64_t burst;             /* transactions at once; 1.. */
    int64_t connection_age_ms; /* 0: no limit */
    int64_t connect_timeout_ms;
    int64_t mail_timeout_ms;
    int64_t rcpt_timeout_ms;
    int64_t data_timeout_ms;
    int64_t body_timeout_ms;  /* for each block of the body */
    int64_t final_timeout_ms; /* after the final dot */
    int64_t idle_timeout_ms;
    int64_t backoff_first_ms; /* pause after a relay failed */
    int64_t backoff_longest_ms;
};

struct settings_route {
    char *name;
    size_t *relays; /* indexes into settings.relays, in order of preference */
    unsigned *weights; /* of relays, 1..1000; NULL: the first usable one */
    size_t relay_count;
};

enum settings_spool { SETTINGS_SPOOL_SQLITE, SETTINGS_SPOOL_MEMORY };

enum settings_workers { SETTINGS_WORKERS_THREADS };

struct settings {
    struct settings_listen *listen;
    size_t listen_count;
    struct settings_relay *relays;
    size_t relay_count; /* 1..64 */
    struct settings_route *routes;
    size_t route_count; /* 1..64; one is named "default" */

    struct {
        enum settings_spool backend;
        char *path; /* NULL: memory */
        int64_t max_jobs;
        int64_t max_bytes;
    } spool;
    struct {
        int64_t capacity;
        int64_t max_bytes;
    } queue;
    struct {
        enum settings_workers mode;
        int64_t count;
    } workers;
    struct {
        int64_t first_ms;
        double factor;
        int64_t longest_ms;
        double jitter; /* 0.1: up to a tenth more or less */
        int64_t give_up_ms;
    } retry;
    struct {
        int64_t frame_bytes;
        int64_t message_bytes;
        int64_t recipients;
        int64_t connections;
        int64_t requests_in_flight; /* of one connection */
        int64_t pending_submits;    /* of all */
        int64_t idle_ms;            /* a connection that sends nothing */
        int64_t full_wait_ms;       /* a stream waits so long for room */
        int64_t wait_ms;            /* longest timeout_ms of `wait` */
    } limits;
    struct {
        int64_t keep_ms;        /* settled jobs can be asked for so long */
        int64_t keep_failed_ms; /* failed ones, with their bodies */
        int64_t max_jobs;
    } history;
    struct {
        int64_t window_ms;
        int64_t max_keys;
    } idempotency;
    struct {
        int64_t drain_ms; /* SIGTERM: finish what is in flight so long */
    } shutdown;
    char *hostname; /* EHLO and Message-ID; default: the machine's name */
    char *log_level;
};

#endif
