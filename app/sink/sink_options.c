#include "app/sink/sink_options.h"

#include <string.h>

#include "app/sink/sink_cert.h"
#include "core/timetext.h"

#define YEAR_MS 31536000000LL

enum kind {
    KIND_FLAG,     /* sets a bool */
    KIND_NUMBER,   /* into an int64_t, within min..max */
    KIND_SIZE,     /* likewise, "64K" */
    KIND_DURATION, /* likewise, milliseconds or "30s" */
    KIND_TEXT,     /* into a const char * */
    KIND_APPLY,    /* by a function; may be given again and again */
};

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    int64_t min;
    int64_t max;
    enum err_code (*apply)(struct sink_options *o, struct str value,
                           struct err *err);
};

const char *sink_options_kind_name(enum sink_listener_kind kind)
{
    static const char *const names[] = {
        [SINK_LISTENER_SMTP] = "smtp",
        [SINK_LISTENER_STARTTLS] = "starttls",
        [SINK_LISTENER_SMTPS] = "smtps",
    };
    return names[kind];
}

/* [ADDRESS:]PORT, 127.0.0.1 without an address. */
static enum err_code add_listener(struct sink_options *o,
                                  enum sink_listener_kind kind,
                                  struct str value, struct err *err)
{
    unsigned long long number;
    struct sink_listener listener = {.kind = kind};
    struct str host = STR("127.0.0.1");
    unsigned port = 0;
    enum err_code code = ERR_NONE;
    if (o->listener_count == SINK_LISTENERS_MAX)
        return err_set(err, ERR_INVALID, "there can be %d listeners at most",
                       SINK_LISTENERS_MAX);
    if (str_to_u64(value, 65535, &number))
        port = (unsigned)number;
    else
        code = net_split_host_port(value, &host, &port, err);
    if (code == ERR_NONE)
        code = net_address_parse(host, port, &listener.address, err);
    if (code == ERR_NONE)
        o->listeners[o->listener_count++] = listener;
    return code;
}

static enum err_code add_smtp(struct sink_options *o, struct str value,
                              struct err *err)
{
    return add_listener(o, SINK_LISTENER_SMTP, value, err);
}

static enum err_code add_starttls(struct sink_options *o, struct str value,
                                  struct err *err)
{
    return add_listener(o, SINK_LISTENER_STARTTLS, value, err);
}

static enum err_code add_smtps(struct sink_options *o, struct str value,
                               struct err *err)
{
    return add_listener(o, SINK_LISTENER_SMTPS, value, err);
}

static enum err_code switch_off(struct sink_options *o, struct str word,
                                struct err *err)
{
    static const struct {
        const char *name;
        enum sink_extension extension;
    } words[] = {
        {"SIZE", SINK_EXTENSION_SIZE},
        {"8BITMIME", SINK_EXTENSION_8BITMIME},
        {"SMTPUTF8", SINK_EXTENSION_SMTPUTF8},
        {"PIPELINING", SINK_EXTENSION_PIPELINING},
        {"CHUNKING", SINK_EXTENSION_CHUNKING},
        {"ENHANCEDSTATUSCODES", SINK_EXTENSION_ENHANCED},
        {"STARTTLS", SINK_EXTENSION_STARTTLS},
        {"AUTH", SINK_EXTENSION_AUTH},
        {"EHLO", SINK_EXTENSION_EHLO},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (str_equal_nocase(word, str_from(words[i].name))) {
            o->extensions &= ~(unsigned)words[i].extension;
            return ERR_NONE;
        }
    }
    return err_set(err, ERR_INVALID,
                   "\"%.*s\" is none of SIZE 8BITMIME SMTPUTF8 PIPELINING "
                   "CHUNKING ENHANCEDSTATUSCODES STARTTLS AUTH EHLO",
                   STR_ARG(word));
}

static enum err_code apply_without(struct sink_options *o, struct str value,
                                   struct err *err)
{
    enum err_code code = ERR_NONE;
    while (code == ERR_NONE && value.len > 0) {
        size_t comma = str_find(value, ',');
        code = switch_off(o, str_of(value.data, comma), err);
        value = str_after(value, comma + 1);
    }
    return code;
}

static enum err_code add_user(struct sink_options *o, struct str value,
                              struct err *err)
{
    size_t colon = str_find(value, ':');
    if (colon == 0 || colon == value.len)
        return err_set(err, ERR_INVALID, "it must be USER:PASSWORD");
    if (o->user_count == SINK_USERS_MAX)
        return err_set(err, ERR_INVALID, "there can be %d users at most",
                       SINK_USERS_MAX);
    o->users[o->user_count++] = (struct sink_user){
        str_of(value.data, colon),
        str_of(value.data + colon + 1, value.len - colon - 1)};
    return ERR_NONE;
}

