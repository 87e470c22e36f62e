#include "tests/support/test_cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make(EVP_PKEY *key, const struct test_cert_options *options)
{
    X509 *x = X509_new();
    assert_non_null(x);
    assert_int_equal(X509_set_version(x, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), options->from_s));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), options->to_s));
    X509_NAME *name = X509_get_subject_name(x);
    assert_int_equal(X509_NAME_add_entry_by_txt(
                         name, "CN", MBSTRING_ASC,
                         (const unsigned char *)"test relay", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x, name), 1);
    assert_int_equal(X509_set_pubkey(x, key), 1);
    add_extension(x, NID_subject_alt_name, options->alt_name);
    add_extension(x, NID_basic_constraints, "CA:TRUE");
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

void test_cert_write(struct test_cert *cert, struct scratch *scratch,
                     const char *name, const struct test_cert_options *options)
{
    char file[64];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *x = make(key, options);
    (void)snprintf(file, sizeof(file), "%s.pem", name);
    (void)snprintf(cert->cert_file, sizeof(cert->cert_file), "%s",
                   scratch_path(scratch, file));
    (void)snprintf(file, sizeof(file), "%s.key", name);
    (void)snprintf(cert->key_file, sizeof(cert->key_file), "%s",
                   scratch_path(scratch, file));
    FILE *out = fopen(cert->cert_file, "we");
    assert_non_null(out);
    assert_int_equal(PEM_write_X509(out, x), 1);
    assert_int_equal(fclose(out), 0);
    out = fopen(cert->key_file, "we");
    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL),
                     1);
    assert_int_equal(fclose(out), 0);
    X509_free(x);
    EVP_PKEY_free(key);
}
