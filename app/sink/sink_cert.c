#include "app/sink/sink_cert.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "core/buf.h"
#include "core/net.h"

#define DAY_S         86400L
#define NAMES_MAX     4096
#define SERIAL_BYTES  16
#define LIFETIME_DAYS 365L

enum err_code sink_cert_error(struct err *err, const char *what)
{
    char words[160] = "no reason given";
    unsigned long first = ERR_get_error();
    if (first != 0)
        ERR_error_string_n(first, words, sizeof(words));
    ERR_clear_error();
    return err_set(err, ERR_SYSTEM, "%s: %s", what, words);
}

void sink_cert_fini(struct sink_cert *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    *c = (struct sink_cert){NULL, NULL};
}

static bool is_address(struct str name)
{
    struct net_address address;
    return !str_equal(name, STR("localhost")) && !str_equal(name, STR("*")) &&
           net_address_parse(name, 0, &address, NULL) == ERR_NONE;
}

bool sink_cert_name_is_valid(struct str name)
{
    if (is_address(name))
        return true;
    if (str_starts(name, STR("*.")))
        name = str_after(name, 2);
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alpha(name.data[i]) && !ascii_is_digit(name.data[i]) &&
            name.data[i] != '-' && name.data[i] != '.')
            return false;
    return name.len > 0 && name.len <= 253;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool added = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool set = number != NULL &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return set;
}

static bool set_name(X509 *cert, const char *common_name)
{
    return X509_NAME_add_entry_by_txt(
               X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
               (const unsigned char *)common_name, -1, -1, 0) == 1;
}

/* A new key and a certificate for it without extensions or signature. */
static bool begin(struct sink_cert *c, const char *common_name, long from_s,
                  long until_s)
{
    c->key = EVP_EC_gen("P-256");
    c->cert = X509_new();
    return c->key != NULL && c->cert != NULL &&
           X509_set_version(c->cert, X509_VERSION_3) == 1 &&
           set_serial(c->cert) && set_name(c->cert, common_name) &&
           X509_gmtime_adj(X509_getm_notBefore(c->cert), from_s) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(c->cert), until_s) != NULL &&
           X509_set_pubkey(c->cert, c->key) == 1;
}

static bool sign(struct sink_cert *c, X509 *issuer, EVP_PKEY *key)
{
    return X509_set_issuer_name(c->cert, X509_get_subject_name(issuer)) == 1 &&
           X509_sign(c->cert, key, EVP_sha256()) > 0;
}

enum err_code sink_cert_make_ca(struct sink_cert *out, struct err *err)
{
    struct sink_cert c = {NULL, NULL};
    if (!begin(&c, "postrider-sink throw-away CA", -DAY_S,
               LIFETIME_DAYS * DAY_S) ||
        !add_extension(c.cert, c.cert, NID_basic_constraints,
                       "critical,CA:TRUE") ||
        !add_extension(c.cert, c.cert, NID_key_usage,
                       "critical,keyCertSign,cRLSign") ||
        !add_extension(c.cert, c.cert, NID_subject_key_identifier, "hash") ||
        !sign(&c, c.cert, c.key)) {
        sink_cert_fini(&c);
        return sink_cert_error(err, "cannot make a CA");
    }
    *out = c;
    return ERR_NONE;
}

/* "DNS:localhost,IP:127.0.0.1,..." */
static void list_names(struct buf *out, enum sink_cert_kind kind,
                       const char *const *names, size_t count)
{
    if (kind == SINK_CERT_WRONG_HOST) {
        buf_add_text(out, "DNS:wrong.host.invalid");
        buf_add_char(out, '\0');
        return;
    }
    buf_add_text(out, "DNS:localhost,IP:127.0.0.1,IP:::1");
    for (size_t i = 0; i < count; i++) {
        buf_add_text(out, is_address(str_from(names[i])) ? ",IP:" : ",DNS:");
        buf_add_text(out, names[i]);
    }
    buf_add_char(out, '\0');
}

static bool add_server_extensions(struct sink_cert *c, X509 *issuer,
                                  const char *names)
{
    return add_extension(c->cert, issuer, NID_basic_constraints,
                         "critical,CA:FALSE") &&
           add_extension(c->cert, issuer, NID_key_usage,
                         "critical,digitalSignature") &&
           add_extension(c->cert, issuer, NID_ext_key_usage, "serverAuth") &&
           add_extension(c->cert, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(c->cert, issuer, NID_authority_key_identifier,
                         "keyid") &&
           add_extension(c->cert, issuer, NID_subject_alt_name, names);
}

static enum err_code make_signed(const struct sink_cert *ca,
                                 enum sink_cert_kind kind, const char *names,
                                 struct sink_cert *out, struct err *err)
{
    struct sink_cert c = {NULL, NULL};
    bool expired = kind == SINK_CERT_EXPIRED;
    const char *common_name =
        kind == SINK_CERT_WRONG_HOST ? "wrong.host.invalid" : "localhost";
    if (!begin(&c, common_name, expired ? -30 * DAY_S : -DAY_S,
               expired ? -DAY_S : LIFETIME_DAYS * DAY_S) ||
        !add_server_extensions(&c, ca->cert, names) ||
        !sign(&c, ca->cert, ca->key)) {
        sink_cert_fini(&c);
        return sink_cert_error(err, "cannot make a certificate");
    }
    *out = c;
    return ERR_NONE;
}

enum err_code sink_cert_make(const struct sink_cert *ca,
                             enum sink_cert_kind kind, const char *const *names,
                             size_t count, struct sink_cert *out,
                             struct err *err)
{
    struct sink_cert stranger = {NULL, NULL};
    struct buf list;
    enum err_code code = ERR_NONE;
    buf_init(&list, NAMES_MAX);
    list_names(&list, kind, names, count);
    if (!buf_ok(&list))
        code = err_set(err, ERR_INVALID, "the names are too long together");
    if (code == ERR_NONE && kind == SINK_CERT_UNTRUSTED) {
        code = sink_cert_make_ca(&stranger, err);
        ca = &stranger;
    }
    if (code == ERR_NONE)
        code = make_signed(ca, kind, list.data, out, err);
    sink_cert_fini(&stranger);
    buf_fini(&list);
    return code;
}

enum err_code sink_cert_write(const struct sink_cert *c, const char *path,
                              struct err *err)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return err_system(err, errno, "cannot write %s", path);
    bool written = PEM_write_X509(file, c->cert) == 1;
    if (fclose(file) != 0 || !written)
        return err_set(err, ERR_SYSTEM, "cannot write %s", path);
    return ERR_NONE;
}
