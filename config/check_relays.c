#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "config/check.h"
#include "config/host.h"
#include "config/reader.h"
#include "config/secret.h"
#include "core/buf.h"
#include "core/file.h"
#include "core/mem.h"

#define CA_FILE_MAX_BYTES ((size_t)16 << 20)

bool check_name(struct report *report, unsigned line, const char *key,
                const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        if (ascii_is_alpha(*p) || ascii_is_digit(*p) || *p == '.' ||
            *p == '-' || *p == '_')
            continue;
        report_problem(report, line,
                       "%s may have letters, digits, dots, hyphens and "
                       "underscores only",
                       key);
        return false;
    }
    return true;
}

static void check_url(struct report *report, struct draft_relay *d)
{
    struct settings_relay *r = &d->relay;
    struct host_url url;
    struct err err;
    if (r->url == NULL)
        return; /* reported when it was read */
    if (host_parse_url(str_from(r->url), &url, &err) != ERR_NONE) {
        report_problem(report, reader_line(d->group, "url"), "relays.url: %s",
                       err.text);
        return;
    }
    r->host = mem_strdup(url.host);
    r->port = url.port;
    r->tls = url.is_smtps ? SETTINGS_TLS_IMPLICIT : SETTINGS_TLS_STARTTLS;
    if (d->tls == NULL || strcmp(d->tls, "none") != 0)
        return;
    if (url.is_smtps)
        report_problem(report, reader_line(d->group, "tls"),
                       "relays.tls = \"none\" contradicts smtps://: write "
                       "smtp:// or take it out");
    r->tls = SETTINGS_TLS_NONE;
}

static void check_secret(struct report *report, struct draft_relay *d)
{
    struct settings_relay *r = &d->relay;
    struct err err = {.code = ERR_NONE};
    const char *key =
        d->password_file != NULL ? "password_file" : "password_env";
    unsigned line = reader_line(d->group, key);
    if (d->password_file != NULL && d->password_env != NULL)
        report_problem(report, line,
                       "relays has both password_file and password_env: keep "
                       "one of them");
    else if (d->password_file != NULL &&
             secret_from_file(d->password_file, &r->password, &err) != ERR_NONE)
        report_problem(report, line, "relays.password_file: %s", err.text);
    else if (d->password_env != NULL &&
             secret_from_env(d->password_env, &r->password, &err) != ERR_NONE)
        report_problem(report, line, "relays.password_env: %s", err.text);
}

static bool has_key(const struct draft_relay *d, const char *name)
{
    return config_setting_get_member(d->group, name) != NULL;
}

static void check_login(struct report *report, struct draft_relay *d)
{
    /* As written: what was written wrong has been complained of. */
    bool has_user = has_key(d, "username");
    bool has_password = has_key(d, "password_file") ||
                        has_key(d, "password_env") || has_key(d, "password");
    check_secret(report, d);
    if (has_user && !has_password)
        report_problem(report, reader_line(d->group, "username"),
                       "relays.username has no password: add password_file or "
                       "password_env");
    if (!has_user && has_password)
        report_problem(report,
                       reader_line(d->group, d->password_file != NULL
                                                 ? "password_file"
                                                 : "password_env"),
                       "a relay has a password and no username: add username");
}

static bool has_certificate(struct str pem)
{
    return str_contains(pem, STR("-----BEGIN CERTIFICATE-----")) ||
           str_contains(pem, STR("-----BEGIN TRUSTED CERTIFICATE-----")) ||
           str_contains(pem, STR("-----BEGIN X509 CERTIFICATE-----"));
}

/* Not what the certificates are worth: TLS is not config's to know. */
static enum err_code look_at_ca_file(const char *path, struct err *err)
{
    struct stat st;
    struct buf pem;
    if (stat(path, &st) != 0)
        return err_system(err, errno, "cannot open %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s is no plain file", path);
    buf_init(&pem, CA_FILE_MAX_BYTES);
    enum err_code code = file_read(path, &pem, err);
    if (code == ERR_NONE && !has_certificate(buf_str(&pem)))
        code = err_set(err, ERR_INVALID,
                       "%s has no certificate in PEM: there is no line "
                       "-----BEGIN CERTIFICATE-----",
                       path);
    buf_fini(&pem);
    return code;
}

