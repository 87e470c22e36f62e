#ifndef TESTS_SUPPORT_TEST_CERT_H
#define TESTS_SUPPORT_TEST_CERT_H

#include "tests/support/scratch.h"

/*
 * Throw-away certificates, each signed by itself (so it is its own CA file).
 * A call that fails fails the test.
 */
struct test_cert {
    char cert_file[256];
    char key_file[256];
};

struct test_cert_options {
    const char *alt_name; /* "DNS:localhost,IP:127.0.0.1" */
    long from_s;          /* validity, seconds from now */
    long to_s;
};

/* Writes name.pem and name.key into the scratch folder. */
void test_cert_write(struct test_cert *cert, struct scratch *scratch,
                     const char *name, const struct test_cert_options *options);

#endif
