#ifndef APP_SINK_SINK_OPTIONS_H
#define APP_SINK_SINK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/sink/sink_fault.h"
#include "core/err.h"
#include "core/net.h"
#include "core/str.h"

/* The command line of postrider-sink, read and checked. */
enum sink_listener_kind {
    SINK_LISTENER_SMTP,     /* no TLS at all */
    SINK_LISTENER_STARTTLS, /* RFC 3207 */
    SINK_LISTENER_SMTPS,    /* TLS from the first byte, RFC 8314 */
};

/* What EHLO offers; a bit that is off also refuses what belongs to it. */
enum sink_extension {
    SINK_EXTENSION_SIZE = 1,       /* RFC 1870 */
    SINK_EXTENSION_8BITMIME = 2,   /* RFC 6152 */
    SINK_EXTENSION_SMTPUTF8 = 4,   /* RFC 6531 */
    SINK_EXTENSION_PIPELINING = 8, /* RFC 2920 */
    SINK_EXTENSION_CHUNKING = 16,  /* RFC 3030 */
    SINK_EXTENSION_ENHANCED = 32,  /* RFC 2034 */
    SINK_EXTENSION_STARTTLS = 64,  /* RFC 3207 */
    SINK_EXTENSION_AUTH = 128,     /* RFC 4954 */
    SINK_EXTENSION_EHLO = 256,     /* EHLO itself, RFC 5321 */
    SINK_EXTENSION_ALL = 511,
};

#define SINK_LISTENERS_MAX 16
#define SINK_USERS_MAX     64
#define SINK_NAMES_MAX     16

struct sink_listener {
    enum sink_listener_kind kind;
    struct net_address address;
};

struct sink_user {
    struct str name;
    struct str password;
};

/* Texts are views of argv. */
struct sink_options {
    bool help;
    bool version;

    struct sink_listener listeners[SINK_LISTENERS_MAX];
    size_t listener_count;
    const char *hostname; /* in the greeting and in replies */

    unsigned extensions; /* of enum sink_extension */
    struct sink_user users[SINK_USERS_MAX];
    size_t user_count; /* 0: any name and password will do */
    bool require_auth;
    bool require_tls;
    bool auth_needs_tls;
    bool keep_transaction; /* after a BDAT that was refused, until RSET */

    const char *cert_file; /* NULL: a throw-away certificate */
    const char *key_file;
    const char *names[SINK_NAMES_MAX];
    size_t name_count;
    const char *write_ca;
    bool tls12_only;

    const char *dir;
    const char *log_file;
    const char *summary_file; /* NULL: stdout */

    int64_t max_size_bytes;
    int64_t max_line_bytes;
    int64_t max_recipients;
    int64_t max_connections;
    int64_t max_messages; /* per connection; 0: no limit */
    int64_t max_errors;   /* per connection; 0: no limit */
    int64_t idle_ms;      /* 0: never closed for being idle */
    int64_t latency_ms;   /* each way */
    int64_t every_ms;     /* between summaries; 0: at the end only */
    int64_t remember;     /* pairs of Message-ID and recipient */

    int64_t seed;
    struct sink_faults faults;
};

/*
 * Reads argv[1..argc) into *o. ERR_INVALID, with what to do in err, for every
 * misuse. sink_options_fini() is due in both cases.
 */
MUST_CHECK enum err_code sink_options_parse(struct sink_options *o, int argc,
                                            char *const *argv, struct err *err);

void sink_options_fini(struct sink_options *o);

/* "smtp", "starttls", "smtps": in options and in the ready line. Static. */
const char *sink_options_kind_name(enum sink_listener_kind kind);

#endif