static void check_ca_file(struct report *report, const struct draft_relay *d)
{
    struct err err;
    if (d->relay.ca_file != NULL &&
        look_at_ca_file(d->relay.ca_file, &err) != ERR_NONE)
        report_problem(report, reader_line(d->group, "ca_file"),
                       "relays.ca_file: %s", err.text);
}

/* A tenth of a second's worth, at least one mail. */
static int64_t burst_for(double per_s)
{
    double burst = per_s / 10.0;
    return burst < 1.0 ? 1 : (int64_t)burst;
}

static void check_rate(struct report *report, struct draft_relay *d)
{
    struct settings_relay *r = &d->relay;
    if (has_key(d, "burst") && !has_key(d, "rate"))
        report_problem(report, reader_line(d->group, "burst"),
                       "relays.burst means nothing without a rate: add rate or "
                       "take it out");
    if (r->burst == 0)
        r->burst = burst_for(r->rate_per_s);
}

static void warn(struct report *report, const struct draft_relay *d)
{
    const struct settings_relay *r = &d->relay;
    if (r->tls == SETTINGS_TLS_NONE && r->username != NULL)
        report_warning(report, reader_line(d->group, "tls"),
                       "TLS of relay %s is off: its PASSWORD and all mail go "
                       "over the network for anyone to read",
                       r->name);
    else if (r->tls == SETTINGS_TLS_NONE)
        report_warning(report, reader_line(d->group, "tls"),
                       "TLS of relay %s is off: mail goes over the network "
                       "for anyone to read",
                       r->name);
    else if (!r->verify)
        report_warning(report, reader_line(d->group, "verify"),
                       "TLS verification of relay %s is off: anyone on the "
                       "way can pose as the relay",
                       r->name);
    if (r->ca_file != NULL && (r->tls == SETTINGS_TLS_NONE || !r->verify))
        report_warning(report, reader_line(d->group, "ca_file"),
                       "ca_file of relay %s is not used: nothing is verified",
                       r->name);
    if (r->unconfirmed > 1 && !(r->pipelining && r->chunking))
        report_warning(report, reader_line(d->group, "unconfirmed"),
                       "unconfirmed of relay %s has no effect: it needs "
                       "pipelining and chunking, and one of them is off",
                       r->name);
}

static void check_unique(struct report *report, const struct draft_relay *d,
                         const struct settings *out)
{
    for (size_t i = 0; i < out->relay_count; i++)
        if (out->relays[i].name != NULL &&
            strcmp(out->relays[i].name, d->relay.name) == 0)
            report_problem(report, reader_line(d->group, "name"),
                           "relays.name \"%s\" is there twice: names must "
                           "differ",
                           d->relay.name);
}

void check_relays(struct report *report, struct draft_relay *drafts,
                  size_t count, struct settings *out)
{
    out->relays = mem_calloc(count, sizeof(out->relays[0]));
    for (size_t i = 0; i < count; i++) {
        struct draft_relay *d = &drafts[i];
        struct settings_relay *r = &d->relay;
        unsigned line = reader_line(d->group, "name");
        check_url(report, d);
        check_login(report, d);
        check_ca_file(report, d);
        check_rate(report, d);
        if (r->backoff_longest_ms < r->backoff_first_ms)
            report_problem(report, reader_line(d->group, "backoff_longest"),
                           "relays.backoff_longest must not be less than "
                           "relays.backoff_first");
        if (r->name != NULL &&
            check_name(report, line, "relays.name", r->name)) {
            check_unique(report, d, out);
            warn(report, d);
        }
        out->relays[out->relay_count++] = *r;
        *r = (struct settings_relay){0};
    }
}