static enum err_code add_name(struct sink_options *o, struct str value,
                              struct err *err)
{
    if (!sink_cert_name_is_valid(value))
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is neither a host name nor an address",
                       STR_ARG(value));
    if (o->name_count == SINK_NAMES_MAX)
        return err_set(err, ERR_INVALID, "there can be %d names at most",
                       SINK_NAMES_MAX);
    o->names[o->name_count++] = value.data;
    return ERR_NONE;
}

static enum err_code add_fault(struct sink_options *o, struct str value,
                               struct err *err)
{
    return sink_faults_add(&o->faults, value, err);
}

static enum err_code apply_bad_cert(struct sink_options *o, struct str value,
                                    struct err *err)
{
    static const struct {
        const char *word;
        const char *rule;
    } words[] = {
        {"expired", "tls:cert=expired"},
        {"wrong-host", "tls:cert=wrong-host"},
        {"untrusted", "tls:cert=untrusted"},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_equal(value, str_from(words[i].word)))
            return sink_faults_add(&o->faults, str_from(words[i].rule), err);
    return err_set(err, ERR_INVALID,
                   "\"%.*s\" is none of expired wrong-host untrusted",
                   STR_ARG(value));
}

#define FLAG(name, field)                                                      \
    {                                                                          \
        name, KIND_FLAG, offsetof(struct sink_options, field), 0, 0, NULL      \
    }
#define TEXT(name, field)                                                      \
    {                                                                          \
        name, KIND_TEXT, offsetof(struct sink_options, field), 0, 0, NULL      \
    }
#define VALUE(name, kind, field, min, max)                                     \
    {                                                                          \
        name, kind, offsetof(struct sink_options, field), min, max, NULL       \
    }
#define APPLY(name, function)                                                  \
    {                                                                          \
        name, KIND_APPLY, 0, 0, 0, function                                    \
    }

