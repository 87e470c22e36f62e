#ifndef TESTS_UNIT_SMTP_FAKE_DNS_H
#define TESTS_UNIT_SMTP_FAKE_DNS_H

#include <stdbool.h>

#include "core/thread.h"
#include "smtp/addresses.h"

/*
 * A resolver for smtp/addresses.h that says what a test wants, at once or when
 * it is told to. Must outlive its lookups: fake_dns_close() waits for them.
 */
struct fake_dns {
    struct mutex lock;
    struct cond change;
    const char *const *texts; /* ends with NULL; NULL: no such name */
    bool hangs;
    unsigned calls;
    unsigned running;
};

void fake_dns_open(struct fake_dns *dns, const char *const *texts);
void fake_dns_close(struct fake_dns *dns); /* ends what hangs */

/* What lookups that end from now on say, and whether they hang before. */
void fake_dns_set(struct fake_dns *dns, const char *const *texts, bool hangs);

/* Waits until so many lookups were begun. */
void fake_dns_await(struct fake_dns *dns, unsigned calls);

unsigned fake_dns_calls(struct fake_dns *dns);

/* For struct smtp_addresses_options; ctx is the fake. */
enum err_code fake_dns_resolve(void *ctx, const char *host,
                               struct smtp_address_list *out, struct err *err);

#endif
