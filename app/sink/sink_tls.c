#include "app/sink/sink_tls.h"

#include <string.h>

#include <openssl/err.h>

#include "app/sink/sink_cert.h"

#define SESSIONS_MAX 1024

static int pipe_read(BIO *bio, char *out, size_t len, size_t *got)
{
    struct sink_tls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *got = len < pipe->in.len ? len : pipe->in.len;
    if (*got == 0) {
        if (!pipe->in_ended)
            BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, pipe->in.data, *got);
    pipe->in = str_after(pipe->in, *got);
    return 1;
}

static int pipe_write(BIO *bio, const char *data, size_t len, size_t *written)
{
    struct sink_tls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_add(pipe->out, data, len);
    *written = len;
    return buf_ok(pipe->out);
}

static long pipe_control(BIO *bio, int command, long number, void *pointer)
{
    const struct sink_tls_pipe *pipe = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return pipe->in_ended && pipe->in.len == 0;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sink pipe");
    if (method == NULL)
        return NULL;
    if (BIO_meth_set_read_ex(method, pipe_read) != 1 ||
        BIO_meth_set_write_ex(method, pipe_write) != 1 ||
        BIO_meth_set_ctrl(method, pipe_control) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

static SSL_CTX *make_context(const struct sink_options *o)
{
    static const unsigned char id[] = "postrider-sink";
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL)
        return NULL;
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        (o->tls12_only &&
         SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) != 1) ||
        SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION |
                                           SSL_OP_NO_COMPRESSION |
                                           SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
    (void)SSL_CTX_sess_set_cache_size(context, SESSIONS_MAX);
    return context;
}

static enum err_code cannot_use(struct err *err, const char *path)
{
    (void)sink_cert_error(err, "cannot be used");
    return err_prefix(err, "%s", path);
}

static enum err_code use_files(SSL_CTX *context, const struct sink_options *o,
                               struct err *err)
{
    if (SSL_CTX_use_certificate_chain_file(context, o->cert_file) != 1)
        return cannot_use(err, o->cert_file);
    if (SSL_CTX_use_PrivateKey_file(context, o->key_file, SSL_FILETYPE_PEM) !=
        1)
        return cannot_use(err, o->key_file);
    return ERR_NONE;
}

static enum err_code use_made(SSL_CTX *context, const struct sink_cert *ca,
                              enum sink_cert_kind kind,
                              const struct sink_options *o, struct err *err)
{
    struct sink_cert made = {NULL, NULL};
    enum err_code code =
        sink_cert_make(ca, kind, o->names, o->name_count, &made, err);
    if (code == ERR_NONE && (SSL_CTX_use_certificate(context, made.cert) != 1 ||
                             SSL_CTX_use_PrivateKey(context, made.key) != 1))
        code = sink_cert_error(err, "cannot use the certificate made");
    sink_cert_fini(&made);
    return code;
}

static enum err_code
fill_contexts(struct sink_tls *t, const struct sink_options *o, struct err *err)
{
    struct sink_cert ca = {NULL, NULL};
    enum err_code code = sink_cert_make_ca(&ca, err);
    for (int i = 0; code == ERR_NONE && i < SINK_CERT_COUNT; i++) {
        t->contexts[i] = make_context(o);
        if (t->contexts[i] == NULL)
            code = sink_cert_error(err, "cannot set up TLS");
        else if (i == SINK_CERT_GOOD && o->cert_file != NULL)
            code = use_files(t->contexts[i], o, err);
        else
            code =
                use_made(t->contexts[i], &ca, (enum sink_cert_kind)i, o, err);
    }
    if (code == ERR_NONE && o->write_ca != NULL)
        code = sink_cert_write(&ca, o->write_ca, err);
    sink_cert_fini(&ca);
    return code;
}

enum err_code sink_tls_init(struct sink_tls *t,
                            const struct sink_options *options, struct err *err)
{
    memset(t, 0, sizeof(*t));
    t->method = make_method();
    if (t->method == NULL)
        return sink_cert_error(err, "cannot set up TLS");
    return fill_contexts(t, options, err);
}

void sink_tls_fini(struct sink_tls *t)
{
    for (int i = 0; i < SINK_CERT_COUNT; i++)
        SSL_CTX_free(t->contexts[i]);
    BIO_meth_free(t->method);
    memset(t, 0, sizeof(*t));
}

SSL *sink_tls_open(const struct sink_tls *t, enum sink_cert_kind kind,
                   struct sink_tls_pipe *pipe)
{
    SSL *ssl = SSL_new(t->contexts[kind]);
    BIO *bio = ssl == NULL ? NULL : BIO_new(t->method);
    if (bio == NULL) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, pipe);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    return ssl;
}