static const struct option options[] = {
    FLAG("help", help),
    FLAG("version", version),
    APPLY("smtp", add_smtp),
    APPLY("starttls", add_starttls),
    APPLY("smtps", add_smtps),
    TEXT("hostname", hostname),
    APPLY("without", apply_without),
    APPLY("auth", add_user),
    FLAG("require-auth", require_auth),
    FLAG("require-tls", require_tls),
    FLAG("auth-needs-tls", auth_needs_tls),
    FLAG("keep-transaction", keep_transaction),
    TEXT("cert", cert_file),
    TEXT("key", key_file),
    APPLY("name", add_name),
    TEXT("write-ca", write_ca),
    APPLY("bad-cert", apply_bad_cert),
    FLAG("tls12", tls12_only),
    TEXT("dir", dir),
    TEXT("log", log_file),
    TEXT("summary", summary_file),
    APPLY("fault", add_fault),
    VALUE("seed", KIND_NUMBER, seed, 0, INT64_MAX),
    VALUE("latency", KIND_DURATION, latency_ms, 0, 60000),
    VALUE("every", KIND_DURATION, every_ms, 0, YEAR_MS),
    VALUE("idle", KIND_DURATION, idle_ms, 0, YEAR_MS),
    VALUE("max-size", KIND_SIZE, max_size_bytes, 1, 1LL << 40),
    VALUE("max-line", KIND_SIZE, max_line_bytes, 512, 16384),
    VALUE("max-recipients", KIND_NUMBER, max_recipients, 1, 100000),
    VALUE("max-connections", KIND_NUMBER, max_connections, 1, 100000),
    VALUE("max-messages", KIND_NUMBER, max_messages, 0, INT64_MAX),
    VALUE("max-errors", KIND_NUMBER, max_errors, 0, INT64_MAX),
    VALUE("remember", KIND_NUMBER, remember, 1, 1LL << 30),
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

static void *field(struct sink_options *o, const struct option *option)
{
    return (char *)o + option->offset;
}

static enum err_code set_number(struct sink_options *o,
                                const struct option *option, struct str value,
                                struct err *err)
{
    unsigned long long plain;
    int64_t number = 0;
    enum err_code code = ERR_NONE;
    if (str_to_u64(value, INT64_MAX, &plain))
        number = (int64_t)plain;
    else if (option->kind == KIND_SIZE)
        code = timetext_parse_size(value, &number, err);
    else if (option->kind == KIND_DURATION)
        code = timetext_parse_duration(value, &number, err);
    else
        code = err_set(err, ERR_INVALID, "\"%.*s\" is no whole number",
                       STR_ARG(value));
    if (code != ERR_NONE)
        return code;
    if (number < option->min || number > option->max)
        return err_set(err, ERR_INVALID, "%.*s is not within %lld..%lld",
                       STR_ARG(value), (long long)option->min,
                       (long long)option->max);
    memcpy(field(o, option), &number, sizeof(number));
    return ERR_NONE;
}

static enum err_code set_option(struct sink_options *o,
                                const struct option *option, const char *value,
                                struct err *err)
{
    const bool on = true;
    if (option->kind != KIND_FLAG && value[0] == '\0')
        return err_set(err, ERR_INVALID, "the value is empty");
    switch (option->kind) {
    case KIND_FLAG:
        memcpy(field(o, option), &on, sizeof(on));
        return ERR_NONE;
    case KIND_TEXT:
        memcpy(field(o, option), &value, sizeof(value));
        return ERR_NONE;
    case KIND_NUMBER:
    case KIND_SIZE:
    case KIND_DURATION:
        return set_number(o, option, str_from(value), err);
    case KIND_APPLY:
    default:
        return option->apply(o, str_from(value), err);
    }
}

static const struct option *find(struct str name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (str_equal(name, str_from(options[i].name)))
            return &options[i];
    return NULL;
}

/* Reads the option at argv[*at] and moves *at to the last word of it. */
static enum err_code read_option(struct sink_options *o, int argc,
                                 char *const *argv, int *at, struct err *err)
{
    struct str word = str_from(argv[*at]);
    struct str body = str_after(word, 2);
    size_t equals = str_find(body, '=');
    const struct option *option = find(str_of(body.data, equals));
    const char *value = NULL;
    if (!str_starts(word, STR("--")))
        return err_set(err, ERR_INVALID,
                       "\"%s\" is no option: options begin with --", argv[*at]);
    if (option == NULL)
        return err_set(err, ERR_INVALID, "there is no option %s", argv[*at]);
    if (equals < body.len)
        value = body.data + equals + 1;
    if (option->kind == KIND_FLAG && value != NULL)
        return err_set(err, ERR_INVALID, "--%s takes no value", option->name);
    if (option->kind != KIND_FLAG && value == NULL) {
        if (*at + 1 >= argc)
            return err_set(err, ERR_INVALID, "--%s needs a value",
                           option->name);
        value = argv[++*at];
    }
    enum err_code code = set_option(o, option, value, err);
    return code == ERR_NONE ? code : err_prefix(err, "--%s", option->name);
}

static bool has_kind(const struct sink_options *o, enum sink_listener_kind kind)
{
    for (size_t i = 0; i < o->listener_count; i++)
        if (o->listeners[i].kind == kind)
            return true;
    return false;
}

/* What only all options together show. */
static enum err_code check(const struct sink_options *o, struct err *err)
{
    bool tls =
        has_kind(o, SINK_LISTENER_SMTPS) || has_kind(o, SINK_LISTENER_STARTTLS);
    if (o->listener_count == 0)
        return err_set(err, ERR_INVALID,
                       "nothing to listen on: give --smtp, --starttls or "
                       "--smtps, for example --smtp 2525");
    if ((o->cert_file == NULL) != (o->key_file == NULL))
        return err_set(err, ERR_INVALID, "--cert and --key belong together");
    if (!tls &&
        (o->cert_file != NULL || o->write_ca != NULL || o->name_count > 0 ||
         o->tls12_only || sink_faults_any(&o->faults, SINK_STAGE_TLS)))
        return err_set(err, ERR_INVALID,
                       "an option for TLS needs --starttls or --smtps");
    if (o->cert_file != NULL && (o->write_ca != NULL || o->name_count > 0))
        return err_set(err, ERR_INVALID,
                       "--write-ca and --name are for the throw-away "
                       "certificate: leave --cert out");
    if (o->require_auth && (o->extensions & SINK_EXTENSION_AUTH) == 0)
        return err_set(err, ERR_INVALID,
                       "--require-auth does not go with --without AUTH");
    if (o->require_tls && !tls)
        return err_set(err, ERR_INVALID,
                       "--require-tls needs --starttls or --smtps");
    if (strlen(o->hostname) > 255 || strpbrk(o->hostname, " \t\r\n") != NULL)
        return err_set(err, ERR_INVALID, "--hostname is one word");
    return ERR_NONE;
}

enum err_code sink_options_parse(struct sink_options *o, int argc,
                                 char *const *argv, struct err *err)
{
    bool seen[OPTION_COUNT] = {false};
    *o = (struct sink_options){.hostname = "localhost",
                               .extensions = SINK_EXTENSION_ALL,
                               .max_size_bytes = 64 << 20,
                               .max_line_bytes = 4096,
                               .max_recipients = 1000,
                               .max_connections = 4096,
                               .max_errors = 100,
                               .idle_ms = 300000,
                               .remember = 1 << 20,
                               .seed = 1};
    sink_faults_init(&o->faults);
    for (int i = 1; i < argc; i++) {
        struct str body = str_after(str_from(argv[i]), 2);
        const struct option *option =
            find(str_of(body.data, str_find(body, '=')));
        enum err_code code = read_option(o, argc, argv, &i, err);
        if (code != ERR_NONE)
            return code;
        if (seen[option - options] && option->kind != KIND_APPLY)
            return err_set(err, ERR_INVALID, "--%s is given twice",
                           option->name);
        seen[option - options] = true;
    }
    if (o->help || o->version)
        return ERR_NONE;
    sink_faults_seed(&o->faults, (uint64_t)o->seed);
    return check(o, err);
}

void sink_options_fini(struct sink_options *o)
{
    sink_faults_fini(&o->faults);
}
