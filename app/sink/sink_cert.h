#ifndef APP_SINK_SINK_CERT_H
#define APP_SINK_SINK_CERT_H

#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "app/sink/sink_fault.h"
#include "core/err.h"

/*
 * Throw-away certificates, made in memory: a CA of its own and what it signs.
 * Keys are EC P-256 and valid for a year.
 */
struct sink_cert {
    X509 *cert;
    EVP_PKEY *key;
};

MUST_CHECK enum err_code sink_cert_make_ca(struct sink_cert *out,
                                           struct err *err);

/*
 * A server's certificate for localhost, 127.0.0.1, ::1 and names, signed by
 * ca; or a bad one: EXPIRED yesterday, for another host, or signed by a CA
 * nobody knows (UNTRUSTED). Names are checked with sink_cert_name_is_valid()
 * before.
 */
MUST_CHECK enum err_code sink_cert_make(const struct sink_cert *ca,
                                        enum sink_cert_kind kind,
                                        const char *const *names, size_t count,
                                        struct sink_cert *out, struct err *err);

void sink_cert_fini(struct sink_cert *c);

/* A host name (perhaps with "*.") or a numeric address. */
bool sink_cert_name_is_valid(struct str name);

/* The certificate alone as PEM. */
MUST_CHECK enum err_code sink_cert_write(const struct sink_cert *c,
                                         const char *path, struct err *err);

/* err and the first of OpenSSL's own words, which are then forgotten. */
enum err_code sink_cert_error(struct err *err, const char *what);

#endif
