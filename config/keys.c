#include "config/keys.h"

#define KIB    1024LL
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const struct key_section sections[] = {
    {"", false, ""},
    {"listen", true,
     "Where applications hand over mail. Without it: TCP and UDP "
     "on 127.0.0.1 port 7788, and the Unix socket."},
    {"relays", true, "The SMTP servers that mail is sent through: 1 to 64."},
    {"routes", true,
     "Which relays a job may use. Without it: the route "
     "\"default\" with all relays in order."},
    {"spool", false, "Accepted jobs until they are settled."},
    {"queue", false, "Jobs on their way to the workers."},
    {"workers", false, "What sends mail."},
    {"retry", false, "When a job that was not delivered is tried again."},
    {"limits", false, "What applications may ask of the daemon."},
    {"history", false, "Settled jobs."},
    {"idempotency", false, "Protection against submitting a job twice."},
    {"shutdown", false, "How the daemon ends."},
    {"log", false, "What is written to stderr."},
};

static const struct key keys[] = {
    {.path = "hostname",
     .type = KEY_TEXT,
     .min = 1,
     .max = 253,
     .offset = offsetof(struct draft, settings.hostname),
     .help = "The name this machine gives in EHLO and after the @ of "
             "Message-IDs. Without it: the machine's own name."},
    {.path = "listen.type",
     .type = KEY_CHOICE,
     .choices = "tcp udp unix",
     .required = true,
     .offset = offsetof(struct draft_listen, type),
     .help = "What applications connect to: TCP, UDP datagrams, or a "
             "Unix stream socket."},
    {.path = "listen.address",
     .type = KEY_TEXT,
     .min = 1,
     .max = 64,
     .offset = offsetof(struct draft_listen, address),
     .help = "For tcp and udp: a numeric IPv4 or IPv6 address, "
             "\"localhost\", or \"*\" for every IPv4 address. Without it: "
             "127.0.0.1."},
    {.path = "listen.port",
     .type = KEY_INT,
     .max = 65535,
     .standard = "7788",
     .offset = offsetof(struct draft_listen, port),
     .help = "For tcp and udp. 0 takes any free port; the log line "
             "\"ready\" names it."},
    {.path = "listen.path",
     .type = KEY_PATH,
     .min = 1,
     .max = 107,
     .offset = offsetof(struct draft_listen, path),
     .help = "For unix: the socket file. A stale one is replaced, one in "
             "use is not. Its directory is made (mode 0755) when only that is "
             "missing. Without it: /run/postrider/postrider.sock."},
    {.path = "listen.mode",
     .type = KEY_MODE,
     .max = 0777,
     .standard = "0660",
     .offset = offsetof(struct draft_listen, mode),
     .help = "For unix: permissions of the socket file; who may write to "
             "it may send mail."},
    {.path = "listen.insecure",
     .type = KEY_BOOL,
     .standard = "false",
     .offset = offsetof(struct draft_listen, insecure),
     .help = "Lets a tcp or udp listener be reached from other machines "
             "although clients are not authenticated."},
    {.path = "relays.name",
     .type = KEY_TEXT,
     .min = 1,
     .max = 64,
     .required = true,
     .offset = offsetof(struct draft_relay, relay.name),
     .help = "What routes, replies and logs call the relay: letters, "
             "digits, dot, hyphen, underscore."},
    {.path = "relays.url",
     .type = KEY_TEXT,
     .min = 1,
     .max = 300,
     .required = true,
     .offset = offsetof(struct draft_relay, relay.url),
     .help = "\"smtps://HOST\" is TLS from the first byte (port 465), "
             "\"smtp://HOST\" is STARTTLS, required (port 587); \":PORT\" "
             "may follow. IPv6 addresses stand in brackets."},
    {.path = "relays.tls",
     .type = KEY_CHOICE,
     .standard = "required",
     .choices = "required none",
     .offset = offsetof(struct draft_relay, tls),
     .help = "\"none\" with smtp:// sends mail and password readable by "
             "anyone on the way."},
    {.path = "relays.verify",
     .type = KEY_BOOL,
     .standard = "true",
     .offset = offsetof(struct draft_relay, relay.verify),
     .help = "Whether the relay's certificate and its name are checked."},
    {.path = "relays.ca_file",
     .type = KEY_PATH,
     .min = 1,
     .max = 4095,
     .offset = offsetof(struct draft_relay, relay.ca_file),
     .help = "Certificates to trust, PEM. Without it: the system's. A "
             "changed file is seen within a minute."},
    {.path = "relays.username",
     .type = KEY_TEXT,
     .min = 1,
     .max = 255,
     .offset = offsetof(struct draft_relay, relay.username),
     .help = "For AUTH. Needs password_file or password_env."},
    {.path = "relays.password_file",
     .type = KEY_PATH,
     .min = 1,
     .max = 4095,
     .offset = offsetof(struct draft_relay, password_file),
     .help = "File with the password and nothing else; a newline at its "
             "end is not part of it. Refused when everybody may read it."},
    {.path = "relays.password_env",
     .type = KEY_TEXT,
     .min = 1,
     .max = 128,
     .offset = offsetof(struct draft_relay, password_env),
     .help = "Environment variable with the password, instead of "
             "password_file."},
    {.path = "relays.connections",
     .type = KEY_INT,
     .min = 1,
     .max = 1000,
     .standard = "10",
     .offset = offsetof(struct draft_relay, relay.connections),
     .help = "SMTP connections to the relay at the same time, at most."},
    {.path = "relays.recipients_per_message",
     .type = KEY_INT,
     .min = 1,
     .max = 10000,
     .standard = "100",
     .offset = offsetof(struct draft_relay, relay.recipients_per_message),
     .help = "Recipients given to the relay in one transaction, at most; "
             "a job with more is sent in several."},
    {.path = "relays.jobs_per_connection",
     .type = KEY_INT,
     .min = 1,
     .max = 1000000,
     .standard = "1000",
     .offset = offsetof(struct draft_relay, relay.jobs_per_connection),
     .help = "Jobs sent over one connection before it is closed and made "
             "anew."},
    {.path = "relays.connection_age",
     .type = KEY_DURATION,
     .max = 7 * DAY,
     .standard = "10m",
     .offset = offsetof(struct draft_relay, relay.connection_age_ms),
     .help = "A connection as old takes no more jobs and is closed. \"0\": it "
             "may grow as old as it likes."},
    {.path = "relays.pipelining",
     .type = KEY_BOOL,
     .standard = "true",
     .offset = offsetof(struct draft_relay, relay.pipelining),
     .help = "Whether commands are sent before the answers to those in front "
             "of them have come (RFC 2920), where the relay offers it."},
    {.path = "relays.chunking",
     .type = KEY_BOOL,
     .standard = "true",
     .offset = offsetof(struct draft_relay, relay.chunking),
     .help = "Whether messages are sent with BDAT (RFC 3030), where the relay "
             "offers it."},
    {.path = "relays.unconfirmed",
     .type = KEY_INT,
     .min = 1,
     .max = 64,
     .standard = "1",
     .offset = offsetof(struct draft_relay, relay.unconfirmed),
     .help = "Messages sent over one connection whose answers have not come "
             "yet, at most. More than 1 is faster over long ways, needs BDAT "
             "and pipelining, and leaves as many messages unknown when the "
             "connection breaks."},
    {.path = "relays.rate",
     .type = KEY_RATE,
     .min = 1,
     .max = 3600000000,
     .offset = offsetof(struct draft_relay, relay.rate_per_s),
     .help = "Messages given to the relay in a second, minute or hour, at "
             "most, over all its connections. Without it: no limit, until the "
             "relay says that it is too fast."},
    {.path = "relays.burst",
     .type = KEY_INT,
     .min = 1,
     .max = 100000,
     .offset = offsetof(struct draft_relay, relay.burst),
     .help = "Messages that may be given to it at once, above its rate, when "
             "there were fewer before. Needs rate. Without it: a tenth of a "
             "second's worth of the rate, at least 1."},
    {.path = "relays.connect_timeout",
     .type = KEY_DURATION,
     .min = 10,
     .max = 10 * MINUTE,
     .standard = "30s",
     .offset = offsetof(struct draft_relay, relay.connect_timeout_ms),
     .help = "From the name lookup to the end of TLS and AUTH."},
    {.path = "relays.mail_timeout",
     .type = KEY_DURATION,
     .min = 10,
     .max = HOUR,
     .standard = "5m",
     .offset = offsetof(struct draft_relay, relay.mail_timeout_ms),
     .help = "Wait for the answer to MAIL (RFC 5321 4.5.3.2)."},
    {.path = "relays.rcpt_timeout",
     .type = KEY_DURATION,
     .min = 10,
     .max = HOUR,
     .standard = "5m",
     .offset = offsetof(struct draft_relay, relay.rcpt_timeout_ms),
     .help = "Wait for the answer to each RCPT."},
    {.path = "relays.data_timeout",
     .type = KEY_DURATION,
     .min = 10,
     .max = HOUR,
     .standard = "2m",
     .offset = offsetof(struct draft_relay, relay.data_timeout_ms),
     .help = "Wait for the answer to DATA."},
    {.path = "relays.body_timeout",
     .type = KEY_DURATION,
     .min = 10,
     .max = HOUR,
     .standard = "3m",
     .offset = offsetof(struct draft_relay, relay.body_timeout_ms),
     .help = "Wait for the relay to take each block of the message."},
    {.path = "relays.final_timeout",
     .type = KEY_DURATION,
     .min = 10,
     .max = HOUR,
     .standard = "10m",
     .offset = offsetof(struct draft_relay, relay.final_timeout_ms),
     .help = "Wait for the answer to the final dot. If it does not come, "
             "nobody knows whether the mail was delivered."},
    {.path = "relays.idle_timeout",
     .type = KEY_DURATION,
     .min = 10,
     .max = HOUR,
     .standard = "8s",
     .offset = offsetof(struct draft_relay, relay.idle_timeout_ms),
     .help = "A connection without work is closed after so long."},
    {.path = "relays.backoff_first",
     .type = KEY_DURATION,
     .min = 10,
     .max = DAY,
     .standard = "1s",
     .offset = offsetof(struct draft_relay, relay.backoff_first_ms),
     .help = "Pause after the relay failed; doubled each further time."},
    {.path = "relays.backoff_longest",
     .type = KEY_DURATION,
     .min = 10,
     .max = DAY,
     .standard = "5m",
     .offset = offsetof(struct draft_relay, relay.backoff_longest_ms),
     .help = "The pause grows no longer than this."},
    {.path = "routes.name",
     .type = KEY_TEXT,
     .min = 1,
     .max = 64,
     .required = true,
     .offset = offsetof(struct draft_route, name),
     .help = "What jobs say in \"route\". If no route is called \"default\", "
             "one with all relays in order is added."},
    {.path = "routes.relays",
     .type = KEY_NAMES,
     .min = 1,
     .max = 64,
     .required = true,
     .offset = offsetof(struct draft_route, relays),
     .help = "Names of relays in order of preference. The next one has the "
             "jobs while the first cannot be reached, logged in to, or has "
             "its lane of the queue full; what it answers to a mail is final "
             "for that attempt."},
    {.path = "routes.weights",
     .type = KEY_INTS,
     .min = 1,
     .max = 1000,
     .offset = offsetof(struct draft_route, weights),
     .help = "One for each of the relays: jobs are shared out by them, [ 3, 1 "
             "] sends three of four to the first. Without it: all go to the "
             "first relay that can be used."},
    {.path = "spool.backend",
     .type = KEY_CHOICE,
     .standard = "sqlite",
     .choices = "sqlite memory",
     .offset = offsetof(struct draft, spool_backend),
     .help = "Where accepted jobs wait. sqlite: in a file; a job whose "
             "submit was answered survives a crash and a power loss. memory: "
             "lost when the daemon ends."},
    {.path = "spool.path",
     .type = KEY_PATH,
     .min = 1,
     .max = 4095,
     .offset = offsetof(struct draft, settings.spool.path),
     .help = "The file of the sqlite backend; it is made if it is not there, "
             "its directory is not. Bodies from 1 MiB on go into the "
             "directory of the same name with \".bodies\" behind. Without "
             "it: /var/lib/postrider/spool.db."},
    {.path = "spool.max_jobs",
     .type = KEY_INT,
     .min = 1,
     .max = 100000000,
     .offset = offsetof(struct draft, settings.spool.max_jobs),
     .help = "Waiting jobs, at most; beyond it submits get spool_full. "
             "Without it: 2000000 for sqlite, 200000 for memory."},
    {.path = "spool.max_bytes",
     .type = KEY_SIZE,
     .min = 1 * KIB,
     .max = 1024 * GIB,
     .offset = offsetof(struct draft, settings.spool.max_bytes),
     .help = "Bytes, at most, of waiting jobs and of failed ones that keep "
             "their message: the oldest of these lose it when a new job needs "
             "the room. Beyond it submits get spool_full. Not less than "
             "limits.message. Without it: 8G for sqlite, 512M for memory."},
    {.path = "queue.capacity",
     .type = KEY_INT,
     .min = 1,
     .max = 1000000,
     .standard = "1024",
     .offset = offsetof(struct draft, settings.queue.capacity),
     .help = "Jobs between the scheduler and the workers, at most."},
    {.path = "queue.max_bytes",
     .type = KEY_SIZE,
     .min = 1 * KIB,
     .max = 1024 * GIB,
     .standard = "64M",
     .offset = offsetof(struct draft, settings.queue.max_bytes),
     .help = "Their bytes, at most; not less than limits.message."},
    {.path = "workers.mode",
     .type = KEY_CHOICE,
     .standard = "threads",
     .choices = "threads",
     .later = "processes",
     .offset = offsetof(struct draft, workers_mode),
     .help = "What sends mail."},
    {.path = "workers.count",
     .type = KEY_INT,
     .min = 1,
     .max = 64,
     .standard = "2",
     .offset = offsetof(struct draft, settings.workers.count),
     .help = "How many of them; each serves many connections."},
    {.path = "retry.first",
     .type = KEY_DURATION,
     .min = 10,
     .max = 7 * DAY,
     .standard = "30s",
     .offset = offsetof(struct draft, settings.retry.first_ms),
     .help = "Wait before the second attempt."},
    {.path = "retry.factor",
     .type = KEY_FLOAT,
     .min = 1,
     .max = 100,
     .standard = "2.0",
     .offset = offsetof(struct draft, settings.retry.factor),
     .help = "Each further wait is so many times the one before."},
    {.path = "retry.longest",
     .type = KEY_DURATION,
     .min = 10,
     .max = 30 * DAY,
     .standard = "4h",
     .offset = offsetof(struct draft, settings.retry.longest_ms),
     .help = "No wait is longer."},
    {.path = "retry.jitter",
     .type = KEY_FLOAT,
     .max = 1,
     .standard = "0.1",
     .offset = offsetof(struct draft, settings.retry.jitter),
     .help = "Each wait is longer or shorter by up to this part of it, "
             "at random."},
    {.path = "retry.give_up",
     .type = KEY_DURATION,
     .min = 10,
     .max = 365 * DAY,
     .standard = "5d",
     .offset = offsetof(struct draft, settings.retry.give_up_ms),
     .help = "A job that is older has failed."},
    {.path = "limits.frame",
     .type = KEY_SIZE,
     .min = 1 * KIB,
     .max = 1024 * MIB,
     .standard = "32M",
     .offset = offsetof(struct draft, settings.limits.frame_bytes),
     .help = "Largest request on a stream."},
    {.path = "limits.message",
     .type = KEY_SIZE,
     .min = 1 * KIB,
     .max = 1024 * MIB,
     .standard = "32M",
     .offset = offsetof(struct draft, settings.limits.message_bytes),
     .help = "Largest finished message."},
    {.path = "limits.recipients",
     .type = KEY_INT,
     .min = 1,
     .max = 100000,
     .standard = "1000",
     .offset = offsetof(struct draft, settings.limits.recipients),
     .help = "Recipients of one job, at most."},
    {.path = "limits.connections",
     .type = KEY_INT,
     .min = 1,
     .max = 100000,
     .standard = "1024",
     .offset = offsetof(struct draft, settings.limits.connections),
     .help = "Open connections of applications, at most. From 4 on, a "
             "sixteenth (at least one) is kept for Unix sockets, so that "
             "administration always gets in."},
    {.path = "limits.requests_in_flight",
     .type = KEY_INT,
     .min = 1,
     .max = 10000,
     .standard = "64",
     .offset = offsetof(struct draft, settings.limits.requests_in_flight),
     .help = "Unanswered requests of one connection; it is not read "
             "further meanwhile."},
    {.path = "limits.pending_submits",
     .type = KEY_INT,
     .min = 1,
     .max = 1000000,
     .standard = "4096",
     .offset = offsetof(struct draft, settings.limits.pending_submits),
     .help = "Unanswered submits of all connections; beyond it they "
             "wait, then get queue_full."},
    {.path = "limits.idle",
     .type = KEY_DURATION,
     .min = 10,
     .max = DAY,
     .standard = "5m",
     .offset = offsetof(struct draft, settings.limits.idle_ms),
     .help = "A connection that sends nothing for so long is closed."},
    {.path = "limits.full_wait",
     .type = KEY_DURATION,
     .max = HOUR,
     .standard = "2s",
     .offset = offsetof(struct draft, settings.limits.full_wait_ms),
     .help = "How long a submit on a stream waits for room before it is "
             "refused."},
    {.path = "limits.wait",
     .type = KEY_DURATION,
     .min = 10,
     .max = DAY,
     .standard = "5m",
     .offset = offsetof(struct draft, settings.limits.wait_ms),
     .help = "Longest timeout_ms of the operation wait."},
    {.path = "history.keep",
     .type = KEY_DURATION,
     .min = 10,
     .max = 365 * DAY,
     .standard = "7d",
     .offset = offsetof(struct draft, settings.history.keep_ms),
     .help = "Settled jobs can be asked for so long."},
    {.path = "history.keep_failed",
     .type = KEY_DURATION,
     .min = 10,
     .max = 365 * DAY,
     .standard = "30d",
     .offset = offsetof(struct draft, settings.history.keep_failed_ms),
     .help = "Failed jobs keep their message so long, so that they can be "
             "tried again, or until spool.max_bytes is reached and new jobs "
             "need the room; not less than history.keep."},
    {.path = "history.max_jobs",
     .type = KEY_INT,
     .min = 1,
     .max = 100000000,
     .offset = offsetof(struct draft, settings.history.max_jobs),
     .help = "Settled jobs kept, at most; the oldest go first. Without it: "
             "500000 for sqlite, 20000 for memory."},
    {.path = "idempotency.window",
     .type = KEY_DURATION,
     .min = 10,
     .max = 365 * DAY,
     .standard = "24h",
     .offset = offsetof(struct draft, settings.idempotency.window_ms),
     .help = "An idempotency_key is remembered for so long."},
    {.path = "idempotency.max_keys",
     .type = KEY_INT,
     .min = 1,
     .max = 100000000,
     .offset = offsetof(struct draft, settings.idempotency.max_keys),
     .help = "Keys remembered, at most. Without it: 5000000 for sqlite, "
             "200000 for memory."},
    {.path = "shutdown.drain",
     .type = KEY_DURATION,
     .max = HOUR,
     .standard = "30s",
     .offset = offsetof(struct draft, settings.shutdown.drain_ms),
     .help = "On SIGTERM, mail on the wire may take so long to finish."},
    {.path = "log.level",
     .type = KEY_CHOICE,
     .standard = "info",
     .choices = "error warning info debug",
     .offset = offsetof(struct draft, settings.log_level),
     .help = "The least urgent lines that are written."},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct key *keys_all(size_t *count)
{
    *count = COUNT(keys);
    return keys;
}

const struct key_section *keys_sections(size_t *count)
{
    *count = COUNT(sections);
    return sections;
}

const struct key_section *keys_section(struct str name)
{
    for (size_t i = 0; i < COUNT(sections); i++)
        if (str_equal(name, str_from(sections[i].name)))
            return &sections[i];
    return NULL;
}

struct str keys_section_of(const struct key *key)
{
    struct str path = str_from(key->path);
    size_t dot = str_find(path, '.');
    return str_of(path.data, dot < path.len ? dot : 0);
}

struct str keys_name_of(const struct key *key)
{
    struct str path = str_from(key->path);
    size_t dot = str_find(path, '.');
    return dot < path.len ? str_after(path, dot + 1) : path;
}

const struct key *keys_find(struct str section, struct str name)
{
    for (size_t i = 0; i < COUNT(keys); i++)
        if (str_equal(section, keys_section_of(&keys[i])) &&
            str_equal(name, keys_name_of(&keys[i])))
            return &keys[i];
    return NULL;
}
