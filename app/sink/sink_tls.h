#ifndef APP_SINK_SINK_TLS_H
#define APP_SINK_SINK_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "app/sink/sink_fault.h"
#include "app/sink/sink_options.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

/*
 * Server side TLS without a socket: OpenSSL reads what the caller puts into
 * a sink_tls_pipe and writes into the caller's buf. TLS 1.2 and 1.3, tickets
 * and the session cache on.
 */
struct sink_tls {
    SSL_CTX *contexts[SINK_CERT_COUNT];
    BIO_METHOD *method;
};

struct sink_tls_pipe {
    struct str in;   /* bytes from the peer, taken from the front */
    bool in_ended;   /* the peer sends no more */
    struct buf *out; /* bytes for the peer */
};

/* Reads or makes the certificates, and writes the CA where that is asked. */
MUST_CHECK enum err_code sink_tls_init(struct sink_tls *t,
                                       const struct sink_options *options,
                                       struct err *err);
void sink_tls_fini(struct sink_tls *t);

/*
 * A connection that shows the certificate of that kind. pipe must outlive it.
 * NULL when there is no memory. Free with SSL_free().
 */
SSL *sink_tls_open(const struct sink_tls *t, enum sink_cert_kind kind,
                   struct sink_tls_pipe *pipe);

#endif
